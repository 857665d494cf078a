//! Slots hold the running calls, and know which of them to poll next.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_task::waker_ref;

use super::call::{Call, Step};
use super::cleanup::Cleanup;
use super::ready::{NONE, Signals, SlotSignal};
use crate::semaphore::Permit;

/// The running calls of a stage.
pub(super) struct Slots<C> {
    slots: Vec<Slot<C>>,

    /// How many slots to make room for at first.
    likely: usize,

    /// What each slot has besides, where the stage needs that.
    extras: Option<Vec<Extra>>,

    /// How many slots have a call.
    running: usize,

    /// The slots without a call, linked through their signals; the one freed last, whose memory is
    /// warm, is used next.
    free: u32,

    /// The slots to poll, oldest wake first, linked through their signals.
    first: u32,

    /// The end of that list; means nothing while the list is empty.
    last: u32,

    /// The last slot of the list that may be polled in this turn, or [`NONE`].
    turn: u32,

    /// The slot that is being polled, or [`NONE`]. It stays here if its call panics.
    polling: u32,

    /// How often the call that is being polled was woken before.
    wakes: usize,
}

/// How many slots room is made for at once, at first: most pipelines that are set up often have few
/// calls.
const LIKELY: usize = 16;

/// Room for one call at a time. Box and signal are reused, so that a call allocates nothing. There may
/// be a million of these, so they are kept small.
struct Slot<C> {
    call: Pin<Box<Option<C>>>,
    signal: Arc<SlotSignal>,
}

/// What a slot of an ordered stage, or of one with a semaphore, has besides.
#[derive(Default)]
struct Extra {
    /// The permit of the semaphore, given back when the call is over.
    permit: Option<Permit>,

    /// The call's place in input order.
    place: usize,
}

impl<C: Call> Slots<C> {
    /// Makes no slot yet: they are made when first needed, up to `limit`. Calls have a place and a
    /// permit only where the stage `needs_extras`.
    pub(super) fn new(limit: usize, needs_extras: bool) -> Self {
        Self {
            slots: Vec::new(),
            likely: limit.min(LIKELY),
            extras: needs_extras.then(Vec::new),
            running: 0,
            free: NONE,
            first: NONE,
            last: NONE,
            turn: NONE,
            polling: NONE,
            wakes: 0,
        }
    }

    /// Polls a new call, made by `start`. It has a slot for now; one that
    /// is not over is to be [admitted](Self::admit), or it is dropped by the next new call.
    #[inline]
    pub(super) fn poll_new(
        &mut self,
        start: impl FnOnce() -> C,
        signals: &Arc<Signals>,
    ) -> Poll<Step<C::Output>> {
        let mut slot = self.free_slot(signals).as_mut();
        // First, so that the compiler may keep the call in registers until it waits.
        let wakes = slot.signal.begin();
        slot.set(start);
        let polled = slot.poll(C::poll);
        if !matches!(polled, Poll::Ready(Step::Over(_))) {
            self.wakes = wakes;
        }
        polled
    }

    /// Gives a call a slot, and queues it to be polled in a later turn.
    pub(super) fn put(&mut self, call: C, signals: &Arc<Signals>) {
        self.free_slot(signals).as_mut().set(|| call);
        let index = self.admit(None, 0);
        self.again(index, signals);
    }

    /// Returns the slot that the next new call gets.
    #[inline]
    fn free_slot(&mut self, signals: &Arc<Signals>) -> &mut Slot<C> {
        // `NONE` is no index, so one comparison does for both.
        if self.free as usize >= self.slots.len() {
            self.make(signals);
        }
        &mut self.slots[self.free as usize]
    }

    /// Returns the call in a slot, if there is one.
    pub(super) fn call(&mut self, index: u32) -> Option<Pin<&mut C>> {
        self.slots[index as usize].call.as_mut().as_pin_mut()
    }

    /// Tells whether no slot has a call.
    pub(super) fn is_empty(&self) -> bool {
        self.running == 0
    }

    /// Makes a slot, which is free.
    #[cold]
    fn make(&mut self, signals: &Arc<Signals>) {
        let index = u32::try_from(self.slots.len()).ok().filter(|index| *index < NONE >> 1);
        let index = index.expect("two billion calls do not fit into any memory");
        if self.slots.is_empty() {
            self.slots.reserve_exact(self.likely);
        }
        let signal = SlotSignal::new(signals.clone(), index);
        signal.link(self.free);
        self.slots.push(Slot { call: Box::pin(None), signal });
        if let Some(extras) = &mut self.extras {
            extras.push(Extra::default());
        }
        self.free = index;
    }

    /// Lets the call that was polled last as a new one keep its slot, and returns the slot's index.
    #[inline]
    pub(super) fn admit(&mut self, permit: Option<Permit>, place: usize) -> u32 {
        let index = self.free;
        self.free = self.signal(index).next();
        self.running += 1;
        if let Some(extras) = &mut self.extras {
            extras[index as usize] = Extra { permit, place };
        }
        index
    }

    /// Polls a call that [`next`](Self::next) returned. A call that is over, or that panicked, is
    /// dropped and its permit given back when this returns; the slot of one that panicked is freed
    /// [later](Self::free_panicked). One that is pending still has to [wait](Self::wait).
    #[inline]
    pub(super) fn poll(&mut self, index: u32) -> Poll<Step<C::Output>> {
        self.poll_by(index, C::poll)
    }

    /// The same, in another way than a call is usually polled.
    #[inline]
    pub(super) fn poll_by(
        &mut self,
        index: u32,
        poll: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<Step<C::Output>>,
    ) -> Poll<Step<C::Output>> {
        // Whatever happens, given back only after the call is gone.
        let permit = self.take_permit(index);
        self.polling = index;
        let slot = &mut self.slots[index as usize];
        self.wakes = slot.signal.begin();
        let polled = slot.as_mut().poll(poll);
        if let Poll::Ready(Step::Over(_)) = polled {
            // Before the return, which would leak the output if it panics. Then the slot is freed later.
            drop(permit);
            self.release(index);
        } else {
            self.resume(index, permit);
        }
        self.polling = NONE;
        polled
    }

    /// Frees a slot whose call is gone.
    #[inline]
    fn release(&mut self, index: u32) {
        self.signal(index).link(self.free);
        self.free = index;
        self.running -= 1;
    }

    /// Frees the slot of a call that panicked, if one did, and returns its index.
    pub(super) fn free_panicked(&mut self) -> Option<u32> {
        if !self.any_panicked() {
            return None;
        }
        let index = mem::replace(&mut self.polling, NONE);
        self.release(index);
        Some(index)
    }

    /// Leaves a call that was pending to its wakers. Returns whether they were heard meanwhile: if so
    /// it is queued.
    #[inline]
    pub(super) fn wait(&mut self, index: u32, signals: &Signals) -> bool {
        let woken = self.signal(index).end(self.wakes);
        if woken {
            self.again(index, signals);
        }
        woken
    }

    /// Takes the permit of a call that gave an output and pauses.
    #[inline]
    pub(super) fn take_permit(&mut self, index: u32) -> Option<Permit> {
        self.extras.as_mut()?[index as usize].permit.take()
    }

    /// Gives a call that paused the permit to go on. It is to be polled.
    #[inline]
    pub(super) fn resume(&mut self, index: u32, permit: Option<Permit>) {
        if let Some(extras) = &mut self.extras {
            extras[index as usize].permit = permit;
        }
    }

    /// Queues a call to be polled in a later turn, without a wake, after all that were woken so far.
    #[inline]
    pub(super) fn again(&mut self, index: u32, signals: &Signals) {
        self.collect(signals);
        self.signal(index).link(NONE);
        self.append(index, index);
    }

    /// Queues a call that [waits](Self::wait), unless its wakers did so.
    pub(super) fn wake(&mut self, index: u32, signals: &Signals) {
        if self.signal(index).claim() {
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
                let signal = self.signal(rest);
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
    fn append(&mut self, first: u32, last: u32) {
        if self.first == NONE {
            self.first = first;
        } else {
            self.signal(self.last).link(first);
        }
        self.last = last;
    }

    /// Takes the next call to poll in this turn.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u32> {
        if self.turn == NONE {
            return None;
        }
        let index = self.first;
        let signal = self.signal(index);
        self.first = signal.next();
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
    pub(super) fn is_running(&self, index: u32) -> bool {
        self.slots[index as usize].call.is_some()
    }

    /// Drops the calls at such places, for good: their slots are not used again.
    pub(super) fn cancel(&mut self, at: impl Fn(usize) -> bool, cleanup: &mut Cleanup) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let mut extra = self.extras.as_mut().map(|extras| &mut extras[index]);
            if slot.call.is_some() && at(extra.as_ref().map_or(0, |extra| extra.place)) {
                cleanup.run(|| slot.call.set(None));
                cleanup.run(|| drop(extra.take().and_then(|extra| extra.permit.take())));
            }
        }
    }

    /// Returns the place in input order of the call in a slot, or of the one that was there last.
    #[inline]
    pub(super) fn place(&self, index: u32) -> usize {
        self.extras.as_ref().map_or(0, |extras| extras[index as usize].place)
    }

    #[inline]
    fn signal(&self, index: u32) -> &SlotSignal {
        &self.slots[index as usize].signal
    }
}

impl<C> Slots<C> {
    /// Tells whether a call panicked whose slot is not free yet.
    #[inline]
    pub(super) fn any_panicked(&self) -> bool {
        self.polling != NONE
    }
}

impl<C> Slots<C> {
    /// Returns the running calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = &C> {
        self.slots.iter().filter_map(|slot| slot.call.as_ref().get_ref().as_ref())
    }
}

impl<C> fmt::Debug for Slots<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("made", &self.slots.len())
            .field("running", &self.running)
            .finish()
    }
}

impl<C: Call> Slot<C> {
    #[inline]
    fn as_mut(&mut self) -> SlotMut<'_, C> {
        SlotMut { call: self.call.as_mut(), signal: &self.signal }
    }
}

/// A slot with a hold on the place of its call, which is not looked up time and again.
struct SlotMut<'a, C> {
    call: Pin<&'a mut Option<C>>,
    signal: &'a Arc<SlotSignal>,
}

impl<C: Call> SlotMut<'_, C> {
    /// Puts a call in.
    #[inline]
    fn set(&mut self, start: impl FnOnce() -> C) {
        let call = start();
        self.call.set(Some(call));
    }

    /// Polls the call. One that is over, or that panicked, is dropped when this returns.
    #[inline]
    fn poll(
        self,
        poll: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<Step<C::Output>>,
    ) -> Poll<Step<C::Output>> {
        let mut running = Running { call: self.call, over: true };
        let call = running.call.as_mut().as_pin_mut();
        let mut call = call.expect("only a slot with a call is polled");
        let polled = poll(call.as_mut(), &mut Context::from_waker(&waker_ref(self.signal)));
        running.over = matches!(polled, Poll::Ready(Step::Over(_)));
        // Before the return, which would leak the output if the call panics as it is dropped.
        drop(running);
        polled
    }
}

/// A call while it is polled. Dropping this ends the call, so that a panic does too.
struct Running<'a, C> {
    call: Pin<&'a mut Option<C>>,
    over: bool,
}

impl<C> Drop for Running<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if self.over {
            self.call.set(None);
        }
    }
}
