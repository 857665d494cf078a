use flowlet::FlowExt;
use futures_util::{StreamExt, stream};

use super::shared::Shared;
use super::{BASIC, each, numbers};
use crate::call::{Call, Callable, OUTPUTS, Visit, expand, expand_to, outputs};
use crate::peer::{Flowlet, FuturesBuffered, FuturesUtil, Peer, contender, whole};
use crate::{Contender, Row, Tally, tally};

/// Flat maps: of calls that give four outputs at once, and of streams that make one call an output.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    BASIC.into_iter().flat_map(|call| {
        let rows = |what: &str, contenders: fn(Call, usize) -> Vec<Contender>| {
            [16, 256, 4_096].map(|in_flight| Row {
                workload: format!("{what}, {call}"),
                in_flight,
                items: call.items(in_flight) / 2,
                expected: |items| Tally::of_numbers(OUTPUTS * items),
                contenders: contenders(call, in_flight),
            })
        };
        let arrays = rows("flat map", |call, limit| call.visit_basic(OfArrays(limit)));
        let streams = rows("flat map of streams", |call, limit| call.visit_basic(OfStreams(limit)));
        arrays.into_iter().chain(streams)
    })
}

/// How many outputs a call gives, and what must come of so many of them, if all calls are whole.
type Size = (u64, fn(u64) -> Tally);

const SIZES: [Size; 5] = [of::<2>(), of::<4>(), of::<16>(), of::<64>(), of::<1_000>()];

const fn of<const OUTPUTS: u64>() -> Size {
    (OUTPUTS, |outputs| Tally::of_numbers(outputs / OUTPUTS * OUTPUTS))
}

/// Flat maps of calls that resolve to 2 to 1,000 outputs. An item of the row is an output here, so
/// that all of them can be compared.
pub(super) fn rows_of_sizes() -> impl Iterator<Item = Row> {
    SIZES.into_iter().flat_map(|(outputs, expected)| {
        each(&[Call::Ready, Call::Woken], &[1, 4, 16, 256]).map(move |(call, in_flight)| Row {
            workload: format!("flat map of {outputs}, {call}"),
            in_flight,
            items: call.items(in_flight).max(4 * in_flight as u64 * outputs),
            expected,
            contenders: call.visit_basic(OfRanges { limit: in_flight, outputs }),
        })
    })
}

/// How many items of the row a call of it gives: 1, but for the flat maps whose items are outputs.
pub(super) fn outputs_of(workload: &str) -> u64 {
    let words = workload.strip_prefix("flat map of ").and_then(|rest| rest.split_once(", "));
    words.and_then(|(outputs, _)| outputs.parse().ok()).unwrap_or(1)
}

/// `flat_map` of futures-util, after calls that give what can be iterated over. An item of the row is
/// one of so many that a call gives, or that of the call.
fn by_hand<P: Peer, F, Fut>(limit: usize, outputs: u64, f: F) -> Contender
where
    F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output: IntoIterator<Item = u64> + Send + 'static> + Send + 'static,
{
    contender::<P, _>(None, move |items| {
        let expanded = P::map(numbers(items / outputs), limit, f);
        tally(expanded.flat_map(stream::iter))
    })
}

#[derive(Clone, Copy)]
struct OfArrays(usize);

impl Shared for OfArrays {
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        by_hand::<P, _, _>(self.0, 1, move |item| expand(f(item)))
    }

    fn ours(self, f: impl Callable) -> Contender {
        let Self(limit) = self;
        contender::<Flowlet, _>(None, move |items| {
            tally(numbers(items).flat_map_concurrent(limit, move |item| expand(f(item))))
        })
    }

    fn whole(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
        whole!(
            [futures_concurrency, roughage, workers, join_set, sequential],
            flat_map,
            None,
            move |items| flat_map(items, limit, f)
        )
    }
}

struct OfRanges {
    limit: usize,
    outputs: u64,
}

impl Visit for OfRanges {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
        let Self { limit, outputs } = self;
        let f = move |item| expand_to(outputs, f(item));
        vec![
            contender::<Flowlet, _>(None, move |items| {
                tally(numbers(items / outputs).flat_map_concurrent(limit, f))
            }),
            by_hand::<FuturesUtil, _, _>(limit, outputs, f),
            by_hand::<FuturesBuffered, _, _>(limit, outputs, f),
        ]
    }
}

/// Only futures-util has one, which takes boxes of what is no `Unpin`. With futures-buffered and
/// futures-concurrency it is a group of streams that is refilled by hand.
struct OfStreams(usize);

impl Visit for OfStreams {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
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
        contenders.extend(whole!(
            [futures_concurrency, workers, join_set, sequential],
            flat_map_streams,
            None,
            move |items| { flat_map_streams(items, limit, f) }
        ));
        contenders
    }
}
