use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::filter_map::Maybe;
use super::fused::fused;
use crate::Concurrency;
use crate::engine::Engine;

pin_project! {
    /// Stream returned by [`FlowExt::filter_concurrent`](crate::FlowExt::filter_concurrent).
    ///
    /// `S` is the upstream and `P` the predicate. `Fut`, the future of a call, has no name. The items `T` follow
    /// from the upstream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::FilterConcurrent;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let stage: FilterConcurrent<_, _, _> =
    ///     pipe([-1, 1]).filter_concurrent(2, async |n| *n > 0);
    /// assert_eq!(stage.size_hint(), (0, Some(2)));
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct FilterConcurrent<S: Stream, P, Fut, T = <S as Stream>::Item> {
        #[pin]
        engine: Engine<S, T, Maybe<Fut>, T>,
        predicate: Arc<P>,
        test: fn(T, Arc<P>) -> Fut,
    }
}

impl<S, P, Fut, T> FilterConcurrent<S, P, Fut, T>
where
    S: Stream<Item = T>,
    Fut: Future<Output = Option<T>>,
{
    #[track_caller]
    pub(crate) fn new(
        stream: S,
        concurrency: Concurrency,
        predicate: P,
        test: fn(T, Arc<P>) -> Fut,
    ) -> Self {
        Self { engine: Engine::new(stream, concurrency), predicate: Arc::new(predicate), test }
    }
}

/// A call. The predicate's future borrows the predicate and the item, so it owns a share of the one and
/// all of the other. Generic over the item's type, and not over the stream's: see [`Engine`].
pub(crate) async fn test<T, P>(item: T, predicate: Arc<P>) -> Option<T>
where
    P: AsyncFn(&T) -> bool,
{
    predicate(&item).await.then_some(item)
}

impl<S, P, Fut, T> Stream for FilterConcurrent<S, P, Fut, T>
where
    S: Stream<Item = T>,
    Fut: Future<Output = Option<T>>,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.project();
        this.engine.poll_next(cx, |item| Maybe::new((this.test)(item, this.predicate.clone())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.engine.at_most_one_each_hint()
    }
}

fused!([S: Stream, P, Fut, T] FilterConcurrent<S, P, Fut, T>: |stage| stage.engine.is_over());

impl<S, P, Fut, T> fmt::Debug for FilterConcurrent<S, P, Fut, T>
where
    S: Stream<Item = T> + fmt::Debug,
    Fut: Future<Output = Option<T>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt_stage("FilterConcurrent", f)
    }
}
