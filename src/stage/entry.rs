//! Entries, and what a frontier and its entries share.
//!
//! All of it is under one lock, under which no code runs that is not ours: items and wakers are dropped, cloned
//! and woken outside. Whoever makes the stream ready takes its waker, so that a wake is never for nothing.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::dropped;
use crate::size_hint::{SizeHint, exactly};
use crate::sync::{Mutex, MutexGuard};

/// What an item of a [`frontier`](crate::frontier) comes with: while it lives the frontier does not end, and
/// it can add more items.
///
/// Take it along with what becomes of the item, through as many stages as it takes to know what else there
/// is to do. Dropping it says that the item is done. So an item that a filter drops is done, and one whose call
/// panics, fails or is cancelled.
///
/// A clone is one more entry, for an item that becomes many on its way. An entry can be sent to any thread if
/// the items can.
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
    /// Adds items, all at once, and is done.
    ///
    /// It never waits. In a frontier that is worked off depth first, they are the next ones to be yielded, the
    /// first one first.
    ///
    /// If the frontier was dropped, as by a stop, the items are dropped.
    ///
    /// # Panics
    ///
    /// If `items` panics, nothing is added, and the entry is done.
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

    /// Adds an item, and is not done yet.
    ///
    /// It never waits. In a frontier that is worked off depth first the item is the next one to be yielded.
    ///
    /// If the frontier was dropped, as by a stop, the item is dropped. [`try_push`](Self::try_push) gives it
    /// back.
    ///
    /// # Examples
    ///
    /// A list of pages, each of which names the next. The next one is asked for while the lines of this one
    /// are read:
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
        // Whatever is not taken is dropped here, outside of the lock.
        drop(self.try_push(item, usize::MAX));
    }

    /// Adds an item if fewer than `bound` are waiting.
    ///
    /// There is no form of this that waits for room: what waits can only become less if those who find items
    /// go on. Whoever gets an item back can work it off at once, put it on a disk, or give it up.
    ///
    /// # Errors
    ///
    /// Gives the item back if `bound` or more are waiting, or if the frontier was dropped.
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
    /// What waits. The next item is the first one, or the last one if `depth_first`.
    items: VecDeque<T>,

    depth_first: bool,

    /// How many entries there are.
    alive: usize,

    /// Whether items come from elsewhere too, so that it does not end with the last entry.
    more_to_come: bool,

    /// Whether nothing more is taken, as nobody would ask for it.
    closed: bool,

    /// That of the stream, if it waits.
    waker: Option<Waker>,

    /// Where the next items are gathered, which is empty.
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

    /// Makes an entry.
    pub(super) fn entry(self: &Arc<Self>) -> Entry<T> {
        self.state().alive += 1;
        Entry { shared: self.clone() }
    }

    /// Takes an item that waits, or waits for one. It ends, for good, if nobody can add any.
    pub(super) fn poll_pop(
        self: &Arc<Self>,
        cx: &Context<'_>,
        more_to_come: bool,
    ) -> Poll<Option<(T, Entry<T>)>> {
        let mut waker = None;
        loop {
            // Let go of before the waker, if that is to be dropped.
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

    /// Tells whether an item waits.
    pub(super) fn any_waiting(&self) -> bool {
        !self.state().items.is_empty()
    }

    /// Adds what was gathered.
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

    /// Takes nothing more from now on, and drops what waits.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let left = (mem::take(&mut state.items), mem::take(&mut state.spare), state.waker.take());
        drop(state);
        dropped::note(|dropped| dropped.items += left.0.len());
        drop(left);
    }

    /// Tells whether it has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Bounds the number of items still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.state();
        if state.closed || state.is_idle() { exactly(0) } else { (state.items.len(), None) }
    }

    /// How many items wait, and how many entries there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.items.len(), state.alive)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code that could leave it half-changed runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Takes an item that waits, for which there is to be an entry.
    fn pop(&mut self) -> Option<T> {
        let item = if self.depth_first { self.items.pop_back() } else { self.items.pop_front() }?;
        self.alive += 1;
        Some(item)
    }

    /// Tells whether nothing waits, and no entry can add anything.
    fn is_idle(&self) -> bool {
        self.items.is_empty() && self.alive == 0
    }

    /// Tells whether nobody can add anything.
    fn is_over(&self) -> bool {
        self.is_idle() && !self.more_to_come
    }
}

/// Lets go of the state, and wakes the stream if it waits.
fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
