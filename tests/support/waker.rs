//! A task without an executor, which is polled when the test says so and knows whether it was woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::{Stream, StreamExt};

/// More polls in a row than any stream of these tests has reason to ask for.
const SPINS: usize = 100_000;

/// Polls streams, and sees every wake that is missing.
pub(crate) struct Task {
    woken: Arc<Woken>,
    waker: Waker,
}

/// A task that was never polled has to be.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Task {
    pub(crate) fn new() -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Self { waker: woken.clone().into(), woken }
    }

    /// Polls once, whether that was asked for or not.
    pub(crate) fn poll_next<S: Stream + Unpin>(&self, stream: &mut S) -> Poll<Option<S::Item>> {
        self.woken.0.store(false, Ordering::SeqCst);
        let polled = stream.poll_next(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            self.woken.0.store(true, Ordering::SeqCst);
        }
        polled
    }

    /// Tells whether the next poll was asked for.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }

    /// Polls as an executor does: for as long as there are items and, after a `Pending`, only if
    /// the task was woken. Returns the items and whether the stream has ended.
    pub(crate) fn settle<S: Stream + Unpin>(&self, stream: &mut S) -> (Vec<S::Item>, bool) {
        let mut items = Vec::new();
        for _ in 0..SPINS {
            if !self.is_woken() {
                return (items, false);
            }
            match self.poll_next(stream) {
                Poll::Ready(Some(item)) => items.push(item),
                Poll::Ready(None) => return (items, true),
                Poll::Pending => {}
            }
        }
        panic!("polled {SPINS} times, and still asked to be");
    }
}
