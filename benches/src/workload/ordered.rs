use super::numbers;
use super::shared::Shared;
use crate::call::{Call, Callable};
use crate::peer::{Peer, contender, whole};
use crate::{Contender, Row, Tally, tally_in_order};

/// One stage whose outputs come in the order of the items.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    super::each(&[Call::Ready, Call::Woken], &[16, 256, 4_096]).map(|(call, in_flight)| Row {
        workload: format!("ordered, {call}"),
        in_flight,
        items: call.items(in_flight),
        expected: Tally::of_numbers,
        contenders: call.visit_basic(Ordered(in_flight)),
    })
}

#[derive(Clone, Copy)]
struct Ordered(usize);

impl Shared for Ordered {
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        let Self(limit) = self;
        contender::<P, _>(None, move |items| tally_in_order(P::ordered(numbers(items), limit, f)))
    }

    fn whole(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
        whole!([roughage, workers, join_set, sequential], ordered, None, move |items| ordered(
            items, limit, f
        ))
    }
}
