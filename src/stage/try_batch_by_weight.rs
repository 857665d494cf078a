use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::batch_by_weight::Weighed;
use super::batching::{Batching, Count};
use super::fused::fused;
use crate::size_hint::SizeHint;

pin_project! {
    /// Stream returned by [`TryFlowExt::try_batched_by_weight`](crate::TryFlowExt::try_batched_by_weight).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut batches = pipe([Ok(2), Ok(3), Err("no number")]).try_batched_by_weight(4, |n| *n);
    /// assert_eq!(batches.next().await, Some(Ok(vec![2])));
    /// assert_eq!(batches.next().await, Some(Ok(vec![3])));
    /// assert_eq!(batches.next().await, Some(Err("no number")));
    /// assert_eq!(batches.next().await, None);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct TryBatchedByWeight<S, F, T, E> {
        #[pin]
        batching: Batching<S, Weighed<T, F>, E, T>,
    }
}

impl<S, F, T, E> TryBatchedByWeight<S, F, T, E>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(&T) -> usize,
{
    #[track_caller]
    pub(crate) fn new(stream: S, max: usize, weight: F) -> Self {
        Self { batching: Batching::of_results(stream, Weighed::new(max, weight)) }
    }
}

impl<S: Stream, F, T, E> Stream for TryBatchedByWeight<S, F, T, E> {
    type Item = Result<Vec<T>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().batching.try_poll_next(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.batching.try_size_hint()
    }
}

fused!([S: Stream, F, T, E] TryBatchedByWeight<S, F, T, E>: |stage| stage.batching.is_over());

impl<S: fmt::Debug, F, T, E> fmt::Debug for TryBatchedByWeight<S, F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryBatchedByWeight")
            .field("max", &self.batching.batch.max)
            .field("waiting", &self.batching.batch.started())
            .field("upstream", &self.batching.stream)
            .finish_non_exhaustive()
    }
}
