use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::fused::fused;
use crate::Concurrency;
use crate::engine::{Call, Stage, Step};
use crate::size_hint::SizeHint;

pin_project! {
    /// Stream returned by [`FlowExt::filter_map_concurrent`](crate::FlowExt::filter_map_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call and `U` an output. The items `T` follow
    /// from the upstream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut stage = pipe(["1", "x"]).filter_map_concurrent(2, async |text| text.parse().ok());
    /// assert_eq!(stage.size_hint(), (0, Some(2)));
    /// assert_eq!(stage.next().await, Some(1));
    /// assert_eq!(stage.next().await, None);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct FilterMapConcurrent<S: Stream, F, Fut, U, T = <S as Stream>::Item> {
        #[pin]
        stage: Stage<S, T, Maybe<Fut>, F, U>,
    }
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

impl<S, F, Fut, U, T> FilterMapConcurrent<S, F, Fut, U, T>
where
    S: Stream<Item = T>,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = Option<U>>,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency, f: F) -> Self {
        let stage = Stage::new(stream, concurrency, f, |engine, f, cx| {
            engine.poll_next(cx, |item| Maybe::new(f(item)))
        });
        Self { stage }
    }
}

impl<S: Stream, F, Fut, U, T> Stream for FilterMapConcurrent<S, F, Fut, U, T> {
    type Item = U;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        self.project().stage.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stage.size_hint()
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

fused!([S: Stream, F, Fut, U, T] FilterMapConcurrent<S, F, Fut, U, T>: |stage| stage.stage.engine().is_over());

impl<S, F, Fut, U, T> fmt::Debug for FilterMapConcurrent<S, F, Fut, U, T>
where
    S: Stream + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as("FilterMapConcurrent", f)
    }
}
