//! Durations, in ticks of a clock, counted by size.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of buckets per power of two. A duration is known to an eighth of itself, a median to a sixteenth.
const STEPS: u32 = 8;

/// Enough buckets for 2^42 ticks of about a nanosecond, which is half an hour or more.
const BUCKETS: usize = 40 * STEPS as usize;

/// Counts of durations by size.
///
/// Memory is bounded, and recording takes no lock while others read. That is why this is no histogram of the crate
/// `hdrhistogram`, whose shared form locks. One thread at a time records.
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    /// Records a duration in ticks.
    pub(super) fn record(&self, ticks: u64) {
        add(&self.buckets[bucket(ticks)], 1);
        add(&self.sum, ticks);
        if ticks > self.max.load(Ordering::Relaxed) {
            self.max.store(ticks, Ordering::Relaxed);
        }
    }

    /// Adds what was recorded to `durations`.
    pub(super) fn add_to(&self, durations: &mut Recorded) {
        durations.buckets.resize(BUCKETS, 0);
        for (sum, bucket) in durations.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        durations.sum += self.sum.load(Ordering::Relaxed);
        durations.max = durations.max.max(self.max.load(Ordering::Relaxed));
    }
}

/// Adds to a number that only one thread at a time writes.
#[inline]
pub(super) fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// What was recorded, by one run or by many.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    buckets: Vec<u64>,
    sum: u64,
    max: u64,
}

impl Recorded {
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn mean(&self) -> u64 {
        self.sum.checked_div(self.count()).unwrap_or(0)
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// Returns the quantile `share` of the durations, to a sixteenth of it.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let rank = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                return middle(bucket).min(self.max);
            }
        }
        0
    }
}

/// Returns the bucket of a duration.
fn bucket(ticks: u64) -> usize {
    let power = ticks.checked_ilog2().unwrap_or(0);
    if power < STEPS.ilog2() {
        return ticks as usize;
    }
    let step = ticks >> (power - STEPS.ilog2());
    let power = power - STEPS.ilog2();
    (((power * STEPS) as u64 + step) as usize).min(BUCKETS - 1)
}

/// Returns the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let (power, step) = (bucket as u64 / u64::from(STEPS), bucket as u64 % u64::from(STEPS));
    if power == 0 {
        return step;
    }
    let width = 1 << (power - 1);
    (step + u64::from(STEPS)) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other() {
        let mut before = 0;
        for ticks in 0..100_000 {
            let bucket = bucket(ticks);
            assert!(bucket == before || bucket == before + 1, "{ticks}");
            before = bucket;
            let middle = middle(bucket);
            assert!(middle.abs_diff(ticks) <= ticks / 8, "{ticks}: {middle}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_as_exact_as_promised() {
        let histogram = Histogram::new();
        (1..=1_000_000).for_each(|ticks| histogram.record(ticks));
        let mut recorded = Recorded::default();
        histogram.add_to(&mut recorded);
        assert_eq!((recorded.count(), recorded.max()), (1_000_000, 1_000_000));
        assert_eq!(recorded.mean(), 500_000);
        for share in [0.01, 0.5, 0.9, 0.99] {
            let exact = share * 1_000_000.0;
            let found = recorded.quantile(share) as f64;
            assert!((found - exact).abs() <= exact / 8.0, "{share}: {found}");
        }
        assert_eq!(Recorded::default().quantile(0.5), 0);
    }
}
