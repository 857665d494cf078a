//! When a stage may start a call.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use event_listener::{EventListener, Listener};

use crate::concurrency::Limit;
use crate::semaphore::{Permit, Room, Semaphore};

/// The limit of one stage.
#[derive(Debug)]
pub(super) struct Permits {
    /// How many calls may be in flight, if the stage counts them alone; otherwise zero, so that most
    /// often one comparison tells that there is room.
    private: usize,

    shared: Option<Share>,
}

/// The part of one stage in a semaphore.
#[derive(Debug)]
pub(super) struct Share {
    semaphore: Semaphore,

    /// Set while the stage waits: for what, and the listener for it.
    waiting: Option<(Room, EventListener)>,

    /// Whether the stage has let those that wait go first since it last took a permit.
    gave_way: bool,

    /// Whether it does so in this turn.
    gives_way: bool,
}

impl Permits {
    pub(super) fn new(limit: Limit) -> Self {
        match limit {
            Limit::Private(limit) => Self { private: limit, shared: None },
            Limit::Shared(semaphore) => {
                let waiting = None;
                let share = Share { semaphore, waiting, gave_way: false, gives_way: false };
                Self { private: 0, shared: Some(share) }
            }
        }
    }

    /// How many calls there can be in flight, as far as the stage knows.
    pub(super) fn most(&self) -> usize {
        if self.are_shared() { usize::MAX } else { self.private }
    }

    /// Begins a turn, in which way may be given to those that wait.
    #[inline]
    pub(super) fn begin_turn(&mut self) {
        if let Some(share) = &mut self.shared {
            share.gives_way = false;
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
            || self.shared.as_mut().is_some_and(|share| share.any_room(in_flight))
    }

    /// Takes the permit for a call, if there is one: it is empty where the stage counts alone.
    #[inline]
    pub(super) fn try_take(&mut self, cx: &mut Context<'_>) -> Option<Option<Permit>> {
        match &mut self.shared {
            None => Some(None),
            Some(share) => share.try_take(cx).map(Some),
        }
    }

    /// Tells whether a call needs a permit of a semaphore to run.
    #[inline]
    pub(super) fn are_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Tells whether there is room by now, by someone else's doing; has the task woken if not.
    pub(super) fn poll_room(&mut self, in_flight: usize, cx: &mut Context<'_>) -> bool {
        self.shared.as_mut().is_some_and(|share| share.poll_wait(in_flight, cx))
    }
}

impl Share {
    /// An item is pulled without a permit in hand, because the stages above may need it.
    fn any_room(&mut self, in_flight: usize) -> bool {
        let any = self.semaphore.room(in_flight) == Room::Some;
        if any {
            self.stop_waiting();
        }
        any
    }

    fn try_take(&mut self, cx: &mut Context<'_>) -> Option<Permit> {
        // Whoever waits was woken when the permit was given back. Without this, a stage that takes
        // it in the same turn would keep them out for ever.
        self.stop_waiting();
        if self.gives_way {
            return None;
        }
        if !self.gave_way && self.semaphore.is_awaited() {
            self.gave_way = true;
            self.gives_way = true;
            cx.waker().wake_by_ref();
            return None;
        }
        let permit = self.semaphore.try_acquire()?;
        self.gave_way = false;
        Some(permit)
    }

    /// Stops to wait. All that wait are told of a permit, so the news is not to be passed on, as
    /// dropping a listener would: to one that began to listen since, which would pass it on in turn.
    fn stop_waiting(&mut self) {
        if let Some((_, listener)) = self.waiting.take() {
            listener.discard();
        }
    }

    fn poll_wait(&mut self, in_flight: usize, cx: &mut Context<'_>) -> bool {
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

impl Drop for Share {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}
