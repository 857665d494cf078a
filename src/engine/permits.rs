//! When a stage may start a call.
//!
//! - A call is **in flight** from when it is started until its last output was yielded. Room is: in flight
//!   below the limit.
//! - In input order a call without output stays in flight until its turn, so that places cannot pile up.
//! - With a **semaphore** there must be room under its limit as above, and a permit for each running
//!   call. An item is pulled when a permit seems free, *without* taking it, because a stage above may need
//!   the permit to produce the item. Should the permit be gone by then, the item is held, and the stage
//!   waits for a permit. A permit is given back after its call was dropped, and by an expansion whenever it
//!   gave an output: it **pauses**, and takes a permit again to go on.
//! - A stage takes no permit for an expansion while it has an output to yield. So when it yields it
//!   holds fewer permits than there are, and the stage below can have one.
//! - A permit given back goes to whoever asks first. A stage that takes one lets those that wait go first
//!   once: it wakes itself and tries again in its next turn. All that wait are woken by each permit, so one
//!   that stops to wait must not pass its wake on: to one that began to wait since, it would be a wake for
//!   nothing, passed on in turn.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use event_listener::{EventListener, Listener};

use crate::concurrency::Limit;
use crate::semaphore::{Permit, Room, Semaphore};

/// The limit of one stage.
pub(super) struct Permits<I> {
    /// How many calls may be in flight, if the stage counts them alone; otherwise zero, so that one
    /// comparison tells that there is room.
    private: usize,

    shared: Option<Box<Share<I>>>,
}

/// The part of one stage in a semaphore, with all that waits for a permit.
pub(super) struct Share<I> {
    semaphore: Semaphore,

    /// An item that was pulled and waits for a permit.
    pub(super) held: Option<I>,

    /// The slots of calls that go on after an output, and wait for a permit.
    pub(super) paused: VecDeque<u32>,

    /// Set while the stage waits: for what, and the listener for it.
    waiting: Option<(Room, EventListener)>,

    courtesy: Courtesy,
}

/// Whether a stage has let those that wait go first since it last took a permit.
#[derive(PartialEq)]
enum Courtesy {
    /// It has not.
    Owed,
    /// It does so in this turn.
    Giving,
    /// It has.
    Given,
}

impl<I> Permits<I> {
    pub(super) fn new(limit: Limit) -> Self {
        match limit {
            Limit::Private(limit) => Self { private: limit, shared: None },
            Limit::Shared(semaphore) => {
                let share = Share {
                    semaphore,
                    held: None,
                    paused: VecDeque::new(),
                    waiting: None,
                    courtesy: Courtesy::Owed,
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
    pub(super) fn any_room(&mut self, in_flight: usize) -> bool {
        self.any_private_room(in_flight)
            || self.shared.as_mut().is_some_and(|it| it.held.is_none() && it.any_room(in_flight))
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
    /// Begins a turn, in which way may be given to those that wait.
    pub(super) fn begin_turn(&mut self) {
        if self.courtesy == Courtesy::Giving {
            self.courtesy = Courtesy::Given;
        }
    }

    /// An item is pulled without a permit in hand, because the stages above may need it.
    pub(super) fn any_room(&mut self, in_flight: usize) -> bool {
        let any = self.semaphore.room(in_flight) == Room::Some;
        if any {
            self.stop_waiting();
        }
        any
    }

    /// Takes the permit for a call, if there is one.
    pub(super) fn try_take(&mut self, cx: &mut Context<'_>) -> Option<Permit> {
        // Whoever waits was woken when the permit was given back. Without this, a stage that takes
        // it in the same turn would keep them out for ever.
        self.stop_waiting();
        if self.courtesy == Courtesy::Owed && self.semaphore.is_awaited() {
            self.courtesy = Courtesy::Giving;
            cx.waker().wake_by_ref();
        }
        if self.courtesy == Courtesy::Giving {
            return None;
        }
        let permit = self.semaphore.try_acquire()?;
        self.courtesy = Courtesy::Owed;
        Some(permit)
    }

    /// Stops to wait. All that wait are told of a permit, so the news is not to be passed on, as
    /// dropping a listener would: to one that began to listen since, which would pass it on in turn.
    fn stop_waiting(&mut self) {
        if let Some((_, listener)) = self.waiting.take() {
            listener.discard();
        }
    }

    /// Tells whether what waits for a permit may have one by now, or whether there is room for an item
    /// if the stage wants some, by someone else's doing. Has the task woken if not.
    pub(super) fn poll_wait(
        &mut self,
        in_flight: usize,
        wants_room: bool,
        cx: &mut Context<'_>,
    ) -> bool {
        let wants_permit = self.held.is_some() || !self.paused.is_empty();
        if !wants_permit && !wants_room {
            return false;
        }
        let in_flight = if wants_permit { 0 } else { in_flight };
        loop {
            let room = self.semaphore.room(in_flight);
            match &mut self.waiting {
                Some((why, listener)) if *why == room => {
                    if Pin::new(listener).poll(cx).is_pending() {
                        return false;
                    }
                    self.waiting = None;
                }
                // Between listening and waiting, look once more.
                _ => {
                    self.stop_waiting();
                    self.waiting = self.semaphore.listen(room).map(|listener| (room, listener));
                    if self.waiting.is_none() {
                        return true;
                    }
                }
            }
        }
    }
}

impl<I> Drop for Share<I> {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}
