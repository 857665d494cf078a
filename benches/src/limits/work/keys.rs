//! One call of a key at a time.

use flowlet::FlowExt;
use flowlet_benches::call::{Callable, Visit};
use flowlet_benches::{Contender, tally};

use super::{CALLS, Section, by_hand, contender, numbers, row};

type Key = fn(u64) -> u64;

const SPREADS: [(&str, Key); 3] = [("a hot key", hot), ("1,000 keys", thousand), ("new keys", new)];

/// The window that `map_concurrent_by_key` has by itself, in limits.
const WINDOW: usize = 16;

pub(super) fn section() -> Section {
    let mut rows = Vec::new();
    for call in CALLS {
        for (name, key) in SPREADS {
            for limit in [16, 256] {
                let contenders = call.visit(Keys { limit, key });
                rows.push(row(format!("{name}, {call}"), limit, contenders));
            }
        }
    }
    Section {
        title: "Keys",
        about: "One call per key at a time, in the order of the key's items. *A hot key* has every \
                second item, 20 others have the rest; *1,000 keys* take turns; with *new keys* each item \
                has its own. *By hand* is \
                [a loop](src/limits/work/by_hand.rs) over a `HashMap` of `VecDeque`s and a `FuturesUnordered`, with \
                the same bound of 16 times the limit on pulled items. *Flowlet, no keys* is \
                `map_concurrent`, to show what keys cost.",
        item: "item",
        size: "limit",
        beside: None,
        rows,
    }
}

fn hot(item: u64) -> u64 {
    if item % 2 == 0 { 0 } else { 1 + item / 2 % 20 }
}

fn thousand(item: u64) -> u64 {
    item % 1_000
}

fn new(item: u64) -> u64 {
    item
}

struct Keys {
    limit: usize,
    key: Key,
}

impl Visit for Keys {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
        let Self { limit, key } = self;
        vec![
            contender("flowlet", move |items| {
                tally(numbers(items).map_concurrent_by_key(limit, move |item| key(*item), f))
            }),
            contender("flowlet, no keys", move |items| {
                tally(numbers(items).map_concurrent(limit, f))
            }),
            contender("by hand", move |items| {
                by_hand::by_key(numbers(items), limit, WINDOW * limit, key, f)
            }),
        ]
    }
}
