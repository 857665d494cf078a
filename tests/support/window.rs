//! Counts what is in a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use flowlet::pipe;
use futures_lite::{Stream, StreamExt};

/// How many items are between the source and the consumer.
#[derive(Clone, Default)]
pub(crate) struct Window(Arc<Counts>);

#[derive(Default)]
struct Counts {
    inside: AtomicIsize,
    peak: AtomicIsize,
}

impl Window {
    /// A source of the numbers below `count`, which are inside once they are pulled.
    pub(crate) fn source(&self, count: u32) -> impl Stream<Item = u32> + Send + use<> {
        let counts = self.0.clone();
        pipe(0..count).inspect(move |_| {
            let inside = 1 + counts.inside.fetch_add(1, Ordering::Relaxed);
            counts.peak.fetch_max(inside, Ordering::Relaxed);
        })
    }

    /// Notes that an item is outside again.
    pub(crate) fn leave(&self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many items were inside at once, at most.
    pub(crate) fn peak(&self) -> isize {
        self.0.peak.load(Ordering::Relaxed)
    }
}
