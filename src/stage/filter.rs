use std::future::Future;
use std::sync::Arc;

use futures_core::TryStream;
use futures_lite::Stream;

use super::filter_map::Maybe;
use super::shell::shell;
use super::try_call::Try;
use crate::Concurrency;
use crate::engine::Stage;

shell! {
    /// Stream returned by [`FlowExt::filter_concurrent`](crate::FlowExt::filter_concurrent).
    ///
    /// `S` is the upstream and `P` the predicate. `Fut`, the future of a call, has no name. The items `T` follow
    /// from the upstream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::stage::FilterConcurrent;
    ///
    /// # futures_lite::future::block_on(async {
    /// let stage: FilterConcurrent<_, _, _> =
    ///     pipe([-1, 1]).filter_concurrent(2, async |n| *n > 0);
    /// assert_eq!(stage.size_hint(), (0, Some(2)));
    /// # });
    /// ```
    pub struct FilterConcurrent<S: Stream, P, Fut, T = <S as Stream>::Item> {
        inner: Stage<S, T, Maybe<Fut>, Arc<P>, T>,
    }

    type Item = T;
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
    let inner = Stage::new(stream, concurrency, Arc::new(predicate), |engine, predicate, cx| {
        engine.poll_next(cx, |item| Maybe::new(test(item, predicate.clone())))
    });
    FilterConcurrent { inner }
}

/// A call. The predicate's future borrows the predicate and the item, so it owns a share of the one and
/// all of the other. Generic over the item's type, and not over the stream's: see [`Engine`](crate::engine::Engine).
async fn test<T, P>(item: T, predicate: Arc<P>) -> Option<T>
where
    P: AsyncFn(&T) -> bool,
{
    predicate(&item).await.then_some(item)
}

shell! {
    /// Stream returned by [`TryFlowExt::try_filter_concurrent`](crate::TryFlowExt::try_filter_concurrent).
    ///
    /// `S` is the upstream and `P` the predicate. `Fut`, the future of a call, has no name. The values `T` and
    /// the errors `E` follow from the upstream.
    pub struct TryFilterConcurrent<
        S: TryStream,
        P,
        Fut,
        T = <S as TryStream>::Ok,
        E = <S as TryStream>::Error,
    > {
        inner: Stage<S, Result<T, E>, Try<Maybe<Fut>, E>, Arc<P>, Result<T, E>>,
    }

    type Item = Result<T, E>;
}

/// Makes the stage. Only here the future of its calls is known.
#[track_caller]
pub(crate) fn try_filter_concurrent<S, P, T, E>(
    stream: S,
    concurrency: Concurrency,
    predicate: P,
) -> TryFilterConcurrent<S, P, impl Future<Output = Option<Result<T, E>>>, T, E>
where
    S: Stream<Item = Result<T, E>>,
    P: AsyncFn(&T) -> Result<bool, E>,
{
    let inner = Stage::new(stream, concurrency, Arc::new(predicate), |engine, predicate, cx| {
        engine.try_poll_next(cx, |item| {
            Try::new(item.map(|item| Maybe::new(try_test(item, predicate.clone()))))
        })
    });
    TryFilterConcurrent { inner }
}

/// A call that can fail.
async fn try_test<T, E, P>(item: T, predicate: Arc<P>) -> Option<Result<T, E>>
where
    P: AsyncFn(&T) -> Result<bool, E>,
{
    predicate(&item).await.map(|keep| keep.then_some(item)).transpose()
}
