use std::future::Future;

use futures_util::stream;

use crate::call::{Call, Visit};
use crate::peer::{ForEach, Peer, contender, each, whole};
use crate::{Contender, Row, Tally, tally};

/// How many items a pipeline has.
const SIZE: u64 = 10;

/// Many pipelines of few items, one after the other: what setting up costs. The time is that of an
/// item.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let calls = [
        (Call::Ready, "tiny pipelines, ready"),
        (Call::YieldOnce, "tiny pipelines, yield once"),
        (Call::Woken, "tiny pipelines, woken"),
    ];
    calls.into_iter().flat_map(|(call, workload)| {
        [4, 16].into_iter().map(move |in_flight| Row {
            workload,
            in_flight,
            items: 20_000,
            // Each pipeline begins with 0 again.
            expected: |items| Tally {
                count: items / SIZE * SIZE,
                sum: items / SIZE * Tally::of_numbers(SIZE).sum,
            },
            contenders: call.visit_basic(Tiny { limit: in_flight }),
        })
    })
}

struct Tiny {
    limit: usize,
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

struct Of<F>(usize, F);

impl<F, Fut> ForEach for Of<F>
where
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    fn of<P: Peer>(&self) -> Contender {
        let Self(limit, f) = *self;
        contender::<P, _>(None, move |items| {
            repeat(items, move || tally(P::map(stream::iter(0..SIZE), limit, f)))
        })
    }
}

impl Visit for Tiny {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let limit = self.limit;
        let mut contenders = each(&Of(limit, f));
        contenders.extend(whole!(map as map, None, move |items| {
            repeat(items, move || map(SIZE, limit, f))
        }));
        contenders
    }
}
