use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use super::Shared;
use super::line::CountedBy;
use super::watch::{State, Use};
use crate::panics::first_panic;

/// One or more permits of a [`Semaphore`](crate::Semaphore), given back when they are dropped.
///
/// It borrows nothing, so it can be kept anywhere and sent to other threads.
///
/// # Examples
///
/// ```
/// use flowlet::{Permit, Semaphore};
///
/// struct Connection {
///     _permit: Permit,
/// }
///
/// let semaphore = Semaphore::new(1);
/// let connection = Connection { _permit: semaphore.try_acquire().unwrap() };
/// assert_eq!(semaphore.in_use(), 1);
/// drop(connection);
/// assert_eq!(semaphore.in_use(), 0);
/// ```
#[must_use = "a permit is given back when it is dropped"]
pub struct Permit {
    shared: Arc<Shared>,
    permits: usize,
    counted_by: CountedBy,

    /// What is told of it when it is given back, if anyone wants to know.
    used: Option<Use>,
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, permits: usize, counted_by: CountedBy) -> Self {
        Self { shared, permits, counted_by, used: None }
    }

    /// Notes when it was taken, and how many were in use then, if anyone wants to know.
    #[inline]
    pub(super) fn watch(&mut self, in_use: usize) {
        if let Some(watch) = &self.shared.watch {
            let state = match self.counted_by {
                CountedBy::Permits => State::Over,
                CountedBy::Line => State::Running,
            };
            let in_use = u32::try_from(in_use).unwrap_or(u32::MAX);
            self.used = Some(Use { since: watch.now(), in_use, state });
        }
    }

    /// Notes that the call of a stage came to its end, or gave an output.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some(used) = &mut self.used {
            used.state = State::Over;
        }
    }

    /// Says that there was too much to do for what was called under the permit: it was refused, or not done in
    /// time.
    ///
    /// That is for the permits of an [`Adaptive`](crate::Adaptive), and changes nothing for others. In the call
    /// of a stage, which has no permit in hand, it is
    /// [`Adaptive::overloaded`](crate::Adaptive::overloaded).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Adaptive;
    ///
    /// # futures_lite::future::block_on(async {
    /// # let ask = async || 503;
    /// let limit = Adaptive::new(1..=256);
    /// let before = limit.limit();
    ///
    /// let mut permit = limit.acquire().await;
    /// if ask().await == 503 {
    ///     permit.overloaded();
    /// }
    /// drop(permit);
    /// assert!(limit.limit() < before);
    /// # });
    /// ```
    pub fn overloaded(&mut self) {
        if let Some(used) = &mut self.used {
            used.state = State::Overloaded;
        }
    }

    /// Keeps an [`Adaptive`](crate::Adaptive) from learning anything from this permit.
    ///
    /// For what is held for other reasons than that a call takes so long, such as a connection that idles, or
    /// a call that was given up. For the permits of other semaphores it changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Adaptive;
    ///
    /// # futures_lite::future::block_on(async {
    /// let limit = Adaptive::new(1..=256);
    /// let idle = limit.acquire().await.unmeasured();
    /// # drop(idle);
    /// # });
    /// ```
    pub fn unmeasured(mut self) -> Self {
        self.used = None;
        self
    }

    /// Returns how many permits these are.
    ///
    /// # Examples
    ///
    /// ```
    /// let permit = flowlet::Semaphore::new(8).try_acquire_many(3).unwrap();
    /// assert_eq!(permit.count(), 3);
    /// ```
    pub fn count(&self) -> usize {
        self.permits
    }

    /// Splits off that many permits, to be given back by themselves. `None` if these are fewer.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = flowlet::Semaphore::new(8);
    /// let mut all = semaphore.try_acquire_many(8).unwrap();
    /// let three = all.split(3).unwrap();
    /// assert!(all.split(6).is_none());
    /// drop(three);
    /// assert_eq!((all.count(), semaphore.in_use()), (5, 5));
    /// ```
    pub fn split(&mut self, permits: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(permits)?;
        // Who has both counts once.
        Some(Self::new(self.shared.clone(), permits, CountedBy::Line))
    }

    /// Adds the permits of `other`, to be given back together.
    ///
    /// # Panics
    ///
    /// Panics if they are of different semaphores.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = flowlet::Semaphore::new(8);
    /// let mut permits = semaphore.try_acquire().unwrap();
    /// permits.merge(semaphore.try_acquire().unwrap());
    /// assert_eq!((permits.count(), semaphore.in_use()), (2, 2));
    /// ```
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        let same = Arc::ptr_eq(&self.shared, &other.shared);
        assert!(same, "permits of different semaphores cannot be merged");
        self.permits += std::mem::take(&mut other.permits);
    }
}

impl Permit {
    /// Tells whether a call came to its end under it, and not by a panic.
    fn is_sample(&self, used: Use) -> bool {
        used.state != State::Running && self.permits > 0 && !thread::panicking()
    }

    fn give_back(&self) {
        let mut line = self.shared.line();
        line.give_back(self.permits, self.counted_by);
        self.shared.grant_all(line);
    }

    /// Tells how it was used, then gives it back, also if that panics.
    #[cold]
    fn tell(&self, used: Use) {
        let told = catch_unwind(AssertUnwindSafe(|| {
            if let Some(watch) = &self.shared.watch {
                watch.over(&self.shared, used);
            }
        }));
        let given = catch_unwind(AssertUnwindSafe(|| self.give_back()));
        if let Err(panic) = first_panic(told, given) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        match self.used {
            Some(used) if self.is_sample(used) => self.tell(used),
            _ => self.give_back(),
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.permits).finish_non_exhaustive()
    }
}
