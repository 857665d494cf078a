//! Entries, and what a frontier and its entries share.
//!
//! All of it is behind one lock, under which no foreign code runs: items and wakers are dropped, cloned and woken
//! outside it. Whoever makes the stream ready takes its waker, so no wake is spurious.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::dropped;
use crate::size_hint::{SizeHint, exactly};
use crate::sync::{Mutex, MutexGuard};

/// The handle that comes with each item of a [`frontier`](crate::frontier): it keeps the frontier from ending, and can
/// add more items.
///
/// Pass it along with the item, through as many stages as it takes to find the next items. Dropping it means that the
/// item is done. So items are also done if a filter drops them, or if their calls panic, fail or are cancelled.
///
/// A clone is one more entry, for an item that is split into several. Entries are `Send` and `Sync` if the items are
/// `Send`.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::{Entry, frontier};
///
/// fn split((length, entry): (u32, Entry<u32>)) -> u32 {
///     if length > 3 {
///         entry.expand([length / 2, length - length / 2]);
///     }
///     length
/// }
///
/// # futures_lite::future::block_on(async {
/// let lengths: Vec<u32> = frontier([10]).map(split).collect().await;
/// assert_eq!(lengths, [10, 5, 5, 2, 3, 2, 3]);
/// # });
/// ```
pub struct Entry<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Entry<T> {
    /// Adds items, all at once, and marks this entry's item as done.
    ///
    /// It never waits. Depth first, these are the next items to be yielded, in their order.
    ///
    /// If the frontier was dropped, for example by a stop, the items are dropped.
    ///
    /// # Panics
    ///
    /// If `items` panics, nothing is added, and the entry's item is done.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::frontier;
    /// use flowlet::prelude::*;
    ///
    /// async fn children(node: u32) -> Vec<u32> {
    ///     [2 * node, 2 * node + 1].into_iter().filter(|child| *child < 8).collect()
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let visited = frontier([1])
    ///     .map_concurrent(4, async |(node, entry)| (children(node).await, entry))
    ///     .map(|(children, entry)| entry.expand(children));
    /// assert_eq!(visited.count().await, 7);
    /// # });
    /// ```
    pub fn expand<I>(self, items: I)
    where
        I: IntoIterator<Item = T>,
    {
        let mut found = mem::take(&mut self.shared.state().spare);
        found.extend(items);
        self.shared.add(found);
    }

    /// Adds an item, without marking this entry's item as done.
    ///
    /// It never waits. Depth first, this is the next item to be yielded.
    ///
    /// If the frontier was dropped, for example by a stop, the item is dropped. [`try_push`](Self::try_push) returns it
    /// instead.
    ///
    /// # Examples
    ///
    /// Pages that name the next one. The next page is fetched while the lines of this one are being read:
    ///
    /// ```
    /// use flowlet::frontier;
    /// use flowlet::prelude::*;
    ///
    /// async fn fetch(page: u32) -> (Vec<String>, Option<u32>) {
    ///     (vec![format!("a line of page {page}"); 10], (page < 3).then_some(page + 1))
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let lines = frontier([1]).flat_map_concurrent(2, async |(page, entry)| {
    ///     let (lines, next) = fetch(page).await;
    ///     if let Some(next) = next {
    ///         entry.push(next);
    ///     }
    ///     lines
    /// });
    /// assert_eq!(lines.count().await, 30);
    /// # });
    /// ```
    pub fn push(&self, item: T) {
        // An item that was not added is dropped here, outside the lock.
        drop(self.try_push(item, usize::MAX));
    }

    /// Adds an item if fewer than `bound` are waiting.
    ///
    /// There is no form that waits for room: room is freed only if those who add items continue. If you get an item
    /// back, process it at once, write it to disk, or give it up.
    ///
    /// # Errors
    ///
    /// Returns the item if `bound` or more are waiting, or if the frontier was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::frontier;
    ///
    /// let numbers = frontier([1, 2]);
    /// let entry = numbers.entry();
    /// assert_eq!(entry.try_push(3, 3), Ok(()));
    /// assert_eq!(entry.try_push(4, 3), Err(4));
    /// ```
    pub fn try_push(&self, item: T, bound: usize) -> Result<(), T> {
        let mut state = self.shared.state();
        if state.closed || state.items.len() >= bound {
            return Err(item);
        }
        state.items.push_back(item);
        wake(state);
        Ok(())
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        self.shared.entry()
    }
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.alive -= 1;
        if state.is_over() {
            wake(state);
        }
    }
}

impl<T> fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

/// What a frontier and its entries share.
pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Waiting items. The next one is the first, or the last if `depth_first`.
    items: VecDeque<T>,

    depth_first: bool,

    /// How many entries are alive.
    alive: usize,

    /// Whether items come from elsewhere too, so that the end is not reached with the last entry.
    more_to_come: bool,

    /// Whether nothing is accepted any more, because nobody would ask for it.
    closed: bool,

    /// The waker of the stream, if it waits.
    waker: Option<Waker>,

    /// An empty buffer, in which the next items are collected.
    spare: Vec<T>,
}

impl<T> Shared<T> {
    pub(super) fn new(items: VecDeque<T>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                items,
                depth_first: false,
                alive: 0,
                more_to_come: false,
                closed: false,
                waker: None,
                spare: Vec::new(),
            }),
        })
    }

    /// Yields the last item next, from now on.
    pub(super) fn depth_first(&self) {
        let mut state = self.state();
        if !mem::replace(&mut state.depth_first, true) {
            state.items.make_contiguous().reverse();
        }
    }

    /// Creates an entry.
    pub(super) fn entry(self: &Arc<Self>) -> Entry<T> {
        self.state().alive += 1;
        Entry { shared: self.clone() }
    }

    /// Takes a waiting item, or waits for one. Ends for good if nobody can add any.
    pub(super) fn poll_pop(
        self: &Arc<Self>,
        cx: &Context<'_>,
        more_to_come: bool,
    ) -> Poll<Option<(T, Entry<T>)>> {
        let mut waker = None;
        loop {
            // Released before the waker is dropped, if it is.
            let mut state = self.state();
            state.more_to_come = more_to_come;
            if let Some(item) = state.pop() {
                return Poll::Ready(Some((item, Entry { shared: self.clone() })));
            }
            state.closed |= state.is_over();
            if state.closed {
                return Poll::Ready(None);
            }
            if state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if waker.is_some() {
                mem::swap(&mut state.waker, &mut waker);
                return Poll::Pending;
            }
            drop(state);
            waker = Some(cx.waker().clone());
        }
    }

    /// Returns whether an item is waiting.
    pub(super) fn any_waiting(&self) -> bool {
        !self.state().items.is_empty()
    }

    /// Adds the collected items.
    fn add(&self, mut found: Vec<T>) {
        let mut state = self.state();
        if !state.closed {
            if state.depth_first {
                state.items.extend(found.drain(..).rev());
            } else {
                state.items.extend(found.drain(..));
            }
            if state.spare.capacity() < found.capacity() {
                mem::swap(&mut state.spare, &mut found);
            }
            if !state.items.is_empty() {
                wake(state);
            }
        }
    }

    /// Accepts nothing from now on, and drops what is waiting.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let left = (mem::take(&mut state.items), mem::take(&mut state.spare), state.waker.take());
        drop(state);
        dropped::note(|dropped| dropped.items += left.0.len());
        drop(left);
    }

    /// Returns whether it has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Bounds the number of items still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.state();
        if state.closed || state.is_idle() { exactly(0) } else { (state.items.len(), None) }
    }

    /// Returns how many items are waiting, and how many entries are alive.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.items.len(), state.alive)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code that could leave it in an inconsistent state runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Takes a waiting item, for which the caller creates an entry.
    fn pop(&mut self) -> Option<T> {
        let item = if self.depth_first { self.items.pop_back() } else { self.items.pop_front() }?;
        self.alive += 1;
        Some(item)
    }

    /// Returns whether nothing is waiting and no entry is alive.
    fn is_idle(&self) -> bool {
        self.items.is_empty() && self.alive == 0
    }

    /// Returns whether nobody can add anything.
    fn is_over(&self) -> bool {
        self.is_idle() && !self.more_to_come
    }
}

/// Releases the lock, and wakes the stream if it waits.
fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
