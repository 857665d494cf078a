//! The completion-order channel: which slots were woken, oldest first.
//!
//! A wake pushes the slot's index onto a stack of indices, linked through the slots themselves. So nothing is ever
//! allocated, and any number of threads can push. The stage takes the whole stack at once and reverses it, which yields
//! the order of the wakes.
//!
//! While the stage waits, a bit beside the stack says so. Whoever pushes a slot or wakes upstream sets the bit and
//! wakes the stage; all others know that they need not.
//!
//! # Who wakes whom
//!
//! - A **slot's waker** (`SlotSignal`) counts the wake. If the slot was idle, meaning that the count was zero, it
//!   pushes the slot's index onto the stack in `Signals`, and if the stage waits, wakes the stage's poller. A wake
//!   while the slot is being polled only adds to the count. The poll sees that when it ends, and queues the slot for
//!   the next turn.
//! - **Upstream** is polled with the stage's own waker (`Signals`), which counts the wake, and if the stage waits,
//!   wakes the stage's poller.
//! - The **poller** is whatever polled the stage last: a task, another stage's `Signals`, a slot of an outer pipeline.
//!   Its waker is kept under a lock, which is taken only to replace the waker and to wake it. Whether the stage
//!   **waits** is a bit beside the stack: the stage clears it when it is about to return `Pending`, and a wake that
//!   sets it again wakes the poller.
//! - A **semaphore** wakes the poller directly, with the waker that the stage leaves in its line while it waits.
//!
//! # Why no wake is lost
//!
//! - *Stack and poller*: the bit is in the same atomic as the stack, and both sides read and write it in one operation.
//!   A push or an upstream wake that comes after the stage cleared the bit finds it clear, and wakes the poller. One
//!   that came before is seen when the stage checks once more. The bit is cleared even where it seems clear already,
//!   because a waker need not make anything visible to the poll that answers it.
//! - *Another poller*: the stage stores its waker before it checks once more. A wake that took the previous waker has
//!   released the lock by then, so that check sees it.
//! - *Slot's count*: a poll loads the count when it begins, and if pending ends by exchanging exactly that count for
//!   zero. So it sees what happened before each wake that it loaded (they are read-modify-writes, so one load
//!   synchronizes with all of them). Any other wake makes the exchange fail or, if it comes later, finds zero. The
//!   count starts over before it can overflow, and not at zero.
//! - *A stale waker* of an earlier call in the slot wakes the present call: one wake too many, never one too few. The
//!   count of a slot without a call is not zero, so a stale wake queues nothing.
//! - *Upstream*: the stage loads the number of wakes before it polls upstream, and compares after registering its
//!   poller. The number only grows, so nothing is cleared and nothing can be missed.
//! - *Work that no wake announces* (a call that woke itself, one whose output was taken, an exhausted budget) makes the
//!   stage wake its poller before it returns `Pending`.

use std::mem;
use std::ptr;
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use futures_task::ArcWake;

use crate::sync::{AtomicU32, AtomicUsize, MANY_WAKES, Mutex, MutexGuard, Ordering};

/// The index that means "no slot".
pub(super) const NONE: u32 = u32::MAX;

/// The bit of [`Signals::newest`] that is clear from when the stage waits until something is woken.
const AWAKE: u32 = 1;

/// No slot was woken.
const EMPTY: u32 = u32::MAX;

/// What a stage shares with its wakers.
///
/// As a waker, it is the one with which the stage polls its upstream.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The slot that was woken last, or [`EMPTY`], beside the bit [`AWAKE`]. Each slot links to the one woken before
    /// it.
    newest: AtomicU32,

    /// How often upstream was woken, ever. The stage only loads it.
    upstream_wakes: AtomicUsize,

    /// Whatever polled the stage last. It is woken only when the stage waits. It is not taken out for that, so it need
    /// not be stored again. It is shared, so that none of the waker's code runs under the lock.
    poller: Mutex<Option<Arc<Waker>>>,
}

impl Signals {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            newest: AtomicU32::new(EMPTY),
            upstream_wakes: AtomicUsize::new(0),
            poller: Mutex::new(None),
        })
    }

    /// Returns how often upstream has been woken.
    #[inline]
    pub(crate) fn upstream_wakes(&self) -> usize {
        self.upstream_wakes.load(Ordering::Acquire)
    }

    /// Returns whether a slot was woken that [`take`](Self::take) has not returned.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.newest.load(Ordering::Relaxed) | AWAKE != EMPTY
    }

    /// Takes the slots that were woken: returns the newest, or [`NONE`].
    #[inline]
    pub(super) fn take(&self) -> u32 {
        // The common case must not pay for a read-modify-write.
        if self.any() { self.newest.swap(EMPTY, Ordering::Acquire) >> 1 } else { NONE }
    }

    /// Makes wakes from now on wake the poller. What happened before must be checked once more.
    #[inline]
    fn wait(&self) {
        // A waker need not make anything visible to the poll that answers it, so this is written even if it changes
        // nothing.
        self.newest.fetch_and(!AWAKE, Ordering::AcqRel);
    }

    /// Wakes the poller.
    fn wake_poller(&self) {
        let poller = self.poller().clone();
        if let Some(waker) = poller {
            waker.wake_by_ref();
        }
    }

    fn poller(&self) -> MutexGuard<'_, Option<Arc<Waker>>> {
        self.poller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stage's handle to its signals. When it is dropped, they forget the poller.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) signals: Arc<Signals>,

    /// The waker in the signals, for use without the lock.
    known: Option<Arc<Waker>>,

    /// The address of its vtable before it was cloned. A compiler may emit several copies of a vtable, and then
    /// [`Waker::will_wake`] does not recognize a clone.
    table: usize,
}

impl Poller {
    pub(crate) fn new(signals: Arc<Signals>) -> Self {
        Self { signals, known: None, table: 0 }
    }

    /// Makes the next wake go to `waker`. What happened before must be checked once more.
    #[inline]
    pub(crate) fn register(&mut self, waker: &Waker) {
        if !self.knows(waker) {
            self.replace(Some(Arc::new(waker.clone())));
            self.table = table(waker);
        }
        self.signals.wait();
    }

    #[inline]
    fn knows(&self, waker: &Waker) -> bool {
        self.known.as_ref().is_some_and(|known| {
            // It is not another waker at the same address, because this one is still in use.
            known.data() == waker.data() && self.table == table(waker)
        })
    }

    /// Forgets the poller, because there is nothing left to wake it for.
    pub(crate) fn forget(&mut self) {
        if self.known.is_some() {
            self.replace(None);
        }
    }

    #[cold]
    fn replace(&mut self, waker: Option<Arc<Waker>>) {
        let shared = mem::replace(&mut *self.signals.poller(), waker.clone());
        // Both are in place before either is dropped, which runs foreign code.
        let known = mem::replace(&mut self.known, waker);
        drop((shared, known));
    }
}

fn table(waker: &Waker) -> usize {
    ptr::from_ref(waker.vtable()).addr()
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Wake for Signals {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.upstream_wakes.fetch_add(1, Ordering::Release);
        // Written even if nothing changes: if the stage begins to wait after this, it sees the count.
        if self.newest.fetch_or(AWAKE, Ordering::AcqRel) & AWAKE == 0 {
            self.wake_poller();
        }
    }
}

/// The call waits, in no list, and a wake has to queue it. Otherwise its slot is queued, being polled, about to be
/// polled again in any case, or without a call: then a wake is only counted.
const IDLE: usize = 0;

/// The signal of one slot, and its waker for as long as the slot lives.
#[derive(Debug)]
pub(super) struct SlotSignal {
    signals: Arc<Signals>,
    index: u32,

    /// How often the slot was woken since it was last idle, or [`IDLE`].
    wakes: AtomicUsize,

    /// The next index in the list that this slot is in, of slots to poll or of vacant ones. Written by whoever lists
    /// the slot, so by one at a time: the wake that took the state from idle, or the stage.
    next: AtomicU32,
}

impl SlotSignal {
    pub(super) fn new(signals: Arc<Signals>, index: u32) -> Self {
        Self { signals, index, wakes: AtomicUsize::new(IDLE + 1), next: AtomicU32::new(NONE) }
    }

    /// Begins a poll of a call that is not idle. Returns how often it has been woken: the poll sees what those wakes
    /// announce, and all others make its [end](Self::end) fail.
    #[inline]
    pub(super) fn begin(&self) -> usize {
        // Reads from the last of those wakes, and so synchronizes with all of them: each is a read-modify-write, and
        // continues the release sequence of those before.
        self.wakes.load(Ordering::Acquire)
    }

    /// Ends a poll that was pending, and that [began](Self::begin) after that many wakes. Returns whether the call was
    /// woken meanwhile. If so, it is not queued, which is up to the caller.
    #[inline]
    pub(super) fn end(&self, wakes: usize) -> bool {
        self.wakes.compare_exchange(wakes, IDLE, Ordering::Release, Ordering::Relaxed).is_err()
    }

    /// Claims a slot that waits, so that no wake queues it. Returns whether none has done so.
    #[inline]
    pub(super) fn claim(&self) -> bool {
        let claimed = IDLE + 1;
        self.wakes.compare_exchange(IDLE, claimed, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(super) fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Links a slot in one of the stage's own lists to the next one.
    #[inline]
    pub(super) fn link(&self, next: u32) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// Pushes the slot, which is in no list, and wakes the poller if it waits.
    fn push(&self) {
        let newest = &self.signals.newest;
        let mut before = newest.load(Ordering::Relaxed);
        loop {
            let older = if before | AWAKE == EMPTY { NONE } else { before >> 1 };
            self.next.store(older, Ordering::Relaxed);
            match newest.compare_exchange_weak(
                before,
                self.index << 1 | AWAKE,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(actual) => before = actual,
            }
        }
        if before & AWAKE == 0 {
            self.signals.wake_poller();
        }
    }
}

/// Unlike a [`Wake`], it can be polled with without a [`Waker`] that is kept beside it.
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
