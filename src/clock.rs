//! All that the stages know about time, in one place, so that tests can replace the clock.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::FutureExt;

/// A countdown that can be restarted.
#[derive(Debug, Default)]
pub(crate) struct Countdown {
    /// When it is over. `None` while it is not running, or if that is too far in the future to represent.
    over: Option<Instant>,

    /// Wakes the poller. Created only when a poller waits.
    timer: Option<Timer>,
}

impl Countdown {
    pub(crate) fn start(&mut self, duration: Duration) {
        self.stop();
        self.over = Instant::now().checked_add(duration);
    }

    pub(crate) fn stop(&mut self) {
        self.over = None;
        self.timer = None;
    }

    /// Returns whether it was started and is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some_and(|over| over <= Instant::now())
    }

    /// Waits until it is over.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Check the time and not the timer, which is ready at most once.
        if self.is_over() {
            return Poll::Ready(());
        }
        let Some(over) = self.over else { return Poll::Pending };
        self.timer.get_or_insert_with(|| Timer::at(over)).poll(cx).map(drop)
    }
}
