//! A user that takes permits one after the other, and waits in line for each.

use std::task::Waker;

use event_listener::EventListener;

use super::line::{CountedBy, Ticket};
use super::{Permit, Semaphore};

/// A user of a semaphore: a stage, or an [`acquire`](Semaphore::acquire).
///
/// It has one place in the line at a time. On drop it leaves the line, and its turn passes to the next.
pub(crate) struct Waiter {
    semaphore: Semaphore,
    counted_by: CountedBy,
    ticket: Option<Ticket>,

    /// The ticket of the last permits that it had to wait for.
    last: Option<Ticket>,

    patience: Option<Patience>,
}

/// How long a stage has waited for a grant to be claimed.
struct Patience {
    /// How many grants there were at the start.
    grants: u64,
    turns: u32,
}

/// How many of its own turns a stage waits for a grant to be claimed before it passes the grant's owner over.
/// Enough for an owner that is about to be polled on another thread.
const PATIENCE: u32 = 32;

impl Waiter {
    pub(crate) fn new(semaphore: Semaphore, counted_by: CountedBy) -> Self {
        Self { semaphore, counted_by, ticket: None, last: None, patience: None }
    }

    pub(super) fn semaphore(&self) -> &Semaphore {
        &self.semaphore
    }

    /// Returns how many permits there are.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.semaphore.limit()
    }

    /// Takes permits, if it is its turn.
    pub(crate) fn try_take(&mut self, permits: usize) -> Option<Permit> {
        let mut line = self.semaphore.shared.line();
        let left = line.take(self.ticket, permits, self.counted_by);
        let in_use = line.in_use();
        // Created first, so that it is released if waking someone panics.
        let mut permit = left.as_ref().map(|_| {
            self.last = self.ticket.take().or(self.last);
            Permit::new(self.semaphore.shared.clone(), permits, self.counted_by)
        });
        self.semaphore.shared.grant_all(line);
        drop(left);
        if let Some(permit) = &mut permit {
            permit.watch(in_use);
        }
        permit
    }

    /// Waits in line, to be woken when its turn comes. Returns false if it has come already.
    pub(crate) fn wait(&mut self, permits: usize, waker: &Waker) -> bool {
        // Cloned before locking, because cloning may run foreign code.
        let waker = waker.clone();
        let mut line = self.semaphore.shared.line();
        if line.is_turn(self.ticket, permits) {
            drop(line);
            return false;
        }
        let ticket = *self.ticket.get_or_insert_with(|| line.draw(self.last));
        // A new ticket may come before that of a waiter that asks for more permits than there are.
        if line.is_turn(Some(ticket), permits) {
            drop(line);
            return false;
        }
        let left = line.wait(ticket, permits, waker);
        drop(line);
        drop(left);
        true
    }

    /// Passes its turn to the next, and keeps its place for when it asks again.
    pub(crate) fn step_aside(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut line = self.semaphore.shared.line();
            let left = line.step_aside(ticket);
            self.semaphore.shared.grant_all(line);
            drop(left);
        }
    }

    /// Passes over a user that was granted permits and has not claimed them for many turns of this one. Perhaps
    /// only this one could poll that user. Returns whether to check again in the next turn.
    pub(crate) fn pass_over(&mut self) -> bool {
        let mut line = self.semaphore.shared.line();
        let grants = line.grants();
        let patience = self.patience.get_or_insert(Patience { grants, turns: 0 });
        let Some(ticket) = line.overdue(patience.grants) else {
            self.patience = None;
            return line.overdue(grants).is_some();
        };
        patience.turns += 1;
        if patience.turns > PATIENCE {
            self.patience = None;
            line.withdraw(ticket);
            self.semaphore.shared.grant_all(line);
        }
        true
    }

    /// Leaves the line.
    pub(crate) fn leave(&mut self) {
        self.step_aside();
        self.ticket = None;
    }

    /// Listens for a limit above `count`, unless it is above already.
    pub(crate) fn listen_above(&self, count: usize) -> Option<EventListener> {
        let listener = self.semaphore.shared.raised.listen();
        // Check once more after starting to listen, before waiting.
        (count >= self.semaphore.shared.line().limit()).then_some(listener)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.leave();
    }
}
