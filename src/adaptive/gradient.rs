//! The limit from how latencies change.

use super::policy::{Policy, Sample};

/// A gradient: the limit from how what calls take now compares with what they took for long.
///
/// It is what Netflix's [concurrency-limits] calls `Gradient2`. While calls take no more than 1.5 times as long
/// as in the long run the limit grows, by a part of the 4 calls that may queue; otherwise it shrinks in
/// proportion, to a half at most. Overload takes a tenth.
///
/// Choose it where what calls take wanders for reasons of its own, and a queue now and then does no harm. As the
/// long run learns of a queue that stays, so does the limit: it is the latency's *rise* that it stops, not the
/// queue.
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

    /// What calls take in the long run, in seconds.
    long: f64,

    /// How many calls that is of, up to [`LONG`].
    count: f64,

    /// When the limit fell last because of overload.
    fell: std::time::Duration,
}

/// Over how many calls the long run is averaged.
const LONG: f64 = 600.0;

/// By how much calls may take longer than in the long run.
const TOLERANCE: f64 = 1.5;

/// How many calls may queue.
const QUEUE: f64 = 4.0;

/// How far the limit moves towards its new value with each sample, as a part of the difference.
const SMOOTHING: f64 = 0.2;

impl Gradient {
    /// Makes a policy that has seen no call yet.
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
            self.long *= 0.95; // It comes back from a time of overload sooner than by averages.
        }
        if sample.in_use * 2 >= sample.limit {
            let gradient = (TOLERANCE * self.long / short).clamp(0.5, 1.0);
            let limit = self.limit * gradient + QUEUE;
            self.limit += (limit - self.limit) * SMOOTHING;
        }
        super::whole(self.limit)
    }
}
