use std::iter;
use std::time::Duration;

use tokio::time::sleep;

use super::numbers;
use super::shared::Shared;
use crate::call::{Callable, Visit};
use crate::peer::{Peer, contender, whole};
use crate::{Contender, Executor, Row, Tally, tally};

/// The first stage: so many calls at once, each with five waits of 10 ms.
const FIRST: usize = 4;

/// The second stage: so many calls at once, each with one wait of 25 ms.
const SECOND: usize = 2;

/// How many items a run has.
pub const ITEMS: u64 = 28;

/// A stage that is full while the calls of the one above have more waits to come: who does not drive
/// them meanwhile loses wall time. Both stages need the same time for an item.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    iter::once(Row {
        workload: "slow stage".to_owned(),
        in_flight: FIRST,
        items: ITEMS,
        expected: Tally::of_numbers,
        contenders: SlowStage.visit(first),
    })
}

/// How long so many items take at least: the first stage is always full, and then the last two calls
/// of the second stage run.
pub fn floor() -> Duration {
    Duration::from_millis(50) * ITEMS.div_ceil(FIRST as u64) as u32
        + Duration::from_millis(25) * (FIRST / SECOND) as u32
}

#[derive(Clone, Copy)]
struct SlowStage;

impl Shared for SlowStage {
    fn of<P: Peer>(self, first: impl Callable) -> Contender {
        contender::<P, _>(Some(Executor::Timed), move |items| {
            tally(P::map(P::map(numbers(items), FIRST, first), SECOND, second))
        })
    }

    fn whole(self, first: impl Callable) -> Vec<Contender> {
        whole!([roughage, workers, join_set], two, Some(Executor::Timed), move |items| {
            two(items, (FIRST, first), (SECOND, second))
        })
    }
}

async fn first(item: u64) -> u64 {
    for _ in 0..5 {
        sleep(Duration::from_millis(10)).await;
    }
    item
}

async fn second(item: u64) -> u64 {
    sleep(Duration::from_millis(25)).await;
    item
}
