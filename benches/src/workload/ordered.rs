use std::future::Future;

use super::numbers;
use crate::call::{Call, Visit};
use crate::peer::{ForEach, Peer, contender, each, whole};
use crate::{Contender, Row, Tally, tally_in_order};

/// One stage whose outputs come in the order of the items.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let calls = [(Call::Ready, "ordered, ready"), (Call::Woken, "ordered, woken")];
    calls.into_iter().flat_map(|(call, workload)| {
        [16, 256, 4_096].into_iter().map(move |in_flight| Row {
            workload,
            in_flight,
            items: call.items(in_flight),
            expected: Tally::of_numbers,
            contenders: call.visit_basic(Ordered { limit: in_flight }),
        })
    })
}

struct Ordered {
    limit: usize,
}

struct Of<F>(usize, F);

impl<F, Fut> ForEach for Of<F>
where
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    fn of<P: Peer>(&self) -> Contender {
        let Self(limit, f) = *self;
        contender::<P, _>(None, move |items| tally_in_order(P::ordered(numbers(items), limit, f)))
    }
}

impl Visit for Ordered {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let limit = self.limit;
        let mut contenders = each(&Of(limit, f));
        contenders.extend(whole!(ordered as ordered, None, move |items| ordered(items, limit, f)));
        contenders
    }
}
