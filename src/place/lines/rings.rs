//! Rings, which any value can leave at once.

use super::slab::{Key, Slab};

/// The values of any number of rings.
pub(super) struct Rings<T> {
    slab: Slab<Linked<T>>,
}

struct Linked<T> {
    value: T,
    previous: Key,
    next: Key,
}

/// One of the rings: where it begins, unless it is empty. The last value is the one before the first.
#[derive(Default)]
pub(super) struct Ring {
    first: Option<Key>,
}

impl<T> Default for Rings<T> {
    fn default() -> Self {
        Self { slab: Slab::default() }
    }
}

impl Ring {
    pub(super) fn first(&self) -> Option<Key> {
        self.first
    }
}

impl<T> Rings<T> {
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slab.get_mut(key).map(|linked| &mut linked.value)
    }

    /// Returns how many values there are in all rings.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Adds a value at the end.
    pub(super) fn push(&mut self, ring: &mut Ring, value: T) -> Key {
        let Some(first) = ring.first else {
            let alone = self.slab.insert(|key| Linked { value, previous: key, next: key });
            ring.first = Some(alone);
            return alone;
        };
        let last = self.linked(first).previous;
        let key = self.slab.insert(|_| Linked { value, previous: last, next: first });
        self.linked(last).next = key;
        self.linked(first).previous = key;
        key
    }

    /// Takes out a value of the ring, or `None` if that was done before.
    pub(super) fn remove(&mut self, ring: &mut Ring, key: Key) -> Option<T> {
        let Linked { value, previous, next } = self.slab.remove(key)?;
        if next == key {
            ring.first = None;
            return Some(value);
        }
        self.linked(previous).next = next;
        self.linked(next).previous = previous;
        if ring.first == Some(key) {
            ring.first = Some(next);
        }
        Some(value)
    }

    /// Makes the first value the last.
    pub(super) fn turn(&mut self, ring: &mut Ring) {
        ring.first = ring.first.map(|first| self.linked(first).next);
    }

    fn linked(&mut self, key: Key) -> &mut Linked<T> {
        self.slab.get_mut(key).expect("what a ring links to is in it")
    }
}
