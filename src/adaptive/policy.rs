//! What decides the limit.

use std::time::Duration;

/// What became of a call, for a [`Policy`].
///
/// More fields may come, so it is made from its default: in the tests of a policy of your own, say.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flowlet::adaptive::Sample;
///
/// let mut sample = Sample::default();
/// sample.latency = Duration::from_millis(20);
/// assert!(!sample.overloaded);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Sample {
    /// How long the call held its permit.
    pub latency: Duration,

    /// How many permits were in use when it got its own, that one included.
    pub in_use: usize,

    /// The limit that applies now.
    pub limit: usize,

    /// Whether it was [said](super::Adaptive::overloaded) that there was too much to do.
    pub overloaded: bool,

    /// When the call was over, counted from when the limit was made.
    pub now: Duration,
}

/// Finds a limit from what calls take, and whether they fail.
///
/// [`Adaptive`](super::Adaptive) asks it after each call that came to its end. It is asked for one call at a
/// time, and no lock is held meanwhile. It has no clock, so that it can be tested by itself: all that it
/// knows of time comes with the samples.
///
/// # Panics
///
/// A policy that panics changes nothing: the limit stays as it is, the permit is given back, and the panic
/// comes out where the permit was dropped. For a stage that is its poll, after the output of the call was
/// kept. The policy is asked again after the next call.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flowlet::adaptive::{Adaptive, Policy, Sample};
///
/// /// Ten calls at once, and half as many for as long as they are slow.
/// struct Deadline(Duration);
///
/// impl Policy for Deadline {
///     fn update(&mut self, sample: &Sample) -> usize {
///         if sample.latency > self.0 { 5 } else { 10 }
///     }
/// }
///
/// let limit = Adaptive::with_policy(1..=256, Deadline(Duration::from_millis(100)));
/// # futures_lite::future::block_on(async {
/// drop(limit.acquire().await);
/// assert_eq!(limit.limit(), 10);
/// # });
/// ```
pub trait Policy: Send {
    /// Takes in what became of a call. Returns the limit from now on, which is clamped to the range of the
    /// [`Adaptive`](super::Adaptive).
    fn update(&mut self, sample: &Sample) -> usize;
}

impl Sample {
    /// When the call got its permit.
    pub(super) fn began(&self) -> Duration {
        self.now.saturating_sub(self.latency)
    }

    /// Tells whether the limit was all used when the call got its permit.
    pub(super) fn is_full(&self) -> bool {
        self.in_use >= self.limit
    }
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    fn update(&mut self, sample: &Sample) -> usize {
        (**self).update(sample)
    }
}
