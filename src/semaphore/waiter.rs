//! Someone who takes permits one after the other, and waits in line for each.

use std::task::Waker;

use event_listener::EventListener;

use super::line::{CountedBy, Ticket};
use super::{Permit, Semaphore};

/// One that takes part in a semaphore: a stage, or an [`acquire`](Semaphore::acquire).
///
/// It has one place in the line at a time. Dropped, it leaves the line, and its turn goes to the next.
pub(crate) struct Waiter {
    semaphore: Semaphore,
    counted_by: CountedBy,
    ticket: Option<Ticket>,

    /// The ticket of the permits that it took last, if it had to wait for them.
    last: Option<Ticket>,

    patience: Option<Patience>,
}

/// How long a stage has waited for a grant to be taken.
struct Patience {
    /// How many grants there were when it began.
    grants: u64,
    turns: u32,
}

/// For how many turns of its own a stage waits for a grant to be taken, until it is passed over: enough for one
/// that is about to be polled on another thread.
const PATIENCE: u32 = 32;

impl Waiter {
    pub(crate) fn new(semaphore: Semaphore, counted_by: CountedBy) -> Self {
        Self { semaphore, counted_by, ticket: None, last: None, patience: None }
    }

    pub(super) fn semaphore(&self) -> &Semaphore {
        &self.semaphore
    }

    /// How many permits there are.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.semaphore.limit()
    }

    /// Takes permits, if it is its turn.
    pub(crate) fn try_take(&mut self, permits: usize) -> Option<Permit> {
        let mut line = self.semaphore.shared.line();
        let left = line.take(self.ticket, permits, self.counted_by);
        let in_use = line.in_use();
        // Made first, so that it is given back if someone who is woken panics.
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

    /// Waits in line, to be woken when it is its turn. Returns false if it is by now.
    pub(crate) fn wait(&mut self, permits: usize, waker: &Waker) -> bool {
        // Before the lock, because it may run others' code.
        let waker = waker.clone();
        let mut line = self.semaphore.shared.line();
        if line.is_turn(self.ticket, permits) {
            drop(line);
            return false;
        }
        let ticket = *self.ticket.get_or_insert_with(|| line.draw(self.last));
        // A new ticket may come before that of someone who waits for more than there are.
        if line.is_turn(Some(ticket), permits) {
            drop(line);
            return false;
        }
        let left = line.wait(ticket, permits, waker);
        drop(line);
        drop(left);
        true
    }

    /// Gives its turn on to the next, and keeps its place for when it asks again.
    pub(crate) fn step_aside(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut line = self.semaphore.shared.line();
            let left = line.step_aside(ticket);
            self.semaphore.shared.grant_all(line);
            drop(left);
        }
    }

    /// Passes over whoever was granted permits and does not take them, turn after turn of this one: perhaps only
    /// this one could poll it. Returns whether to look again in the next turn.
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

    /// Listens for a limit above `count`, unless it is by now.
    pub(crate) fn listen_above(&self, count: usize) -> Option<EventListener> {
        let listener = self.semaphore.shared.raised.listen();
        // Between listening and waiting, look once more.
        (count >= self.semaphore.shared.line().limit()).then_some(listener)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.leave();
    }
}
