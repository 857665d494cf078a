//! The total weight of the items in flight.
//!
//! An item counts from its admission until its output was yielded. In **completion order** these are the running calls,
//! the items about to run, and the waiting outputs, which leave in the order in which they were kept. In **input
//! order** these are all between the first place and the last. In both cases there is a queue of weights that is as
//! long as what it stands for. When that gets shorter, the front of the queue is dropped.

use std::collections::VecDeque;

pub(super) struct Weights {
    is_ordered: bool,

    /// The total weight of the calls that have not ended: of all that were admitted.
    running: usize,

    /// In input order the weights of all places, otherwise of all waiting outputs.
    queue: VecDeque<usize>,

    /// The total weight in the queue.
    queued: usize,
}

impl Weights {
    pub(super) fn new(is_ordered: bool) -> Self {
        Self { is_ordered, running: 0, queue: VecDeque::new(), queued: 0 }
    }

    /// Counts an item that was admitted.
    pub(super) fn admit(&mut self, weight: usize) {
        if self.is_ordered {
            self.push(weight);
        } else {
            self.running += weight;
        }
    }

    /// Counts a call as ended. Its output may wait.
    pub(super) fn end(&mut self, weight: usize, waits: bool) {
        if !self.is_ordered {
            self.running -= weight;
            if waits {
                self.push(weight);
            }
        }
    }

    fn push(&mut self, weight: usize) {
        self.queue.push_back(weight);
        self.queued += weight;
    }

    /// Forgets the items that have left, of which `queued` are still queued.
    pub(super) fn keep(&mut self, queued: usize) {
        while self.queue.len() > queued {
            self.queued -= self.queue.pop_front().unwrap_or(0);
        }
    }

    /// Returns whether an item fits under a limit: a heavy one only if nothing else has weight.
    pub(super) fn fits(&self, weight: usize, limit: usize) -> bool {
        let used = self.running + self.queued;
        used == 0 || used.checked_add(weight).is_some_and(|sum| sum <= limit)
    }

    pub(super) fn is_below(&self, limit: usize) -> bool {
        let used = self.running + self.queued;
        used == 0 || used < limit
    }

    /// Returns what the limit has to exceed for an item to fit.
    pub(super) fn needed(&self, weight: usize) -> usize {
        (self.running + self.queued).saturating_add(weight).saturating_sub(1)
    }
}
