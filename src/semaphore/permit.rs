use std::fmt;
use std::sync::Arc;

use super::Shared;
use super::line::CountedBy;

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
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, permits: usize, counted_by: CountedBy) -> Self {
        Self { shared, permits, counted_by }
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

impl Drop for Permit {
    fn drop(&mut self) {
        let mut line = self.shared.line();
        line.give_back(self.permits, self.counted_by);
        self.shared.grant_all(line);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.permits).finish_non_exhaustive()
    }
}
