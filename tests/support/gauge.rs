//! How many things there are at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts its [`Unit`]s, on all threads.
#[derive(Clone, Default)]
pub(crate) struct Gauge {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Gauge {
    /// Counts one more, until what is returned is dropped.
    pub(crate) fn unit(&self) -> Unit {
        let now = self.counts.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.peak.fetch_max(now, Ordering::SeqCst);
        Unit(self.clone())
    }

    /// Returns how many there are now.
    pub(crate) fn now(&self) -> usize {
        self.counts.now.load(Ordering::SeqCst)
    }

    /// Returns the most there ever were at once.
    pub(crate) fn peak(&self) -> usize {
        self.counts.peak.load(Ordering::SeqCst)
    }
}

/// One that is counted.
pub(crate) struct Unit(Gauge);

impl Drop for Unit {
    fn drop(&mut self) {
        self.0.counts.now.fetch_sub(1, Ordering::SeqCst);
    }
}
