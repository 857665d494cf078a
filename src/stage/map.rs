use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::fused::fused;
use crate::Concurrency;
use crate::engine::{Call, Engine, Step};
use crate::size_hint::{add_hints, exactly};

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
        engine: Engine<S, T, One<Fut>, U>,
        f: F,
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
        Self { engine: Engine::new(stream, concurrency), f }
    }
}

impl<S, F, Fut, T, U> Stream for MapConcurrent<S, F, Fut, T, U>
where
    S: Stream<Item = T>,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = U>,
{
    type Item = U;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        let this = self.project();
        this.engine.poll_next(cx, |item| One::new((this.f)(item)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        add_hints(exactly(self.engine.in_flight()), self.engine.items_hint())
    }
}

impl<Fut: CallFuture> Call for One<Fut> {
    type Output = Fut::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Fut::Output>> {
        self.project().future.poll(cx).map(|output| Step::Over(Some(output)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        exactly(1)
    }
}

fused!([S: Stream, F, Fut: CallFuture, T, U] MapConcurrent<S, F, Fut, T, U>: |stage| stage.engine.is_over());

impl<S, F, Fut, T, U> fmt::Debug for MapConcurrent<S, F, Fut, T, U>
where
    S: Stream<Item = T> + fmt::Debug,
    Fut: CallFuture<Output = U>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt_stage("MapConcurrent", f)
    }
}
