use std::future::Future;

use flowlet::FlowExt;
use futures_util::{StreamExt, stream};

use super::numbers;
use crate::call::{Call, OUTPUTS, Visit, expand, expand_to, outputs};
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

/// A flat map by how many outputs a call gives. An item of the row is an output here, so that all of
/// them can be compared.
struct Of {
    outputs: u64,
    /// What must come of so many outputs.
    expected: fn(u64) -> Tally,
    calls: [(Call, &'static str); 2],
}

const OF: [Of; 5] = [
    of::<2>("flat map of 2, ready", "flat map of 2, woken"),
    of::<4>("flat map of 4, ready", "flat map of 4, woken"),
    of::<16>("flat map of 16, ready", "flat map of 16, woken"),
    of::<64>("flat map of 64, ready", "flat map of 64, woken"),
    of::<1_000>("flat map of 1000, ready", "flat map of 1000, woken"),
];

const fn of<const OUTPUTS: u64>(ready: &'static str, woken: &'static str) -> Of {
    Of {
        outputs: OUTPUTS,
        // Of whole calls.
        expected: |outputs| Tally::of_numbers(outputs / OUTPUTS * OUTPUTS),
        calls: [(Call::Ready, ready), (Call::Woken, woken)],
    }
}

/// How many calls at once, in flat maps by size.
const OF_SIZES: [usize; 4] = [1, 4, 16, 256];

/// Flat maps of calls that give 2 to 1,000 outputs at once.
pub(super) fn rows_of_sizes() -> impl Iterator<Item = Row> {
    OF.into_iter().flat_map(|Of { outputs, expected, calls }| {
        calls.into_iter().flat_map(move |(call, workload)| {
            OF_SIZES.map(|in_flight| Row {
                workload,
                in_flight,
                items: call.items(in_flight).max(4 * in_flight as u64 * outputs),
                expected,
                contenders: call.visit_basic(OfRanges { limit: in_flight, outputs }),
            })
        })
    })
}

/// How many items of the row a call of it gives: 1, but for the flat maps whose items are outputs.
pub(super) fn outputs_of(workload: &str) -> u64 {
    let of = OF.iter().find(|of| of.calls.iter().any(|(_, name)| *name == workload));
    of.map_or(1, |of| of.outputs)
}

struct OfArrays {
    limit: usize,
}

/// `flat_map` of futures-util, after calls that give what can be iterated over. An item of the row is
/// one of so many that a call gives, or that of the call.
struct ByHand<F> {
    limit: usize,
    outputs: u64,
    f: F,
}

impl<F, Fut> ForEach for ByHand<F>
where
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output: IntoIterator<Item = u64> + Send + 'static> + Send + 'static,
{
    fn of<P: Peer>(&self) -> Contender {
        let Self { limit, outputs, f } = *self;
        contender::<P, _>(None, move |items| {
            let expanded = P::map(numbers(items / outputs), limit, f);
            tally(expanded.flat_map(stream::iter))
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
        let expand = move |item| expand(f(item));
        contenders.extend(others(&ByHand { limit, outputs: 1, f: expand }));
        contenders
            .extend(whole!(flat_map as expanded, None, move |items| { expanded(items, limit, f) }));
        contenders
    }
}

struct OfRanges {
    limit: usize,
    outputs: u64,
}

impl Visit for OfRanges {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        let Self { limit, outputs } = self;
        let f = move |item| expand_to(outputs, f(item));
        let by_hand = ByHand { limit, outputs, f };
        vec![
            contender::<Flowlet, _>(None, move |items| {
                tally(numbers(items / outputs).flat_map_concurrent(limit, f))
            }),
            by_hand.of::<FuturesUtil>(),
            by_hand.of::<FuturesBuffered>(),
        ]
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
