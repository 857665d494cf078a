use std::future::Future;
use std::sync::Arc;

use futures_core::TryStream;
use futures_lite::Stream;

use super::borrowing::Borrowing;
use super::filter_map::{FilterMapConcurrent, Maybe, TryFilterMapConcurrent};
use super::shell::{shell, weighed_by};
use super::styles::styles;
use super::try_call::Try;
use crate::engine::{Stage, Weigh, polls, start, try_start};
use crate::functional::Transformer;
use crate::{Concurrency, FlowExt, FlowPredicate, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::filter_concurrent`].
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
    pub struct FilterConcurrent<S: Stream, P, Fut, T = <S as Stream>::Item, W = ()> {
        inner: Stage<S, T, Maybe<Fut>, Borrowing<P, T, Fut, W>, T>,
    }

    type Item = T;
}

impl<S, P, Fut, T> FilterConcurrent<S, P, Fut, T>
where
    S: Stream<Item = T>,
    Fut: Future<Output = Option<T>>,
{
    weighed_by! {
        pub fn weighed_by<W>(self, weight: W) -> FilterConcurrent<S, P, Fut, T, W>
        where
            W: FnMut(&T) -> usize,
        {
            let inner = self.inner.borrowing_weighed(weight, polls!(|borrowing, poll| {
                let Borrowing { f, call, weight } = borrowing;
                let work = start(|item| Maybe::new(call(item, f.clone())));
                poll(Weigh { work, weight })
            }));
            FilterConcurrent { inner }
        }
    }
}

/// Creates the stage. The future of its calls is known only here.
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
    let inner = Stage::new(
        stream,
        concurrency,
        Borrowing::new(predicate, test),
        polls!(|predicate, poll| {
            poll(start(|item| Maybe::new(test(item, predicate.f.clone()))))
        }),
    );
    FilterConcurrent { inner }
}

/// A call. The predicate's future borrows the predicate and the item, so it owns a share of the predicate and all of
/// the item. Generic over the item's type, and not over the stream's: see [`Engine`](crate::engine::Engine).
async fn test<T, P>(item: T, predicate: Arc<P>) -> Option<T>
where
    P: AsyncFn(&T) -> bool,
{
    predicate(&item).await.then_some(item)
}

shell! {
    /// Stream returned by [`TryFlowExt::try_filter_concurrent`].
    ///
    /// `S` is the upstream and `P` the predicate. `Fut`, the future of a call, has no name. The values `T` and
    /// the errors `E` follow from the upstream.
    pub struct TryFilterConcurrent<
        S: TryStream,
        P,
        Fut,
        T = <S as TryStream>::Ok,
        E = <S as TryStream>::Error,
        W = (),
    > {
        inner: Stage<S, Result<T, E>, Try<Maybe<Fut>, E>, Borrowing<P, T, Fut, W>, Result<T, E>>,
    }

    type Item = Result<T, E>;
}

impl<S, P, Fut, T, E> TryFilterConcurrent<S, P, Fut, T, E>
where
    S: Stream<Item = Result<T, E>>,
    Fut: Future<Output = Option<Result<T, E>>>,
{
    weighed_by! {
        pub fn weighed_by<W>(self, weight: W) -> TryFilterConcurrent<S, P, Fut, T, E, W>
        where
            W: FnMut(&T) -> usize,
        {
            let inner = self.inner.borrowing_weighed(weight, polls!(|borrowing, poll| {
                let Borrowing { f, call, weight } = borrowing;
                let call = |item| Maybe::new(call(item, f.clone()));
                let work = try_start(|item: Result<T, E>| Try::new(item.map(call)));
                poll(Weigh { work, weight })
            }));
            TryFilterConcurrent { inner }
        }
    }
}

/// Creates the stage. The future of its calls is known only here.
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
    let inner = Stage::new(
        stream,
        concurrency,
        Borrowing::new(predicate, try_test),
        polls!(|predicate, poll| {
            poll(try_start(|item: Result<T, E>| {
                Try::new(item.map(|item| Maybe::new(try_test(item, predicate.f.clone()))))
            }))
        }),
    );
    TryFilterConcurrent { inner }
}

/// A call that can fail.
async fn try_test<T, E, P>(item: T, predicate: Arc<P>) -> Option<Result<T, E>>
where
    P: AsyncFn(&T) -> Result<bool, E>,
{
    predicate(&item).await.map(|keep| keep.then_some(item)).transpose()
}

styles! {
    /// Keeps the items for which `predicate` resolves to `true`, with up to `limit` calls running at
    /// once: see [`FlowExt::filter_concurrent`], and [`FlowPredicate`] for what a flow takes.
    fn filter_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); predicate: P);

    flow [U: Send + 'static] U => [P] U
    where [P: for<'a> FlowPredicate<'a, U, bool>]
    by |stream| FilterMapConcurrent::new(stream, limit, move |item| {
        let predicate = predicate.clone();
        async move { predicate(&item).await.then_some(item) }
    });

    functional [S, T, P] impl Transformer<
        S,
        Stream = FilterConcurrent<S, P, impl Future<Output = Option<T>>, T>,
    >
    where [S: Stream<Item = T>, P: AsyncFn(&T) -> bool + Clone]
    by |stream| stream.filter_concurrent(limit, predicate);

    /// Keeps the values for which `predicate` resolves to `Ok(true)`, with up to `limit` calls running
    /// at once, up to the first error: see [`TryFlowExt::try_filter_concurrent`], and [`FlowPredicate`]
    /// for what a flow takes.
    fn try_filter_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); predicate: P);

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [P] Result<V, E>
    where [P: for<'a> FlowPredicate<'a, V, Result<bool, E>>]
    by |stream| TryFilterMapConcurrent::new(stream, limit, move |item| {
        let predicate = predicate.clone();
        async move { Ok(predicate(&item).await?.then_some(item)) }
    });

    functional [S, T, E, P] impl Transformer<
        S,
        Stream = TryFilterConcurrent<S, P, impl Future<Output = Option<Result<T, E>>>, T, E>,
    >
    where [S: Stream<Item = Result<T, E>>, P: AsyncFn(&T) -> Result<bool, E> + Clone]
    by |stream| stream.try_filter_concurrent(limit, predicate);
}
