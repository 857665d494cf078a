use std::mem;

use crate::dropped;

/// The items of a batch that is not complete.
pub(super) struct Started<T>(Vec<T>);

impl<T> Started<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an item.
    pub(super) fn push(&mut self, item: T) {
        self.0.push(item);
    }

    /// Reserves room for that many items, if there is none yet.
    pub(super) fn reserve(&mut self, items: usize) {
        if self.0.is_empty() {
            self.0.reserve_exact(items);
        }
    }

    /// Takes the items, unless there are none.
    pub(super) fn take(&mut self) -> Option<Vec<T>> {
        (!self.0.is_empty()).then(|| mem::take(&mut self.0))
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        dropped::note(|dropped| dropped.items += self.0.len());
    }
}
