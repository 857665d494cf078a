//! What the stages know of time, in one place, so that the tests can put a clock of their own in its
//! stead.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::FutureExt;

/// Counts a duration down, as often as it is started.
#[derive(Debug, Default)]
pub(crate) struct Countdown {
    /// When it is over. `None` while it does not run, and if that is further than there is time.
    over: Option<Instant>,

    /// Wakes the poller. Made only when there is one that waits.
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

    /// Tells whether it was started and is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some_and(|over| over <= Instant::now())
    }

    /// Waits until it is over.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Not the timer, which is ready no more than once.
        if self.is_over() {
            return Poll::Ready(());
        }
        let Some(over) = self.over else { return Poll::Pending };
        self.timer.get_or_insert_with(|| Timer::at(over)).poll(cx).map(drop)
    }
}
