use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::shell::shell;
use super::styles::styles;
use super::try_call::Try;
use super::weighed::Weighed;
use crate::engine::{Call, Stage, Step};
use crate::{Concurrency, FlowExt, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::map_concurrent`].
    ///
    /// `S` is the upstream, `F` the function and `Fut` the future of a call. The items `T` and the outputs `U`
    /// follow from them.
    ///
    /// # Examples
    ///
    /// If you have to name the stage, use a function pointer and a boxed future:
    ///
    /// ```
    /// use flowlet::{FlowExt, stage::MapConcurrent};
    /// use futures_lite::future::{self, Boxed, FutureExt};
    /// use futures_lite::stream::{self, StreamExt};
    ///
    /// struct Doubled {
    ///     stage: MapConcurrent<stream::Once<u32>, fn(u32) -> Boxed<u32>, Boxed<u32>>,
    /// }
    ///
    /// let double = |n| async move { 2 * n }.boxed();
    /// let mut doubled = Doubled { stage: stream::once(21).map_concurrent(8, double) };
    /// assert_eq!(future::block_on(doubled.stage.next()), Some(42));
    /// ```
    pub struct MapConcurrent<
        S: Stream,
        F,
        Fut: CallFuture,
        T = <S as Stream>::Item,
        U = <Fut as Future>::Output,
    > {
        inner: Stage<S, T, One<Fut>, F, U>,
    }

    type Item = U;

    calls start(|f, item| One::new(f(item))),
    weighed by T as MapConcurrent<S, Weighed<F, W>, Fut, T, U>,
    where
        S: Stream<Item = T>,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = U>,
}

shell! {
    /// Stream returned by [`TryFlowExt::try_map_concurrent`].
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call, and `U` and `E` what it resolves to.
    /// The values `T` follow from the upstream.
    pub struct TryMapConcurrent<S: TryStream, F, Fut, U, E, T = <S as TryStream>::Ok> {
        inner: Stage<S, Result<T, E>, Try<One<Fut>, E>, F, Result<U, E>>,
    }

    type Item = Result<U, E>;

    calls try_start(|f, item| Try::new(item.map(|item| One::new(f(item))))),
    weighed by T as TryMapConcurrent<S, Weighed<F, W>, Fut, U, E, T>,
    where
        S: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<U, E>>,
}

pin_project! {
    /// A call with one output.
    pub(super) struct One<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut> One<Fut> {
    pub(super) fn new(future: Fut) -> Self {
        Self { future }
    }
}

impl<Fut: CallFuture> Call for One<Fut> {
    type Output = Fut::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Fut::Output>> {
        self.project().future.poll(cx).map(Step::Last)
    }
}

styles! {
    /// Calls `f` on every item, with up to `limit` calls running at once: see
    /// [`FlowExt::map_concurrent`].
    fn map_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [U: Send + 'static] U => [F, Fut, V] V
    where [
        F: Fn(U) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = V> + Send + 'static,
        V: Send + 'static,
    ]
    by |stream| stream.map_concurrent(limit, move |item| f(item));

    functional [S, F, Fut, V] impl Fn(S) -> MapConcurrent<S, F, Fut, S::Item, V>
    where [S: Stream, F: FnMut(S::Item) -> Fut + Clone, Fut: CallFuture<Output = V>]
    by |stream| stream.map_concurrent(limit, f);

    /// Calls `f` on every value, with up to `limit` calls running at once, up to the first error: see
    /// [`TryFlowExt::try_map_concurrent`].
    fn try_map_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [F, Fut, W] Result<W, E>
    where [
        F: Fn(V) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Result<W, E>> + Send + 'static,
        W: Send + 'static,
    ]
    by |stream| stream.try_map_concurrent(limit, move |item| f(item));

    functional [S, F, Fut, V, W, E] impl Fn(S) -> TryMapConcurrent<S, F, Fut, W, E, V>
    where [
        S: Stream<Item = Result<V, E>>,
        F: FnMut(V) -> Fut + Clone,
        Fut: CallFuture<Output = Result<W, E>>,
    ]
    by |stream| stream.try_map_concurrent(limit, f);
}
