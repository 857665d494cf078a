//! How many outputs there were recently.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::add;

/// The ticks in a span, as a power of two: a tenth to a quarter of a second, depending on the clock.
const SPAN: u32 = 28;

/// How many spans are kept.
const SPANS: usize = 128;

/// Outputs, counted by the span in which they were yielded. One thread at a time counts.
pub(super) struct Rate {
    spans: [AtomicU64; SPANS],

    /// The first span, and the last one that was counted in.
    first: AtomicU64,
    last: AtomicU64,
}

/// Before the first one.
const NEVER: u64 = u64::MAX;

impl Rate {
    pub(super) fn new() -> Self {
        Self {
            spans: array::from_fn(|_| AtomicU64::new(0)),
            first: AtomicU64::new(NEVER),
            last: AtomicU64::new(NEVER),
        }
    }

    /// Counts an output.
    #[inline]
    pub(super) fn count(&self, now: u64) {
        let span = now >> SPAN;
        let last = self.last.load(Ordering::Relaxed);
        if span != last {
            self.go_on(last, span);
        }
        add(&self.spans[span as usize % SPANS], 1);
    }

    #[cold]
    fn go_on(&self, last: u64, span: u64) {
        if last == NEVER {
            self.first.store(span, Ordering::Relaxed);
        } else {
            let passed = last + 1..=span;
            for span in passed.rev().take(SPANS) {
                self.spans[span as usize % SPANS].store(0, Ordering::Relaxed);
            }
        }
        self.last.store(span, Ordering::Relaxed);
    }

    /// Returns how many outputs there were in the last `ticks`, or in the spans that are kept if that is less, and how
    /// many ticks that covers.
    pub(super) fn of_late(&self, now: u64, ticks: u64) -> (u64, u64) {
        let (first, last) = (self.first.load(Ordering::Relaxed), self.last.load(Ordering::Relaxed));
        if first == NEVER {
            return (0, 0);
        }
        let newest = now >> SPAN;
        let spans = (ticks >> SPAN).clamp(1, SPANS as u64 - 1);
        let oldest = newest.saturating_sub(spans).max(first);
        let outputs = (oldest..=newest.min(last))
            .filter(|span| last - span < SPANS as u64)
            .map(|span| self.spans[span as usize % SPANS].load(Ordering::Relaxed))
            .sum();
        (outputs, now - (oldest << SPAN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1 << 30; // four spans

    #[test]
    fn what_came_of_late_is_counted() {
        let rate = Rate::new();
        assert_eq!(rate.of_late(5 * SECOND, SECOND), (0, 0));
        for second in 10..20 {
            (0..second).for_each(|_| rate.count(second * SECOND));
        }
        let now = 19 * SECOND + SECOND / 4 * 3;
        assert_eq!(rate.of_late(now, SECOND), (19, SECOND));
        assert_eq!(rate.of_late(now, 2 * SECOND), (18 + 19, 2 * SECOND));
        assert_eq!(rate.of_late(now, 90 * SECOND).0, (10..20).sum());
        assert_eq!(rate.of_late(now + 50 * SECOND, SECOND).0, 0);
        // After such a long pause nothing older is counted again.
        rate.count(100 * SECOND);
        assert_eq!(rate.of_late(100 * SECOND, 30 * SECOND).0, 1);
    }
}
