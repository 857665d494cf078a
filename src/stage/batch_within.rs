use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::batch::Batch;
use super::batching::{Batching, Collect};
use crate::clock::Countdown;
use crate::size_hint::{SizeHint, add_hints, exactly};

pin_project! {
    /// Stream of [`FlowExt::batched_within`](crate::FlowExt::batched_within).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{BatchedWithin, Pipe, prelude::*};
    /// use futures_lite::stream;
    /// use std::time::Duration;
    ///
    /// let second = Duration::from_secs(1);
    /// let batches: BatchedWithin<Pipe<stream::Repeat<u8>>> =
    ///     pipe(stream::repeat(0)).batched_within(100, second);
    /// # drop(batches);
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct BatchedWithin<S: Stream, T = <S as Stream>::Item> {
        #[pin]
        batching: Batching<S, Within<T>, Infallible>,
    }
}

impl<S: Stream<Item = T>, T> BatchedWithin<S, T> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize, duration: Duration) -> Self {
        Self { batching: Batching::new(stream, Within::new(size, duration)) }
    }
}

impl<S: Stream<Item = T>, T> Stream for BatchedWithin<S, T> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        self.project().batching.poll_next(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.batching.size_hint()
    }
}

impl<S: Stream + fmt::Debug, T> fmt::Debug for BatchedWithin<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchedWithin")
            .field("size", &self.batching.batch.batch.size)
            .field("duration", &self.batching.batch.duration)
            .field("waiting", &self.batching.batch.batch.started())
            .field("upstream", &self.batching.stream)
            .finish()
    }
}

/// A batch of so many items, that is due so long after its first.
pub(super) struct Within<T> {
    pub(super) batch: Batch<T>,
    pub(super) duration: Duration,

    /// Runs while there are items.
    countdown: Countdown,
}

impl<T> Within<T> {
    #[track_caller]
    pub(super) fn new(size: usize, duration: Duration) -> Self {
        assert!(!duration.is_zero(), "the duration of a batch must be more than 0");
        Self { batch: Batch::new(size), duration, countdown: Countdown::default() }
    }
}

impl<T> Collect for Within<T> {
    type Item = T;

    fn add(&mut self, item: T) -> Option<Vec<T>> {
        // Most batches may be small, whatever the size.
        let full = self.batch.push(item);
        if full.is_some() {
            self.countdown.stop();
        } else if self.batch.started() == 1 {
            self.countdown.start(self.duration);
        }
        full
    }

    fn take_rest(&mut self) -> Option<Vec<T>> {
        self.countdown.stop();
        self.batch.take_rest()
    }

    fn is_due(&self) -> bool {
        self.countdown.is_over()
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.countdown.poll_over(cx)
    }

    fn size_hint(&self, items: SizeHint) -> SizeHint {
        let (lower, _) = self.batch.size_hint(items);
        // It may be that all that come are late.
        let started = exactly(usize::from(self.batch.started() > 0));
        (lower, add_hints(items, started).1)
    }
}
