//! The completion-order channel: which slots were woken, oldest first.
//!
//! A wake pushes the slot's index onto a stack of indices, linked through the slots themselves, so
//! that nothing is ever allocated and any number of threads can push. The stage takes the whole
//! stack at once and turns it round, which gives the order of the wakes.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::sync::{AtomicU8, AtomicUsize, AtomicWaker, Ordering};

/// The index that stands for "no slot".
pub(super) const NONE: usize = usize::MAX;

/// What a stage shares with the wakers it hands out.
///
/// As a waker it is the one that the stage polls its upstream with.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The slot woken last, or [`NONE`]; each links to the one woken before it.
    newest: AtomicUsize,

    /// How often upstream was woken, ever. The stage only loads it.
    upstream_wakes: AtomicUsize,

    /// Whoever polls the stage, registered only when the stage is about to be left pending.
    poller: AtomicWaker,
}

impl Signals {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            newest: AtomicUsize::new(NONE),
            upstream_wakes: AtomicUsize::new(0),
            poller: AtomicWaker::new(),
        })
    }

    /// Returns how often upstream was woken so far.
    #[inline]
    pub(crate) fn upstream_wakes(&self) -> usize {
        self.upstream_wakes.load(Ordering::Acquire)
    }

    /// Asks for the next wake to go to `waker`. What happened before must be looked at once more.
    #[inline]
    pub(crate) fn register(&self, waker: &Waker) {
        self.poller.register(waker);
    }

    /// Tells whether a slot was woken that [`take`](Self::take) has not returned.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.newest.load(Ordering::Relaxed) != NONE
    }

    /// Takes the slots that were woken: returns the newest, or [`NONE`].
    #[inline]
    pub(super) fn take(&self) -> usize {
        // The common case must not pay for a read-modify-write.
        if self.any() { self.newest.swap(NONE, Ordering::Acquire) } else { NONE }
    }

    /// Forgets the poller, so that no waker outlives the stage it was registered by.
    pub(super) fn forget_poller(&self) {
        self.poller.take();
    }
}

impl Wake for Signals {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.upstream_wakes.fetch_add(1, Ordering::Release);
        self.poller.wake();
    }
}

/// Not queued, and a wake has to queue it.
const IDLE: u8 = 0;
/// Being polled, about to be polled again in any case, or without a call: a wake is noted only.
const POLLING: u8 = 1;
/// Woken: either queued, or woken while it was [`POLLING`].
const WOKEN: u8 = 2;

/// The signal of one slot, its waker for as long as the slot lives.
#[derive(Debug)]
pub(super) struct SlotSignal {
    signals: Arc<Signals>,
    index: usize,
    state: AtomicU8,

    /// The next index of the list this slot is in. Written by whoever queues the slot, so by one
    /// at a time: the wake that took the state from idle, or the stage.
    next: AtomicUsize,
}

impl SlotSignal {
    pub(super) fn new(signals: Arc<Signals>, index: usize) -> Arc<Self> {
        Arc::new(Self {
            signals,
            index,
            state: AtomicU8::new(POLLING),
            next: AtomicUsize::new(NONE),
        })
    }

    /// Begins the first poll of a new call. Whatever an earlier call's wakers said is void.
    #[inline]
    pub(super) fn begin(&self) {
        self.state.store(POLLING, Ordering::Relaxed);
    }

    /// Begins a poll of a call that was woken, or that goes on in any case.
    #[inline]
    pub(super) fn resume(&self) {
        // A wake has to happen before the poll that answers it, so it takes a read-modify-write
        // to read from it; without a wake there is nothing to read.
        if self.state.load(Ordering::Relaxed) != POLLING {
            self.state.swap(POLLING, Ordering::Acquire);
        }
    }

    /// Ends a poll that was pending. Returns whether the call was woken meanwhile: if so it is not
    /// queued, which is up to the caller.
    #[inline]
    pub(super) fn end(&self) -> bool {
        self.state.compare_exchange(POLLING, IDLE, Ordering::Release, Ordering::Relaxed).is_err()
    }

    /// Claims a slot that waits, so that no wake queues it. Returns whether none has.
    #[inline]
    pub(super) fn claim(&self) -> bool {
        self.state.compare_exchange(IDLE, POLLING, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(super) fn next(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// Links a queued slot of the stage's own list to the next one.
    #[inline]
    pub(super) fn link(&self, next: usize) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// Pushes the slot, which no list holds, and wakes the poller if it has to learn of it.
    fn push(&self) {
        let newest = &self.signals.newest;
        let mut before = newest.load(Ordering::Relaxed);
        loop {
            self.next.store(before, Ordering::Relaxed);
            match newest.compare_exchange_weak(
                before,
                self.index,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(actual) => before = actual,
            }
        }
        // Whoever pushed the first one wakes the poller, which then takes them all.
        if before == NONE {
            self.signals.poller.wake();
        }
    }
}

impl Wake for SlotSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == IDLE {
            self.push();
        }
    }
}
