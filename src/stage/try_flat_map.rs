use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::TryExpand;
use super::flat_map::Many;
use super::fused::fused;
use super::try_call::{Try, until_error};
use crate::Concurrency;
use crate::engine::Engine;

pin_project! {
    /// Stream returned by [`TryFlowExt::try_flat_map_concurrent`](crate::TryFlowExt::try_flat_map_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `X` what it returns, and `Via` says what that is. The values `T`,
    /// the errors `E`, the inner streams `I` and the outputs `U` follow from them.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut stage = pipe(["1", "x"]).map(Ok).try_flat_map_concurrent(1, async |text: &str| {
    ///     let n: usize = text.parse().map_err(|_| "no number")?;
    ///     Ok(vec!["again"; n])
    /// });
    /// assert_eq!(stage.next().await, Some(Ok("again")));
    /// assert_eq!(stage.next().await, Some(Err("no number")));
    /// assert_eq!(stage.next().await, None);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
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
        #[pin]
        engine: Engine<S, Result<T, E>, Try<Many<I>>, Result<U, E>>,
        f: F,
        via: PhantomData<fn() -> (X, Via)>,
    }
}

impl<S, F, X, Via, T, E, I, U> TryFlatMapConcurrent<S, F, X, Via, T, E, I, U>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(T) -> X,
    X: TryExpand<Via, Ok = U, Error = E, Stream = I>,
    I: Stream<Item = Result<U, E>>,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency, f: F) -> Self {
        Self { engine: Engine::new(stream, concurrency), f, via: PhantomData }
    }
}

impl<S, F, X, Via, T, E, I, U> Stream for TryFlatMapConcurrent<S, F, X, Via, T, E, I, U>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(T) -> X,
    X: TryExpand<Via, Ok = U, Error = E, Stream = I>,
    I: Stream<Item = Result<U, E>>,
{
    type Item = Result<U, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        this.engine.try_poll_next(cx, |item| Try::new(Many::new((this.f)(item).try_expand())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (lower, upper) = self.engine.outputs_hint();
        // An item yet to come may expand to anything.
        let none_to_come = self.engine.items_hint().1 == Some(0);
        until_error((lower, upper.filter(|_| none_to_come)))
    }
}

fused!([S: TryStream, F, X: TryExpand<Via>, Via, T, E, I, U] TryFlatMapConcurrent<S, F, X, Via, T, E, I, U>: |stage| stage.engine.is_over());

impl<S, F, X, Via, T, E, I, U> fmt::Debug for TryFlatMapConcurrent<S, F, X, Via, T, E, I, U>
where
    S: Stream<Item = Result<T, E>> + fmt::Debug,
    X: TryExpand<Via>,
    I: Stream<Item = Result<U, E>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt_stage("TryFlatMapConcurrent", f)
    }
}
