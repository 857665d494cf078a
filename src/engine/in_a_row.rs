//! Yielding to other tasks on the thread.
//!
//! A pipeline whose calls never wait would never return to its executor: a loop around it, or a `collect`, takes one
//! output after the other. So the outermost stage, which no other stage polls, returns `Pending` once after a number of
//! outputs in a row, and wakes itself. Then timers, stops and other tasks on the thread get a chance to run.

use std::task::{Context, Poll};

use super::marks::Answer;

/// The number of outputs in a row. Where calls are ready at once, other tasks wait for a few microseconds, and
/// returning to an executor costs less than one or two instructions per output.
const MOST: u32 = 128;

/// How many polls there have been since the last one that was pending.
#[derive(Debug, Default)]
pub(crate) struct InARow(u32);

impl InARow {
    /// Counts a poll, and returns whether it must be pending. If so, the task is woken.
    #[inline]
    pub(crate) fn gives_way(&mut self, answer: &Answer, cx: &Context<'_>) -> bool {
        let is_over = self.0 >= MOST;
        self.0 += 1;
        is_over && self.end(!answer.is_asked, cx)
    }

    /// The same for something that no stage polls.
    #[inline]
    pub(crate) fn is_over(&mut self, cx: &Context<'_>) -> bool {
        let is_over = self.0 >= MOST;
        self.0 += 1;
        is_over && self.end(true, cx)
    }

    #[cold]
    fn end(&mut self, is_outermost: bool, cx: &Context<'_>) -> bool {
        self.0 = 0;
        if is_outermost {
            cx.waker().wake_by_ref();
        }
        is_outermost
    }

    /// Records the result of a poll.
    #[inline]
    pub(crate) fn note<T>(&mut self, polled: &Poll<T>) {
        if polled.is_pending() {
            self.pending();
        }
    }

    /// Records that a poll was pending.
    #[inline]
    pub(super) fn pending(&mut self) {
        self.0 = 0;
    }
}
