//! Values in one vector, each of which can be taken out by its key.

use std::mem;

/// How much room is kept when nothing is left: enough that calls which come and go allocate nothing, and
/// too little for a burst of them to be remembered by.
const KEPT: usize = 1024;

pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,

    /// The first entry that is free.
    free: Option<usize>,

    len: usize,

    /// How many values were ever put in.
    inserted: u64,
}

enum Entry<T> {
    Used {
        number: u64,
        value: T,
    },
    /// With the next one that is free.
    Free(Option<usize>),
}

/// Where a value is. No other value ever has the same key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    index: usize,
    number: u64,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: None, len: 0, inserted: 0 }
    }
}

impl<T> Slab<T> {
    /// Puts in the value that `value` makes of its key.
    pub(super) fn insert(&mut self, value: impl FnOnce(Key) -> T) -> Key {
        let key = Key { index: self.free.unwrap_or(self.entries.len()), number: self.inserted };
        let used = Entry::Used { number: key.number, value: value(key) };
        match self.entries.get_mut(key.index) {
            None => self.entries.push(used),
            Some(entry) => {
                let Entry::Free(next) = mem::replace(entry, used) else {
                    unreachable!("an entry that is free is not used")
                };
                self.free = next;
            }
        }
        self.len += 1;
        self.inserted += 1;
        key
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// `None` if the value was taken out.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.index)? {
            Entry::Used { number, value } if *number == key.number => Some(value),
            Entry::Used { .. } | Entry::Free(_) => None,
        }
    }

    /// Takes the value out, or `None` if it was before.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.get_mut(key)?;
        let removed = mem::replace(&mut self.entries[key.index], Entry::Free(self.free));
        self.free = Some(key.index);
        self.len -= 1;
        if self.len == 0 && self.entries.capacity() > KEPT {
            self.entries = Vec::new();
            self.free = None;
        }
        match removed {
            Entry::Used { value, .. } => Some(value),
            Entry::Free(_) => None,
        }
    }
}
