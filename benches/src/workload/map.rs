use super::shared::Shared;
use super::{each, numbers};
use crate::call::{Call, Callable};
use crate::peer::{Peer, contender, sequential, whole};
use crate::{Contender, Executor, Row, Tally, tally};

/// One stage, with each kind of call.
pub(super) fn rows_of(calls: &[Call], sizes: &[usize]) -> impl Iterator<Item = Row> {
    let sensible = each(calls, sizes).filter(|&(call, in_flight)| is_sensible(call, in_flight));
    sensible.map(|(call, in_flight)| Row {
        workload: call.to_string(),
        in_flight,
        items: call.items(in_flight),
        expected: Tally::of_numbers,
        contenders: call.visit(Map { limit: in_flight, executor: call.executor() }),
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
}

impl Shared for Map {
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        let Self { limit, executor } = self;
        contender::<P, _>(executor, move |items| tally(P::map(numbers(items), limit, f)))
    }

    fn whole(self, f: impl Callable) -> Vec<Contender> {
        let Self { limit, executor } = self;
        let mut contenders = whole!(
            [futures_concurrency, roughage, workers, join_set, sequential],
            map,
            executor,
            move |items| map(items, limit, f)
        );
        if executor.is_some() && limit > 1 {
            // One call after the other is no answer to calls that wait for the world.
            contenders.retain(|contender| contender.name != sequential::NAME);
        }
        contenders
    }
}
