use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::shell::shell;
use super::try_call::Try;
use crate::engine::{Call, Stage, Step};

shell! {
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

    polled by |engine, f, cx| engine.poll_next(cx, |item| One::new(f(item))),
    where
        S: Stream<Item = T>,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = U>,
}

shell! {
    /// Stream returned by [`TryFlowExt::try_map_concurrent`](crate::TryFlowExt::try_map_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call, and `U` and `E` what it resolves to.
    /// The values `T` follow from the upstream.
    pub struct TryMapConcurrent<S: TryStream, F, Fut, U, E, T = <S as TryStream>::Ok> {
        inner: Stage<S, Result<T, E>, Try<One<Fut>, E>, F, Result<U, E>>,
    }

    type Item = Result<U, E>;

    polled by |engine, f, cx| {
        engine.try_poll_next(cx, |item| Try::new(item.map(|item| One::new(f(item)))))
    },
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
