//! What the wakers are made of, in one place, so that the tests can put loom's in its stead.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use atomic_waker::AtomicWaker;

/// How often a call is woken between two polls until the count starts over. (An overflow would make
/// it idle, in 32 bits.)
pub(crate) const MANY_WAKES: usize = usize::MAX / 2;

/// How many signals of slots a thread keeps for the pipelines to come, of 56 bytes each.
pub(crate) const SPARE_SIGNALS: usize = 64;
