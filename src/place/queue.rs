//! What a task has for its consumer, item by item.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::sync::AtomicWaker;

/// Makes a queue. It is up to the task to push no more than there is room for.
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::new(), is_open: true };
    let shared = Arc::new(Shared { state: Mutex::new(state), consumer: AtomicWaker::new() });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T> {
    state: Mutex<State<T>>,

    /// Woken when there is an item, or will be none.
    consumer: AtomicWaker,
}

struct State<T> {
    items: VecDeque<T>,

    /// Whether both ends are there.
    is_open: bool,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code of others runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self) -> Poll<Option<T>> {
        let mut state = self.state();
        match state.items.pop_front() {
            None if state.is_open => Poll::Pending,
            popped => Poll::Ready(popped),
        }
    }
}

/// The task's end.
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Adds an item, or returns it if the consumer is gone.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.shared.state();
        if !state.is_open {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.shared.consumer.wake();
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.state().is_open = false;
        self.shared.consumer.wake();
    }
}

/// The consumer's end. Dropped, it drops what waits at once, not when the task goes.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Takes the next item. `None` once the task's end is gone, and what it pushed is taken.
    pub(crate) fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let popped = self.shared.pop();
        if popped.is_ready() {
            return popped;
        }
        // Between registering and waiting, look once more.
        self.shared.consumer.register(cx.waker());
        self.shared.pop()
    }

    /// Returns how many items wait.
    pub(crate) fn len(&self) -> usize {
        self.shared.state().items.len()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_open = false;
        let items = mem::take(&mut state.items);
        drop(state);
        drop(items);
    }
}
