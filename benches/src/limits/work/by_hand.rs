//! One call of a key at a time, as one writes it without a crate for it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::pin::pin;

use flowlet_benches::Tally;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};

/// Calls `f` on every item, with up to `limit` calls at once and one of a key, in the order of its items, with up to
/// `window` items between pulled and done.
pub(super) async fn by_key<Fut: Future<Output = u64>>(
    items: impl Stream<Item = u64>,
    limit: usize,
    window: usize,
    key: impl Fn(u64) -> u64,
    f: impl Fn(u64) -> Fut,
) -> Tally {
    let mut items = pin!(items.fuse());
    let mut running = FuturesUnordered::new();
    // A key is there while a call of it runs or is next. Its items wait for that.
    let mut keys: HashMap<u64, VecDeque<u64>> = HashMap::new();
    let mut next = VecDeque::new();
    let mut in_flight = 0;
    let mut tally = Tally::default();
    loop {
        while running.len() < limit {
            let Some((key, item)) = next.pop_front() else { break };
            let call = f(item);
            running.push(async move { (key, call.await) });
        }
        tokio::select! {
            biased;
            Some(item) = items.next(), if running.len() < limit && in_flight < window => {
                in_flight += 1;
                let key = key(item);
                match keys.entry(key) {
                    Entry::Vacant(idle) => {
                        idle.insert(VecDeque::new());
                        next.push_back((key, item));
                    }
                    Entry::Occupied(mut busy) => busy.get_mut().push_back(item),
                }
            }
            Some((key, output)) = running.next() => {
                in_flight -= 1;
                if let Entry::Occupied(mut busy) = keys.entry(key) {
                    match busy.get_mut().pop_front() {
                        Some(item) => next.push_back((key, item)),
                        None => drop(busy.remove()),
                    }
                }
                tally.add(output);
            }
            else => return tally,
        }
    }
}
