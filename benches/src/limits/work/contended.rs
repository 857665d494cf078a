//! Users that want permits of the same semaphore, on one thread.

use std::cell::Cell;

use flowlet_benches::Tally;
use futures_lite::future::yield_now;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::gate::Gate;

/// Who watches the users.
pub(crate) trait Watch {
    /// Is told that a user has a permit.
    fn acquired(&self, user: usize);

    /// Has an acquire go on.
    fn acquire<F: Future>(&self, acquire: F) -> impl Future<Output = F::Output>;
}

/// Nobody: what is measured.
pub(crate) struct Nobody;

impl Watch for Nobody {
    fn acquired(&self, _: usize) {}

    fn acquire<F: Future>(&self, acquire: F) -> impl Future<Output = F::Output> {
        acquire
    }
}

/// Has users take a permit, yield once and give it back, over and over, until they have had so many.
pub(crate) async fn contend<G: Gate>(
    permits: usize,
    users: usize,
    items: u64,
    watch: &impl Watch,
) -> Tally {
    let gate = G::new(permits);
    let tally = Cell::new(Tally::default());
    let (gate, taken) = (&gate, &tally);
    let user = |user: usize| async move {
        loop {
            let permit = watch.acquire(gate.acquire()).await;
            let mut tally = taken.get();
            if tally.count == items {
                return;
            }
            tally.add(tally.count);
            taken.set(tally);
            watch.acquired(user);
            yield_now().await;
            drop(permit);
        }
    };
    let running: FuturesUnordered<_> = (0..users).map(user).collect();
    running.for_each(|()| async {}).await;
    tally.get()
}
