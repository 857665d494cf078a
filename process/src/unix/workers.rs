//! The workers of a pool, and the calls that wait for one.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::{Receiver, Sender};
use async_executor::{Executor, Task};
use event_listener::Event;
use rustix::process::{Pid, getpid};

use super::Error;
use super::frame::Frame;
use super::process::Process;
use super::settings::Settings;
use super::starts::Starts;
use super::threads::Threads;
use super::worker::{Answer, Unanswered, Worker};

/// How often a call gets a new worker that dies before it has read the call.
const TRIES: u32 = 3;

/// What a pool, its calls and its workers share.
///
/// All that goes on goes on in tasks on one thread, whether the calls' futures are polled or not: a
/// call that was begun never holds its worker longer than it must, however slow its consumer is.
/// There is a task for each call, and one that follows each process from its start until it was
/// reaped.
pub(super) struct Workers {
    pub(super) settings: Settings,
    pub(super) state: Mutex<State>,
    pub(super) executor: Executor<'static>,
    /// Notified when the phase changes.
    pub(super) closing: Event,
    /// The process that all this is in. One that it forks has the memory, and neither the threads nor
    /// the workers.
    owner: Pid,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) starts: Starts,
    pub(super) processes: Vec<Known>,
    /// None if there are calls that wait.
    pub(super) idle: Vec<Worker>,
    /// The calls that wait for a worker, by number: the first come is the first served.
    pub(super) waiting: BTreeMap<u64, Sender<Result<Lease, Error>>>,
    next_number: u64,
    /// None before the first call.
    pub(super) threads: Option<Threads>,
}

/// A process that was started and not reaped.
pub(super) struct Known {
    pub(super) process: Arc<Process>,
    /// Whether it has said that it is a worker.
    pub(super) is_worker: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    Open,
    /// No call is taken any more, those that are there are done.
    Finishing,
    /// Nothing is done any more.
    Closed,
}

impl Workers {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: Mutex::new(State {
                phase: Phase::Open,
                starts: Starts::default(),
                processes: Vec::new(),
                idle: Vec::new(),
                waiting: BTreeMap::new(),
                next_number: 0,
                threads: None,
            }),
            executor: Executor::new(),
            closing: Event::new(),
            owner: getpid(),
        }
    }

    /// Begins a call, which is dropped with the task.
    pub(super) fn call(self: &Arc<Self>, call: Frame) -> Result<Task<Answer>, Error> {
        if self.is_forked() {
            let why =
                "the pool is that of the process which this one was forked from: make another";
            return Err(Error::Start(std::io::Error::other(why)));
        }
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Err(Error::Closed);
        }
        if state.threads.is_none() {
            state.threads = Some(Threads::start(self).map_err(Error::Start)?);
        }
        let number = state.next_number;
        state.next_number += 1;
        let turn = self.wait(&mut state, number);
        let workers = self.clone();
        let call = call.into_bytes(number);
        Ok(self.executor.spawn(async move { workers.answer(turn, call).await }))
    }

    async fn answer(self: Arc<Self>, mut turn: Turn, call: Vec<u8>) -> Answer {
        let mut tries = 0;
        loop {
            let mut lease = turn.come().await?;
            tries += u32::from(lease.is_new());
            match lease.call(&call, turn.number).await {
                Ok(answer) => return answer,
                // Its place was the first, and so it is again.
                Err(Unanswered::NotBegun(_)) if tries < TRIES && !self.is_closed() => {
                    let number = turn.number;
                    drop((lease, turn));
                    turn = self.wait(&mut self.state(), number);
                }
                Err(Unanswered::NotBegun(error) | Unanswered::Failed(error)) => {
                    return Err(if self.is_closed() { Error::Closed } else { error });
                }
            }
        }
    }

    /// Gives a call its place among those that wait.
    fn wait(self: &Arc<Self>, state: &mut State, number: u64) -> Turn {
        let (sender, lease) = async_channel::bounded(1);
        if let Some(worker) = state.idle.pop() {
            let sent = sender.try_send(Ok(Lease::new(self, worker)));
            debug_assert!(sent.is_ok(), "there is room for one");
        } else if state.phase != Phase::Closed {
            state.waiting.insert(number, sender);
            self.start_missing(state);
        }
        Turn { workers: self.clone(), number, lease }
    }

    /// Gives a worker to the call that has waited longest.
    pub(super) fn hand_on(self: &Arc<Self>, mut worker: Worker) {
        if self.is_worn(&worker) {
            return self.let_go(worker);
        }
        loop {
            let mut state = self.state();
            let has_ended = worker.process().has_ended();
            // A new one that has ended is for a call, which does not try for ever: else one would be
            // started over and over.
            if state.phase == Phase::Closed || has_ended && worker.answered() > 0 {
                return;
            }
            let Some((_, waiting)) = state.waiting.pop_first() else {
                match state.phase {
                    _ if has_ended => {}
                    Phase::Open => state.idle.push(worker),
                    _ => {
                        drop(state);
                        self.let_go(worker);
                    }
                }
                return;
            };
            drop(state);
            match waiting.try_send(Ok(Lease::new(self, worker))) {
                Ok(()) => return,
                // The call was dropped just now.
                Err(refused) => match refused.into_inner().map(Lease::into_worker) {
                    Ok(Some(returned)) => worker = returned,
                    Ok(None) | Err(_) => return,
                },
            }
        }
    }

    /// Tells whether a worker has done its share and is to be replaced.
    fn is_worn(&self, worker: &Worker) -> bool {
        if worker.answered() == 0 {
            return false;
        }
        #[cfg(target_os = "linux")]
        if self.settings.max_memory < u64::MAX
            && worker.process().memory().is_some_and(|bytes| bytes > self.settings.max_memory)
        {
            return true;
        }
        worker.answered() >= self.settings.max_calls
    }

    /// Has the call that has waited longest fail.
    pub(super) fn fail_first(&self, error: Error) {
        let mut error = Err(error);
        while let Some((_, waiting)) = { self.state().waiting.pop_first() } {
            match waiting.try_send(error) {
                Ok(()) => break,
                Err(refused) => error = refused.into_inner(),
            }
        }
    }

    pub(super) fn count(&self) -> Count {
        let state = self.state();
        let alive = state.starts.alive();
        Count { alive, idle: state.idle.len(), waiting: state.waiting.len() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().phase == Phase::Closed
    }

    pub(super) fn is_forked(&self) -> bool {
        getpid() != self.owner
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No code that could leave it half-changed runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there is a worker that does calls.
    pub(super) fn has_worker(&self) -> bool {
        self.processes.iter().any(|known| known.is_worker)
    }

    /// Takes what is not to go on, to be dropped once nothing is locked.
    pub(super) fn take_calls(&mut self) -> impl Sized + use<> {
        (mem::take(&mut self.waiting), mem::take(&mut self.idle))
    }
}

/// How things stand.
pub(super) struct Count {
    /// How many processes there are.
    pub(super) alive: usize,
    /// How many of them have nothing to do.
    pub(super) idle: usize,
    /// How many calls wait for one.
    pub(super) waiting: usize,
}

/// A call's place among those that wait.
struct Turn {
    workers: Arc<Workers>,
    number: u64,
    lease: Receiver<Result<Lease, Error>>,
}

impl Turn {
    async fn come(&self) -> Result<Lease, Error> {
        self.lease.recv().await.unwrap_or(Err(Error::Closed))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.workers.state().waiting.remove(&self.number);
    }
}

/// A worker that is given to a call. It goes to the next call, unless it was left in the middle of
/// one: then it is killed.
pub(super) struct Lease {
    workers: Arc<Workers>,
    worker: Option<Worker>,
    is_busy: bool,
}

impl Lease {
    fn new(workers: &Arc<Workers>, worker: Worker) -> Self {
        Self { workers: workers.clone(), worker: Some(worker), is_busy: false }
    }

    /// Whether its worker has not done a call yet.
    fn is_new(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.answered() == 0)
    }

    async fn call(&mut self, call: &[u8], number: u64) -> Result<Answer, Unanswered> {
        let Some(worker) = &mut self.worker else {
            return Err(Unanswered::Failed(Error::Closed));
        };
        self.is_busy = true;
        let answer = worker.call(call, number, self.workers.settings.limits).await?;
        self.is_busy = false;
        Ok(answer)
    }

    fn into_worker(mut self) -> Option<Worker> {
        self.worker.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            if !self.is_busy {
                self.workers.hand_on(worker);
            }
        }
    }
}
