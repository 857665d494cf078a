//! What sets the limit.

use std::time::Duration;

/// The outcome of a call, for a [`Policy`].
///
/// More fields may be added, so create it from its default, for example in tests of your own policy.
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

    /// How many permits were in use when it got its own, including that one.
    pub in_use: usize,

    /// The limit that applies now.
    pub limit: usize,

    /// Whether the call was reported as [overloaded](super::Adaptive::overloaded).
    pub overloaded: bool,

    /// When the call completed, as the time since the limit was created.
    pub now: Duration,
}

/// Derives a limit from how long calls take, and whether they fail.
///
/// [`Adaptive`](super::Adaptive) calls it after each completed call, for one call at a time, while no lock is held. A
/// policy has no clock: all it knows about time comes with the samples. So it can be tested on its own.
///
/// # Panics
///
/// A policy that panics changes nothing: the limit stays as it is, the permit is released, and the panic propagates
/// where the permit was dropped. In a stage that is its poll, after the output of the call was kept. The policy is
/// called again after the next call.
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
    /// Processes the outcome of a call. Returns the new limit, which is clamped to the range of the
    /// [`Adaptive`](super::Adaptive).
    fn update(&mut self, sample: &Sample) -> usize;
}

impl Sample {
    /// Returns when the call got its permit.
    pub(super) fn began(&self) -> Duration {
        self.now.saturating_sub(self.latency)
    }

    /// Returns whether the limit was fully used when the call got its permit.
    pub(super) fn is_full(&self) -> bool {
        self.in_use >= self.limit
    }
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    fn update(&mut self, sample: &Sample) -> usize {
        (**self).update(sample)
    }
}
