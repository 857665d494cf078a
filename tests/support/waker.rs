//! A task without an executor, which is polled when the test says so and knows whether it was woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::{Stream, StreamExt};

use super::woken::Woken;

/// More polls in a row than any stream of these tests has reason to ask for.
const SPINS: usize = 100_000;

/// Polls futures and streams, and sees every wake that is missing.
pub(crate) struct Task {
    woken: Arc<Woken>,
    waker: Waker,
}

impl Task {
    /// A task that was never polled has to be.
    pub(crate) fn new() -> Self {
        let woken = Woken::new();
        woken.wake_by_ref();
        Self { waker: woken.waker(), woken }
    }

    /// Polls once, whether that was asked for or not.
    pub(crate) fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        self.woken.take();
        Pin::new(future).poll(&mut Context::from_waker(&self.waker))
    }

    /// Polls once, whether that was asked for or not. After an item the next is asked for.
    pub(crate) fn poll_next<S: Stream + Unpin>(&self, stream: &mut S) -> Poll<Option<S::Item>> {
        self.woken.take();
        let polled = stream.poll_next(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            self.woken.wake_by_ref();
        }
        polled
    }

    /// Asks for a poll.
    pub(crate) fn wake(&self) {
        self.woken.wake_by_ref();
    }

    /// Tells whether the next poll was asked for.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.count() > 0
    }

    /// Tells whether anyone else has its waker.
    pub(crate) fn is_kept(&self) -> bool {
        Arc::strong_count(&self.woken) > 2
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
