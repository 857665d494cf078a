use std::future::Future;

use super::numbers;
use crate::call::{Call, Visit};
use crate::peer::{ForEach, Peer, contender, each, whole};
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
        let mut contenders = each(&Of(self, f));
        if call.executor().is_none() || limit == 1 {
            contenders.extend(whole!(map as map, executor, move |items| map(items, limit, f)));
        } else {
            contenders.extend(whole!(map_to_wait_for as map, executor, move |items| {
                map(items, limit, f)
            }));
        }
        contenders
    }
}
