use super::shared::Shared;
use super::{BASIC, each, numbers};
use crate::call::Callable;
use crate::peer::{Peer, contender, whole};
use crate::{Contender, Row, Tally, tally};

/// How many items a pipeline has.
const SIZE: u64 = 10;

/// Many pipelines of few items, one after the other: what setting up costs. The time is that of an
/// item.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    each(&BASIC, &[4, 16]).map(|(call, in_flight)| Row {
        workload: format!("tiny pipelines, {call}"),
        in_flight,
        items: 20_000,
        // Each pipeline begins with 0 again.
        expected: |items| Tally {
            count: items / SIZE * SIZE,
            sum: items / SIZE * Tally::of_numbers(SIZE).sum,
        },
        contenders: call.visit_basic(Tiny(in_flight)),
    })
}

async fn repeat<Fut: Future<Output = Tally>>(items: u64, f: impl Fn() -> Fut) -> Tally {
    let mut sum = Tally::default();
    for _ in 0..items / SIZE {
        let tally = f().await;
        sum.count += tally.count;
        sum.sum += tally.sum;
    }
    sum
}

#[derive(Clone, Copy)]
struct Tiny(usize);

impl Shared for Tiny {
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        let Self(limit) = self;
        contender::<P, _>(None, move |items| {
            repeat(items, move || tally(P::map(numbers(SIZE), limit, f)))
        })
    }

    fn whole(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
        whole!(
            [futures_concurrency, roughage, workers, join_set, sequential],
            map,
            None,
            move |items| repeat(items, move || map(SIZE, limit, f))
        )
    }
}
