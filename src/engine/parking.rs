//! Items that wait for others of their key.
//!
//! A key is **taken** by the items that are running and by those that may run: up to `most` at once. All other items of
//! the key wait in its queue, in their order. Whoever releases the key passes it to the first of them, which is then
//! **ready**. So no item overtakes another with the same key.
//!
//! Items are nodes of linked lists, which are reused: as much is allocated as ever waited at once.

use super::admission::Held;
use super::ready::NONE;
use super::work::Key;

/// The items of one stage that wait for their key.
pub(super) struct Parking<I> {
    /// How many calls of a key may run at once.
    most: usize,

    /// The state of each key, by its number.
    keys: Vec<Queue>,

    nodes: Vec<Node<I>>,

    /// The nodes without an item, linked.
    vacant: u32,

    /// The items that have their key.
    ready: List,

    len: usize,
}

struct Queue {
    taken: usize,
    waiting: List,
}

/// Nodes, linked from the first to the last.
struct List {
    first: u32,

    /// Meaningless while the list is empty.
    last: u32,
}

struct Node<I> {
    held: Option<Held<I>>,
    next: u32,
}

impl List {
    const EMPTY: Self = Self { first: NONE, last: NONE };

    fn is_empty(&self) -> bool {
        self.first == NONE
    }

    fn push<I>(&mut self, index: u32, nodes: &mut [Node<I>]) {
        nodes[index as usize].next = NONE;
        if self.is_empty() {
            self.first = index;
        } else {
            nodes[self.last as usize].next = index;
        }
        self.last = index;
    }

    fn pop<I>(&mut self, nodes: &[Node<I>]) -> Option<u32> {
        let index = self.first;
        let node = nodes.get(index as usize)?;
        self.first = node.next;
        Some(index)
    }
}

impl<I> Parking<I> {
    pub(super) fn new() -> Self {
        Self {
            most: 1,
            keys: Vec::new(),
            nodes: Vec::new(),
            vacant: NONE,
            ready: List::EMPTY,
            len: 0,
        }
    }

    /// Sets how many calls of a key may run at once.
    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Returns how many items wait for their key, or have it and are not taken.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes a key, if no item is waiting for it and not too many are running.
    pub(super) fn take_key(&mut self, key: Key) -> bool {
        let index = key.0 as usize;
        if index >= self.keys.len() {
            self.keys.resize_with(index + 1, || Queue { taken: 0, waiting: List::EMPTY });
        }
        let queue = &mut self.keys[index];
        let is_free = queue.taken < self.most && queue.waiting.is_empty();
        queue.taken += usize::from(is_free);
        is_free
    }

    /// Makes an item wait for its key.
    pub(super) fn park(&mut self, key: Key, held: Held<I>) {
        let index = self.vacant;
        let index = if let Some(node) = self.nodes.get_mut(index as usize) {
            self.vacant = node.next;
            node.held = Some(held);
            index
        } else {
            let index = u32::try_from(self.nodes.len()).ok().filter(|index| *index != NONE);
            self.nodes.push(Node { held: Some(held), next: NONE });
            index.expect("four billion items do not fit into any memory")
        };
        self.len += 1;
        self.keys[key.0 as usize].waiting.push(index, &mut self.nodes);
    }

    /// Releases a key, to the next item that waits for it. Returns whether no item has it any more.
    #[must_use = "the key must be forgotten"]
    pub(super) fn give_back(&mut self, key: Key) -> bool {
        let queue = &mut self.keys[key.0 as usize];
        if let Some(next) = queue.waiting.pop(&self.nodes) {
            self.ready.push(next, &mut self.nodes);
            return false;
        }
        queue.taken -= 1;
        queue.taken == 0
    }

    /// Returns whether an item has its key.
    pub(super) fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the first item that has its key.
    pub(super) fn next_ready(&mut self) -> Option<Held<I>> {
        let index = self.ready.pop(&self.nodes)?;
        self.vacate(index)
    }

    fn vacate(&mut self, index: u32) -> Option<Held<I>> {
        let node = &mut self.nodes[index as usize];
        node.next = self.vacant;
        self.vacant = index;
        self.len -= 1;
        node.held.take()
    }

    /// Takes out the items that are not `kept`. Those that have their key still have it.
    pub(super) fn cut(&mut self, kept: impl Fn(&Held<I>) -> bool) -> Vec<Held<I>> {
        let mut cut = Vec::new();
        for list in 0..=self.keys.len() {
            // The last list is that of the ready items.
            let mut rest = self.list(list).first;
            *self.list(list) = List::EMPTY;
            while rest != NONE {
                let Node { held, next } = &self.nodes[rest as usize];
                let (index, is_kept) = (rest, held.as_ref().is_some_and(&kept));
                rest = *next;
                if is_kept {
                    let mut longer = List { ..*self.list(list) };
                    longer.push(index, &mut self.nodes);
                    *self.list(list) = longer;
                } else {
                    let has_key = list == self.keys.len();
                    let held = self.vacate(index);
                    cut.extend(held.map(|held| Held { key: held.key.filter(|_| has_key), ..held }));
                }
            }
        }
        cut
    }

    fn list(&mut self, list: usize) -> &mut List {
        match self.keys.get_mut(list) {
            Some(queue) => &mut queue.waiting,
            None => &mut self.ready,
        }
    }
}
