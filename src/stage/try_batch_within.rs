use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::batch_within::Within;
use super::batching::Batching;
use crate::size_hint::SizeHint;

pin_project! {
    /// Stream of [`TryFlowExt::try_batched_within`](crate::TryFlowExt::try_batched_within).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use std::time::Duration;
    ///
    /// # futures_lite::future::block_on(async {
    /// let hour = Duration::from_secs(3600);
    /// let mut batches = pipe([Ok(1), Ok(2), Ok(3), Err("four")]).try_batched_within(2, hour);
    /// assert_eq!(batches.next().await, Some(Ok(vec![1, 2])));
    /// assert_eq!(batches.next().await, Some(Ok(vec![3])));
    /// assert_eq!(batches.next().await, Some(Err("four")));
    /// assert_eq!(batches.next().await, None);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct TryBatchedWithin<S, T, E> {
        #[pin]
        batching: Batching<S, Within<T>, E>,
    }
}

impl<S, T, E> TryBatchedWithin<S, T, E> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize, duration: Duration) -> Self {
        Self { batching: Batching::new(stream, Within::new(size, duration)) }
    }
}

impl<S, T, E> Stream for TryBatchedWithin<S, T, E>
where
    S: Stream<Item = Result<T, E>>,
{
    type Item = Result<Vec<T>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().batching.try_poll_next(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.batching.try_size_hint()
    }
}

impl<S: fmt::Debug, T, E> fmt::Debug for TryBatchedWithin<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryBatchedWithin")
            .field("size", &self.batching.batch.batch.size)
            .field("duration", &self.batching.batch.duration)
            .field("waiting", &self.batching.batch.batch.started())
            .field("upstream", &self.batching.stream)
            .finish()
    }
}
