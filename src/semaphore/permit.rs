use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use super::Shared;
use super::line::CountedBy;
use super::watch::{State, Use};
use crate::panics::first_panic;

/// One or more permits of a [`Semaphore`](crate::Semaphore), released on drop.
///
/// It borrows nothing, so it can be stored anywhere and sent to other threads.
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
#[must_use = "a permit is released when it is dropped"]
pub struct Permit {
    shared: Arc<Shared>,
    permits: usize,
    counted_by: CountedBy,

    /// What is reported when it is released, if anyone is watching.
    used: Option<Use>,
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, permits: usize, counted_by: CountedBy) -> Self {
        Self { shared, permits, counted_by, used: None }
    }

    /// Records when it was taken, and how many were in use then, if anyone is watching.
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

    /// Records that the stage's call completed, or yielded an output.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some(used) = &mut self.used {
            used.state = State::Over;
        }
    }

    /// Reports an overload: what was called under the permit was rejected, or did not finish in time.
    ///
    /// This is for permits of an [`Adaptive`](crate::Adaptive), and has no effect on others. The call of a stage
    /// does not hold its permit: it uses [`Adaptive::overloaded`](crate::Adaptive::overloaded) instead.
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

    /// Excludes this permit from what an [`Adaptive`](crate::Adaptive) learns from.
    ///
    /// Use it where the time a permit is held says nothing about the load: for an idle connection, or a call that
    /// was abandoned. It has no effect on permits of other semaphores.
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

    /// Returns the number of permits.
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

    /// Splits off `permits` permits, to be released separately. Returns `None` if there are fewer.
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
        // The two together count as one user.
        Some(Self::new(self.shared.clone(), permits, CountedBy::Line))
    }

    /// Adds the permits of `other`, to be released together.
    ///
    /// # Panics
    ///
    /// Panics if they belong to different semaphores.
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
    /// Returns whether a call completed under it, and not by a panic.
    fn is_sample(&self, used: Use) -> bool {
        used.state != State::Running && self.permits > 0 && !thread::panicking()
    }

    fn give_back(&self) {
        let mut line = self.shared.line();
        line.give_back(self.permits, self.counted_by);
        self.shared.grant_all(line);
    }

    /// Reports how it was used, then releases it, even if reporting panics.
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
