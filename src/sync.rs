//! What the wakers are made of, in one place, so that the tests can put loom's in its stead.

pub(crate) use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

pub(crate) use atomic_waker::AtomicWaker;
