//! What wakers are made of, in one place, so that tests can replace it with loom's types.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use atomic_waker::AtomicWaker;

/// How often a call can be woken between two polls before the count starts over. (If a 32-bit count overflowed, the
/// call would seem idle.)
pub(crate) const MANY_WAKES: usize = usize::MAX / 2;

/// How many slot signals of 56 bytes a thread keeps for later pipelines.
pub(crate) const SPARE_SIGNALS: usize = 64;
