//! Timers of batches.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::Countdown;

/// A countdown that can be restarted.
pub trait Timer {
    /// Whether it can fire only if the executor gets a chance to run.
    const NEEDS_TURNS: bool;

    /// Starts, or restarts.
    fn start(&mut self, duration: Duration);

    /// Stops, if it is running.
    fn stop(&mut self);

    /// Returns whether it was started and not stopped since.
    fn is_started(&self) -> bool;

    /// Returns whether it was started and is over. Need not register the waker if it is not.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool;

    /// Waits until it is over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// The timer of a [`BatchedWithin`](crate::stage::BatchedWithin) without a
/// [`sleep`](crate::stage::BatchedWithin::sleep) function: one of `async-io`.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::stage::{BatchedWithin, DefaultTimer};
/// use std::time::Duration;
///
/// let batches: BatchedWithin<_, DefaultTimer> = pipe(0..3).batched_within(2, Duration::from_secs(1));
/// # drop(batches);
/// ```
#[derive(Debug, Default)]
pub struct DefaultTimer {
    countdown: Countdown,
    started: bool,
}

impl Timer for DefaultTimer {
    const NEEDS_TURNS: bool = false;

    fn start(&mut self, duration: Duration) {
        self.countdown.start(duration);
        self.started = true;
    }

    fn stop(&mut self) {
        self.countdown.stop();
        self.started = false;
    }

    fn is_started(&self) -> bool {
        self.started
    }

    fn is_over(&mut self, _cx: &mut Context<'_>) -> bool {
        self.countdown.is_over()
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.countdown.poll_over(cx)
    }
}

/// A timer based on a sleep function: see [`BatchedWithin::sleep`](crate::stage::BatchedWithin::sleep).
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::stage::{BatchedWithin, SleepTimer};
/// use std::time::Duration;
///
/// let batches: BatchedWithin<_, SleepTimer<_, _>> =
///     pipe(0..3).batched_within(2, Duration::from_secs(1)).sleep(async_io::Timer::after);
/// # drop(batches);
/// ```
pub struct SleepTimer<F, Fut> {
    sleep: F,

    /// Allocated with the first batch, and reused for all.
    sleeping: Option<Pin<Box<Option<Fut>>>>,

    /// Whether it slept long enough. The future is dropped then.
    over: bool,
}

impl<F, Fut> SleepTimer<F, Fut> {
    pub(super) fn new(sleep: F) -> Self {
        Self { sleep, sleeping: None, over: false }
    }
}

impl<F, Fut> Timer for SleepTimer<F, Fut>
where
    F: FnMut(Duration) -> Fut,
    Fut: Future,
{
    const NEEDS_TURNS: bool = true;

    fn start(&mut self, duration: Duration) {
        self.stop();
        let sleep = (self.sleep)(duration);
        self.sleeping.get_or_insert_with(|| Box::pin(None)).as_mut().set(Some(sleep));
    }

    fn stop(&mut self) {
        self.over = false;
        if let Some(sleeping) = &mut self.sleeping {
            sleeping.as_mut().set(None);
        }
    }

    fn is_started(&self) -> bool {
        self.over || self.sleeping.as_ref().is_some_and(|sleeping| sleeping.is_some())
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_over(cx).is_ready()
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleeping) = &mut self.sleeping {
            let mut polling = Polling { sleeping: sleeping.as_mut(), keep: false };
            let sleep = polling.sleeping.as_mut().as_pin_mut();
            let ready = sleep.is_some_and(|sleep| sleep.poll(cx).is_ready());
            polling.keep = !ready;
            self.over |= ready;
        }
        if self.over { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A sleep that is being polled. One that is ready, or that panicked, must not be polled again, and is dropped with
/// this.
struct Polling<'a, Fut> {
    sleeping: Pin<&'a mut Option<Fut>>,
    keep: bool,
}

impl<Fut> Drop for Polling<'_, Fut> {
    fn drop(&mut self) {
        if !self.keep {
            self.sleeping.set(None);
        }
    }
}

impl<F, Fut> fmt::Debug for SleepTimer<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SleepTimer").finish_non_exhaustive()
    }
}
