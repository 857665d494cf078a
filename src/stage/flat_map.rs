use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::expand::Expand;
use super::shell::shell;
use super::styles::styles;
use super::try_call::Try;
use super::try_expand::TryExpand;
use super::weighed::Weighed;
use crate::engine::{Call, Stage, Step};
use crate::size_hint::SizeHint;
use crate::{Concurrency, FlowExt, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::flat_map_concurrent`].
    ///
    /// `S` is the upstream, `F` the function, `X` what it returns, and `Via` is a type of
    /// [`via`](crate::via) that says what `X` is. The items `T`, the inner streams `I` and the outputs
    /// `U` follow from them. To store one in a struct, it is simpler to box it.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// // Open inner streams take turns, so endless ones are fine.
    /// let stage = pipe([1, 2]).flat_map_concurrent(2, futures_lite::stream::repeat);
    /// let first: Vec<u32> = stage.take(4).collect().await;
    /// assert!(first.contains(&1) && first.contains(&2));
    /// # });
    /// ```
    pub struct FlatMapConcurrent<
        S: Stream,
        F,
        X: Expand<Via>,
        Via,
        T = <S as Stream>::Item,
        I = <X as Expand<Via>>::Stream,
        U = <X as Expand<Via>>::Item,
    > {
        inner: Stage<S, T, Many<I>, F, U>,
        via: PhantomData<fn() -> (X, Via)>,
    }

    type Item = U;

    calls start(|f, item| Many::new(f(item).expand())),
    weighed by T as FlatMapConcurrent<S, Weighed<F, W>, X, Via, T, I, U>,
    where
        S: Stream<Item = T>,
        F: FnMut(T) -> X,
        X: Expand<Via, Item = U, Stream = I>,
        I: Stream<Item = U>,
}

shell! {
    /// Stream returned by [`TryFlowExt::try_flat_map_concurrent`].
    ///
    /// `S` is the upstream, `F` the function, `X` what it returns, and `Via` is a type of
    /// [`via`](crate::via) that says what `X` is. The values `T`, the errors `E`, the inner streams `I`
    /// and the outputs `U` follow from them. To store one in a struct, it is simpler to box it.
    pub struct TryFlatMapConcurrent<
        S: TryStream,
        F,
        X: TryExpand<Via>,
        Via,
        T = <S as TryStream>::Ok,
        E = <X as TryExpand<Via>>::Error,
        I = <X as TryExpand<Via>>::Stream,
        U = <X as TryExpand<Via>>::Ok,
    > {
        inner: Stage<S, Result<T, E>, Try<Many<I>, E>, F, Result<U, E>>,
        via: PhantomData<fn() -> (X, Via)>,
    }

    type Item = Result<U, E>;

    calls try_start(|f, item| Try::new(item.map(|item| Many::new(f(item).try_expand())))),
    weighed by T as TryFlatMapConcurrent<S, Weighed<F, W>, X, Via, T, E, I, U>,
    where
        S: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> X,
        X: TryExpand<Via, Ok = U, Error = E, Stream = I>,
        I: Stream<Item = Result<U, E>>,
}

pin_project! {
    /// A call with any number of outputs: an open inner stream.
    pub(super) struct Many<S> {
        #[pin]
        stream: S,
    }
}

impl<S> Many<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream }
    }
}

impl<S: Stream> Call for Many<S> {
    type Output = S::Item;

    const MANY: bool = true;

    // An inner stream can have any number of outputs.
    const OUTPUTS: SizeHint = (0, None);

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<S::Item>> {
        self.project().stream.poll_next(cx).map(|output| match output {
            Some(output) => Step::Output(output),
            None => Step::End,
        })
    }
}

styles! {
    /// Calls `f` on every item and yields the items of the inner streams, one inner stream after the other.
    ///
    /// This is [`flat_map_concurrent(1, f)`](FlowExt::flat_map_concurrent), not the plain `flat_map` of streams, in
    /// which the calls of upstream stages stall while an inner stream is open.
    fn flat_map(; f: F);

    flow [U: Send + 'static] U => [F, X, Via] X::Item
    where [
        F: Fn(U) -> X + Send + Sync + 'static,
        X: Expand<Via, Stream: Send, Item: Send> + 'static,
        Via: 'static,
    ]
    by |stream| stream.flat_map_concurrent(1, move |item| f(item));

    functional [S, F, X, Via] impl Fn(S) -> FlatMapConcurrent<S, F, X, Via>
    where [S: Stream, F: FnMut(S::Item) -> X + Clone, X: Expand<Via>]
    by |stream| stream.flat_map_concurrent(1, f);

    /// Calls `f` on every item and yields the items of the inner streams, with up to `limit` of them open at once: see
    /// [`FlowExt::flat_map_concurrent`].
    fn flat_map_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [U: Send + 'static] U => [F, X, Via] X::Item
    where [
        F: Fn(U) -> X + Send + Sync + 'static,
        X: Expand<Via, Stream: Send, Item: Send> + 'static,
        Via: 'static,
    ]
    by |stream| stream.flat_map_concurrent(limit, move |item| f(item));

    functional [S, F, X, Via] impl Fn(S) -> FlatMapConcurrent<S, F, X, Via>
    where [S: Stream, F: FnMut(S::Item) -> X + Clone, X: Expand<Via>]
    by |stream| stream.flat_map_concurrent(limit, f);

    /// Calls `f` on every value and yields the items of the inner streams, with up to `limit` of them open at once, up
    /// to the first error: see [`TryFlowExt::try_flat_map_concurrent`].
    fn try_flat_map_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [F, X, Via] Result<X::Ok, E>
    where [
        F: Fn(V) -> X + Send + Sync + 'static,
        X: TryExpand<Via, Error = E, Stream: Send, Ok: Send> + 'static,
        Via: 'static,
    ]
    by |stream| stream.try_flat_map_concurrent(limit, move |item| f(item));

    functional [S, F, V, X, Via] impl Fn(S) -> TryFlatMapConcurrent<S, F, X, Via, V>
    where [S: Stream<Item = Result<V, X::Error>>, F: FnMut(V) -> X + Clone, X: TryExpand<Via>]
    by |stream| stream.try_flat_map_concurrent(limit, f);
}
