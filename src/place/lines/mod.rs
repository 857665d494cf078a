//! The calls that wait for a thread, and whose turn it is.
//!
//! Each function that `in_pool` or `in_thread` makes has a **line**, for as long as calls of it wait: they begin in the
//! order in which they came. Lines take **turns**, one call each. So a stage with a high limit, which has
//! many calls waiting, does not hold up one with a low limit. A call can leave its line at any time, and the
//! last one takes the line with it, so nothing stays of calls or functions that are gone.

mod rings;
mod slab;

use std::iter;
use std::sync::{Mutex, PoisonError};

use self::rings::{Ring, Rings};
use self::slab::Key;
use super::call::Job;

#[derive(Default)]
pub(super) struct Queue {
    calls: Rings<Job>,
    lines: Rings<Line>,

    /// Lines with calls, the next one to have its turn first.
    turns: Ring,
}

/// The calls of one function, which are never none.
struct Line {
    calls: Ring,
}

/// Where a function's line was when it was used last. It may have gone meanwhile.
#[derive(Default)]
pub(super) struct LastLine(Mutex<Option<Key>>);

/// The place of a call in the queue.
pub(super) struct Ticket {
    line: Key,
    call: Key,
}

impl Queue {
    /// Adds a call to the line of its function.
    pub(super) fn push(&mut self, last_line: &LastLine, job: Job) -> Ticket {
        let mut last_line = last_line.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = match *last_line {
            Some(key) if self.lines.get_mut(key).is_some() => key,
            _none_or_gone => self.lines.push(&mut self.turns, Line { calls: Ring::default() }),
        };
        *last_line = Some(line);
        let calls = &mut self.lines.get_mut(line).expect("it was found or added").calls;
        Ticket { line, call: self.calls.push(calls, job) }
    }

    /// Takes the call that is to begin next.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let line = self.turns.first()?;
        let call = self.lines.get_mut(line)?.calls.first()?;
        self.lines.turn(&mut self.turns);
        self.remove(&Ticket { line, call })
    }

    /// Takes out a call, unless that was done.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> Option<Job> {
        let calls = &mut self.lines.get_mut(ticket.line)?.calls;
        let job = self.calls.remove(calls, ticket.call)?;
        if calls.first().is_none() {
            self.lines.remove(&mut self.turns, ticket.line);
        }
        Some(job)
    }

    /// Returns how many calls wait.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Takes all calls out, the next one first.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        iter::from_fn(|| self.pop()).collect()
    }
}
