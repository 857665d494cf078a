use std::future::ready;

use flowlet::FlowExt;
use futures_util::StreamExt;

use super::numbers;
use crate::call::Call;
use crate::peer::{Flowlet, ForEach, Peer, contender, others, whole};
use crate::{Contender, Row, Tally, tally};

/// How many items a batch has.
const SIZE: usize = 100;

/// A stage, and batches of what comes out, summed up by a second one.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    [16, 256].into_iter().map(|in_flight| Row {
        workload: "batched",
        in_flight,
        items: Call::Ready.items(in_flight),
        expected: |items| Tally {
            count: items.div_ceil(SIZE as u64),
            sum: Tally::of_numbers(items).sum,
        },
        contenders: contenders(in_flight),
    })
}

fn contenders(limit: usize) -> Vec<Contender> {
    let mut contenders = vec![contender::<Flowlet, _>(None, move |items| {
        let batches = numbers(items).map_concurrent(limit, ready).batched(SIZE);
        tally(batches.map_concurrent(2, async |batch| batch.iter().sum()))
    })];
    contenders.extend(others(&Chunked(limit)));
    contenders.extend(whole!(batched as batched, None, move |items| {
        batched(items, SIZE, limit, ready)
    }));
    contenders
}

/// By hand, the batches are those of futures-util.
struct Chunked(usize);

impl ForEach for Chunked {
    fn of<P: Peer>(&self) -> Contender {
        let Self(limit) = *self;
        contender::<P, _>(None, move |items| {
            let batches = P::map(numbers(items), limit, ready).chunks(SIZE);
            tally(P::map(batches, 2, |batch| ready(batch.iter().sum())))
        })
    }
}
