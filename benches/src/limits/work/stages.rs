//! Stages under a semaphore.

use std::sync::Arc;

use flowlet::{FlowExt, Semaphore};
use flowlet_benches::call::{Callable, Visit};
use flowlet_benches::peer::{FuturesBuffered, FuturesUtil, Peer};
use flowlet_benches::{Contender, tally};

use super::{CALLS, Section, contender, numbers, row};

pub(super) fn section() -> Section {
    let mut rows = Vec::new();
    for call in CALLS {
        for limit in [16, 256] {
            rows.push(row(format!("one stage, {call}"), limit, call.visit(One(limit))));
        }
    }
    for call in CALLS {
        for limit in [16, 256] {
            rows.push(row(format!("two stages, {call}"), limit, call.visit(Two(limit))));
        }
    }
    Section {
        title: "Stages under a semaphore",
        about: "There are as many permits as the limit. *Flowlet* is `map_concurrent(&semaphore, f)`. \
                *Flowlet, own limit* is `map_concurrent(n, f)` without a semaphore, and *permit in the \
                call* is the same with `acquire` in the call. The peers use `buffer_unordered(n)` or \
                `buffered_unordered(n)`, with a tokio permit in the call. *Two stages* share the \
                semaphore, unless they have limits of their own, so they want twice as many permits as \
                there are. There an item has two calls.",
        item: "item",
        size: "limit",
        beside: None,
        rows,
    }
}

const NAMES: [&str; 5] = [
    "flowlet",
    "flowlet, own limit",
    "flowlet, permit in the call",
    "futures-util, tokio",
    "futures-buffered, tokio",
];

/// Has each call take a permit of ours.
fn within_ours(f: impl Callable, semaphore: Semaphore) -> impl Permitted {
    move |item| {
        let acquire = semaphore.acquire();
        async move {
            let _permit = acquire.await;
            f(item).await
        }
    }
}

/// Has each call take a permit of tokio's.
fn within_tokios(f: impl Callable, semaphore: Arc<tokio::sync::Semaphore>) -> impl Permitted {
    move |item| {
        let semaphore = semaphore.clone();
        async move {
            let _permit = semaphore.acquire().await.expect("nobody closes it");
            f(item).await
        }
    }
}

/// A function as [`Callable`] is, but not `Copy`.
trait Permitted: Fn(u64) -> <Self as Permitted>::Call + Send + Sync + 'static {
    type Call: Future<Output = u64> + Send + 'static;
}

impl<F, Fut> Permitted for F
where
    F: Fn(u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    type Call = Fut;
}

struct One(usize);

impl Visit for One {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
        vec![
            contender(NAMES[0], move |items| {
                tally(numbers(items).map_concurrent(Semaphore::new(limit), f))
            }),
            contender(NAMES[1], move |items| tally(numbers(items).map_concurrent(limit, f))),
            contender(NAMES[2], move |items| {
                let f = within_ours(f, Semaphore::new(limit));
                tally(numbers(items).map_concurrent(limit, f))
            }),
            one_of::<FuturesUtil>(NAMES[3], limit, f),
            one_of::<FuturesBuffered>(NAMES[4], limit, f),
        ]
    }
}

fn one_of<P: Peer>(name: &'static str, limit: usize, f: impl Callable) -> Contender {
    contender(name, move |items| {
        let semaphore = Arc::new(tokio::sync::Semaphore::new(limit));
        tally(P::map(numbers(items), limit, within_tokios(f, semaphore)))
    })
}

struct Two(usize);

impl Visit for Two {
    fn visit(self, f: impl Callable) -> Vec<Contender> {
        let Self(limit) = self;
        vec![
            contender(NAMES[0], move |items| {
                let semaphore = Semaphore::new(limit);
                let first = numbers(items).map_concurrent(&semaphore, f);
                tally(first.map_concurrent(&semaphore, f))
            }),
            contender(NAMES[1], move |items| {
                tally(numbers(items).map_concurrent(limit, f).map_concurrent(limit, f))
            }),
            contender(NAMES[2], move |items| {
                let semaphore = Semaphore::new(limit);
                let first = numbers(items).map_concurrent(limit, within_ours(f, semaphore.clone()));
                tally(first.map_concurrent(limit, within_ours(f, semaphore)))
            }),
            two_of::<FuturesUtil>(NAMES[3], limit, f),
            two_of::<FuturesBuffered>(NAMES[4], limit, f),
        ]
    }
}

fn two_of<P: Peer>(name: &'static str, limit: usize, f: impl Callable) -> Contender {
    contender(name, move |items| {
        let semaphore = Arc::new(tokio::sync::Semaphore::new(limit));
        let first = P::map(numbers(items), limit, within_tokios(f, semaphore.clone()));
        tally(P::map(first, limit, within_tokios(f, semaphore)))
    })
}
