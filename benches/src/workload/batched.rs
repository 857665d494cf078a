use std::future::ready;

use flowlet::FlowExt;
use futures_util::StreamExt;

use super::numbers;
use super::shared::Shared;
use crate::call::{Call, Callable, Visit};
use crate::peer::{Flowlet, Peer, contender, whole};
use crate::{Contender, Row, Tally, tally};

/// How many items a batch has.
const SIZE: usize = 100;

/// A stage, and batches of what comes out, summed up by a second one.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    [16, 256].into_iter().map(|in_flight| Row {
        workload: "batched".to_owned(),
        in_flight,
        items: Call::Ready.items(in_flight),
        expected: |items| Tally {
            count: items.div_ceil(SIZE as u64),
            sum: Tally::of_numbers(items).sum,
        },
        contenders: Batched(in_flight).visit(ready),
    })
}

#[derive(Clone, Copy)]
struct Batched(usize);

impl Shared for Batched {
    /// By hand, the batches are those of futures-util.
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        let Self(limit) = self;
        contender::<P, _>(None, move |items| {
            let batches = P::map(numbers(items), limit, f).chunks(SIZE);
            tally(P::map(batches, 2, |batch| ready(batch.iter().sum())))
        })
    }

    fn ours(self, f: impl Callable) -> Contender {
        let Self(limit) = self;
        contender::<Flowlet, _>(None, move |items| {
            let batches = numbers(items).map_concurrent(limit, f).batched(SIZE);
            tally(batches.map_concurrent(2, async |batch| batch.iter().sum()))
        })
    }

    fn whole(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
        whole!([roughage, workers, join_set, sequential], batched, None, move |items| batched(
            items, SIZE, limit, f
        ))
    }
}
