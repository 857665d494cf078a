//! Calls that weigh from 1 to 8.

use std::sync::Arc;

use flowlet::{FlowExt, Semaphore};
use flowlet_benches::call::{Callable, Visit};
use flowlet_benches::peer::{FuturesBuffered, FuturesUtil, Peer};
use flowlet_benches::{Contender, tally};
use future_queue::{FutureQueueContext, StreamExt as _};
use futures_util::StreamExt as _;

use super::{CALLS, Section, contender, numbers, row};

pub(super) fn section() -> Section {
    let mut rows = Vec::new();
    for call in CALLS {
        for limit in [64, 1_024] {
            rows.push(row(format!("weights, {call}"), limit, call.visit(Weights(limit))));
        }
    }
    Section {
        title: "Weights",
        about: "Calls weigh 1 to 8, 4.5 on average. *Flowlet* is `map_concurrent(n, f).weighed_by(..)`, \
                and *flowlet, semaphore* is the same with a semaphore of n permits. *future-queue* is \
                `future_queue(n)`. The others are `buffer_unordered(n)` or `buffered_unordered(n)`, with \
                `acquire_many(weight)` of a tokio semaphore in the call.",
        item: "item",
        size: "limit",
        beside: None,
        rows,
    }
}

fn weight(item: u64) -> usize {
    1 + (item % 8) as usize
}

struct Weights(usize);

impl Visit for Weights {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
        vec![
            contender("flowlet", move |items| {
                let stage = numbers(items).map_concurrent(limit, f);
                tally(stage.weighed_by(|item| weight(*item)))
            }),
            contender("flowlet, semaphore", move |items| {
                let stage = numbers(items).map_concurrent(Semaphore::new(limit), f);
                tally(stage.weighed_by(|item| weight(*item)))
            }),
            contender("future-queue", move |items| {
                let call = move |item| (weight(item), move |_: FutureQueueContext| f(item));
                tally(numbers(items).map(call).future_queue(limit))
            }),
            by_hand::<FuturesUtil>("futures-util, tokio", limit, f),
            by_hand::<FuturesBuffered>("futures-buffered, tokio", limit, f),
        ]
    }
}

fn by_hand<P: Peer>(name: &'static str, limit: usize, f: impl Callable) -> Contender {
    contender(name, move |items| {
        let semaphore = Arc::new(tokio::sync::Semaphore::new(limit));
        let call = move |item| {
            let semaphore = semaphore.clone();
            async move {
                let permits = semaphore.acquire_many(weight(item) as u32).await;
                let _permits = permits.expect("nobody closes it");
                f(item).await
            }
        };
        tally(P::map(numbers(items), limit, call))
    })
}
