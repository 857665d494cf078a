//! When a stage may start a call.
//!
//! - A call is **in flight** from when it is started until its last output was yielded. Room is: in flight
//!   below the limit.
//! - In input order a call without output stays in flight until its turn, so that places cannot pile up.
//! - With a **semaphore** there must be room under its limit as above, and a permit for each running
//!   call. An item is pulled without one, because a stage upstream may need the permit to produce the item;
//!   then the item is **held** until there is a permit for it. A permit is given back after its call was
//!   dropped, and by an inner stream whenever it yielded an output: it **pauses**, and takes a permit again to
//!   go on.
//! - A stage takes no permit for an inner stream while it has an output to yield. So when it yields it
//!   holds fewer permits than there are, and the stage downstream can have one.
//!
//! # Why turns are fair, and nothing deadlocks
//!
//! A stage waits in the semaphore's line only while
//!
//! 1. it has something to start **in hand**: a held item, or an inner stream that paused; and
//! 2. it is **pending**. A stage whose turn ended with an output may not be polled for long, so it steps
//!    aside until it is polled again. It keeps its place.
//!
//! So a stage that is granted a permit needs nobody else in order to use it. It was woken, its poller polls what was
//! woken, and the next turn takes the permit: a turn starts before it yields. Permits are out
//! for calls that run, which have all that they need and are polled, or are granted for a moment. So each
//! comes back, at any limit, however many stages of one pipeline share the semaphore. And as no stage
//! but one that can go on is ever before another, they are served in the order in which they asked.
//!
//! But a full stage does not poll all that is woken: not what an adaptor joins with a plain stream, once it has
//! kept an item of that. A stage in there could be granted a permit that it cannot take before the full
//! stage has one. So a stage that waits for a permit while its upstream was woken and cannot be let go on is
//! **stuck**. It asks to be polled again, and if a grant is still not taken after some turns, it has that passed
//! over.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use event_listener::{EventListener, Listener};

use crate::concurrency::Limit;
use crate::semaphore::{CountedBy, Permit, Waiter};

/// The limit of one stage.
pub(super) struct Permits<I> {
    /// How many calls may be in flight, if the stage counts them alone; otherwise zero, so that one
    /// comparison tells that there is room.
    private: usize,

    shared: Option<Box<Share<I>>>,
}

/// The part of one stage in a semaphore, with all that waits for a permit.
pub(super) struct Share<I> {
    waiter: Waiter,

    /// An item that was pulled and waits for a permit.
    pub(super) held: Option<I>,

    /// The slots of calls that go on after an output, and wait for a permit.
    pub(super) paused: VecDeque<u32>,

    /// Set while the stage has as many items as the limit allows, and waits for a higher one.
    raised: Option<EventListener>,
}

impl<I> Permits<I> {
    pub(super) fn new(limit: Limit) -> Self {
        match limit {
            Limit::Private(limit) => Self { private: limit, shared: None },
            Limit::Shared(semaphore) => {
                let share = Share {
                    waiter: Waiter::new(semaphore, CountedBy::Line),
                    held: None,
                    paused: VecDeque::new(),
                    raised: None,
                };
                Self { private: 0, shared: Some(Box::new(share)) }
            }
        }
    }

    /// Tells whether there is room by a limit that the stage counts alone.
    #[inline]
    pub(super) fn any_private_room(&self, in_flight: usize) -> bool {
        in_flight < self.private
    }

    /// Tells whether there is room for one more item, with so many in flight.
    #[inline]
    pub(super) fn any_room(&self, in_flight: usize) -> bool {
        self.any_private_room(in_flight)
            || self.shared.as_ref().is_some_and(|share| share.any_room(in_flight))
    }

    /// Tells whether an item waits for a permit.
    #[inline]
    pub(super) fn holds_item(&self) -> bool {
        self.shared.as_ref().is_some_and(|share| share.held.is_some())
    }

    /// The stage's part in a semaphore, if its calls need permits to run.
    #[inline]
    pub(super) fn shared(&mut self) -> Option<&mut Share<I>> {
        self.shared.as_deref_mut()
    }

    #[inline]
    pub(super) fn are_shared(&self) -> bool {
        self.shared.is_some()
    }
}

impl<I> Share<I> {
    /// Tells whether there is room for one more item, with so many in flight.
    #[inline(never)]
    pub(super) fn any_room(&self, in_flight: usize) -> bool {
        self.held.is_none() && in_flight < self.waiter.limit()
    }

    /// Takes the permit for a call, if it is the stage's turn.
    pub(super) fn try_take(&mut self) -> Option<Permit> {
        self.waiter.try_take(1)
    }

    /// Ends a turn that yields. Nobody may poll the stage for long.
    pub(super) fn step_aside(&mut self) {
        self.stop_listening();
        self.waiter.step_aside();
    }

    /// Ends a turn that does not. Waits for a permit, if there is anything to start with one, or for room,
    /// if the stage wants some. Returns whether there is no need to wait, or the stage is stuck.
    pub(super) fn poll_wait(
        &mut self,
        in_flight: usize,
        wants_room: bool,
        is_stuck: bool,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.held.is_some() || !self.paused.is_empty() {
            self.stop_listening();
            let waits = self.waiter.wait(1, cx.waker());
            return !waits || is_stuck && self.waiter.pass_over();
        }
        self.waiter.leave();
        if !wants_room {
            self.stop_listening();
            return false;
        }
        loop {
            match &mut self.raised {
                Some(listener) => {
                    if Pin::new(listener).poll(cx).is_pending() {
                        return false;
                    }
                    self.raised = None;
                }
                None => {
                    self.raised = self.waiter.listen_above(in_flight);
                    if self.raised.is_none() {
                        return true;
                    }
                }
            }
        }
    }

    /// Stops listening. All are told of a higher limit, so the news is not to be passed on, as dropping a
    /// listener would.
    fn stop_listening(&mut self) {
        if let Some(listener) = self.raised.take() {
            listener.discard();
        }
    }
}

impl<I> Drop for Share<I> {
    fn drop(&mut self) {
        self.stop_listening();
    }
}
