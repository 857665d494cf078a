use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::fused::fused;
use super::styles::styles;
use crate::FlowExt;
use crate::engine::{HandsOn, InARow, answer};
use crate::size_hint::SizeHint;

pin_project! {
    /// Stream returned by [`FlowExt::take_until_stopped`].
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use futures_lite::{future, stream};
    ///
    /// # future::block_on(async {
    /// let mut endless = stream::repeat(1).take_until_stopped(future::yield_now());
    /// assert_eq!(endless.next().await, Some(1));
    /// assert_eq!(endless.next().await, None);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct TakeUntilStopped<S, Fut> {
        // Dropped as soon as it has ended, or is to stop.
        #[pin]
        stream: Option<S>,
        #[pin]
        stop: Option<Fut>,
        hands_on: HandsOn,
        in_a_row: InARow,
    }
}

impl<S, Fut> TakeUntilStopped<S, Fut> {
    pub(crate) fn new(stream: S, stop: Fut) -> Self {
        Self {
            stream: Some(stream),
            stop: Some(stop),
            hands_on: HandsOn::new(),
            in_a_row: InARow::default(),
        }
    }
}

impl<S: Stream, Fut: Future> Stream for TakeUntilStopped<S, Fut> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        let answer = answer(cx.waker());
        if this.in_a_row.gives_way(&answer, cx) {
            return Poll::Pending;
        }
        let stopped = this.stop.as_mut().as_pin_mut().is_none_or(|stop| stop.poll(cx).is_ready());
        let polled = match this.stream.as_mut().as_pin_mut() {
            Some(stream) if !stopped => this.hands_on.poll_next(stream, &answer, cx),
            _ => Poll::Ready(None),
        };
        if let Poll::Ready(None) = polled {
            this.stream.set(None);
            this.stop.set(None);
        }
        this.in_a_row.note(&polled);
        answer.finish_unspent(matches!(polled, Poll::Ready(None)));
        polled
    }

    fn size_hint(&self) -> SizeHint {
        (0, self.stream.as_ref().map_or(Some(0), |stream| stream.size_hint().1))
    }
}

fused!([S, Fut] TakeUntilStopped<S, Fut>: |stage| stage.stream.is_none());

impl<S: fmt::Debug, Fut> fmt::Debug for TakeUntilStopped<S, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeUntilStopped").field("upstream", &self.stream).finish_non_exhaustive()
    }
}

styles! {
    /// Takes items until the future that `stop` returns is ready, then ends: see
    /// [`FlowExt::take_until_stopped`]. `stop` is called once for each stream.
    fn take_until_stopped(; stop: F);

    flow [U: 'static] U => [F, Fut] U
    where [F: Fn() -> Fut + Send + Sync + 'static, Fut: Future + Send + 'static]
    by |stream| stream.take_until_stopped(stop());

    functional [S, F, Fut] impl Fn(S) -> TakeUntilStopped<S, Fut>
    where [S: Stream, F: Fn() -> Fut + Clone, Fut: Future]
    by |stream| stream.take_until_stopped(stop());
}
