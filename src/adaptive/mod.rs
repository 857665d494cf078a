#![doc = include_str!("guide.md")]
#![doc = include_str!("tables.md")]
#![doc = include_str!("after.md")]
#![doc = include_str!("limits.svg")]

mod aimd;
mod control;
mod gradient;
mod policy;
mod vegas;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

pub use self::aimd::Aimd;
use self::control::Control;
pub use self::gradient::Gradient;
pub use self::policy::{Policy, Sample};
pub use self::vegas::Vegas;
use crate::Concurrency;
use crate::semaphore::{Acquire, Semaphore};

/// The default initial limit of an [`Adaptive`]: so few calls that most servers do not queue them, so their
/// latency without a queue can be observed.
const INITIAL: usize = 4;

/// A limit that adapts to how long calls take, and whether they fail.
///
/// Pass it to stages instead of a number, as `&limit` or `limit.clone()`, or take a permit with
/// [`acquire`](Self::acquire). It is a [`Semaphore`] whose limit is set by a [`Policy`] after each call, within a
/// range. The [module](self) explains what it is good for, lists the policies, and shows measurements.
///
/// Clones are handles to the same limit. Stages and tasks that call the same server should share one.
/// [Fairness](Semaphore#fairness) and [what can hang](Semaphore#what-can-hang) are as for the semaphore.
///
/// # What counts
///
/// A call counts when it completes: by how long it held its permit, and how many permits were in use when it got
/// its own. An inner stream of a flat map counts with each of its outputs. A call that panics, or is dropped before
/// it completes, does not count. A [`Permit`](crate::Permit) counts when it is dropped, unless it is
/// [`unmeasured`](crate::Permit::unmeasured) or dropped by a panic. Permits that were taken together count as one
/// call, even if some are split off.
///
/// Time that a call spends waiting counts too. So wait for other limits, or between retries, before the call or
/// outside it.
///
/// # Examples
///
/// ```
/// use flowlet::Adaptive;
/// use flowlet::prelude::*;
///
/// # struct Response { status: u16 }
/// # async fn get(id: u32) -> Response { Response { status: if id % 10 == 0 { 503 } else { 200 } } }
/// # futures_lite::future::block_on(async {
/// let limit = Adaptive::new(1..=256);
///
/// let fetch = async |id| {
///     let response = get(id).await;
///     if matches!(response.status, 429 | 503) {
///         limit.overloaded();
///     }
///     response
/// };
/// let responses: Vec<Response> = pipe(1..=100).map_concurrent(&limit, fetch).collect().await;
/// assert_eq!(responses.len(), 100);
/// # });
/// ```
#[derive(Clone)]
pub struct Adaptive {
    semaphore: Semaphore,
    control: Arc<Control>,
}

impl Adaptive {
    /// Creates a limit within `range`, set by [`Vegas`].
    ///
    /// It starts at 4, or the nearest value in the range. To change that, use [`builder`](Self::builder).
    ///
    /// # Panics
    ///
    /// Panics if the range is empty or begins with 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let limit = flowlet::Adaptive::new(1..=256);
    /// assert_eq!(limit.limit(), 4);
    /// ```
    #[track_caller]
    pub fn new(range: RangeInclusive<usize>) -> Self {
        Self::builder(range).build()
    }

    /// Creates a limit within `range`, set by the given policy.
    ///
    /// # Panics
    ///
    /// Panics if the range is empty or begins with 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::adaptive::{Adaptive, Aimd};
    ///
    /// let limit = Adaptive::with_policy(10..=100, Aimd::new());
    /// assert_eq!(limit.limit(), 10);
    /// ```
    #[track_caller]
    pub fn with_policy(range: RangeInclusive<usize>, policy: impl Policy + 'static) -> Self {
        Self::builder(range).policy(policy).build()
    }

    /// Returns a builder of a limit within `range`.
    ///
    /// # Panics
    ///
    /// Panics if the range is empty or begins with 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let limit = flowlet::Adaptive::builder(1..=256).initial(20).build();
    /// assert_eq!(limit.limit(), 20);
    /// ```
    #[track_caller]
    pub fn builder(range: RangeInclusive<usize>) -> AdaptiveBuilder {
        assert!(*range.start() > 0, "the range of an adaptive limit must begin with at least 1");
        assert!(!range.is_empty(), "the range of an adaptive limit must not be empty");
        AdaptiveBuilder {
            range,
            initial: INITIAL,
            policy: Box::new(Vegas::new()),
            clock: Box::new(Instant::now),
        }
    }

    /// Returns how many permits can be in use at once now.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet::Adaptive::new(8..=16).limit(), 8);
    /// ```
    pub fn limit(&self) -> usize {
        self.semaphore.limit()
    }

    /// Waits in line for a permit. It is released when it is dropped, and counts then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves takes no permit, and passes its turn to the next in line.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # let ask = async || ();
    /// let limit = flowlet::Adaptive::new(1..=256);
    /// let permit = limit.acquire().await;
    /// ask().await;
    /// drop(permit);
    /// # });
    /// ```
    pub fn acquire(&self) -> Acquire {
        self.semaphore.acquire()
    }

    /// Reports an overload: a call was rejected, or did not finish in time.
    ///
    /// Only your code can tell. An HTTP status of 429 or 503 is an overload, and so are most timeouts. A 404 is not,
    /// and must not lower the limit. Call this inside the call, just before it completes: the next call that completes
    /// counts as overloaded, and in a stage that is the same one. Other calls are unaffected. The latency of an
    /// overloaded call is ignored, because the duration of a rejection says nothing about the duration of a call.
    ///
    /// If you hold a permit, use [`Permit::overloaded`](crate::Permit::overloaded).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Adaptive;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// # let ask = async |_| 503;
    /// let limit = Adaptive::new(1..=256);
    /// let mut statuses = pipe([1, 2, 3]).map_concurrent(&limit, async |id| {
    ///     let status = ask(id).await;
    ///     if status == 503 {
    ///         limit.overloaded();
    ///     }
    ///     status
    /// });
    /// assert_eq!(statuses.next().await, Some(503));
    /// assert!(limit.limit() < 4);
    /// # });
    /// ```
    pub fn overloaded(&self) {
        self.control.overloaded();
    }

    /// Returns the semaphore whose limit this sets.
    ///
    /// If you [set](Semaphore::set_limit) its limit, that applies until the policy sets another, which may be after the
    /// next call. 0 pauses it: the policy is not consulted until you set another limit.
    ///
    /// # Examples
    ///
    /// ```
    /// let limit = flowlet::Adaptive::new(1..=256);
    /// let permit = limit.semaphore().try_acquire();
    /// assert_eq!(limit.semaphore().in_use(), 1);
    /// # drop(permit);
    /// ```
    pub fn semaphore(&self) -> &Semaphore {
        &self.semaphore
    }
}

/// Adopts a limit that differs from what the policy returned: the first one, a clamped one, or one that was set on the
/// semaphore.
///
/// Returns whether there was a difference.
fn adopt(exact: &mut f64, limit: usize) -> bool {
    let differs = whole(*exact) != limit;
    if differs {
        *exact = limit as f64;
    }
    differs
}

/// Rounds an exact limit.
fn whole(exact: f64) -> usize {
    exact.round() as usize
}

impl From<Adaptive> for Concurrency {
    fn from(limit: Adaptive) -> Self {
        limit.semaphore.into()
    }
}

impl From<&Adaptive> for Concurrency {
    fn from(limit: &Adaptive) -> Self {
        limit.semaphore().into()
    }
}

impl fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adaptive")
            .field("range", &self.control.range)
            .field("semaphore", &self.semaphore)
            .finish_non_exhaustive()
    }
}

/// Builder of an [`Adaptive`], returned by [`Adaptive::builder`].
///
/// # Examples
///
/// ```
/// use flowlet::adaptive::{Adaptive, AdaptiveBuilder, Gradient};
///
/// let builder: AdaptiveBuilder = Adaptive::builder(1..=256);
/// let limit = builder.policy(Gradient::new()).initial(20).build();
/// assert_eq!(limit.limit(), 20);
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct AdaptiveBuilder {
    range: RangeInclusive<usize>,
    initial: usize,
    policy: Box<dyn Policy>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

impl AdaptiveBuilder {
    /// Sets the policy. Defaults to [`Vegas`].
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::adaptive::{Adaptive, Aimd};
    ///
    /// let limit = Adaptive::builder(1..=256).policy(Aimd::new()).build();
    /// # drop(limit);
    /// ```
    pub fn policy(self, policy: impl Policy + 'static) -> Self {
        Self { policy: Box::new(policy), ..self }
    }

    /// Sets the initial limit, clamped to the range. Defaults to 4.
    ///
    /// Prefer a low value: [`Vegas`] learns from the first calls how long a call takes when there is no queue.
    ///
    /// # Examples
    ///
    /// ```
    /// let limit = flowlet::Adaptive::builder(1..=256).initial(20).build();
    /// assert_eq!(limit.limit(), 20);
    /// ```
    pub fn initial(self, initial: usize) -> Self {
        Self { initial, ..self }
    }

    /// Sets the clock. Defaults to [`Instant::now`].
    ///
    /// It is read whenever a permit is taken, and whenever a call completes.
    ///
    /// # Examples
    ///
    /// With tokio's clock, which tests can pause:
    ///
    /// ```
    /// use flowlet::Adaptive;
    ///
    /// let limit = Adaptive::builder(1..=256).clock(|| tokio::time::Instant::now().into_std()).build();
    /// # drop(limit);
    /// ```
    pub fn clock(self, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Creates the limit.
    ///
    /// # Examples
    ///
    /// ```
    /// let limit = flowlet::Adaptive::builder(1..=256).build();
    /// assert_eq!(limit.limit(), 4);
    /// ```
    pub fn build(self) -> Adaptive {
        let Self { range, initial, policy, clock } = self;
        let initial = initial.clamp(*range.start(), *range.end());
        let control = Arc::new(Control::new(range, policy, clock));
        let semaphore = Semaphore::with_watch(initial, Some(control.clone()));
        Adaptive { semaphore, control }
    }
}

impl fmt::Debug for AdaptiveBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveBuilder")
            .field("range", &self.range)
            .field("initial", &self.initial)
            .finish_non_exhaustive()
    }
}
