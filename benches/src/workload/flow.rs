use flowlet::{Flow, FlowExt};
use futures_util::StreamExt;

use super::{each, numbers};
use crate::call::{Call, Callable, Visit};
use crate::peer::{Flowlet, FuturesUtil, Peer, contender};
use crate::{Contender, Executor, Row, Tally, tally};

const LIMIT: usize = 16;

/// Four stages, static and boxed: as a `Flow`, and with futures-util's `boxed` after each stage.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    each(&[Call::Ready, Call::Woken], &[LIMIT]).map(|(call, in_flight)| Row {
        workload: format!("boxed flow, {call}"),
        in_flight,
        items: call.items(in_flight) / 4,
        expected: Tally::of_numbers,
        contenders: call.visit_basic(Boxed),
    })
}

struct Boxed;

impl Visit for Boxed {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
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
