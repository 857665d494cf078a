use std::future::Future;

use super::numbers;
use crate::call::{Call, Visit};
use crate::peer::{
    ForEach, Peer, contender, each, futures_concurrency, join_set, roughage, sequential, workers,
};
use crate::{Contender, Executor, Row, Tally, tally};

/// One stage, with each kind of call.
pub(super) fn rows_of(calls: &[Call], sizes: &[usize]) -> impl Iterator<Item = Row> {
    calls.iter().flat_map(move |&call| {
        let sizes = sizes.iter().copied().filter(move |&in_flight| is_sensible(call, in_flight));
        sizes.map(move |in_flight| Row {
            workload: call.name(),
            in_flight,
            items: call.items(in_flight),
            expected: Tally::of_numbers,
            contenders: call.visit(Map { limit: in_flight, executor: call.executor(), call }),
        })
    })
}

/// Sockets need two descriptors a call.
fn is_sensible(call: Call, in_flight: usize) -> bool {
    call != Call::Socket || in_flight <= 256
}

#[derive(Clone, Copy)]
struct Map {
    limit: usize,
    executor: Option<Executor>,
    call: Call,
}

struct Of<F>(Map, F);

impl<F, Fut> ForEach for Of<F>
where
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    fn of<P: Peer>(&self) -> Contender {
        let Self(Map { limit, executor, .. }, f) = *self;
        contender::<P, _>(executor, move |items| tally(P::map(numbers(items), limit, f)))
    }
}

impl Visit for Map {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let Self { limit, executor, call } = self;
        let local = executor.unwrap_or(Executor::Loop);
        let tasks = executor.unwrap_or(Executor::Tasks);
        let mut contenders = each(&Of(self, f));
        contenders.extend([
            Contender::new(futures_concurrency::NAME, local, move |items| {
                futures_concurrency::map(items, limit, f)
            }),
            Contender::new(roughage::NAME, local, move |items| roughage::map(items, limit, f)),
            Contender::new(workers::NAME, local, move |items| workers::map(items, limit, f)),
            Contender::new(join_set::NAME, tasks, move |items| join_set::map(items, limit, f)),
        ]);
        // One call after the other is no answer to calls that wait for the world.
        if call.executor().is_none() || limit == 1 {
            contenders.push(Contender::new(sequential::NAME, local, move |items| {
                sequential::map(items, f)
            }));
        }
        contenders
    }
}
