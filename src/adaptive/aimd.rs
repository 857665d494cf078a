//! Additive increase, multiplicative decrease.

use std::time::Duration;

use super::policy::{Policy, Sample};

/// Additive increase, multiplicative decrease: a limit derived from failures alone.
///
/// The limit grows by one for each round of calls without failures. It falls by a tenth with the first call of a round
/// that is [overloaded](super::Adaptive::overloaded), or exceeds a [timeout](Self::timeout). This leads users of one
/// server to equal shares ([Chiu and Jain 1989]), and TCP has always done it ([Jacobson 1988]).
///
/// Use it where a server rejects calls that are too much for it, and latency says little. Without rejections and
/// without a timeout it goes to the upper end of its range, because it does not notice queues.
///
/// [Chiu and Jain 1989]: https://doi.org/10.1016/0169-7552(89)90019-6
/// [Jacobson 1988]: https://doi.org/10.1145/52324.52356
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flowlet::adaptive::{Adaptive, Aimd};
///
/// let limit = Adaptive::with_policy(1..=256, Aimd::new().timeout(Duration::from_secs(1)));
/// # drop(limit);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Aimd {
    limit: f64,

    timeout: Option<Duration>,

    /// When the limit last fell. Calls that began before say nothing about the limit since.
    fell: Duration,
}

/// The share of the limit that is left after a decrease.
const LEFT: f64 = 0.9;

impl Aimd {
    /// Creates a policy without a timeout.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts calls that take longer as overloaded.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}

impl Policy for Aimd {
    fn update(&mut self, sample: &Sample) -> usize {
        super::adopt(&mut self.limit, sample.limit);
        let late = self.timeout.is_some_and(|timeout| sample.latency > timeout);
        if sample.overloaded || late {
            if sample.began() >= self.fell {
                self.limit = (self.limit * LEFT).max(1.0);
                self.fell = sample.now;
            }
        } else if sample.is_full() {
            self.limit += 1.0 / self.limit;
        }
        super::whole(self.limit)
    }
}
