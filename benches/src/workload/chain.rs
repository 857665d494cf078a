use std::future::Future;

use futures_util::Stream;

use super::numbers;
use crate::call::{Call, Visit};
use crate::peer::{ForEach, Peer, contender, each, whole};
use crate::{Contender, Row, Tally, tally};

/// How many stages, and what tables call them.
const CALLS: [(Call, [(usize, &str); 3]); 2] = [
    (
        Call::Ready,
        [
            (2, "chain of 2 stages, ready"),
            (4, "chain of 4 stages, ready"),
            (8, "chain of 8 stages, ready"),
        ],
    ),
    (
        Call::Woken,
        [
            (2, "chain of 2 stages, woken"),
            (4, "chain of 4 stages, woken"),
            (8, "chain of 8 stages, woken"),
        ],
    ),
];

/// Several stages, each with its own calls.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    CALLS.into_iter().flat_map(|(call, chains)| {
        chains.into_iter().flat_map(move |(stages, workload)| {
            [16, 256].into_iter().map(move |in_flight| Row {
                workload,
                in_flight,
                items: call.items(in_flight) / stages as u64,
                expected: Tally::of_numbers,
                contenders: call.visit_basic(Chain { limit: in_flight, stages }),
            })
        })
    })
}

#[derive(Clone, Copy)]
struct Chain {
    limit: usize,
    stages: usize,
}

fn two<P, S, F, Fut>(stream: S, limit: usize, f: F) -> impl Stream<Item = u64> + Send + 'static
where
    P: Peer,
    S: Stream<Item = u64> + Send + 'static,
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    P::map(P::map(stream, limit, f), limit, f)
}

struct Of<F>(Chain, F);

impl<F, Fut> ForEach for Of<F>
where
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    fn of<P: Peer>(&self) -> Contender {
        let Self(Chain { limit, stages }, f) = *self;
        contender::<P, _>(None, move |items| async move {
            let stages_2 = two::<P, _, _, _>(numbers(items), limit, f);
            if stages == 2 {
                return tally(stages_2).await;
            }
            let stages_4 = two::<P, _, _, _>(stages_2, limit, f);
            if stages == 4 {
                return tally(stages_4).await;
            }
            let stages_6 = two::<P, _, _, _>(stages_4, limit, f);
            tally(two::<P, _, _, _>(stages_6, limit, f)).await
        })
    }
}

impl Visit for Chain {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let Self { limit, stages } = self;
        let mut contenders = each(&Of(self, f));
        contenders
            .extend(whole!(chain as chain, None, move |items| { chain(items, stages, limit, f) }));
        contenders
    }
}
