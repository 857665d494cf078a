use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::batch::Batch;
use super::try_call::until_error;
use crate::size_hint::{SizeHint, add_hints, exactly};

pin_project! {
    /// Stream of [`TryFlowExt::try_batched`](crate::TryFlowExt::try_batched).
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
        // Dropped as soon as it has ended or failed.
        #[pin]
        stream: Option<S>,
        batch: Batch<T>,
        // Comes after the batch that it broke off.
        error: Option<E>,
    }
}

impl<S, T, E> TryBatched<S, T, E>
where
    S: Stream<Item = Result<T, E>>,
{
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize) -> Self {
        Self { stream: Some(stream), batch: Batch::new(size), error: None }
    }
}

impl<S, T, E> Stream for TryBatched<S, T, E>
where
    S: Stream<Item = Result<T, E>>,
{
    type Item = Result<Vec<T>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            match ready!(stream.poll_next(cx)) {
                Some(Ok(item)) => {
                    if let Some(full) = this.batch.add(item) {
                        return Poll::Ready(Some(Ok(full)));
                    }
                }
                end => {
                    // First, so that it is not lost if upstream panics when it is dropped.
                    *this.error = end.and_then(Result::err);
                    this.stream.set(None);
                }
            }
        }
        let rest = this.batch.take_rest().map(Ok);
        Poll::Ready(rest.or_else(|| this.error.take().map(Err)))
    }

    fn size_hint(&self) -> SizeHint {
        let error = exactly(usize::from(self.error.is_some()));
        let Some(stream) = &self.stream else {
            return add_hints(self.batch.size_hint(exactly(0)), error);
        };
        let (lower, upper) = stream.size_hint();
        let (lower, _) = until_error(self.batch.size_hint((lower, None)));
        // An error takes the place of an item, and has none in a batch.
        let items = upper.map(|upper| upper.saturating_sub(1));
        let (_, batches) = self.batch.size_hint((0, items));
        let error = usize::from(upper != Some(0));
        (lower, batches.and_then(|batches| batches.checked_add(error)))
    }
}

impl<S: fmt::Debug, T, E> fmt::Debug for TryBatched<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryBatched")
            .field("size", &self.batch.size)
            .field("waiting", &self.batch.started())
            .field("upstream", &self.stream)
            .finish()
    }
}
