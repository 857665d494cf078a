//! When a stage may start a call.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use event_listener::EventListener;

use crate::concurrency::Limit;
use crate::semaphore::{Permit, Semaphore};

/// The limit of one stage.
#[derive(Debug)]
pub(super) enum Permits {
    /// Counted by the stage alone.
    Private(usize),
    /// Counted by a semaphore, in which the stage takes part.
    Shared(Share),
}

/// The part of one stage in a semaphore.
#[derive(Debug)]
pub(super) struct Share {
    semaphore: Semaphore,

    /// Set while the stage waits for a permit to become free, or for a higher limit.
    listener: Option<EventListener>,

    /// Whether the stage has let those that wait go first since it last took a permit.
    gave_way: bool,
}

impl Permits {
    pub(super) fn new(limit: Limit) -> Self {
        match limit {
            Limit::Private(limit) => Self::Private(limit),
            Limit::Shared(semaphore) => {
                Self::Shared(Share { semaphore, listener: None, gave_way: false })
            }
        }
    }

    /// Tells whether there is room for one more item, with so many in flight.
    #[inline]
    pub(super) fn any_room(&self, in_flight: usize) -> bool {
        match self {
            Self::Private(limit) => in_flight < *limit,
            Self::Shared(share) => share.any_room(in_flight),
        }
    }

    /// Takes the permit for a call, if there is one: it is empty where the stage counts alone.
    #[inline]
    pub(super) fn try_take(&mut self, cx: &mut Context<'_>) -> Option<Option<Permit>> {
        match self {
            Self::Private(_) => Some(None),
            Self::Shared(share) => share.try_take(cx).map(Some),
        }
    }

    /// Waits until there is room, by someone else's doing, or a permit if that is all it takes.
    pub(super) fn poll_wait(
        &mut self,
        in_flight: usize,
        permit_only: bool,
        cx: &mut Context<'_>,
    ) -> bool {
        match self {
            Self::Private(_) => false,
            Self::Shared(share) => share.poll_wait(in_flight, permit_only, cx),
        }
    }
}

impl Share {
    /// An item is pulled without a permit in hand, because the stages above may need it.
    #[inline]
    fn any_room(&self, in_flight: usize) -> bool {
        in_flight < self.semaphore.limit() && self.semaphore.is_free()
    }

    #[inline]
    fn try_take(&mut self, cx: &mut Context<'_>) -> Option<Permit> {
        // Whoever waits was woken when the permit was given back. Without this, a stage that takes
        // it in the same turn would keep them out for ever.
        self.listener = None;
        if !self.gave_way && self.semaphore.is_awaited() {
            self.gave_way = true;
            cx.waker().wake_by_ref();
            return None;
        }
        let permit = self.semaphore.try_acquire()?;
        self.gave_way = false;
        Some(permit)
    }

    fn poll_wait(&mut self, in_flight: usize, permit_only: bool, cx: &mut Context<'_>) -> bool {
        loop {
            // Between listening and waiting, look once more.
            let listener = self.listener.get_or_insert_with(|| self.semaphore.listen());
            let done = if permit_only {
                self.semaphore.is_free()
            } else {
                in_flight < self.semaphore.limit() && self.semaphore.is_free()
            };
            if done {
                self.listener = None;
                return true;
            }
            if Pin::new(listener).poll(cx).is_pending() {
                return false;
            }
            self.listener = None;
        }
    }
}
