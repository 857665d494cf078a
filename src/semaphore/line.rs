//! Who has permits, and whose turn it is: first come, first served.
//!
//! - A user that cannot have permits at once draws a **ticket** and **waits**. Tickets are numbered as they are drawn.
//! - Permits that become free are **granted** to the first that waits, if they are enough for it, and it
//!   is woken. They are reserved from then on: nobody who asks before it is polled can have them.
//!   Nobody is woken without a grant.
//! - A user that asks for permits gets them if it has a grant, or if nobody that waits came before it and
//!   enough are free. So permits are taken in the order of the tickets.
//! - A user that cannot use its turn **steps aside**: its grant goes to the next, it no longer waits, and it
//!   keeps its ticket. When it asks again, it comes before all that drew theirs later.
//! - A stage that could only be polled by another one, which waits itself, is **passed over**: see
//!   [`Waiter::pass_over`](super::Waiter::pass_over). It keeps its ticket.
//! - A lower limit takes back grants that it has no room for, the last first. Whoever had one waits again.
//! - A user that asks for more permits than there are is served when all are free, and nothing runs beside it.
//!
//! While any wait, the first of them cannot be served: each change that could make room for it is followed
//! by grants for all that fit.
//!
//! # Once a round
//!
//! A stage asks for the next permit as soon as it has one, and an `acquire` in a loop only when its call
//! is over. In bare order of arrival the stage would have up to twice as much. So the tickets of one
//! waiter are a **round** apart: as many as there are users by now. Those are it itself, all that wait or
//! were granted permits, and all that hold some and ask for no others until they have given them back. In the
//! end everyone has the same share, and nobody is overtaken by more than one round of others.

use std::collections::BTreeMap;
use std::task::Waker;

/// A place in the line. Lower ones come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    number: u64,

    /// The order in which those of the same number were drawn.
    drawn: u64,
}

/// The permits of a semaphore, and all that wait for some.
pub(super) struct Line {
    limit: usize,

    /// How many permits are out.
    in_use: usize,

    /// How many permits are granted, and not taken yet.
    reserved: usize,

    granted: BTreeMap<Ticket, Grant>,

    /// How many grants were made.
    grants: u64,

    waiting: BTreeMap<Ticket, Waiting>,

    /// How many are counted by their permits.
    holders: usize,

    /// How many tickets were drawn.
    drawn: u64,
}

/// What stands for someone in a round.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountedBy {
    /// Its permits: it asks for no others until it has given them back.
    Permits,
    /// Its place in the line, where it waits for the next permits while it has some.
    Line,
}

/// What is reserved for someone who was woken.
struct Grant {
    permits: usize,

    /// Which of all grants it is.
    number: u64,
}

/// Someone who waits.
struct Waiting {
    permits: usize,
    waker: Waker,
}

/// What someone who waited left behind. It may run code that uses the semaphore when it is dropped, so it
/// has to outlive the lock.
#[must_use = "it is to be dropped after the lock"]
pub(super) struct Left {
    _waker: Option<Waker>,
}

impl Line {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            in_use: 0,
            reserved: 0,
            granted: BTreeMap::new(),
            grants: 0,
            waiting: BTreeMap::new(),
            holders: 0,
            drawn: 0,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Changes the limit. Grants for those that fit by now are still to be [made](Self::grant).
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        // A limit of 0 allows nothing, whatever it takes.
        while limit == 0 || self.in_use.saturating_add(self.reserved) > limit {
            let Some((ticket, Grant { permits, .. })) = self.granted.pop_last() else { break };
            self.reserved -= permits;
            // It was woken, and leaves its waker when it is polled.
            self.waiting.insert(ticket, Waiting { permits, waker: Waker::noop().clone() });
        }
    }

    /// Tells whether so many permits are free, whoever waits.
    fn any_free(&self, permits: usize) -> bool {
        let used = self.in_use.saturating_add(self.reserved);
        self.limit > 0 && (used == 0 || permits <= self.limit.saturating_sub(used))
    }

    /// Tells whether nobody that waits came before.
    fn is_first(&self, ticket: Option<Ticket>) -> bool {
        let first = self.waiting.first_key_value();
        first.is_none_or(|(first, _)| ticket.is_some_and(|ticket| ticket <= *first))
    }

    /// Takes permits, if it is the turn of who has the ticket, or none yet.
    ///
    /// If not, a grant for another number of permits is given up. Then grants for others may have to be
    /// [made](Self::grant).
    pub(super) fn take(
        &mut self,
        ticket: Option<Ticket>,
        permits: usize,
        counted_by: CountedBy,
    ) -> Option<Left> {
        let granted = ticket.and_then(|ticket| self.withdraw(ticket));
        if granted != Some(permits) && !(self.is_first(ticket) && self.any_free(permits)) {
            return None;
        }
        self.in_use += permits;
        self.holders += usize::from(counted_by == CountedBy::Permits);
        Some(self.forget(ticket))
    }

    /// Tells whether it is the turn of who has the ticket, or none yet.
    pub(super) fn is_turn(&self, ticket: Option<Ticket>, permits: usize) -> bool {
        ticket.is_some_and(|ticket| self.granted.contains_key(&ticket))
            || self.is_first(ticket) && self.any_free(permits)
    }

    /// Draws a ticket, a round after the `last` one of the same waiter.
    pub(super) fn draw(&mut self, last: Option<Ticket>) -> Ticket {
        self.drawn += 1;
        let round = 1 + (self.waiting.len() + self.granted.len() + self.holders) as u64;
        let earliest = last.map_or(0, |last| last.number.saturating_add(round));
        Ticket { number: earliest.max(self.drawn), drawn: self.drawn }
    }

    /// Has someone wait, whose turn it is not.
    pub(super) fn wait(&mut self, ticket: Ticket, permits: usize, waker: Waker) -> Left {
        debug_assert!(!self.is_turn(Some(ticket), permits), "it need not wait");
        let former = self.waiting.insert(ticket, Waiting { permits, waker });
        Left { _waker: former.map(|former| former.waker) }
    }

    /// Takes someone out of the line, and takes its grant back. Grants for others may have to be
    /// [made](Self::grant).
    pub(super) fn step_aside(&mut self, ticket: Ticket) -> Left {
        self.withdraw(ticket);
        self.forget(Some(ticket))
    }

    /// Takes permits back. Grants for those that fit by now are still to be [made](Self::grant).
    pub(super) fn give_back(&mut self, permits: usize, counted_by: CountedBy) {
        self.in_use -= permits;
        self.holders -= usize::from(counted_by == CountedBy::Permits);
    }

    /// Tells whether anyone waits.
    #[inline]
    pub(super) fn anyone_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Grants the first that waits its permits, if they are free. Returns whom to wake.
    pub(super) fn grant(&mut self) -> Option<(Ticket, Waker)> {
        let permits = self.waiting.first_key_value()?.1.permits;
        if !self.any_free(permits) {
            return None;
        }
        let (ticket, Waiting { permits, waker }) = self.waiting.pop_first()?;
        self.grants += 1;
        self.granted.insert(ticket, Grant { permits, number: self.grants });
        self.reserved += permits;
        Some((ticket, waker))
    }

    /// Takes a grant back, and returns what was granted.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<usize> {
        let Grant { permits, .. } = self.granted.remove(&ticket)?;
        self.reserved -= permits;
        Some(permits)
    }

    /// Returns how many grants were made so far.
    pub(super) fn grants(&self) -> u64 {
        self.grants
    }

    /// Returns who has not come for one of the first `count` grants.
    pub(super) fn overdue(&self, count: u64) -> Option<Ticket> {
        let mut overdue = self.granted.iter().filter(|(_, grant)| grant.number <= count);
        overdue.next().map(|(ticket, _)| *ticket)
    }

    fn forget(&mut self, ticket: Option<Ticket>) -> Left {
        let waiting = ticket.and_then(|ticket| self.waiting.remove(&ticket));
        Left { _waker: waiting.map(|waiting| waiting.waker) }
    }
}
