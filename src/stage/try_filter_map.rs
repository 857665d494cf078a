use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::fused::fused;
use super::try_call::Try;
use crate::Concurrency;
use crate::engine::{Call, Stage, Step};
use crate::size_hint::SizeHint;

pin_project! {
    /// Stream returned by [`TryFlowExt::try_filter_map_concurrent`](crate::TryFlowExt::try_filter_map_concurrent).
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
    /// let check = async |n: i32| if n < 9 { Ok((n > 0).then_some(n)) } else { Err("too many") };
    ///
    /// let mut stage = pipe([0, 1, 9]).map(Ok).try_filter_map_concurrent(1, check);
    /// assert_eq!(stage.size_hint(), (0, Some(3)));
    /// assert_eq!(stage.next().await, Some(Ok(1)));
    /// assert_eq!(stage.next().await, Some(Err("too many")));
    /// assert_eq!(stage.next().await, None);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct TryFilterMapConcurrent<S: TryStream, F, Fut, U, E, T = <S as TryStream>::Ok> {
        #[pin]
        stage: Stage<S, Result<T, E>, Try<TryMaybe<Fut>, E>, F, Result<U, E>>,
    }
}

pin_project! {
    /// A call with an error or at most one output.
    struct TryMaybe<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<S, F, Fut, U, E, T> TryFilterMapConcurrent<S, F, Fut, U, E, T>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = Result<Option<U>, E>>,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency, f: F) -> Self {
        let stage = Stage::new(stream, concurrency, f, |engine, f, cx| {
            engine.try_poll_next(cx, |item| Try::new(item.map(|item| TryMaybe { future: f(item) })))
        });
        Self { stage }
    }
}

impl<S: TryStream, F, Fut, U, E, T> Stream for TryFilterMapConcurrent<S, F, Fut, U, E, T> {
    type Item = Result<U, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<U, E>>> {
        self.project().stage.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stage.size_hint()
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

fused!([S: TryStream, F, Fut, U, E, T] TryFilterMapConcurrent<S, F, Fut, U, E, T>: |stage| stage.stage.engine().is_over());

impl<S, F, Fut, U, E, T> fmt::Debug for TryFilterMapConcurrent<S, F, Fut, U, E, T>
where
    S: TryStream + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as("TryFilterMapConcurrent", f)
    }
}
