//! The same calls in every kind of concurrent stage.

use std::future::Future;
use std::pin::Pin;

use flowlet::{Concurrency, FlowExt};
use futures_lite::Stream;

/// A pipeline whose type is of no interest.
pub(crate) type Boxed<'a> = Pin<Box<dyn Stream<Item = usize> + 'a>>;

/// A kind of stage.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Map,
    Inspect,
    Filter,
    FilterMap,
    FlatMap,
}

impl Stage {
    pub(crate) const ALL: [Self; 5] =
        [Self::Map, Self::Inspect, Self::Filter, Self::FilterMap, Self::FlatMap];

    /// Hands each item of `source` on when the future of its `call` is ready.
    pub(crate) fn of<'a, S, F, Fut>(
        self,
        source: S,
        limit: impl Into<Concurrency>,
        call: F,
    ) -> Boxed<'a>
    where
        S: Stream<Item = usize> + 'a,
        F: Fn(usize) -> Fut + 'a,
        Fut: Future<Output = ()> + 'a,
    {
        let limit: Concurrency = limit.into();
        match self {
            Self::Map => Box::pin(source.map_concurrent(limit, move |item| {
                let called = call(item);
                async move {
                    called.await;
                    item
                }
            })),
            Self::Inspect => {
                Box::pin(source.inspect_concurrent(limit, async move |item: &usize| {
                    call(*item).await;
                }))
            }
            Self::Filter => Box::pin(source.filter_concurrent(limit, async move |item: &usize| {
                call(*item).await;
                true
            })),
            Self::FilterMap => Box::pin(source.filter_map_concurrent(limit, move |item| {
                let called = call(item);
                async move {
                    called.await;
                    Some(item)
                }
            })),
            Self::FlatMap => Box::pin(source.flat_map_concurrent(limit, move |item| {
                let called = call(item);
                async move {
                    called.await;
                    [item]
                }
            })),
        }
    }
}
