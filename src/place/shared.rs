//! The threads of `in_thread`, which the whole process shares.
//!
//! A call that finds no idle thread starts one, up to a limit. If the system refuses it, the call waits for the threads
//! there are, and another start is tried with the next call that comes or begins. Nothing ever spins or blocks in a poll.
//! Threads end when they were idle for a while, but for the last one: as long as there is one, every call will run.

use std::env;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::call::Job;
use super::lines::{LastLine, Queue, Ticket};
use super::slots;
use crate::panics::discard;

/// Sets how many threads there are at most.
const VARIABLE: &str = "FLOWLET_MAX_THREADS";

/// How many there are at most if the variable does not say.
const MOST: usize = 500;

/// How long a thread is idle before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// The threads.
pub(super) static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let most = env::var(VARIABLE).ok().and_then(|most| most.parse().ok());
    Shared {
        most: most.filter(|most| (1..=10_000).contains(most)).unwrap_or(MOST),
        state: Mutex::default(),
        something_to_do: Condvar::new(),
    }
});

pub(super) struct Shared {
    most: usize,
    state: Mutex<State>,

    /// Notified when there is something to do for a thread that is idle.
    something_to_do: Condvar,
}

#[derive(Default)]
struct State {
    /// The calls that have not begun.
    queue: Queue,

    /// How many threads there are, those included that are being started.
    threads: usize,

    /// How many are being started.
    starting: usize,

    /// How many wait.
    idle: usize,
}

/// A thread that was counted, and is to be started.
#[must_use]
struct Start;

impl State {
    /// Counts one more thread, if there are calls that none of the free ones will take.
    fn grow(&mut self, most: usize) -> Option<Start> {
        let is_needed = self.queue.len() > self.idle + self.starting;
        (is_needed && self.threads < most).then(|| {
            self.threads += 1;
            self.starting += 1;
            Start
        })
    }
}

impl Shared {
    /// Queues a call. It is refused if there is no thread, and the system starts none.
    pub(super) fn give(&'static self, last_line: &LastLine, job: Job) -> Ticket {
        let mut state = self.state();
        let ticket = state.queue.push(last_line, job);
        let start = state.grow(self.most);
        let is_any_idle = state.idle > 0;
        drop(state);
        if is_any_idle {
            self.something_to_do.notify_one();
        }
        if let Some(start) = start {
            self.start(start);
        }
        ticket
    }

    /// Takes a call that nobody wants any more out of the queue.
    pub(super) fn withdraw(&self, ticket: &Ticket) {
        let job = self.state().queue.remove(ticket);
        drop(job);
    }

    fn start(&'static self, Start: Start) {
        let thread = thread::Builder::new().name("flowlet-thread".to_owned());
        if thread.spawn(|| self.work()).is_ok() {
            return;
        }
        let mut state = self.state();
        state.threads -= 1;
        state.starting -= 1;
        // A call that waited now would wait forever.
        let refused = if state.threads == 0 { state.queue.drain() } else { Vec::new() };
        drop(state);
        drop(refused);
    }

    /// What a thread does until it ends.
    fn work(&'static self) {
        let mut state = self.state();
        state.starting -= 1;
        loop {
            if let Some(job) = state.queue.pop() {
                // What the system refused before it may grant by now.
                let start = state.grow(self.most);
                drop(state);
                if let Some(start) = start {
                    self.start(start);
                }
                job.run(|| ());
                state = self.state();
                continue;
            }
            let patience = if state.threads > 1 { IDLE } else { Duration::MAX };
            state.idle += 1;
            let waited = self.something_to_do.wait_timeout(state, patience);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.len() == 0 && state.threads > 1 {
                break;
            }
        }
        state.threads -= 1;
        drop(state);
        // Nobody joins it.
        discard(slots::end());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of the user's runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
