//! Slots hold the running calls, and know which of them to poll next.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::call::{Call, Step};
use super::cleanup::Cleanup;
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

    /// Polls a new call. It has a slot for now; one that is not over is to be
    /// [admitted](Self::admit), or it is dropped by the next new call.
    #[inline]
    pub(super) fn poll_new(&mut self, call: C, signals: &Arc<Signals>) -> Poll<Step<C::Output>> {
        let index = match self.free.last() {
            Some(&index) => index,
            None => self.make(signals),
        };
        let slot = &mut self.slots[index];
        slot.signal.begin();
        slot.call.set(Some(call));
        let mut running = Running { call: slot.call.as_mut(), over: true };
        let polled = running.poll_by(&slot.waker, C::poll);
        running.over = matches!(polled, Poll::Ready(Step::Over(_)));
        // Before the return, which would leak the output if the call panics as it is dropped.
        drop(running);
        polled
    }

    /// Gives a call a slot, and queues it to be polled in a later turn.
    pub(super) fn put(&mut self, call: C, signals: &Arc<Signals>) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.make(signals);
            self.free.pop().expect("it was made")
        });
        let slot = &mut self.slots[index];
        slot.signal.begin();
        slot.call.set(Some(call));
        self.again(index, signals);
    }

    /// Returns the call in a slot, if there is one.
    pub(super) fn call(&mut self, index: usize) -> Option<Pin<&mut C>> {
        self.slots[index].call.as_mut().as_pin_mut()
    }

    /// Tells whether no slot has a call.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Makes a slot and returns its index.
    #[cold]
    fn make(&mut self, signals: &Arc<Signals>) -> usize {
        let index = self.slots.len();
        let signal = SlotSignal::new(signals.clone(), index);
        self.slots.push(Slot {
            call: Box::pin(None),
            permit: None,
            place: 0,
            waker: Waker::from(signal.clone()),
            signal,
        });
        self.free.push(index);
        index
    }

    /// Lets the call that was polled last as a new one keep its slot, and returns the slot's index.
    pub(super) fn admit(&mut self, permit: Option<Permit>, place: usize) -> usize {
        let index = self.free.pop().expect("a new call has a slot");
        let slot = &mut self.slots[index];
        slot.permit = permit;
        slot.place = place;
        index
    }

    /// Polls a call that [`next`](Self::next) returned. A call that is over, or that panicked, is
    /// dropped and its slot and permit are free when this returns. One that is pending still has
    /// to [wait](Self::wait).
    #[inline]
    pub(super) fn poll(&mut self, index: usize) -> Poll<Step<C::Output>> {
        self.poll_by(index, C::poll)
    }

    /// The same, in another way than a call is usually polled.
    #[inline]
    pub(super) fn poll_by(
        &mut self,
        index: usize,
        poll: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<Step<C::Output>>,
    ) -> Poll<Step<C::Output>> {
        let slot = &mut self.slots[index];
        // Whatever happens, given back only after the call is gone.
        let permit = slot.permit.take();
        self.free.push(index);
        let mut running = Running { call: slot.call.as_mut(), over: true };
        let polled = running.poll_by(&slot.waker, poll);
        if !matches!(polled, Poll::Ready(Step::Over(_))) {
            running.over = false;
            slot.permit = permit;
            self.free.pop();
        } else {
            // Before the return, which would leak the output if one of them panics.
            drop(running);
            drop(permit);
        }
        polled
    }

    /// Leaves a call that was pending to its wakers. It is queued if they were heard meanwhile.
    #[inline]
    pub(super) fn wait(&mut self, index: usize, signals: &Signals) {
        if self.slots[index].signal.end() {
            self.again(index, signals);
        }
    }

    /// Takes the permit of a call that gave an output and pauses.
    pub(super) fn take_permit(&mut self, index: usize) -> Option<Permit> {
        self.slots[index].permit.take()
    }

    /// Gives a call that paused the permit to go on. It is to be polled.
    pub(super) fn resume(&mut self, index: usize, permit: Option<Permit>) {
        let slot = &mut self.slots[index];
        slot.permit = permit;
        slot.signal.resume();
    }

    /// Queues a call to be polled in a later turn, without a wake, after all that were woken so far.
    #[inline]
    pub(super) fn again(&mut self, index: usize, signals: &Signals) {
        self.collect(signals);
        self.slots[index].signal.link(NONE);
        self.append(index, index);
    }

    /// Queues a call that [waits](Self::wait), unless its wakers did so.
    pub(super) fn wake(&mut self, index: usize, signals: &Signals) {
        if self.slots[index].signal.claim() {
            self.again(index, signals);
        }
    }

    /// Tells whether calls are to be polled.
    #[inline]
    pub(super) fn any_due(&self, signals: &Signals) -> bool {
        self.any_queued() || signals.any()
    }

    /// Begins a turn: what was woken so far can be polled, once each.
    pub(super) fn begin_turn(&mut self, signals: &Signals) {
        self.collect(signals);
        self.turn = if self.first == NONE { NONE } else { self.last };
    }

    /// Queues what was woken, oldest wake first.
    #[inline]
    fn collect(&mut self, signals: &Signals) {
        let newest = signals.take();
        if newest != NONE {
            // Turn the stack round: it links from the newest to the oldest.
            let (mut rest, mut oldest) = (newest, NONE);
            while rest != NONE {
                let signal = &self.slots[rest].signal;
                let older = signal.next();
                signal.link(oldest);
                oldest = rest;
                rest = older;
            }
            self.append(oldest, newest);
        }
    }

    /// Appends a list to the one of slots to poll.
    #[inline]
    fn append(&mut self, first: usize, last: usize) {
        if self.first == NONE {
            self.first = first;
        } else {
            self.slots[self.last].signal.link(first);
        }
        self.last = last;
    }

    /// Takes the next call to poll in this turn.
    #[inline]
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
    #[inline]
    pub(super) fn any_queued(&self) -> bool {
        self.first != NONE
    }

    /// Tells whether there is a call in a slot.
    #[inline]
    pub(super) fn is_running(&self, index: usize) -> bool {
        self.slots[index].call.is_some()
    }

    /// Drops the calls at such places, for good: their slots are not used again.
    pub(super) fn cancel(&mut self, at: impl Fn(usize) -> bool, cleanup: &mut Cleanup) {
        for slot in self.slots.iter_mut().filter(|slot| slot.call.is_some() && at(slot.place)) {
            cleanup.run(|| slot.call.set(None));
            cleanup.run(|| slot.permit = None);
        }
    }

    /// Returns the place in input order of the call in a slot, or of the one that was there last.
    #[inline]
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
    call: Pin<&'a mut Option<C>>,
    over: bool,
}

impl<C: Call> Running<'_, C> {
    #[inline]
    fn poll_by(
        &mut self,
        waker: &Waker,
        poll: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<Step<C::Output>>,
    ) -> Poll<Step<C::Output>> {
        let call = self.call.as_mut().as_pin_mut();
        let call = call.expect("only a slot with a call is polled");
        poll(call, &mut Context::from_waker(waker))
    }
}

impl<C> Drop for Running<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if self.over {
            self.call.set(None);
        }
    }
}
