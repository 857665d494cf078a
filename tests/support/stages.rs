//! The same calls in every kind of concurrent stage, and in those that an error ends.

use std::future::Future;
use std::pin::Pin;

use flowlet::{Concurrency, FlowExt, TryFlowExt};
use futures_lite::{Stream, stream};

/// A pipeline whose type is of no interest.
pub(crate) type Boxed<'a> = Pin<Box<dyn Stream<Item = usize> + 'a>>;

/// The same of results. The errors are the items that failed.
pub(crate) type TryBoxed<'a> = Pin<Box<dyn Stream<Item = Result<usize, usize>> + 'a>>;

/// A kind of stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Map,
    Inspect,
    Filter,
    FilterMap,
    FlatMap,
    /// The expansion is a stream, which waits for the call itself.
    FlatMapStream,
    /// Nothing more is found.
    Expand,
}

impl Stage {
    pub(crate) const ALL: [Self; 7] = [
        Self::Map,
        Self::Inspect,
        Self::Filter,
        Self::FilterMap,
        Self::FlatMap,
        Self::FlatMapStream,
        Self::Expand,
    ];

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
            Self::FlatMapStream => Box::pin(source.flat_map_concurrent(limit, move |item| {
                let called = call(item);
                stream::once_future(async move {
                    called.await;
                    item
                })
            })),
            Self::Expand => Box::pin(source.expand_concurrent(limit, move |item| {
                let called = call(item);
                async move {
                    called.await;
                    (item, None)
                }
            })),
        }
    }

    /// Hands each item of `source` on when the future of its `call` is ready, or its error.
    pub(crate) fn try_of<'a, S, F, Fut>(
        self,
        source: S,
        limit: impl Into<Concurrency>,
        call: F,
    ) -> TryBoxed<'a>
    where
        S: Stream<Item = Result<usize, usize>> + 'a,
        F: Fn(usize) -> Fut + 'a,
        Fut: Future<Output = Result<(), usize>> + 'a,
    {
        let limit: Concurrency = limit.into();
        match self {
            Self::Map => Box::pin(source.try_map_concurrent(limit, move |item| {
                let called = call(item);
                async move { called.await.map(|()| item) }
            })),
            Self::Inspect => Box::pin(
                source.try_inspect_concurrent(limit, async move |item: &usize| call(*item).await),
            ),
            Self::Filter => {
                Box::pin(source.try_filter_concurrent(limit, async move |item: &usize| {
                    call(*item).await.map(|()| true)
                }))
            }
            Self::FilterMap => Box::pin(source.try_filter_map_concurrent(limit, move |item| {
                let called = call(item);
                async move { called.await.map(|()| Some(item)) }
            })),
            Self::FlatMap => Box::pin(source.try_flat_map_concurrent(limit, move |item| {
                let called = call(item);
                async move { called.await.map(|()| [item]) }
            })),
            Self::FlatMapStream => Box::pin(source.try_flat_map_concurrent(limit, move |item| {
                let called = call(item);
                stream::once_future(async move { called.await.map(|()| item) })
            })),
            Self::Expand => Box::pin(source.try_expand_concurrent(limit, move |item| {
                let called = call(item);
                async move { called.await.map(|()| (item, None)) }
            })),
        }
    }
}
