//! Giving way to others of the thread.
//!
//! A pipeline whose calls never wait would never return to its executor: a loop around it, or a `collect`, takes one
//! output after the other. So the outermost stage, which no other stage polls, is `Pending` once after so many
//! outputs in a row, and wakes itself. Then timers, stops and other tasks of the thread have their turn.

use std::task::{Context, Poll};

use super::marks::Answer;

/// How many outputs in a row: what others wait for it is some microseconds, where calls are ready at once, and to
/// return to an executor costs less than an instruction or two an output.
const MOST: u32 = 128;

/// How many polls there were since the last that was pending.
#[derive(Debug, Default)]
pub(crate) struct InARow(u32);

impl InARow {
    /// Counts a poll, and tells whether it is time to be pending. Then the task is woken.
    #[inline]
    pub(crate) fn gives_way(&mut self, answer: &Answer, cx: &Context<'_>) -> bool {
        let is_over = self.0 >= MOST;
        self.0 += 1;
        is_over && self.end(!answer.is_asked, cx)
    }

    /// The same for who is polled by no stage.
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

    /// Notes what came of a poll.
    #[inline]
    pub(crate) fn note<T>(&mut self, polled: &Poll<T>) {
        if polled.is_pending() {
            self.pending();
        }
    }

    /// Notes that a poll was pending.
    #[inline]
    pub(super) fn pending(&mut self) {
        self.0 = 0;
    }
}
