use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::Stream;

use super::batch::{Batch, checked_size};
use super::batching::{Batching, Collect, Count};
use super::shell::shell;
use super::styles::styles;
use super::timer::{DefaultTimer, SleepTimer, Timer};
use crate::size_hint::{SizeHint, add_hints, exactly};
use crate::{FlowExt, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::batched_within`].
    ///
    /// `S` is the upstream and `Timer` the timer. The items `T` follow from the upstream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Pipe, prelude::*, stage::BatchedWithin};
    /// use futures_lite::stream;
    /// use std::time::Duration;
    ///
    /// let second = Duration::from_secs(1);
    /// let batches: BatchedWithin<Pipe<stream::Repeat<u8>>> =
    ///     pipe(stream::repeat(0)).batched_within(100, second);
    /// # drop(batches);
    /// ```
    pub struct BatchedWithin<S: Stream, Timer = DefaultTimer, T = <S as Stream>::Item> {
        inner: Batching<S, Within<T, Timer>, Infallible, Vec<T>>,
    }

    type Item = Vec<T>;
}

impl<S: Stream<Item = T>, T> BatchedWithin<S, DefaultTimer, T> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize, duration: Duration) -> Self {
        Self { inner: Batching::new(stream, Within::new(size, duration)) }
    }
}

impl<S: Stream<Item = T>, C: Timer, T> BatchedWithin<S, C, T> {
    /// Waits with `sleep` instead of the timers of `async-io`.
    ///
    /// `sleep` is called with the duration when the first item of a batch arrives. The batch's time is up when the
    /// returned future is ready. So tokio's paused clock can drive the batches of a test:
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use std::time::Duration;
    /// use tokio::time::{interval, sleep};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    /// #     .block_on(async {
    /// // In a `#[tokio::test(start_paused = true)]` this takes no time.
    /// let mut clock = interval(Duration::from_secs(60));
    /// let minutes = futures_lite::stream::poll_fn(move |cx| clock.poll_tick(cx).map(Some));
    /// let hour = Duration::from_secs(3600);
    /// let batches: Vec<usize> = minutes
    ///     .take(150)
    ///     .batched_within(1000, hour)
    ///     .sleep(sleep)
    ///     .map(|batch| batch.len())
    ///     .collect()
    ///     .await;
    /// assert_eq!(batches, [61, 61, 28]);
    /// # });
    /// ```
    pub fn sleep<F, Fut>(self, sleep: F) -> BatchedWithin<S, SleepTimer<F, Fut>, T>
    where
        F: FnMut(Duration) -> Fut,
        Fut: Future,
    {
        BatchedWithin { inner: self.inner.map_batch(|batch| batch.sleep(sleep)) }
    }
}

shell! {
    /// Stream returned by [`TryFlowExt::try_batched_within`].
    ///
    /// `S` is the upstream of values `T` and errors `E`, and `Timer` the timer.
    pub struct TryBatchedWithin<S, T, E, Timer = DefaultTimer> {
        inner: Batching<S, Within<T, Timer>, E, Result<Vec<T>, E>>,
    }

    type Item = Result<Vec<T>, E>;
}

impl<S: Stream<Item = Result<T, E>>, T, E> TryBatchedWithin<S, T, E> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize, duration: Duration) -> Self {
        Self { inner: Batching::of_results(stream, Within::new(size, duration)) }
    }
}

impl<S, T, E, C> TryBatchedWithin<S, T, E, C>
where
    S: Stream<Item = Result<T, E>>,
    C: Timer,
{
    /// Waits with `sleep` instead of the timers of `async-io`: see
    /// [`BatchedWithin::sleep`](crate::stage::BatchedWithin::sleep).
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
        TryBatchedWithin { inner: self.inner.map_batch(|batch| batch.sleep(sleep)) }
    }
}

/// A batch of a given size, which is due a given time after its first item.
pub(super) struct Within<T, C> {
    batch: Batch<T>,
    duration: Duration,

    /// Runs while there are items.
    timer: C,
}

/// Rejects a duration in which no item could arrive.
#[track_caller]
fn checked_duration(duration: Duration) -> Duration {
    assert!(!duration.is_zero(), "the duration of a batch must be more than 0");
    duration
}

impl<T> Within<T, DefaultTimer> {
    #[track_caller]
    pub(super) fn new(size: usize, duration: Duration) -> Self {
        let batch = Batch::new(size);
        Self { batch, duration: checked_duration(duration), timer: DefaultTimer::default() }
    }
}

impl<T, C> Within<T, C> {
    /// The same with another timer.
    pub(super) fn sleep<F, Fut>(self, sleep: F) -> Within<T, SleepTimer<F, Fut>>
    where
        F: FnMut(Duration) -> Fut,
        Fut: Future,
    {
        let mut timer = SleepTimer::new(sleep);
        if self.batch.started() > 0 {
            timer.start(self.duration);
        }
        Within { batch: self.batch, duration: self.duration, timer }
    }
}

impl<T, C: Timer> Collect for Within<T, C> {
    type Item = T;

    const GIVES_WAY: bool = C::NEEDS_TURNS;

    fn add(&mut self, item: T) -> Option<Vec<T>> {
        // Most batches may be small, whatever the size.
        let full = self.batch.push(item);
        if full.is_some() {
            self.timer.stop();
        } else if !self.timer.is_started() {
            // The item is the first one, or `sleep` panicked when the first one arrived.
            self.timer.start(self.duration);
        }
        full
    }

    fn take_rest(&mut self) -> Option<Vec<T>> {
        self.timer.stop();
        self.batch.take_rest()
    }

    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        self.timer.is_over(cx)
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_over(cx)
    }
}

impl<T, C> Count for Within<T, C> {
    fn started(&self) -> usize {
        self.batch.started()
    }

    fn size_hint(&self, items: SizeHint) -> SizeHint {
        let (lower, _) = self.batch.size_hint(items);
        // All items might arrive late.
        let started = exactly(usize::from(self.batch.started() > 0));
        (lower, add_hints(items, started).1)
    }
    fn fmt_as(
        &self,
        name: &str,
        upstream: &dyn fmt::Debug,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        f.debug_struct(name)
            .field("size", &self.batch.size)
            .field("duration", &self.duration)
            .field("waiting", &self.started())
            .field("upstream", upstream)
            .finish()
    }
}

styles! {
    /// Collects items into batches of `size`, none of which waits longer than `duration`: see
    /// [`FlowExt::batched_within`].
    fn batched_within(
        size: usize = checked_size(size),
        duration: Duration = checked_duration(duration);
    );

    flow [U: Send + 'static] U => [] Vec<U>
    where []
    by |stream| stream.batched_within(size, duration);

    functional [S] impl Fn(S) -> BatchedWithin<S>
    where [S: Stream]
    by |stream| stream.batched_within(size, duration);

    /// Collects values into batches of `size`, none of which waits longer than `duration`, up to the
    /// first error: see [`TryFlowExt::try_batched_within`].
    fn try_batched_within(
        size: usize = checked_size(size),
        duration: Duration = checked_duration(duration);
    );

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [] Result<Vec<V>, E>
    where []
    by |stream| stream.try_batched_within(size, duration);

    functional [S, V, E] impl Fn(S) -> TryBatchedWithin<S, V, E>
    where [S: Stream<Item = Result<V, E>>]
    by |stream| stream.try_batched_within(size, duration);
}
