//! The failures of a stage whose calls finish first.
//!
//! Most stages never fail, so this takes one word until then.

use std::collections::VecDeque;

/// The failures of a stage, in the order in which they occurred.
pub(super) struct Failures<T>(Option<Box<Queue<T>>>);

struct Queue<T> {
    failures: VecDeque<T>,
}

impl<T> Failures<T> {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.failures.len())
    }

    pub(super) fn push(&mut self, failure: T) {
        let queue = self.0.get_or_insert_with(|| Box::new(Queue { failures: VecDeque::new() }));
        queue.failures.push_back(failure);
    }

    /// Takes the first of them.
    #[inline]
    pub(super) fn take(&mut self) -> Option<T> {
        self.0.as_mut()?.failures.pop_front()
    }
}
