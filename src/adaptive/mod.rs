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

/// The limit that an [`Adaptive`] begins with by default: few enough that most servers do not queue them, so
/// that it is seen what a call takes when there is no queue.
const INITIAL: usize = 4;

/// A limit that finds its own value from what calls take, and whether they fail.
///
/// Give it to stages in place of a number, as `&limit` or `limit.clone()`, or take a permit with
/// [`acquire`](Self::acquire). It is a [`Semaphore`] whose limit a [`Policy`] sets after each call, within a
/// range. The [module](self) says what it is good for, which policies there are, and what was measured.
///
/// Clones are handles to the same limit. Stages and tasks that call the same server should share one.
/// [Fairness](Semaphore#fairness) and [what can hang](Semaphore#what-can-hang) are those of the semaphore.
///
/// # What counts
///
/// A call counts when it is over: for how long it held its permit, and how many were in use when it got it.
/// An inner stream of a flat map counts with each of its outputs. A call that is dropped before its end, or
/// panics, does not count. A [`Permit`](crate::Permit) counts when it is dropped, unless it is
/// [`unmeasured`](crate::Permit::unmeasured) or dropped by a panic. Several that were taken together count as one
/// call, also if some are split off.
///
/// A call's own waiting counts with it. So wait for other limits, and between two tries, before the call or
/// outside of it.
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
    /// Makes a limit within `range`, which [`Vegas`] finds.
    ///
    /// It begins with 4, or what is next to that in the range. To say so, see [`builder`](Self::builder).
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

    /// Makes a limit within `range`, which that policy finds.
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

    /// Sets up a limit within `range`.
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

    /// Returns how many permits can be in use at once by now.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet::Adaptive::new(8..=16).limit(), 8);
    /// ```
    pub fn limit(&self) -> usize {
        self.semaphore.limit()
    }

    /// Waits for a permit, in turn. It is given back when it is dropped, and counts then.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it resolves has taken nothing, and its turn goes to the next.
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

    /// Says that there was too much to do for a call: it was refused, or not done in time.
    ///
    /// Only you know. An HTTP status of 429 or 503 says so, as do most time-outs. A 404 does not, and lowers no
    /// limit. Say it in the call, just before that is over: it is what the next call that is over counts as, and
    /// in a stage that is the same one. The others count as they are, and what a refusal took says nothing of what
    /// a call takes.
    ///
    /// With a permit in hand, say it [there](crate::Permit::overloaded).
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

    /// Returns the semaphore whose limit this one sets.
    ///
    /// A limit that is [set](Semaphore::set_limit) there applies until the policy sets another one, which it may
    /// do after the next call. 0 pauses it: then the policy is not asked, until another limit is set there.
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

/// Takes over a limit that is not what the policy said: the first one, one that was clamped, or one that was set on
/// the semaphore.
///
/// Returns whether it did.
fn adopt(exact: &mut f64, limit: usize) -> bool {
    let differs = whole(*exact) != limit;
    if differs {
        *exact = limit as f64;
    }
    differs
}

/// The limit that stands for an exact one.
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

/// Sets up an [`Adaptive`], which [`Adaptive::builder`] begins.
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
#[must_use = "a builder makes nothing until `build` is called"]
pub struct AdaptiveBuilder {
    range: RangeInclusive<usize>,
    initial: usize,
    policy: Box<dyn Policy>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

impl AdaptiveBuilder {
    /// Sets what finds the limit. It defaults to [`Vegas`].
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

    /// Sets the limit to begin with, clamped to the range. It defaults to 4.
    ///
    /// Rather few than many: [`Vegas`] learns from the first calls what one takes while there is no queue.
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

    /// Sets what tells the time. It defaults to [`Instant::now`].
    ///
    /// It is asked whenever a permit is taken, and when a call is over.
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

    /// Makes the limit.
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
