use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle, ThreadId};

use event_listener::Event;

use crate::panics::first_panic;

/// The threads of a pool, to be waited for.
///
/// A panic with which one of them ended comes out once, wherever they are waited for first.
pub(super) struct Threads {
    ids: Vec<ThreadId>,
    state: Mutex<State>,
}

enum State {
    /// Nobody waits for them yet.
    Unjoined(Vec<JoinHandle<()>>),
    /// A thread that was started for it joins them.
    Joining(Arc<Joining>, JoinHandle<thread::Result<()>>),
    /// They have ended.
    Joined,
}

struct Joining {
    is_over: AtomicBool,
    over: Event,
}

impl Threads {
    pub(super) fn new() -> Self {
        Self { ids: Vec::new(), state: Mutex::new(State::Unjoined(Vec::new())) }
    }

    pub(super) fn push(&mut self, thread: JoinHandle<()>) {
        self.ids.push(thread.thread().id());
        let State::Unjoined(threads) = &mut *self.state() else {
            unreachable!("a pool has all its threads before they are joined")
        };
        threads.push(thread);
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the current thread is one of them.
    pub(super) fn has_current(&self) -> bool {
        self.ids.contains(&thread::current().id())
    }

    /// Blocks until they have ended.
    pub(super) fn join(&self) -> thread::Result<()> {
        // Whoever else waits for them waits for the lock.
        let mut state = self.state();
        match mem::replace(&mut *state, State::Joined) {
            State::Unjoined(threads) => join(threads),
            State::Joining(_, joiner) => joiner.join().unwrap_or_else(Err),
            State::Joined => Ok(()),
        }
    }

    /// Waits until they have ended.
    pub(super) async fn joined(&self, pool: &str) -> thread::Result<()> {
        if let Some(joining) = self.joining(pool) {
            let over = joining.over.listen();
            if !joining.is_over.load(Ordering::Acquire) {
                over.await;
            }
        }
        // There is hardly anything left to wait for.
        self.join()
    }

    /// Has another thread join them, because a thread has ended only when its thread-local values
    /// are dropped, and only to join it waits for that.
    ///
    /// `None` if they were joined, or if the system has no thread left for it.
    fn joining(&self, pool: &str) -> Option<Arc<Joining>> {
        let mut state = self.state();
        match &mut *state {
            State::Joining(joining, _) => Some(joining.clone()),
            State::Joined => None,
            State::Unjoined(threads) => {
                let joining =
                    Arc::new(Joining { is_over: AtomicBool::new(false), over: Event::new() });
                // They are not lost with the closure if it cannot be spawned.
                let (send, receive) = mpsc::channel();
                let joiner = {
                    let joining = joining.clone();
                    move || {
                        let result = receive.recv().map_or(Ok(()), join);
                        joining.is_over.store(true, Ordering::Release);
                        joining.over.notify(usize::MAX);
                        result
                    }
                };
                let name = format!("{pool}-shutdown");
                let joiner = thread::Builder::new().name(name).spawn(joiner).ok()?;
                send.send(mem::take(threads)).expect("the thread waits for them");
                *state = State::Joining(joining.clone(), joiner);
                Some(joining)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins them all, and returns the first panic.
fn join(threads: Vec<JoinHandle<()>>) -> thread::Result<()> {
    threads.into_iter().map(JoinHandle::join).fold(Ok(()), first_panic)
}
