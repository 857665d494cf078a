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
use super::try_call::Try;
use crate::Concurrency;
use crate::engine::Stage;

pin_project! {
    /// Stream returned by [`TryFlowExt::try_flat_map_concurrent`](crate::TryFlowExt::try_flat_map_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `X` what it returns, and `Via` is a type of
    /// [`via`](crate::via) that says what `X` is. The values `T`, the errors `E`, the inner streams `I`
    /// and the outputs `U` follow from them. To keep one in a struct it is simpler to box it.
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
        stage: Stage<S, Result<T, E>, Try<Many<I>, E>, F, Result<U, E>>,
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
        let stage = Stage::new(stream, concurrency, f, |engine, f, cx| {
            engine.try_poll_next(cx, |item| {
                Try::new(item.map(|item| Many::new(f(item).try_expand())))
            })
        });
        Self { stage, via: PhantomData }
    }
}

impl<S: TryStream, F, X: TryExpand<Via>, Via, T, E, I, U> Stream
    for TryFlatMapConcurrent<S, F, X, Via, T, E, I, U>
{
    type Item = Result<U, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<U, E>>> {
        self.project().stage.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stage.size_hint()
    }
}

fused!([S: TryStream, F, X: TryExpand<Via>, Via, T, E, I, U] TryFlatMapConcurrent<S, F, X, Via, T, E, I, U>: |stage| stage.stage.engine().is_over());

impl<S, F, X, Via, T, E, I, U> fmt::Debug for TryFlatMapConcurrent<S, F, X, Via, T, E, I, U>
where
    S: TryStream + fmt::Debug,
    X: TryExpand<Via>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as("TryFlatMapConcurrent", f)
    }
}
