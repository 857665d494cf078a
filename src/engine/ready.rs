//! The completion-order channel: which slots were woken, oldest first.
//!
//! A wake pushes the slot's index onto a stack of indices, linked through the slots themselves, so
//! that nothing is ever allocated and any number of threads can push. The stage takes the whole
//! stack at once and turns it round, which gives the order of the wakes.

use std::sync::Arc;
use std::task::{Wake, Waker};

use futures_task::ArcWake;

use crate::sync::{AtomicU32, AtomicUsize, AtomicWaker, MANY_WAKES, Ordering};

/// The index that stands for "no slot".
pub(super) const NONE: u32 = u32::MAX;

/// What a stage shares with the wakers it hands out.
///
/// As a waker it is the one that the stage polls its upstream with.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The slot woken last, or [`NONE`]; each links to the one woken before it.
    newest: AtomicU32,

    /// How often upstream was woken, ever. The stage only loads it.
    upstream_wakes: AtomicUsize,

    /// Whoever polls the stage, registered only when the stage is about to be left pending.
    poller: AtomicWaker,
}

impl Signals {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            newest: AtomicU32::new(NONE),
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
    pub(super) fn take(&self) -> u32 {
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

/// The call waits, in no list, and a wake has to queue it. Otherwise its slot is queued, being polled,
/// about to be polled again in any case, or without a call: there a wake is counted only.
const IDLE: usize = 0;

/// The signal of one slot, its waker for as long as the slot lives.
#[derive(Debug)]
pub(super) struct SlotSignal {
    signals: Arc<Signals>,
    index: u32,

    /// How often the slot was woken since it was last idle, or [`IDLE`].
    wakes: AtomicUsize,

    /// The next index of the list this slot is in, of those to poll or of those that are free.
    /// Written by whoever lists the slot, so by one at a time: the wake that took the state from
    /// idle, or the stage.
    next: AtomicU32,
}

impl SlotSignal {
    pub(super) fn new(signals: Arc<Signals>, index: u32) -> Arc<Self> {
        Arc::new(Self {
            signals,
            index,
            wakes: AtomicUsize::new(IDLE + 1),
            next: AtomicU32::new(NONE),
        })
    }

    /// Begins a poll, of a call that is not idle. Returns how often it was woken before: what those
    /// wakes announce is seen by the poll, all others make its [end](Self::end) fail.
    #[inline]
    pub(super) fn begin(&self) -> usize {
        // Reads from the last of those wakes, and so synchronizes with all of them: each is a
        // read-modify-write, and continues what the ones before have released.
        self.wakes.load(Ordering::Acquire)
    }

    /// Ends a poll that was pending, and that [began](Self::begin) after so many wakes. Returns
    /// whether the call was woken meanwhile: if so it is not queued, which is up to the caller.
    #[inline]
    pub(super) fn end(&self, wakes: usize) -> bool {
        self.wakes.compare_exchange(wakes, IDLE, Ordering::Release, Ordering::Relaxed).is_err()
    }

    /// Claims a slot that waits, so that no wake queues it. Returns whether none has.
    #[inline]
    pub(super) fn claim(&self) -> bool {
        let claimed = IDLE + 1;
        self.wakes.compare_exchange(IDLE, claimed, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(super) fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Links a slot of one of the stage's own lists to the next one.
    #[inline]
    pub(super) fn link(&self, next: u32) {
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

/// Other than a [`Wake`], it can be polled with without a [`Waker`] that is kept beside it.
impl ArcWake for SlotSignal {
    fn wake_by_ref(this: &Arc<Self>) {
        let before = if this.wakes.load(Ordering::Relaxed) < MANY_WAKES {
            this.wakes.fetch_add(1, Ordering::AcqRel)
        } else {
            this.wakes.swap(IDLE + 1, Ordering::AcqRel)
        };
        if before == IDLE {
            this.push();
        }
    }
}
