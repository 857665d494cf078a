use std::future::Future;
use std::sync::Arc;

use futures_core::TryStream;
use futures_lite::Stream;

use super::borrowing::Borrowing;
use super::map::One;
use super::shell::{shell, weighed_by};
use super::styles::styles;
use super::try_call::Try;
use crate::engine::{Stage, Weigh, polls, start, try_start};
use crate::functional::Transformer;
use crate::{Concurrency, FlowExt, FlowPredicate, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::inspect_concurrent`].
    ///
    /// `S` is the upstream and `F` the function. `Fut`, the future of a call, has no name. The items `T` follow
    /// from the upstream.
    pub struct InspectConcurrent<S: Stream, F, Fut, T = <S as Stream>::Item, W = ()> {
        inner: Stage<S, T, One<Fut>, Borrowing<F, T, Fut, W>, T>,
    }

    type Item = T;
}

impl<S, F, Fut, T> InspectConcurrent<S, F, Fut, T>
where
    S: Stream<Item = T>,
    Fut: Future<Output = T>,
{
    weighed_by! {
        pub fn weighed_by<W>(self, weight: W) -> InspectConcurrent<S, F, Fut, T, W>
        where
            W: FnMut(&T) -> usize,
        {
            let inner = self.inner.borrowing_weighed(weight, polls!(|borrowing, poll| {
                let Borrowing { f, call, weight } = borrowing;
                let work = start(|item| One::new(call(item, f.clone())));
                poll(Weigh { work, weight })
            }));
            InspectConcurrent { inner }
        }
    }
}

/// Creates the stage. The future of its calls is known only here.
#[track_caller]
pub(crate) fn inspect_concurrent<S, F, T>(
    stream: S,
    concurrency: Concurrency,
    f: F,
) -> InspectConcurrent<S, F, impl Future<Output = T>, T>
where
    S: Stream<Item = T>,
    F: AsyncFn(&T),
{
    let inner = Stage::new(
        stream,
        concurrency,
        Borrowing::new(f, look),
        polls!(|f, poll| poll(start(|item| One::new(look(item, f.f.clone()))))),
    );
    InspectConcurrent { inner }
}

/// A call. Like a call of a filter, it owns the item that it lends, and a share of the function.
async fn look<T, F: AsyncFn(&T)>(item: T, f: Arc<F>) -> T {
    f(&item).await;
    item
}

shell! {
    /// Stream returned by [`TryFlowExt::try_inspect_concurrent`].
    ///
    /// `S` is the upstream and `F` the function. `Fut`, the future of a call, has no name. The values `T` and
    /// the errors `E` follow from the upstream.
    pub struct TryInspectConcurrent<
        S: TryStream,
        F,
        Fut,
        T = <S as TryStream>::Ok,
        E = <S as TryStream>::Error,
        W = (),
    > {
        inner: Stage<S, Result<T, E>, Try<One<Fut>, E>, Borrowing<F, T, Fut, W>, Result<T, E>>,
    }

    type Item = Result<T, E>;
}

impl<S, F, Fut, T, E> TryInspectConcurrent<S, F, Fut, T, E>
where
    S: Stream<Item = Result<T, E>>,
    Fut: Future<Output = Result<T, E>>,
{
    weighed_by! {
        pub fn weighed_by<W>(self, weight: W) -> TryInspectConcurrent<S, F, Fut, T, E, W>
        where
            W: FnMut(&T) -> usize,
        {
            let inner = self.inner.borrowing_weighed(weight, polls!(|borrowing, poll| {
                let Borrowing { f, call, weight } = borrowing;
                let call = |item| One::new(call(item, f.clone()));
                let work = try_start(|item: Result<T, E>| Try::new(item.map(call)));
                poll(Weigh { work, weight })
            }));
            TryInspectConcurrent { inner }
        }
    }
}

/// Creates the stage. The future of its calls is known only here.
#[track_caller]
pub(crate) fn try_inspect_concurrent<S, F, T, E>(
    stream: S,
    concurrency: Concurrency,
    f: F,
) -> TryInspectConcurrent<S, F, impl Future<Output = Result<T, E>>, T, E>
where
    S: Stream<Item = Result<T, E>>,
    F: AsyncFn(&T) -> Result<(), E>,
{
    let inner = Stage::new(
        stream,
        concurrency,
        Borrowing::new(f, try_look),
        polls!(|f, poll| {
            poll(try_start(|item: Result<T, E>| {
                Try::new(item.map(|item| One::new(try_look(item, f.f.clone()))))
            }))
        }),
    );
    TryInspectConcurrent { inner }
}

/// A call that can fail.
async fn try_look<T, E, F>(item: T, f: Arc<F>) -> Result<T, E>
where
    F: AsyncFn(&T) -> Result<(), E>,
{
    f(&item).await?;
    Ok(item)
}

styles! {
    /// Calls `f` with a reference to every item, with up to `limit` calls running at once, and yields the
    /// item: see [`FlowExt::inspect_concurrent`], and [`FlowPredicate`] for what a flow takes.
    fn inspect_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [U: Send + 'static] U => [F] U
    where [F: for<'a> FlowPredicate<'a, U, ()>]
    by |stream| stream.map_concurrent(limit, move |item| {
        let f = f.clone();
        async move {
            f(&item).await;
            item
        }
    });

    functional [S, T, F] impl Transformer<
        S,
        Stream = InspectConcurrent<S, F, impl Future<Output = T>, T>,
    >
    where [S: Stream<Item = T>, F: AsyncFn(&T) + Clone]
    by |stream| stream.inspect_concurrent(limit, f);

    /// Calls `f` with a reference to every value, with up to `limit` calls running at once, and yields the
    /// value, up to the first error: see [`TryFlowExt::try_inspect_concurrent`], and [`FlowPredicate`] for
    /// what a flow takes.
    fn try_inspect_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [F] Result<V, E>
    where [F: for<'a> FlowPredicate<'a, V, Result<(), E>>]
    by |stream| stream.try_map_concurrent(limit, move |item| {
        let f = f.clone();
        async move {
            f(&item).await?;
            Ok(item)
        }
    });

    functional [S, T, E, F] impl Transformer<
        S,
        Stream = TryInspectConcurrent<S, F, impl Future<Output = Result<T, E>>, T, E>,
    >
    where [S: Stream<Item = Result<T, E>>, F: AsyncFn(&T) -> Result<(), E> + Clone]
    by |stream| stream.try_inspect_concurrent(limit, f);
}
