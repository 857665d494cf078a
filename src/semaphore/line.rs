//! Who has permits, and whose turn it is: first come, first served.
//!
//! - A user that cannot have permits at once draws a **ticket** and **waits**. Tickets are numbered as they are drawn.
//! - Permits that become free are **granted** to the first waiter, if they are enough for it, and it is woken. They
//!   are then reserved: nobody who asks before it is polled can have them. Nobody is woken without a grant.
//! - A user that asks for permits gets them if it has a grant, or if no waiter came before it and enough are
//!   free. So permits are taken in the order of the tickets.
//! - A user that cannot use its turn **steps aside**: its grant goes to the next, it no longer waits, and it keeps
//!   its ticket. When it asks again, it comes before all that drew theirs later.
//! - A stage that only another, waiting stage could poll is **passed over**: see
//!   [`Waiter::pass_over`](super::Waiter::pass_over). It keeps its ticket.
//! - Lowering the limit revokes grants that no longer fit, the last first. Their owners wait again.
//! - A user that asks for more permits than there are is served when all are free, and nothing runs beside it.
//!
//! While there are waiters, the first of them cannot be served: each change that could make room for it is followed
//! by grants for all that fit.
//!
//! # Once a round
//!
//! A stage asks for the next permit as soon as it has one, and an `acquire` in a loop only when its call
//! completes. In plain order of arrival the stage would get up to twice as much. So the tickets of one waiter are
//! at least a **round** apart, where a round is the current number of users. Those are the waiter itself, all
//! that wait or have a grant, and all that hold permits and ask for more only after they have released them. In
//! the end everyone gets the same share, and nobody is overtaken by more than one round of others.

use std::collections::BTreeMap;
use std::task::Waker;

/// A place in the line. Lower ones come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    number: u64,

    /// The order among tickets with the same number.
    drawn: u64,
}

/// The permits of a semaphore, and the users that wait for some.
pub(super) struct Line {
    limit: usize,

    /// How many permits are taken.
    in_use: usize,

    /// How many permits are granted but not yet taken.
    reserved: usize,

    granted: BTreeMap<Ticket, Grant>,

    /// How many grants have been made.
    grants: u64,

    waiting: BTreeMap<Ticket, Waiting>,

    /// How many users are counted by their permits.
    holders: usize,

    /// How many tickets have been drawn.
    drawn: u64,
}

/// How a user is counted in a round.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountedBy {
    /// By its permits: it asks for no others until it has released them.
    Permits,
    /// By its place in the line, where it waits for its next permits while it holds some.
    Line,
}

/// What is reserved for a user that was woken.
struct Grant {
    permits: usize,

    /// Its number among all grants.
    number: u64,
}

/// A user that waits.
struct Waiting {
    permits: usize,
    waker: Waker,
}

/// What a former waiter left behind. Dropping it may run code that uses the semaphore, so it has to outlive the
/// lock.
#[must_use = "it must be dropped after the lock"]
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

    /// Changes the limit. The caller must then [make](Self::grant) the grants that fit now.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        // A limit of 0 grants nothing, not even a request for 0 permits.
        while limit == 0 || self.in_use.saturating_add(self.reserved) > limit {
            let Some((ticket, Grant { permits, .. })) = self.granted.pop_last() else { break };
            self.reserved -= permits;
            // It has been woken, so it stores a new waker when it is polled.
            self.waiting.insert(ticket, Waiting { permits, waker: Waker::noop().clone() });
        }
    }

    /// Returns whether that many permits are free, regardless of waiters.
    fn any_free(&self, permits: usize) -> bool {
        let used = self.in_use.saturating_add(self.reserved);
        self.limit > 0 && (used == 0 || permits <= self.limit.saturating_sub(used))
    }

    /// Returns whether no waiter comes before `ticket`.
    fn is_first(&self, ticket: Option<Ticket>) -> bool {
        let first = self.waiting.first_key_value();
        first.is_none_or(|(first, _)| ticket.is_some_and(|ticket| ticket <= *first))
    }

    /// Takes permits, if it is the turn of the user with that ticket, or with none yet.
    ///
    /// If not, a grant for a different number of permits is given up. The caller may then have to
    /// [make](Self::grant) grants for others.
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

    /// Returns whether it is the turn of the user with that ticket, or with none yet.
    pub(super) fn is_turn(&self, ticket: Option<Ticket>, permits: usize) -> bool {
        ticket.is_some_and(|ticket| self.granted.contains_key(&ticket))
            || self.is_first(ticket) && self.any_free(permits)
    }

    /// Draws a ticket, at least a round after the `last` one of the same waiter.
    pub(super) fn draw(&mut self, last: Option<Ticket>) -> Ticket {
        self.drawn += 1;
        let round = 1 + (self.waiting.len() + self.granted.len() + self.holders) as u64;
        let earliest = last.map_or(0, |last| last.number.saturating_add(round));
        Ticket { number: earliest.max(self.drawn), drawn: self.drawn }
    }

    /// Makes a user wait whose turn it is not.
    pub(super) fn wait(&mut self, ticket: Ticket, permits: usize, waker: Waker) -> Left {
        debug_assert!(!self.is_turn(Some(ticket), permits), "it need not wait");
        let former = self.waiting.insert(ticket, Waiting { permits, waker });
        Left { _waker: former.map(|former| former.waker) }
    }

    /// Takes a user out of the line, and revokes its grant. The caller may then have to [make](Self::grant)
    /// grants for others.
    pub(super) fn step_aside(&mut self, ticket: Ticket) -> Left {
        self.withdraw(ticket);
        self.forget(Some(ticket))
    }

    /// Takes released permits back. The caller must then [make](Self::grant) the grants that fit now.
    pub(super) fn give_back(&mut self, permits: usize, counted_by: CountedBy) {
        self.in_use -= permits;
        self.holders -= usize::from(counted_by == CountedBy::Permits);
    }

    /// Returns whether anyone is waiting.
    #[inline]
    pub(super) fn anyone_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Grants the first waiter its permits, if they are free. Returns whom to wake.
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

    /// Revokes a grant, and returns what was granted.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<usize> {
        let Grant { permits, .. } = self.granted.remove(&ticket)?;
        self.reserved -= permits;
        Some(permits)
    }

    /// Returns how many grants have been made.
    pub(super) fn grants(&self) -> u64 {
        self.grants
    }

    /// Returns a user that has not claimed one of the first `count` grants.
    pub(super) fn overdue(&self, count: u64) -> Option<Ticket> {
        let mut overdue = self.granted.iter().filter(|(_, grant)| grant.number <= count);
        overdue.next().map(|(ticket, _)| *ticket)
    }

    fn forget(&mut self, ticket: Option<Ticket>) -> Left {
        let waiting = ticket.and_then(|ticket| self.waiting.remove(&ticket));
        Left { _waker: waiting.map(|waiting| waiting.waker) }
    }
}
