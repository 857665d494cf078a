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
use crate::engine::Stage;

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
        stage: Stage<S, T, Maybe<Fut>, Arc<P>, T>,
    }
}

/// Makes the stage. Only here the future of its calls is known.
#[track_caller]
pub(crate) fn filter_concurrent<S, P, T>(
    stream: S,
    concurrency: Concurrency,
    predicate: P,
) -> FilterConcurrent<S, P, impl Future<Output = Option<T>>, T>
where
    S: Stream<Item = T>,
    P: AsyncFn(&T) -> bool,
{
    let stage = Stage::new(stream, concurrency, Arc::new(predicate), |engine, predicate, cx| {
        engine.poll_next(cx, |item| Maybe::new(test(item, predicate.clone())))
    });
    FilterConcurrent { stage }
}

/// A call. The predicate's future borrows the predicate and the item, so it owns a share of the one and
/// all of the other. Generic over the item's type, and not over the stream's: see [`Engine`](crate::engine::Engine).
async fn test<T, P>(item: T, predicate: Arc<P>) -> Option<T>
where
    P: AsyncFn(&T) -> bool,
{
    predicate(&item).await.then_some(item)
}

impl<S: Stream, P, Fut, T> Stream for FilterConcurrent<S, P, Fut, T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.project().stage.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stage.size_hint()
    }
}

fused!([S: Stream, P, Fut, T] FilterConcurrent<S, P, Fut, T>: |stage| stage.stage.engine().is_over());

impl<S, P, Fut, T> fmt::Debug for FilterConcurrent<S, P, Fut, T>
where
    S: Stream + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as("FilterConcurrent", f)
    }
}
