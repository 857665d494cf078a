use std::future::Future;

use flowlet::{Flow, FlowExt};
use futures_util::StreamExt;

use super::numbers;
use crate::call::{Call, Visit};
use crate::peer::{Flowlet, FuturesUtil, Peer, contender};
use crate::{Contender, Executor, Row, Tally, tally};

/// Four stages, static and boxed: as a `Flow`, and with futures-util's `boxed` after each stage.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let calls = [(Call::Ready, "boxed flow, ready"), (Call::Woken, "boxed flow, woken")];
    calls.into_iter().map(|(call, workload)| Row {
        workload,
        in_flight: 16,
        items: call.items(16) / 4,
        expected: Tally::of_numbers,
        contenders: call.visit_basic(Boxed),
    })
}

const LIMIT: usize = 16;

struct Boxed;

impl Visit for Boxed {
    type Output = Vec<Contender>;

    fn visit<F, Fut>(self, f: F) -> Vec<Contender>
    where
        F: Fn(u64) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = u64> + Send + 'static,
    {
        vec![
            Contender::new("flowlet's Flow", Executor::Loop, move |items| {
                let flow =
                    (0..4).fold(Flow::<u64>::identity(), |flow, _| flow.map_concurrent(LIMIT, f));
                tally(numbers(items).through(&flow))
            }),
            contender::<Flowlet, _>(None, move |items| {
                let two = Flowlet::map(Flowlet::map(numbers(items), LIMIT, f), LIMIT, f);
                tally(Flowlet::map(Flowlet::map(two, LIMIT, f), LIMIT, f))
            }),
            Contender::new("futures-util, boxed", FuturesUtil::EXECUTOR, move |items| {
                let source = numbers(items).boxed();
                tally((0..4).fold(source, |above, _| FuturesUtil::map(above, LIMIT, f).boxed()))
            }),
        ]
    }
}
