//! Additive increase, multiplicative decrease.

use std::time::Duration;

use super::policy::{Policy, Sample};

/// Additive increase, multiplicative decrease: the limit from failures alone.
///
/// The limit grows by one for each round of calls that goes well, and falls by a tenth with the first one of a
/// round that is [overloaded](super::Adaptive::overloaded), or takes longer than a [time-out](Self::timeout).
/// Users of one server come to equal shares that way ([Chiu and Jain 1989]), and so TCP has always done it
/// ([Jacobson 1988]).
///
/// Choose it where a server refuses what is too much for it, and what calls take says little. Without refusals
/// and without a time-out it goes to the upper end of its range: it sees no queue.
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

    /// When the limit fell last. Calls that began before say nothing of the limit since.
    fell: Duration,
}

/// What is left of the limit after a decrease.
const LEFT: f64 = 0.9;

impl Aimd {
    /// Makes a policy without a time-out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has calls that take longer count as overloaded.
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
