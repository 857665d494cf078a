use flowlet::FlowExt;

use super::shared::Shared;
use super::{BASIC, each, numbers};
use crate::call::{Callable, even};
use crate::peer::{Flowlet, Peer, contender, whole};
use crate::{Contender, Row, Tally, tally};

/// A filter whose predicate is a call, which keeps the even items. Most peers
/// have none: there it is a map to options, by hand.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    each(&BASIC, &[16, 256, 4_096]).map(|(call, in_flight)| Row {
        workload: format!("filter, {call}"),
        in_flight,
        items: call.items(in_flight),
        expected: even_numbers,
        contenders: call.visit_basic(Filter(in_flight)),
    })
}

fn even_numbers(items: u64) -> Tally {
    let count = items.div_ceil(2);
    Tally { count, sum: count * count.saturating_sub(1) }
}

#[derive(Clone, Copy)]
struct Filter(usize);

impl Shared for Filter {
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        let Self(limit) = self;
        contender::<P, _>(None, move |items| {
            tally(P::filter_map(numbers(items), limit, move |item| even(f(item))))
        })
    }

    fn ours(self, f: impl Callable) -> Contender {
        let Self(limit) = self;
        contender::<Flowlet, _>(None, move |items| {
            let predicate = async move |item: &u64| f(*item).await % 2 == 0;
            tally(numbers(items).filter_concurrent(limit, predicate))
        })
    }

    fn whole(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
        whole!(
            [futures_concurrency, roughage, workers, join_set, sequential],
            filter,
            None,
            move |items| filter(items, limit, f)
        )
    }
}
