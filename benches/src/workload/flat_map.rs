use std::future::Future;

use flowlet::FlowExt;
use futures_util::{StreamExt, stream};

use super::numbers;
use crate::call::{Call, OUTPUTS, Visit, expand, outputs};
use crate::peer::{Flowlet, ForEach, FuturesBuffered, FuturesUtil, Peer, contender, others, whole};
use crate::{Contender, Row, Tally, tally};

/// How many calls at once.
const SIZES: [usize; 3] = [16, 256, 4_096];

/// Flat maps: of calls that give four outputs at once, and of streams that make one call an output.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let calls = [
        (Call::Ready, "flat map, ready", "flat map of streams, ready"),
        (Call::YieldOnce, "flat map, yield once", "flat map of streams, yield once"),
        (Call::Woken, "flat map, woken", "flat map of streams, woken"),
    ];
    calls.into_iter().flat_map(|(call, of_arrays, of_streams)| {
        let rows = |workload, contenders: fn(Call, usize) -> Vec<Contender>| {
            SIZES.map(|in_flight| Row {
                workload,
                in_flight,
                items: call.items(in_flight) / 2,
                expected: |items| Tally::of_numbers(OUTPUTS * items),
                contenders: contenders(call, in_flight),
            })
        };
        let arrays = rows(of_arrays, |call, limit| call.visit_basic(OfArrays { limit }));
        let streams = rows(of_streams, |call, limit| call.visit_basic(OfStreams { limit }));
        arrays.into_iter().chain(streams)
    })
}

struct OfArrays {
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
            let arrays = P::map(numbers(items), limit, move |item| expand(f(item)));
            tally(arrays.flat_map(stream::iter))
        })
    }
}

impl Visit for OfArrays {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let limit = self.limit;
        let mut contenders = vec![contender::<Flowlet, _>(None, move |items| {
            tally(numbers(items).flat_map_concurrent(limit, move |item| expand(f(item))))
        })];
        contenders.extend(others(&ByHand(limit, f)));
        contenders
            .extend(whole!(flat_map as expanded, None, move |items| { expanded(items, limit, f) }));
        contenders
    }
}

/// Only futures-util has one, which takes boxes of what is no `Unpin`. With futures-buffered and
/// futures-concurrency it is a group of streams that is refilled by hand.
struct OfStreams {
    limit: usize,
}

impl Visit for OfStreams {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let limit = self.limit;
        let mut contenders = vec![
            contender::<Flowlet, _>(None, move |items| {
                let expand = move |item| stream::iter(outputs(item)).then(f);
                tally(numbers(items).flat_map_concurrent(limit, expand))
            }),
            contender::<FuturesUtil, _>(None, move |items| {
                let expand = move |item| Box::pin(stream::iter(outputs(item)).then(f));
                tally(numbers(items).flat_map_unordered(limit, expand))
            }),
            contender::<FuturesBuffered, _>(None, move |items| {
                let expanded = (0..items).map(move |item| stream::iter(outputs(item)).then(f));
                tally(FuturesBuffered::merged(limit, expanded))
            }),
        ];
        contenders.extend(whole!(flat_map_streams as expanded, None, move |items| {
            expanded(items, limit, f)
        }));
        contenders
    }
}
