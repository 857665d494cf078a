//! Slots hold the running calls, and know which of them to poll next.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::call::{Call, Step};
use super::ready::{NONE, Signals, SlotSignal};
use crate::semaphore::Permit;

/// The running calls of a stage.
pub(super) struct Slots<C> {
    slots: Vec<Slot<C>>,

    /// The slots without a call; the one freed last, whose memory is warm, is used next.
    free: Vec<usize>,

    /// The slots to poll, oldest wake first, linked through their signals.
    first: usize,

    /// The end of that list; means nothing while the list is empty.
    last: usize,

    /// The last slot of the list that may be polled in this turn, or [`NONE`].
    turn: usize,
}

/// Room for one call at a time. Box and waker are reused, so that a call allocates nothing.
struct Slot<C> {
    call: Pin<Box<Option<C>>>,

    /// The permit of the semaphore, if the stage has one, given back when the call is over.
    permit: Option<Permit>,

    /// The call's place in input order.
    place: usize,

    signal: Arc<SlotSignal>,

    /// The same as `signal`, ready to be polled with.
    waker: Waker,
}

impl<C: Call> Slots<C> {
    /// Makes no slot yet: they are made when first needed.
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), first: NONE, last: NONE, turn: NONE }
    }

    /// Puts a call into a slot and returns the slot's index. The call is to be polled at once.
    pub(super) fn insert(
        &mut self,
        call: C,
        permit: Option<Permit>,
        place: usize,
        signals: &Arc<Signals>,
    ) -> usize {
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index].call.set(Some(call));
                index
            }
            None => {
                let index = self.slots.len();
                let signal = SlotSignal::new(signals.clone(), index);
                self.slots.push(Slot {
                    call: Box::pin(Some(call)),
                    permit: None,
                    place,
                    waker: Waker::from(signal.clone()),
                    signal,
                });
                index
            }
        };
        let slot = &mut self.slots[index];
        slot.permit = permit;
        slot.place = place;
        slot.signal.begin();
        index
    }

    /// Polls a call that [`insert`](Self::insert) or [`next`](Self::next) returned. A call that is
    /// over, or that panicked, is dropped and its slot and permit are free when this returns.
    ///
    /// A call that gave an output and goes on is in no list until [`again`](Self::again).
    pub(super) fn poll(&mut self, index: usize) -> Poll<Step<C::Output>> {
        let mut running = Running { slots: self, index, over: true };
        let slot = &mut running.slots.slots[index];
        let call = slot.call.as_mut().as_pin_mut();
        let call = call.expect("only a slot with a call is polled");
        let polled = call.poll(&mut Context::from_waker(&slot.waker));
        match polled {
            Poll::Pending => {
                running.over = false;
                if slot.signal.end() {
                    running.slots.again(index);
                }
            }
            Poll::Ready(Step::Output(_)) => running.over = false,
            Poll::Ready(Step::Over(_)) => {}
        }
        polled
    }

    /// Queues a call to be polled in a later turn, without a wake.
    pub(super) fn again(&mut self, index: usize) {
        self.slots[index].signal.link(NONE);
        if self.first == NONE {
            self.first = index;
        } else {
            self.slots[self.last].signal.link(index);
        }
        self.last = index;
    }

    /// Begins a turn: what was woken so far can be polled, once each.
    pub(super) fn begin_turn(&mut self, signals: &Signals) {
        let mut newest = signals.take();
        if newest != NONE {
            // Turn the stack round: it links from the newest to the oldest.
            let last = newest;
            let mut oldest = NONE;
            while newest != NONE {
                let signal = &self.slots[newest].signal;
                let older = signal.next();
                signal.link(oldest);
                oldest = newest;
                newest = older;
            }
            if self.first == NONE {
                self.first = oldest;
            } else {
                self.slots[self.last].signal.link(oldest);
            }
            self.last = last;
        }
        self.turn = if self.first == NONE { NONE } else { self.last };
    }

    /// Takes the next call to poll in this turn.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.turn == NONE {
            return None;
        }
        let index = self.first;
        let signal = &self.slots[index].signal;
        self.first = signal.next();
        signal.resume();
        if index == self.turn {
            self.turn = NONE;
        }
        Some(index)
    }

    /// Tells whether calls wait for a later turn that no wake will announce.
    pub(super) fn any_queued(&self) -> bool {
        self.first != NONE
    }

    /// Returns the place in input order of the call in a slot, or of the one that was there last.
    pub(super) fn place(&self, index: usize) -> usize {
        self.slots[index].place
    }

    /// Returns the running calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = &C> {
        self.slots.iter().filter_map(|slot| slot.call.as_ref().get_ref().as_ref())
    }
}

impl<C> fmt::Debug for Slots<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("made", &self.slots.len())
            .field("free", &self.free.len())
            .finish()
    }
}

/// A call while it is polled. Dropping this ends the call, so that a panic does too.
struct Running<'a, C> {
    slots: &'a mut Slots<C>,
    index: usize,
    over: bool,
}

impl<C> Drop for Running<'_, C> {
    fn drop(&mut self) {
        if self.over {
            // The call is dropped last, because that runs the user's code, which may panic.
            let slot = &mut self.slots.slots[self.index];
            let _permit = slot.permit.take();
            self.slots.free.push(self.index);
            slot.call.set(None);
        }
    }
}
