use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::place::call::Job;
use crate::place::lines::{LastLine, Queue, Ticket};
use crate::place::slots;

/// What the threads of a pool share with the calls that they run.
pub(super) struct Workers {
    pub(super) name: String,

    state: Mutex<State>,

    /// Notified when there is something to do for a thread that is idle.
    something_to_do: Condvar,

    /// How many threads run calls.
    in_use: AtomicUsize,
}

struct State {
    /// The calls that were taken and have not begun.
    queue: Queue,

    /// Whether more calls are taken.
    is_open: bool,

    /// How many threads wait.
    idle: usize,
}

impl Workers {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            state: Mutex::new(State { queue: Queue::default(), is_open: true, idle: 0 }),
            something_to_do: Condvar::new(),
            in_use: AtomicUsize::new(0),
        }
    }

    /// Queues a call, unless the pool was shut down.
    pub(super) fn give(&self, last_line: &LastLine, job: Job) -> Option<Ticket> {
        let mut state = self.state();
        if !state.is_open {
            drop(state);
            return None; // which drops the job
        }
        let ticket = state.queue.push(last_line, job);
        let is_any_idle = state.idle > 0;
        drop(state);
        if is_any_idle {
            self.something_to_do.notify_one();
        }
        Some(ticket)
    }

    /// Takes a call that nobody wants any more out of the queue.
    pub(super) fn withdraw(&self, ticket: &Ticket) {
        let job = self.state().queue.remove(ticket);
        drop(job);
    }

    /// What a thread of the pool does until the pool is shut down.
    pub(super) fn work(&self) {
        while let Some(job) = self.next() {
            job.run(|| _ = self.in_use.fetch_sub(1, Ordering::SeqCst));
        }
        if let Err(panic) = slots::end() {
            resume_unwind(panic);
        }
    }

    /// Waits for the next call, which takes the thread. `None` if there will be none.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop() {
                self.in_use.fetch_add(1, Ordering::SeqCst);
                return Some(job);
            }
            if !state.is_open {
                return None;
            }
            state.idle += 1;
            state = self.something_to_do.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Takes no more calls. The threads end when those that wait have been run.
    pub(super) fn close(&self) {
        self.state().is_open = false;
        self.something_to_do.notify_all();
    }

    /// Takes no more calls, and refuses those that have not begun.
    ///
    /// It does so here and now, because the threads may be busy for long, perhaps with waiting for a call
    /// that is in the queue.
    pub(super) fn close_now(&self) {
        self.close();
        let refused = self.state().queue.drain();
        drop(refused);
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of the user's runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
