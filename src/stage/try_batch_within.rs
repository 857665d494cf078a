use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::batch_within::Within;
use super::batching::{Batching, Count};
use super::fused::fused;
use super::timer::{DefaultTimer, SleepTimer, Timer};
use crate::size_hint::SizeHint;

pin_project! {
    /// Stream returned by [`TryFlowExt::try_batched_within`](crate::TryFlowExt::try_batched_within).
    ///
    /// `S` is the upstream of values `T` and errors `E`, and `Timer` what tells the time.
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
    pub struct TryBatchedWithin<S, T, E, Timer = DefaultTimer> {
        #[pin]
        batching: Batching<S, Within<T, Timer>, E, T>,
    }
}

impl<S: Stream<Item = Result<T, E>>, T, E> TryBatchedWithin<S, T, E> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize, duration: Duration) -> Self {
        Self { batching: Batching::of_results(stream, Within::new(size, duration)) }
    }
}

impl<S, T, E, C> TryBatchedWithin<S, T, E, C>
where
    S: Stream<Item = Result<T, E>>,
    C: Timer,
{
    /// Waits with `sleep` instead of the timers of `async-io`: see
    /// [`BatchedWithin::sleep`](crate::BatchedWithin::sleep).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let batches: Result<Vec<Vec<u32>>, &str> = pipe([Ok(1), Ok(2), Ok(3)])
    ///     .try_batched_within(2, Duration::from_secs(3600))
    ///     .sleep(tokio::time::sleep)
    ///     .try_collect()
    ///     .await;
    /// assert_eq!(batches, Ok(vec![vec![1, 2], vec![3]]));
    /// # });
    /// ```
    pub fn sleep<F, Fut>(self, sleep: F) -> TryBatchedWithin<S, T, E, SleepTimer<F, Fut>>
    where
        F: FnMut(Duration) -> Fut,
        Fut: Future,
    {
        TryBatchedWithin { batching: self.batching.try_map_batch(|batch| batch.sleep(sleep)) }
    }
}

impl<S: Stream, T, E, C> Stream for TryBatchedWithin<S, T, E, C> {
    type Item = Result<Vec<T>, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().batching.try_poll_next(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.batching.try_size_hint()
    }
}

fused!([S: Stream, T, E, C] TryBatchedWithin<S, T, E, C>: |stage| stage.batching.is_over());

impl<S: fmt::Debug, T, E, C> fmt::Debug for TryBatchedWithin<S, T, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryBatchedWithin")
            .field("size", &self.batching.batch.batch.size)
            .field("duration", &self.batching.batch.duration)
            .field("waiting", &self.batching.batch.batch.started())
            .field("upstream", &self.batching.stream)
            .finish()
    }
}
