use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::batch::Batch;
use super::batching::{Batching, Count};
use super::fused::fused;
use crate::size_hint::SizeHint;

pin_project! {
    /// Stream returned by [`TryFlowExt::try_batched`](crate::TryFlowExt::try_batched).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut batches = pipe([Ok(1), Ok(2), Ok(3), Err("four")]).try_batched(2);
    /// assert_eq!(batches.next().await, Some(Ok(vec![1, 2])));
    /// assert_eq!(batches.next().await, Some(Ok(vec![3])));
    /// assert_eq!(batches.next().await, Some(Err("four")));
    /// assert_eq!(batches.next().await, None);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct TryBatched<S, T, E> {
        #[pin]
        batching: Batching<S, Batch<T>, E, T>,
    }
}

impl<S: Stream<Item = Result<T, E>>, T, E> TryBatched<S, T, E> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize) -> Self {
        Self { batching: Batching::of_results(stream, Batch::new(size)) }
    }
}

impl<S: Stream, T, E> Stream for TryBatched<S, T, E> {
    type Item = Result<Vec<T>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().batching.try_poll_next(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.batching.try_size_hint()
    }
}

fused!([S: Stream, T, E] TryBatched<S, T, E>: |stage| stage.batching.is_over());

impl<S: fmt::Debug, T, E> fmt::Debug for TryBatched<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryBatched")
            .field("size", &self.batching.batch.size)
            .field("waiting", &self.batching.batch.started())
            .field("upstream", &self.batching.stream)
            .finish()
    }
}
