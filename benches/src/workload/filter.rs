use std::future::Future;

use flowlet::FlowExt;

use super::numbers;
use crate::call::{Call, Visit, even};
use crate::peer::{Flowlet, ForEach, Peer, contender, others, whole};
use crate::{Contender, Row, Tally, tally};

/// A filter whose predicate is a call, which keeps the even items. Most peers
/// have none: there it is a map to options, by hand.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let calls = [
        (Call::Ready, "filter, ready"),
        (Call::YieldOnce, "filter, yield once"),
        (Call::Woken, "filter, woken"),
    ];
    calls.into_iter().flat_map(|(call, workload)| {
        [16, 256, 4_096].into_iter().map(move |in_flight| Row {
            workload,
            in_flight,
            items: call.items(in_flight),
            expected: even_numbers,
            contenders: call.visit_basic(Filter { limit: in_flight }),
        })
    })
}

fn even_numbers(items: u64) -> Tally {
    let count = items.div_ceil(2);
    Tally { count, sum: count * count.saturating_sub(1) }
}

struct Filter {
    limit: usize,
}

struct ByHand<F>(usize, F);

impl<F, Fut> ForEach for ByHand<F>
where
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    fn of<P: Peer>(&self) -> Contender {
        let Self(limit, f) = *self;
        contender::<P, _>(None, move |items| {
            tally(P::filter_map(numbers(items), limit, move |item| even(f(item))))
        })
    }
}

impl Visit for Filter {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let limit = self.limit;
        let mut contenders = vec![contender::<Flowlet, _>(None, move |items| {
            let predicate = async move |item: &u64| f(*item).await % 2 == 0;
            tally(numbers(items).filter_concurrent(limit, predicate))
        })];
        contenders.extend(others(&ByHand(limit, f)));
        contenders.extend(whole!(filter as filter, None, move |items| filter(items, limit, f)));
        contenders
    }
}
