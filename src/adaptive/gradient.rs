//! A limit derived from how latencies change.

use super::policy::{Policy, Sample};

/// Gradient: a limit derived from how the current latency compares with the long-term average.
///
/// Netflix's [concurrency-limits] calls this `Gradient2`. While calls take no more than 1.5 times the long-term
/// average, the limit grows, by a fraction of the 4 calls that may queue. Otherwise it shrinks in proportion, to no
/// less than half. An overload lowers it by a tenth.
///
/// Use it where latency drifts for reasons of its own, and an occasional queue does no harm. A queue that persists
/// becomes part of the long-term average, so the limit gets used to it: this policy stops latency from *rising*. It
/// does not remove the queue.
///
/// [concurrency-limits]: https://github.com/Netflix/concurrency-limits
///
/// # Examples
///
/// ```
/// use flowlet::adaptive::{Adaptive, Gradient};
///
/// let limit = Adaptive::with_policy(1..=256, Gradient::new());
/// # drop(limit);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gradient {
    limit: f64,

    /// The long-term average latency, in seconds.
    long: f64,

    /// How many calls it averages, up to [`LONG`].
    count: f64,

    /// When an overload last lowered the limit.
    fell: std::time::Duration,
}

/// How many calls the long-term average covers.
const LONG: f64 = 600.0;

/// How much longer calls may take than the long-term average.
const TOLERANCE: f64 = 1.5;

/// How many calls may queue.
const QUEUE: f64 = 4.0;

/// How far each sample moves the limit towards its new value, as a share of the difference.
const SMOOTHING: f64 = 0.2;

impl Gradient {
    /// Creates a policy that has seen no call yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for Gradient {
    fn update(&mut self, sample: &Sample) -> usize {
        super::adopt(&mut self.limit, sample.limit);
        if sample.overloaded {
            if sample.began() >= self.fell {
                self.limit = (self.limit * 0.9).max(1.0);
                self.fell = sample.now;
            }
            return super::whole(self.limit);
        }
        let short = sample.latency.as_secs_f64().max(f64::MIN_POSITIVE);
        self.count = (self.count + 1.0).min(LONG);
        self.long += (short - self.long) / self.count;
        if self.long > 2.0 * short {
            self.long *= 0.95; // Recovers from a time of overload sooner than by averaging.
        }
        if sample.in_use * 2 >= sample.limit {
            let gradient = (TOLERANCE * self.long / short).clamp(0.5, 1.0);
            let limit = self.limit * gradient + QUEUE;
            self.limit += (limit - self.limit) * SMOOTHING;
        }
        super::whole(self.limit)
    }
}
