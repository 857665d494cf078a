//! What is left of a pipeline that was stopped.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Collects the items that a pipeline had not finished when it was dropped.
///
/// [`guard`](Self::guard) wraps an item. If the guard is dropped before the item has been [taken](Guarded::take) out of
/// it, the item ends up here. So you can get back everything a pipeline holds, for example to return it to a queue:
/// items that wait for a permit, a batch that is not full, outputs that nobody took, what a channel or another crate's
/// adaptor holds. It does not matter how the pipeline ended: by a stop, an error, a panic or a timeout.
///
/// When to take an item out is up to the call. If the call takes it at its start, the items that come back are those
/// that were not started. If it takes it after its work, unfinished items come back too, and their calls may have been
/// dropped halfway through.
///
/// Clones are handles to the same collection. It grows with what comes back, and allocates only then.
///
/// # Examples
///
/// ```
/// use flowlet::Remainder;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let left = Remainder::new();
/// let mut batches = pipe(1..=100)
///     .map(|job| left.guard(job))
///     .map_concurrent(2, async |job| job)
///     .batched(3);
///
/// let done: Vec<u32> = batches.next().await.unwrap().into_iter().map(|job| job.take()).collect();
/// batches.next().await;
/// drop(batches); // or a stop, or a timeout
///
/// assert_eq!(done, [1, 2, 3]);
/// assert!(left.take().starts_with(&[4, 5, 6])); // in their order
/// # });
/// ```
pub struct Remainder<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

struct Shared<T> {
    /// Items that came back, each with its number.
    left: Vec<(u64, T)>,

    /// How many items have been guarded.
    guarded: u64,
}

impl<T> Remainder<T> {
    /// Creates an empty remainder.
    ///
    /// # Examples
    ///
    /// ```
    /// let left = flowlet::Remainder::<u32>::new();
    /// assert!(left.is_empty());
    /// ```
    pub fn new() -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { left: Vec::new(), guarded: 0 })) }
    }

    /// Wraps an item, which comes back here if it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Remainder;
    ///
    /// let left = Remainder::new();
    /// let [done, dropped] = ["done", "dropped"].map(|item| left.guard(item));
    /// done.take();
    /// drop(dropped);
    /// assert_eq!(left.take(), ["dropped"]);
    /// ```
    pub fn guard(&self, item: T) -> Guarded<T> {
        let mut shared = self.shared();
        let number = shared.guarded;
        shared.guarded += 1;
        drop(shared);
        Guarded { item: Some(item), number, remainder: self.clone() }
    }

    /// Takes the items that have come back so far, in the order in which they were guarded.
    ///
    /// Items whose guards are alive are not among them: call this after the pipeline was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let left = flowlet::Remainder::new();
    /// let (first, second) = (left.guard(1), left.guard(2));
    /// drop((second, first));
    /// assert_eq!(left.take(), [1, 2]);
    /// assert_eq!(left.take(), []);
    /// ```
    pub fn take(&self) -> Vec<T> {
        let mut left = std::mem::take(&mut self.shared().left);
        left.sort_unstable_by_key(|(number, _)| *number);
        left.into_iter().map(|(_, item)| item).collect()
    }

    /// Returns how many items have come back so far.
    ///
    /// # Examples
    ///
    /// ```
    /// let left = flowlet::Remainder::new();
    /// drop(left.guard("item"));
    /// assert_eq!(left.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared().left.len()
    }

    /// Returns whether no items have come back so far.
    ///
    /// # Examples
    ///
    /// ```
    /// let left = flowlet::Remainder::new();
    /// drop(left.guard("item"));
    /// assert!(!left.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.shared().left.is_empty()
    }

    fn shared(&self) -> MutexGuard<'_, Shared<T>> {
        // No foreign code runs under the lock.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Remainder<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> Default for Remainder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Remainder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remainder").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// An item that goes back to its [`Remainder`] when it is dropped.
///
/// It dereferences to the item.
///
/// # Examples
///
/// ```
/// use flowlet::{Guarded, Remainder};
///
/// let left = Remainder::new();
/// let name: Guarded<String> = left.guard("flow".to_owned());
/// assert_eq!(name.len(), 4);
/// assert_eq!(name.take(), "flow"); // so it does not go back
/// assert!(left.is_empty());
/// ```
#[must_use = "an item that is dropped goes back to its remainder"]
pub struct Guarded<T> {
    /// `Some` until it is taken out, or goes back.
    item: Option<T>,
    number: u64,
    remainder: Remainder<T>,
}

impl<T> Guarded<T> {
    /// Takes the item, which will no longer go back.
    ///
    /// # Examples
    ///
    /// ```
    /// let left = flowlet::Remainder::new();
    /// assert_eq!(left.guard(7).take(), 7);
    /// assert!(left.is_empty());
    /// ```
    pub fn take(mut self) -> T {
        self.item.take().expect(HERE)
    }
}

/// The item is taken only by those who own the guard.
const HERE: &str = "a guard has its item";

impl<T> Deref for Guarded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.item.as_ref().expect(HERE)
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.item.as_mut().expect(HERE)
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            self.remainder.shared().left.push((self.number, item));
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guarded").field(&**self).finish()
    }
}
