//! The parts of a turn for limits that are more than a number. All of it is out of line. For its invariants see
//! [`admission`](crate::engine::admission).

use std::panic::resume_unwind;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::Turn;
use crate::engine::Core;
use crate::engine::admission::{Admission, Freed, Held, Hold};
use crate::engine::call::{Call, Step};
use crate::engine::outputs::After;
use crate::engine::work::{Key, Work};
use crate::event::Event;

/// An item that is in flight, and about to start.
struct Admitted<I> {
    item: I,
    weight: usize,
    key: Option<Key>,
    place: usize,
}

impl<S, I, C, U, W, const PLAIN: bool> Turn<'_, S, I, C, U, W, PLAIN>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
    W: Work<I, Call = C>,
{
    #[cold]
    pub(super) fn begin_admitting(&mut self) {
        if !self.core.room.as_admission().is_some_and(Admission::is_simple) {
            self.keep_weights();
            // A call that panicked has left room.
            self.unblock();
        }
        self.resumable = self.core.room.as_admission().map_or(0, Admission::paused);
        // Paused calls take turns with those that were woken.
        if let Some(index) = self.resume() {
            self.core.slots.again(index, &self.core.poller.signals);
        }
    }

    /// Starts a call, if there is an item and all that it needs.
    #[inline(never)]
    pub(super) fn start_admitted(&mut self) -> Option<(u32, Poll<Step<U>>)> {
        loop {
            let next = if self.core.room.admission()?.any_held() {
                self.next_held()?
            } else {
                let item = self.pull()?;
                self.budget = self.budget.saturating_sub(1);
                let Some(value) = W::value(&item) else { return Some(self.begin_failed(item)) };
                let weight = self.work.weight(value);
                self.admit(item, weight)
            };
            let Some(Admitted { item, weight, key, place }) = next else {
                if self.budget > 0 && self.may_start() {
                    continue;
                }
                return None;
            };
            let Core { slots, room, poller, .. } = &mut *self.core;
            let admission = room.admission()?;
            let taken = admission.take(weight, key);
            let Ok(Some(hold)) = taken else {
                admission.hold(Held { item, weight, key, place: Some(place) });
                return taken.map_or_else(|panic| resume_unwind(panic), |_| None);
            };
            slots.prepare(place, hold, &poller.signals);
            self.work.tell(Event::Begins);
            let call = self.work.start(item);
            let Core { slots, poller, .. } = &mut *self.core;
            let started = slots.start(call, None, &poller.signals, C::poll);
            self.work.tell(Event::RunsIn(started.0));
            return Some(started);
        }
    }

    /// Returns whether there is an item that may start, or room to pull one.
    #[inline]
    pub(super) fn may_start(&mut self) -> bool {
        let Core { outputs, room, .. } = &mut *self.core;
        room.admission().is_some_and(|admission| {
            admission.keep_weights(outputs.queued());
            admission.may_start(outputs.in_window())
        })
    }

    /// Takes the next waiting item. `None` if it has to wait longer.
    #[cold]
    #[inline(never)]
    fn next_held(&mut self) -> Option<Option<Admitted<I>>> {
        let Held { item, weight, key, place } = self.core.room.admission()?.take_held()?;
        self.budget = self.budget.saturating_sub(1);
        match place {
            Some(place) => Some(Some(Admitted { item, weight, key, place })),
            None => {
                let admitted = self.admit(item, weight);
                let is_held = self.core.room.admission()?.any_held();
                if admitted.is_none() && is_held { None } else { Some(admitted) }
            }
        }
    }

    /// Takes an item into the window, unless it is held until it fits, or has to wait for its key.
    #[inline(always)]
    fn admit(&mut self, item: I, weight: usize) -> Option<Admitted<I>> {
        let admission = self.core.room.admission()?;
        if !admission.fits(weight) {
            admission.hold(Held { item, weight, key: None, place: None });
            return None;
        }
        let key = W::value(&item).and_then(|value| self.work.key(value));
        let Core { outputs, room, .. } = &mut *self.core;
        let admission = room.admission()?;
        admission.admit(weight);
        let place = outputs.begin();
        if let Some((key, parking)) = key.zip(admission.parking()) {
            if !parking.take_key(key) {
                parking.park(key, Held { item, weight, key: Some(key), place: Some(place) });
                return None;
            }
        }
        Some(Admitted { item, weight, key, place })
    }

    /// Forgets the weights of what has left the stage.
    pub(super) fn keep_weights(&mut self) {
        let Core { outputs, room, .. } = &mut *self.core;
        if let Some(admission) = room.admission() {
            admission.keep_weights(outputs.queued());
        }
    }

    /// Creates a call for an item that failed upstream. It ends at once.
    pub(super) fn begin_failed(&mut self, item: I) -> (u32, Poll<Step<U>>) {
        if let Some(admission) = self.core.room.admission() {
            admission.admit(0);
        }
        self.begin_call(item)
    }

    /// Releases what a call has that yielded an output or ended: the permit of an inner stream that continues, and
    /// everything of any other call. That may run foreign code.
    #[inline(never)]
    pub(super) fn free(&mut self, index: u32, call: After, waits: bool) {
        let Core { slots, room, .. } = &mut *self.core;
        let mut slot = slots.hold(index);
        if let Some(Some(hold)) = &mut slot {
            hold.end();
        }
        if let After::GoesOn(_) = call {
            drop(slot.and_then(|slot| slot.as_mut()?.permit.take()));
        } else if let Some(admission) = room.admission() {
            let hold = slot.and_then(Option::take);
            let Freed { permit, key } = admission.give_back(hold, waits);
            if let Some(key) = key {
                self.work.forget(key);
            }
            drop(permit);
        }
    }

    /// Returns whether what a call releases goes to others.
    #[inline]
    pub(super) fn shares(&mut self, index: u32) -> bool {
        let hold = self.core.slots.hold(index).and_then(|hold| hold.as_ref());
        hold.is_some_and(Hold::is_shared)
    }

    /// Takes the next paused call, if there is a permit with which it can continue.
    #[cold]
    pub(super) fn resume(&mut self) -> Option<u32> {
        // The downstream stage may need the permit for what it is about to get.
        if self.yields().is_some() {
            return None;
        }
        loop {
            self.resumable = self.resumable.checked_sub(1)?;
            let index = self.core.room.admission()?.first_paused()?;
            if !self.is_blocked(index) {
                break;
            }
            self.core.room.admission()?.skip_paused();
            self.block(index);
        }
        let Core { slots, room, .. } = &mut *self.core;
        let (index, permit) = room.admission()?.resume()?;
        if let Some(hold) = slots.hold(index)?.as_mut() {
            hold.permit = Some(permit);
        }
        Some(index)
    }

    /// Leaves its turn in the semaphore to others, because the stage may not be polled for long.
    #[inline(never)]
    pub(super) fn step_aside(&mut self) {
        if let Some(admission) = self.core.room.admission() {
            admission.step_aside();
        }
    }

    /// Waits for a permit, or for room. Returns whether there is no need to.
    #[inline(never)]
    pub(super) fn wait_for_permit(&mut self, cx: &mut Context<'_>) -> bool {
        let wants_room = !self.any_room() && !self.upstream.is_over();
        let in_window = self.core.outputs.in_window();
        let Core { room, poller, .. } = &mut *self.core;
        let is_stuck = self.upstream.is_stuck(&poller.signals);
        let admission = room.admission();
        admission.is_some_and(|admission| admission.poll_wait(in_window, wants_room, is_stuck, cx))
    }
}
