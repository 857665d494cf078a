use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::fused::fused;
use crate::Concurrency;
use crate::engine::{Call, Stage, Step};

pin_project! {
    /// Stream returned by [`FlowExt::map_concurrent`](crate::FlowExt::map_concurrent).
    ///
    /// `S` is the upstream, `F` the function and `Fut` the future of a call. The items `T` and the outputs `U`
    /// follow from them.
    ///
    /// # Examples
    ///
    /// Where the stage has to be named, name its function by a pointer and box its future:
    ///
    /// ```
    /// use flowlet::{FlowExt, MapConcurrent};
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
    #[must_use = "streams do nothing unless polled"]
    pub struct MapConcurrent<
        S: Stream,
        F,
        Fut: CallFuture,
        T = <S as Stream>::Item,
        U = <Fut as Future>::Output,
    > {
        #[pin]
        stage: Stage<S, T, One<Fut>, F, U>,
    }
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

impl<S, F, Fut, T, U> MapConcurrent<S, F, Fut, T, U>
where
    S: Stream<Item = T>,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = U>,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency, f: F) -> Self {
        let stage = Stage::new(stream, concurrency, f, |engine, f, cx| {
            engine.poll_next(cx, |item| One::new(f(item)))
        });
        Self { stage }
    }
}

impl<S: Stream, F, Fut: CallFuture, T, U> Stream for MapConcurrent<S, F, Fut, T, U> {
    type Item = U;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        self.project().stage.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stage.size_hint()
    }
}

impl<Fut: CallFuture> Call for One<Fut> {
    type Output = Fut::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Fut::Output>> {
        self.project().future.poll(cx).map(Step::Last)
    }
}

fused!([S: Stream, F, Fut: CallFuture, T, U] MapConcurrent<S, F, Fut, T, U>: |stage| stage.stage.engine().is_over());

impl<S, F, Fut, T, U> fmt::Debug for MapConcurrent<S, F, Fut, T, U>
where
    S: Stream + fmt::Debug,
    Fut: CallFuture,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as("MapConcurrent", f)
    }
}
