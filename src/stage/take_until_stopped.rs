use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::fused::fused;
use super::styles::styles;
use crate::dropped;
use crate::engine::{HandsOn, InARow, answer};
use crate::panics::first_panic;
use crate::size_hint::SizeHint;
use crate::{Dropped, FlowExt};

pin_project! {
    /// Stream returned by [`FlowExt::take_until_stopped`].
    ///
    /// `S` is the upstream, `Fut` the stop, and `F` the function of [`on_stop`](Self::on_stop).
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
    pub struct TakeUntilStopped<S, Fut, F = fn(Dropped)> {
        // Dropped as soon as it has ended, or should stop.
        #[pin]
        stream: Option<S>,
        #[pin]
        stop: Option<Fut>,
        on_stop: Option<F>,
        hands_on: HandsOn,
        in_a_row: InARow,
    }
}

impl<S, Fut> TakeUntilStopped<S, Fut> {
    pub(crate) fn new(stream: S, stop: Fut) -> Self {
        Self {
            stream: Some(stream),
            stop: Some(stop),
            on_stop: None,
            hands_on: HandsOn::new(),
            in_a_row: InARow::default(),
        }
    }
}

impl<S, Fut, F> TakeUntilStopped<S, Fut, F> {
    /// Calls `f` with counts of what was dropped, if the stop comes before the end.
    ///
    /// It is called once, when everything upstream has been dropped. At the end of a pipeline this makes a **deadline**
    /// for what is in flight. Combine it with a stop right after the source: from that stop on nothing more is pulled,
    /// running calls finish and batches are flushed. At the deadline everything that is still running is dropped, and
    /// `f` learns how much that is.
    ///
    /// To get the unfinished items themselves back, use a [`Remainder`](crate::Remainder).
    ///
    /// # Examples
    ///
    /// A stop, and a deadline after a grace period:
    ///
    /// ```
    /// use flowlet::Dropped;
    /// use flowlet::prelude::*;
    /// use std::future::pending;
    ///
    /// # async fn grace_period() {}
    /// # futures_lite::future::block_on(async {
    /// let (ctrl_c, stop) = async_channel::bounded::<()>(1);
    /// let stopped = stop.clone();
    /// let deadline = async {
    ///     stop.recv().await;
    ///     grace_period().await; // for example, a sleep of 30 seconds
    /// };
    /// let mut dropped = Dropped::default();
    ///
    /// let handled = pipe(1..)
    ///     .take_until_stopped(async move { stopped.recv().await })
    ///     .map_concurrent(8, async |job: u32| {
    ///         if job == 5 {
    ///             ctrl_c.close();
    ///             pending::<()>().await; // this one hangs
    ///         }
    ///         job
    ///     })
    ///     .take_until_stopped(deadline)
    ///     .on_stop(|what| dropped = what)
    ///     .count()
    ///     .await;
    ///
    /// assert_eq!((handled, dropped.calls), (4, 1));
    /// # });
    /// ```
    pub fn on_stop<G>(self, f: G) -> TakeUntilStopped<S, Fut, G>
    where
        G: FnOnce(Dropped),
    {
        let Self { stream, stop, hands_on, in_a_row, .. } = self;
        TakeUntilStopped { stream, stop, on_stop: Some(f), hands_on, in_a_row }
    }
}

impl<S: Stream, Fut: Future, F: FnOnce(Dropped)> TakeUntilStopped<S, Fut, F> {
    /// Drops everything upstream, and reports what that was.
    fn stop(self: Pin<&mut Self>) {
        let mut this = self.project();
        let Some(on_stop) = this.on_stop.take() else { return };
        let (dropped, result) =
            dropped::count(|| catch_unwind(AssertUnwindSafe(|| this.stream.set(None))));
        let told = catch_unwind(AssertUnwindSafe(|| on_stop(dropped)));
        if let Err(panic) = first_panic(result, told) {
            resume_unwind(panic);
        }
    }
}

impl<S: Stream, Fut: Future, F: FnOnce(Dropped)> Stream for TakeUntilStopped<S, Fut, F> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.as_mut().project();
        let answer = answer(cx.waker());
        if this.in_a_row.gives_way(&answer, cx) {
            return Poll::Pending;
        }
        let stopped = this.stop.as_mut().as_pin_mut().is_none_or(|stop| stop.poll(cx).is_ready());
        let polled = match this.stream.as_mut().as_pin_mut() {
            Some(stream) if !stopped => this.hands_on.poll_next(stream, &answer, cx),
            Some(_) => {
                self.as_mut().stop();
                Poll::Ready(None)
            }
            None => Poll::Ready(None),
        };
        let mut this = self.project();
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

fused!([S, Fut, F: FnOnce(Dropped)] TakeUntilStopped<S, Fut, F>: |stage| stage.stream.is_none());

impl<S: fmt::Debug, Fut, F> fmt::Debug for TakeUntilStopped<S, Fut, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeUntilStopped").field("upstream", &self.stream).finish_non_exhaustive()
    }
}

styles! {
    /// Yields items until the future that `stop` returns is ready, then ends: see
    /// [`FlowExt::take_until_stopped`]. `stop` is called once for each stream.
    fn take_until_stopped(; stop: F);

    flow [U: 'static] U => [F, Fut] U
    where [F: Fn() -> Fut + Send + Sync + 'static, Fut: Future + Send + 'static]
    by |stream| stream.take_until_stopped(stop());

    functional [S, F, Fut] impl Fn(S) -> TakeUntilStopped<S, Fut>
    where [S: Stream, F: Fn() -> Fut + Clone, Fut: Future]
    by |stream| stream.take_until_stopped(stop());
}
