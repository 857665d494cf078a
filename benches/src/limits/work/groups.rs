//! A limit for each group, and one over all.

use std::sync::Arc;

use flowlet::{FlowExt, Semaphore};
use flowlet_benches::call::{Callable, Visit};
use flowlet_benches::peer::{FuturesBuffered, FuturesUtil, Peer};
use flowlet_benches::{Contender, tally};
use future_queue::{FutureQueueContext, StreamExt as _};
use futures_util::StreamExt as _;

use super::{CALLS, Section, contender, numbers, row};

const GROUPS: usize = 9;

const OF_A_GROUP: usize = 4;

/// How many items wait at most where the caller says so: what `map_concurrent_by_key` has for 16 calls.
const WINDOW: usize = 16;

type Group = fn(u64) -> usize;

const SPREADS: [(&str, Group); 2] = [("even", even), ("hot", hot)];

pub(super) fn section() -> Section {
    let mut rows = Vec::new();
    for call in CALLS {
        for (name, group) in SPREADS {
            let contenders = call.visit(Groups { limit: 16, group });
            rows.push(row(format!("{name} groups, {call}"), 16, contenders));
        }
    }
    Section {
        title: "Groups",
        about: "16 calls at once, and 4 in each of 9 groups. The groups have *even* shares of the items, \
                or one *hot* group has half of them. If all groups have the same limit, what corresponds \
                to `future_queue_grouped` is `map_concurrent_by_key(16, group, f).per_key(4)`. If limits \
                differ, each group has a semaphore: *flowlet, semaphores* is `map_concurrent(256, ..)`, \
                whose calls `acquire` from the group's semaphore and from one for all groups; the \
                version by hand does the same with tokio's semaphores. Items of a full group wait in the \
                stage: at most 256 items in total, but without a bound in future-queue. In future-queue \
                each group can have a limit of its own, items need not belong to a group, and calls can \
                have weights.",
        item: "item",
        size: "limit",
        beside: None,
        rows,
    }
}

fn even(item: u64) -> usize {
    (item % GROUPS as u64) as usize
}

fn hot(item: u64) -> usize {
    if item % 2 == 0 { 0 } else { 1 + (item / 2 % (GROUPS as u64 - 1)) as usize }
}

#[derive(Clone, Copy)]
struct Groups {
    limit: usize,
    group: Group,
}

impl Visit for Groups {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
        let Self { limit, group } = self;
        vec![
            contender("flowlet", move |items| {
                let stage = numbers(items).map_concurrent_by_key(limit, move |i| group(*i), f);
                tally(stage.per_key(OF_A_GROUP))
            }),
            contender("flowlet, semaphores", move |items| self.semaphores(items, f)),
            contender("future-queue", move |items| {
                let call = move |i| (1, Some(group(i)), move |_: FutureQueueContext| f(i));
                let limits = (0..GROUPS).map(|group| (group, OF_A_GROUP));
                tally(numbers(items).map(call).future_queue_grouped(limit, limits))
            }),
            self.by_hand::<FuturesUtil>("futures-util, tokio", f),
            self.by_hand::<FuturesBuffered>("futures-buffered, tokio", f),
        ]
    }
}

impl Groups {
    fn semaphores(
        self,
        items: u64,
        f: impl Callable,
    ) -> impl Future<Output = flowlet_benches::Tally> {
        let Self { limit, group } = self;
        let all = Semaphore::new(limit);
        let groups = [(); GROUPS].map(|()| Semaphore::new(OF_A_GROUP));
        let call = move |item| {
            let (of_group, of_all) = (groups[group(item)].acquire(), all.acquire());
            async move {
                let _of_group = of_group.await;
                let _of_all = of_all.await;
                f(item).await
            }
        };
        tally(numbers(items).map_concurrent(WINDOW * limit, call))
    }

    fn by_hand<P: Peer>(self, name: &'static str, f: impl Callable) -> Contender {
        let Self { limit, group } = self;
        contender(name, move |items| {
            let all = Arc::new(tokio::sync::Semaphore::new(limit));
            let one = |()| Arc::new(tokio::sync::Semaphore::new(OF_A_GROUP));
            let groups = [(); GROUPS].map(one);
            let call = move |item| {
                let (of_group, of_all) = (groups[group(item)].clone(), all.clone());
                async move {
                    let _of_group = of_group.acquire().await.expect("nobody closes it");
                    let _of_all = of_all.acquire().await.expect("nobody closes it");
                    f(item).await
                }
            };
            tally(P::map(numbers(items), WINDOW * limit, call))
        })
    }
}
