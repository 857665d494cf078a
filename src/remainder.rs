//! What is left of a pipeline that was stopped.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Collects the items that a pipeline had not finished when it was dropped.
///
/// [`guard`](Self::guard) makes an item one that comes back: if it is dropped before somebody has
/// [taken](Guarded::take) it out of its guard, it is left here. So whatever a pipeline holds can be had back, for
/// those who must give it back to a queue: items that wait for a permit, a batch that is not full, outputs that
/// nobody took, what a channel or another crate's adaptor holds. It does not matter how the pipeline ended: by a
/// stop, an error, a panic or a time-out.
///
/// When to take an item out is up to the call. One that does so at its beginning leaves those items that were not
/// begun. One that does so after its work leaves those that it has not done as well, for which it may have been cut
/// off in the middle.
///
/// Clones are handles to the same collection. It grows with what is left, and allocates only then.
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
/// drop(batches); // or a stop, or a time-out
///
/// assert_eq!(done, [1, 2, 3]);
/// assert!(left.take().starts_with(&[4, 5, 6])); // in their order
/// # });
/// ```
pub struct Remainder<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

struct Shared<T> {
    /// What is left, each with its number.
    left: Vec<(u64, T)>,

    /// How many items were guarded.
    guarded: u64,
}

impl<T> Remainder<T> {
    /// Makes one with nothing in it.
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

    /// Has an item come back, should it be dropped.
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

    /// Takes what is left so far, in the order in which it was guarded.
    ///
    /// Guards that are alive are not here: take it when the pipeline is gone.
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

    /// Returns how many items are left so far.
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

    /// Tells whether nothing is left so far.
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
        // No code of others runs under the lock.
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
/// It can be used as the item itself, by reference.
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
    /// There until it is taken out, or goes back.
    item: Option<T>,
    number: u64,
    remainder: Remainder<T>,
}

impl<T> Guarded<T> {
    /// Takes the item, which does not go back any more.
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

/// Only who has the guard by value takes the item.
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
