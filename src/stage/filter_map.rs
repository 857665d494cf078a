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
use crate::size_hint::SizeHint;
use crate::{Concurrency, FlowExt, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::filter_map_concurrent`].
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call and `U` an output. The items `T` follow
    /// from the upstream.
    pub struct FilterMapConcurrent<S: Stream, F, Fut, U, T = <S as Stream>::Item> {
        inner: Stage<S, T, Maybe<Fut>, F, U>,
    }

    type Item = U;

    calls start(|f, item| Maybe::new(f(item))),
    weighed by T as FilterMapConcurrent<S, Weighed<F, W>, Fut, U, T>,
    where
        S: Stream<Item = T>,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Option<U>>,
}

shell! {
    /// Stream returned by [`TryFlowExt::try_filter_map_concurrent`].
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call, and `U` and `E` what it resolves to.
    /// The values `T` follow from the upstream.
    pub struct TryFilterMapConcurrent<S: TryStream, F, Fut, U, E, T = <S as TryStream>::Ok> {
        inner: Stage<S, Result<T, E>, Try<TryMaybe<Fut>, E>, F, Result<U, E>>,
    }

    type Item = Result<U, E>;

    calls try_start(|f, item| Try::new(item.map(|item| TryMaybe { future: f(item) }))),
    weighed by T as TryFilterMapConcurrent<S, Weighed<F, W>, Fut, U, E, T>,
    where
        S: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<Option<U>, E>>,
}

pin_project! {
    /// A call with at most one output.
    pub(super) struct Maybe<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut> Maybe<Fut> {
    pub(super) fn new(future: Fut) -> Self {
        Self { future }
    }
}

impl<Fut: CallFuture<Output = Option<U>>, U> Call for Maybe<Fut> {
    type Output = U;

    const OUTPUTS: SizeHint = (0, Some(1));

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<U>> {
        self.project().future.poll(cx).map(|output| output.map_or(Step::End, Step::Last))
    }
}

pin_project! {
    /// A call with an error or at most one output.
    struct TryMaybe<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut, U, E> Call for TryMaybe<Fut>
where
    Fut: CallFuture<Output = Result<Option<U>, E>>,
{
    type Output = Result<U, E>;

    const OUTPUTS: SizeHint = (0, Some(1));

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Result<U, E>>> {
        self.project()
            .future
            .poll(cx)
            .map(|output| output.transpose().map_or(Step::End, Step::Last))
    }
}

styles! {
    /// Calls `f` on every item, with up to `limit` calls running at once, and yields the outputs that are `Some`: see
    /// [`FlowExt::filter_map_concurrent`].
    fn filter_map_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [U: Send + 'static] U => [F, Fut, V] V
    where [
        F: Fn(U) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Option<V>> + Send + 'static,
        V: Send + 'static,
    ]
    by |stream| stream.filter_map_concurrent(limit, move |item| f(item));

    functional [S, F, Fut, V] impl Fn(S) -> FilterMapConcurrent<S, F, Fut, V>
    where [S: Stream, F: FnMut(S::Item) -> Fut + Clone, Fut: CallFuture<Output = Option<V>>]
    by |stream| stream.filter_map_concurrent(limit, f);

    /// Calls `f` on every value, with up to `limit` calls running at once, and yields the outputs that are `Some`, up
    /// to the first error: see [`TryFlowExt::try_filter_map_concurrent`].
    fn try_filter_map_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [F, Fut, W] Result<W, E>
    where [
        F: Fn(V) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Result<Option<W>, E>> + Send + 'static,
        W: Send + 'static,
    ]
    by |stream| stream.try_filter_map_concurrent(limit, move |item| f(item));

    functional [S, F, Fut, V, W, E] impl Fn(S) -> TryFilterMapConcurrent<S, F, Fut, W, E, V>
    where [
        S: Stream<Item = Result<V, E>>,
        F: FnMut(V) -> Fut + Clone,
        Fut: CallFuture<Output = Result<Option<W>, E>>,
    ]
    by |stream| stream.try_filter_map_concurrent(limit, f);
}
