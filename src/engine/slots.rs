//! Slots hold the running calls, and know which of them to poll next.
//!
//! Each slot is in exactly one place, and moves only as the arrows say:
//!
//! ```text
//!  vacant ──start──▶ polled ──pending──▶ idle ──wake──▶ woken ──collect──▶ queued ──next──▶ polled
//!     ▲                │ │ │                                                  ▲
//!     └───── over ─────┘ │ └────────── woken while it was polled ─────────────┤
//!                        └─ output ──▶ kept, until that is yielded ──────────┘
//! ```
//!
//! Vacant slots and queued ones form lists, linked through their signals. So does the stack of woken slots; `collect`
//! reverses it, so that the oldest wake comes first. An idle slot is in no list, and only a wake may list it. With a
//! semaphore, a call that yielded an output is paused, and continues when it has a permit again. With debug assertions
//! on, `Core::check` walks the lists after each turn.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_task::waker_ref;
use pin_project_lite::pin_project;

use super::admission::Hold;
use super::call::Step;
use super::cleanup::Cleanup;
use super::ready::{NONE, Signals, SlotSignal};
use super::spare;
use crate::sync::SPARE_SIGNALS;

/// The running calls of a stage.
pub(super) struct Slots<C> {
    slots: Vec<Pin<Box<Slot<C>>>>,

    /// The places of the calls in input order, by slot, if the stage needs them.
    places: Vec<usize>,

    /// What the calls have to release, by slot, if the limit is more than a number.
    holds: Vec<Option<Hold>>,

    /// The slots without a call, linked through their signals. The one that was vacated last, whose memory is warm, is
    /// used next.
    vacant: u32,

    /// The slots to poll, oldest wake first, linked through their signals.
    queue: Queue,

    /// The slot that is being polled, or [`NONE`]. It stays here if its call panics.
    polling: u32,
}

struct Queue {
    first: u32,

    /// Meaningless while the queue is empty.
    last: u32,
}

/// How many slots are allocated at once, at first: most pipelines that are created often have few calls.
const LIKELY: usize = 16;

/// The queued calls that this turn may poll, once each: up to this slot, or [`NONE`].
#[must_use]
pub(super) struct Due(u32);

pin_project! {
    #[project = SlotMut]
    /// Room for one call at a time. It is reused, so a call allocates nothing. There may be a million of these, so they
    /// are kept small.
    struct Slot<C> {
        #[pin]
        call: Option<C>,

        signal: Arc<SlotSignal>,
    }
}

impl<C> Slots<C> {
    /// Creates no slot yet: slots are created when first needed.
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            places: Vec::new(),
            holds: Vec::new(),
            vacant: NONE,
            queue: Queue { first: NONE, last: NONE },
            polling: NONE,
        }
    }

    /// Assigns a new call a slot, and [polls](Self::poll) it. Also returns the slot's index.
    #[inline(always)]
    pub(super) fn start<T>(
        &mut self,
        call: C,
        place: Option<usize>,
        signals: &Arc<Signals>,
        poll: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<Step<T>>,
    ) -> (u32, Poll<Step<T>>) {
        // `NONE` is no index, so one comparison covers both cases.
        if self.vacant as usize >= self.slots.len() {
            self.make(signals);
        }
        let index = self.vacant;
        if let Some(place) = place {
            self.set_place(index as usize, place);
        }
        let Self { slots, vacant, polling, .. } = self;
        let mut slot = slots[index as usize].as_mut().project();
        *vacant = slot.signal.next();
        *polling = index;
        // Last, so that the compiler knows at the poll what is in there.
        slot.call.set(Some(call));
        let (polled, woken) = slot.poll(index, vacant, poll);
        *polling = NONE;
        if woken {
            self.again(index, signals);
        }
        (index, polled)
    }

    /// Polls the call in a slot. If it has ended, it is dropped and its slot is vacant when this returns, and what it
    /// holds must still be [taken](Self::take_hold). If it is pending, its wakers take over. If it yielded an output
    /// and continues, it is in no list. If this panics, the call must still be [removed](Self::remove_panicked).
    #[inline(always)]
    pub(super) fn poll<T>(
        &mut self,
        index: u32,
        signals: &Signals,
        poll: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<Step<T>>,
    ) -> Poll<Step<T>> {
        let Self { slots, vacant, polling, .. } = self;
        let slot = slots[index as usize].as_mut().project();
        *polling = index;
        let (polled, woken) = slot.poll(index, vacant, poll);
        *polling = NONE;
        if woken {
            self.again(index, signals);
        }
        polled
    }

    /// Creates a vacant slot.
    #[cold]
    fn make(&mut self, signals: &Arc<Signals>) {
        let index = u32::try_from(self.slots.len()).ok().filter(|index| *index < NONE >> 1);
        let index = index.expect("two billion calls do not fit into any memory");
        if self.slots.is_empty() {
            self.slots.reserve(LIKELY);
        }
        let signal = spare::signal(signals.clone(), index);
        self.slots.push(Box::pin(Slot { call: None, signal }));
        self.vacant = index;
    }

    /// Drops a call that panicked and vacates its slot, if there is one. Returns its slot and its place.
    #[cold]
    pub(super) fn remove_panicked(&mut self) -> Option<(u32, usize)> {
        if self.polling == NONE {
            return None;
        }
        let index = mem::replace(&mut self.polling, NONE);
        let mut slot = self.slots[index as usize].as_mut().project();
        slot.end(index, &mut self.vacant);
        Some((index, self.place(index)))
    }

    /// Returns the call in a slot, if there is one.
    pub(super) fn call(&mut self, index: u32) -> Option<Pin<&mut C>> {
        self.slots[index as usize].as_mut().project().call.as_pin_mut()
    }

    /// Returns the running calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = &C> {
        self.slots.iter().filter_map(|slot| slot.call.as_ref())
    }

    /// Takes what the call in a slot has to release, or the last one that was there.
    pub(super) fn take_hold(&mut self, index: u32) -> Option<Hold> {
        self.hold(index)?.take()
    }

    /// Returns what the call in a slot has to release.
    pub(super) fn hold(&mut self, index: u32) -> Option<&mut Option<Hold>> {
        self.holds.get_mut(index as usize)
    }

    /// Assigns the next call to be [started](Self::start) its place, and what it has to release.
    #[inline]
    pub(super) fn prepare(&mut self, place: usize, hold: Hold, signals: &Arc<Signals>) {
        if self.vacant == NONE {
            self.make(signals);
        }
        let index = self.vacant as usize;
        if self.holds.len() < self.slots.len() {
            self.holds.resize_with(self.slots.len(), || None);
        }
        self.holds[index] = Some(hold);
        self.set_place(index, place);
    }

    #[inline]
    fn set_place(&mut self, index: usize, place: usize) {
        if self.places.len() < self.slots.len() {
            self.places.resize(self.slots.len(), 0);
        }
        self.places[index] = place;
    }

    /// Returns the slot and the place of a call that was [prepared](Self::prepare) but not started.
    #[cold]
    pub(super) fn prepared(&self) -> Option<(u32, usize)> {
        let hold = self.holds.get(self.vacant as usize)?;
        hold.as_ref().map(|_| (self.vacant, self.place(self.vacant)))
    }

    /// Returns the place in input order of the call in a slot, or of the last one that was there.
    #[inline]
    pub(super) fn place(&self, index: u32) -> usize {
        self.places.get(index as usize).copied().unwrap_or(0)
    }

    /// Queues a call for a later turn, without a wake, after all that have been woken so far.
    #[inline]
    pub(super) fn again(&mut self, index: u32, signals: &Signals) {
        self.collect(signals);
        self.signal(index).link(NONE);
        self.append(index, index);
    }

    /// Queues a call that waits, unless its wakers have done so.
    pub(super) fn wake(&mut self, index: u32, signals: &Signals) {
        if self.signal(index).claim() {
            self.again(index, signals);
        }
    }

    /// Returns whether there are calls to poll that no wake will announce.
    #[inline]
    pub(super) fn any_queued(&self) -> bool {
        self.queue.first != NONE
    }

    /// Queues what has been woken so far, oldest wake first, and returns all that is queued.
    #[inline]
    pub(super) fn due(&mut self, signals: &Signals) -> Due {
        self.collect(signals);
        Due(if self.any_queued() { self.queue.last } else { NONE })
    }

    /// Takes the next call that is due.
    #[inline]
    pub(super) fn next(&mut self, due: &mut Due) -> Option<u32> {
        if due.is_empty() {
            return None;
        }
        let index = self.queue.first;
        self.queue.first = self.signal(index).next();
        if index == due.0 {
            due.0 = NONE;
        }
        Some(index)
    }

    /// Queues what has been woken so far, oldest wake first.
    #[inline]
    fn collect(&mut self, signals: &Signals) {
        let newest = signals.take();
        if newest != NONE {
            // Reverse the stack: it links from the newest to the oldest.
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

    /// Appends a list to the queue.
    #[inline]
    fn append(&mut self, first: u32, last: u32) {
        if self.any_queued() {
            self.signal(self.queue.last).link(first);
        } else {
            self.queue.first = first;
        }
        self.queue.last = last;
    }

    /// Drops the calls at such places for good: their slots are not reused. Returns what they held.
    pub(super) fn cancel(
        &mut self,
        at: impl Fn(usize) -> bool,
        cleanup: &mut Cleanup,
    ) -> Vec<Hold> {
        let mut holds = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let mut slot = slot.as_mut().project();
            if slot.call.is_some() && at(self.places.get(index).copied().unwrap_or(0)) {
                cleanup.run(|| slot.call.set(None));
                holds.extend(self.holds.get_mut(index).and_then(Option::take));
            }
        }
        holds
    }

    /// Drops the call in a slot, if it has not ended, for good: the slot is not reused.
    pub(super) fn cancel_at(&mut self, index: u32, cleanup: &mut Cleanup) {
        cleanup.run(|| self.slots[index as usize].as_mut().project().call.set(None));
    }

    /// Returns whether there is a call in a slot.
    pub(super) fn is_running(&self, index: u32) -> bool {
        self.slots[index as usize].call.is_some()
    }

    #[inline]
    fn signal(&self, index: u32) -> &SlotSignal {
        &self.slots[index as usize].signal
    }

    /// Checks that a slot is in at most one list, and in the one where it belongs. Returns whether there are few enough
    /// slots to check them after each turn.
    #[cfg(debug_assertions)]
    pub(super) fn check(&self) -> bool {
        if self.slots.len() > CHECKED {
            return false;
        }
        let listed_at = |index: u32| Some(index).filter(|index| *index != NONE);
        let list = |first: u32| {
            std::iter::successors(listed_at(first), |index| listed_at(self.signal(*index).next()))
        };
        let mut listed = [false; CHECKED];
        for index in list(self.vacant) {
            assert!(!self.is_running(index), "a vacant slot has a call");
            assert!(!mem::replace(&mut listed[index as usize], true), "a slot is vacant twice");
        }
        for index in list(self.queue.first) {
            assert!(!mem::replace(&mut listed[index as usize], true), "a slot is listed twice");
        }
        assert!(list(self.queue.first).last().is_none_or(|index| index == self.queue.last));
        assert_eq!(self.polling, NONE, "no slot is being polled between turns");
        true
    }
}

/// How many slots are checked after each turn: more would take too long.
#[cfg(debug_assertions)]
const CHECKED: usize = 64;

impl<C> SlotMut<'_, C> {
    /// Polls the call. Also returns whether it was woken meanwhile and must be queued.
    #[inline(always)]
    fn poll<T>(
        mut self,
        index: u32,
        vacant: &mut u32,
        poll: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<Step<T>>,
    ) -> (Poll<Step<T>>, bool) {
        let Some(call) = self.call.as_mut().as_pin_mut() else {
            return (Poll::Pending, false); // It was cancelled after it was woken.
        };
        let wakes = self.signal.begin();
        let polled = poll(call, &mut Context::from_waker(&waker_ref(self.signal)));
        let woken = match polled {
            Poll::Pending => self.signal.end(wakes),
            Poll::Ready(Step::Output(_)) => false,
            Poll::Ready(Step::Last(_) | Step::End) => {
                self.end(index, vacant);
                false
            }
        };
        (polled, woken)
    }

    /// Drops the call, and vacates the slot.
    #[inline]
    fn end(&mut self, index: u32, vacant: &mut u32) {
        self.call.set(None);
        self.signal.link(*vacant);
        *vacant = index;
    }
}

impl<C> Drop for Slots<C> {
    fn drop(&mut self) {
        for slot in self.slots.drain(..).take(SPARE_SIGNALS) {
            let signal = slot.signal.clone();
            drop(slot);
            spare::keep(signal);
        }
    }
}

impl Due {
    pub(super) const NONE: Self = Self(NONE);

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0 == NONE
    }
}
