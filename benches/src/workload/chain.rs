use futures_util::Stream;

use super::shared::Shared;
use super::{each, numbers};
use crate::call::{Call, Callable};
use crate::peer::{Peer, contender, whole};
use crate::{Contender, Row, Tally, tally};

/// Several stages, each with its own calls.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    each(&[Call::Ready, Call::Woken], &[2, 4, 8]).flat_map(|(call, stages)| {
        [16, 256].map(|in_flight| Row {
            workload: format!("chain of {stages} stages, {call}"),
            in_flight,
            items: call.items(in_flight) / stages as u64,
            expected: Tally::of_numbers,
            contenders: call.visit_basic(Chain { limit: in_flight, stages }),
        })
    })
}

#[derive(Clone, Copy)]
struct Chain {
    limit: usize,
    stages: usize,
}

fn two<P: Peer>(
    stream: impl Stream<Item = u64> + Send + 'static,
    limit: usize,
    f: impl Callable,
) -> impl Stream<Item = u64> + Send + 'static {
    P::map(P::map(stream, limit, f), limit, f)
}

impl Shared for Chain {
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        let Self { limit, stages } = self;
        contender::<P, _>(None, move |items| async move {
            let stages_2 = two::<P>(numbers(items), limit, f);
            if stages == 2 {
                return tally(stages_2).await;
            }
            let stages_4 = two::<P>(stages_2, limit, f);
            if stages == 4 {
                return tally(stages_4).await;
            }
            let stages_6 = two::<P>(stages_4, limit, f);
            tally(two::<P>(stages_6, limit, f)).await
        })
    }

    fn whole(self, f: impl Callable) -> Vec<Contender> {
        let Self { limit, stages } = self;
        whole!([roughage, workers, join_set, sequential], chain, None, move |items| chain(
            items, stages, limit, f
        ))
    }
}
