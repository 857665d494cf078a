use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::fused::fused;
use super::map::One;
use super::try_call::OrError;
use crate::Concurrency;
use crate::engine::Stage;

pin_project! {
    /// Stream returned by [`TryFlowExt::map_ok_concurrent`](crate::TryFlowExt::map_ok_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call, and `U` and `E` what it resolves to.
    /// The values `T` follow from the upstream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut stage = pipe([Ok(1), Err("two"), Ok(3)]).map_ok_concurrent(1, async |n| Ok(n * 10));
    /// assert_eq!(stage.size_hint(), (3, Some(3)));
    /// assert_eq!(stage.next().await, Some(Ok(10)));
    /// assert_eq!(stage.next().await, Some(Err("two")));
    /// assert_eq!(stage.next().await, Some(Ok(30)));
    /// assert_eq!(stage.next().await, None);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct MapOkConcurrent<S: TryStream, F, Fut, U, E, T = <S as TryStream>::Ok> {
        // Its calls cannot fail the stage, so an error from upstream passes.
        #[pin]
        stage: Stage<S, Result<T, E>, OrError<One<Fut>, E>, F, Result<U, E>>,
    }
}

impl<S, F, Fut, U, E, T> MapOkConcurrent<S, F, Fut, U, E, T>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = Result<U, E>>,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency, f: F) -> Self {
        let stage = Stage::new(stream, concurrency, f, |engine, f, cx| {
            engine.try_poll_next(cx, |item| OrError::new(item.map(|item| One::new(f(item)))))
        });
        Self { stage }
    }
}

impl<S: TryStream, F, Fut, U, E, T> Stream for MapOkConcurrent<S, F, Fut, U, E, T> {
    type Item = Result<U, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<U, E>>> {
        self.project().stage.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stage.size_hint()
    }
}

fused!([S: TryStream, F, Fut, U, E, T] MapOkConcurrent<S, F, Fut, U, E, T>: |stage| stage.stage.engine().is_over());

impl<S, F, Fut, U, E, T> fmt::Debug for MapOkConcurrent<S, F, Fut, U, E, T>
where
    S: TryStream + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as("MapOkConcurrent", f)
    }
}
