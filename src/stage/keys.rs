//! The keys of the items in flight.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

use crate::engine::Key;

/// Keys, numbered while items in flight have them.
pub(super) struct Keys<K> {
    hasher: RandomState,

    /// The indices of keys in `entries`, by hash.
    numbers: HashTable<u32>,

    entries: Vec<Option<Entry<K>>>,

    /// The indices of empty entries.
    vacant: Vec<u32>,
}

struct Entry<K> {
    key: K,
    hash: u64,
}

impl<K> Keys<K> {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            numbers: HashTable::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
        }
    }

    /// Forgets a key that no item in flight has.
    pub(super) fn forget(&mut self, Key(number): Key) {
        let Some(entry) = self.entries[number as usize].take() else { return };
        if let Ok(found) = self.numbers.find_entry(entry.hash, |found| *found == number) {
            found.remove();
        }
        self.vacant.push(number);
        // Last, because it may panic.
        drop(entry);
    }
}

impl<K: Hash + Eq> Keys<K> {
    /// Returns the number of a key, which is valid until it is [forgotten](Self::forget).
    pub(super) fn number(&mut self, key: K) -> Key {
        let hash = self.hasher.hash_one(&key);
        let Self { numbers, entries, vacant, .. } = self;
        let is_key =
            |number: &u32| entries[*number as usize].as_ref().is_some_and(|entry| entry.key == key);
        if let Some(number) = numbers.find(hash, is_key) {
            return Key(*number);
        }
        let entry = Some(Entry { key, hash });
        let number = if let Some(number) = vacant.pop() {
            entries[number as usize] = entry;
            number
        } else {
            let number = u32::try_from(entries.len());
            entries.push(entry);
            number.expect("four billion keys do not fit into any memory")
        };
        let hash_of =
            |number: &u32| entries[*number as usize].as_ref().map_or(0, |entry| entry.hash);
        numbers.insert_unique(hash, number, hash_of);
        Key(number)
    }
}
