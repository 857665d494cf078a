use std::fmt;
use std::sync::Arc;

use super::Shared;
use super::line::Taker;

/// A permit of a [`Semaphore`], given back when it is dropped.
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
    taker: Taker,
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, permits: usize, taker: Taker) -> Self {
        Self { shared, permits, taker }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut line = self.shared.line();
        line.give_back(self.permits, self.taker);
        self.shared.grant_all(line);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
