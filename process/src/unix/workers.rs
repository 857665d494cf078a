//! The workers of a pool, and the calls that wait for one.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_executor::{Executor, Task};
use async_process::Command;
use event_listener::Event;

use super::Error;
use super::child::{Answer, Process, Unanswered, Worker};
use super::frame::Frame;
use super::serve::message;

/// Makes the command that starts a worker.
pub(super) type MakeCommand = dyn Fn() -> io::Result<Command> + Send + Sync;

/// How many chunks of standard error wait to be passed on before workers are held up.
const CHUNKS: usize = 16;

/// What a pool, its calls and its workers share.
///
/// All that goes on goes on in tasks on one thread, whether the calls' futures are polled or not: a
/// call that was begun never holds its worker longer than it must, however slow its consumer is.
/// There is a task for each call, and one that follows each process from its start until it was
/// reaped.
pub(super) struct Workers {
    pub(super) size: usize,
    command: Box<MakeCommand>,
    /// Whether the command is not of our making, and so may lead to another program.
    pub(super) is_foreign: bool,
    /// How long a process may take to say that it is a worker.
    start_limit: Duration,
    state: Mutex<State>,
    executor: Executor<'static>,
    /// Notified when the phase is no longer `Open`.
    closing: Event,
}

struct State {
    phase: Phase,
    /// How many processes there are, from before they start until they were reaped.
    alive: usize,
    /// How many of them have not said that they are workers.
    starting: usize,
    processes: Vec<Arc<Process>>,
    /// None if there are calls that wait.
    idle: Vec<Worker>,
    /// The calls that wait for a worker, by number: the first come is the first served.
    waiting: BTreeMap<u64, Sender<Result<Lease, Error>>>,
    next_number: u64,
    /// None before the first call.
    threads: Option<Threads>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No call is taken any more, those that are there are done.
    Finishing,
    /// Nothing is done any more.
    Closed,
}

struct Threads {
    tasks: JoinHandle<()>,
    stderr: JoinHandle<()>,
    /// Where workers' standard error goes.
    chunks: Sender<Vec<u8>>,
    /// Closed when all tasks are over.
    over: Receiver<()>,
}

impl Workers {
    pub(super) fn new(
        size: usize,
        command: Box<MakeCommand>,
        is_foreign: bool,
        start_limit: Duration,
    ) -> Self {
        Self {
            size,
            command,
            is_foreign,
            start_limit,
            state: Mutex::new(State {
                phase: Phase::Open,
                alive: 0,
                starting: 0,
                processes: Vec::new(),
                idle: Vec::new(),
                waiting: BTreeMap::new(),
                next_number: 0,
                threads: None,
            }),
            executor: Executor::new(),
            closing: Event::new(),
        }
    }

    /// Begins a call, which is dropped with the task.
    pub(super) fn call(self: &Arc<Self>, call: Frame) -> Result<Task<Answer>, Error> {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Err(Error::Closed);
        }
        if state.threads.is_none() {
            state.threads = Some(self.start_threads().map_err(Error::Start)?);
        }
        let number = state.next_number;
        state.next_number += 1;
        let turn = self.wait(&mut state, number);
        let workers = self.clone();
        let call = call.into_bytes(number);
        Ok(self.executor.spawn(async move { workers.answer(turn, call).await }))
    }

    async fn answer(self: Arc<Self>, mut turn: Turn, call: Vec<u8>) -> Answer {
        loop {
            let mut lease = turn.come().await?;
            match lease.call(&call, turn.number).await {
                Ok(answer) => return answer,
                // Its place was the first, and so it is again.
                Err(Unanswered::NotBegun) => {
                    let number = turn.number;
                    drop((lease, turn));
                    turn = self.wait(&mut self.state(), number);
                }
                Err(Unanswered::Failed(error)) => {
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

    /// Starts workers, while calls wait that no starting worker is for, and there may be more.
    fn start_missing(self: &Arc<Self>, state: &mut State) {
        while state.phase != Phase::Closed
            && state.alive < self.size
            && state.starting < state.waiting.len()
        {
            let Some(threads) = &state.threads else { return };
            let chunks = threads.chunks.clone();
            state.alive += 1;
            state.starting += 1;
            let seat = Seat(self.clone());
            self.executor.spawn(async move { seat.0.clone().start(seat, chunks).await }).detach();
        }
    }

    async fn start(self: Arc<Self>, seat: Seat, chunks: Sender<Vec<u8>>) {
        let started = self.start_one(seat, chunks).await;
        self.state().starting -= 1;
        match started {
            Ok(worker) => self.hand_on(worker),
            Err(error) => self.fail_first(error),
        }
    }

    async fn start_one(
        self: &Arc<Self>,
        seat: Seat,
        chunks: Sender<Vec<u8>>,
    ) -> Result<Worker, Error> {
        let command = catch_unwind(AssertUnwindSafe(|| (self.command)()))
            .unwrap_or_else(|panic| {
                let panicked =
                    format!("the pool's command function panicked: {}", message(&*panic));
                Err(io::Error::other(panicked))
            })
            .map_err(Error::Start)?;
        let (worker, stderr) = Worker::start(command, chunks).map_err(Error::Start)?;
        let process = worker.process().clone();
        {
            let mut state = self.state();
            if state.phase == Phase::Closed {
                process.kill();
            }
            state.processes.push(process.clone());
        }
        let follow = async move {
            let ended = || {
                seat.0.forget(&process);
                // Only now may the next be started.
                drop(seat);
            };
            process.follow(stderr, ended).await;
        };
        self.executor.spawn(follow).detach();
        worker.greet(self.start_limit).await?;
        Ok(worker)
    }

    /// Gives a worker to the call that has waited longest.
    fn hand_on(self: &Arc<Self>, mut worker: Worker) {
        loop {
            let mut state = self.state();
            let has_ended = worker.process().has_ended();
            // A new one that has ended is for the call that it was started for, which fails by it:
            // else it would be started over and over.
            if state.phase == Phase::Closed || has_ended && !worker.is_new() {
                return;
            }
            let Some((_, waiting)) = state.waiting.pop_first() else {
                match state.phase {
                    _ if has_ended => {}
                    Phase::Finishing => worker.let_go(),
                    _ => {
                        worker.put_aside();
                        state.idle.push(worker);
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

    /// Has the call that has waited longest fail. Each start that fails is for one call.
    fn fail_first(&self, error: Error) {
        let mut error = Err(error);
        while let Some((_, waiting)) = { self.state().waiting.pop_first() } {
            match waiting.try_send(error) {
                Ok(()) => break,
                Err(refused) => error = refused.into_inner(),
            }
        }
    }

    /// Takes note that a process has ended.
    fn forget(&self, process: &Arc<Process>) {
        let mut state = self.state();
        state.processes.retain(|other| !Arc::ptr_eq(other, process));
        state.idle.retain(|worker| !Arc::ptr_eq(worker.process(), process));
    }

    /// Takes no more calls, and lets workers go when there is nothing left to do.
    pub(super) fn finish(&self) {
        let idle = {
            let mut state = self.state();
            if state.phase != Phase::Open {
                return;
            }
            state.phase = Phase::Finishing;
            mem::take(&mut state.idle)
        };
        idle.into_iter().for_each(Worker::let_go);
        self.closing.notify(usize::MAX);
    }

    /// Waits until all tasks are over, once they are told to come to an end.
    pub(super) async fn over(&self) {
        let over = self.state().threads.as_ref().map(|threads| threads.over.clone());
        if let Some(over) = over {
            // Nothing is ever sent.
            let _ = over.recv().await;
        }
    }

    /// Kills all workers, has all calls fail, and waits until there is nothing left.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.phase = Phase::Closed;
        for process in &state.processes {
            process.kill();
        }
        let waiting = mem::take(&mut state.waiting);
        let idle = mem::take(&mut state.idle);
        let threads = state.threads.take();
        drop(state);
        drop((waiting, idle));
        self.closing.notify(usize::MAX);
        if let Some(Threads { tasks, stderr, chunks, over: _ }) = threads {
            drop(chunks);
            // Neither runs code that panics.
            let _ = tasks.join();
            let _ = stderr.join();
        }
    }

    fn start_threads(self: &Arc<Self>) -> io::Result<Threads> {
        let (chunks, received) = async_channel::bounded(CHUNKS);
        let (running, over) = async_channel::bounded(1);
        let stderr = thread::Builder::new()
            .name("flowlet-stderr".to_owned())
            .spawn(|| super::stderr::pass_on(received))?;
        let workers = self.clone();
        let tasks = thread::Builder::new().name("flowlet-process".to_owned()).spawn(move || {
            workers.run();
            drop(running);
        })?;
        Ok(Threads { tasks, stderr, chunks, over })
    }

    /// Runs all tasks until they are over and there will be no more.
    fn run(&self) {
        async_io::block_on(async {
            let closing = async {
                while self.state().phase == Phase::Open {
                    let listener = self.closing.listen();
                    if self.state().phase == Phase::Open {
                        listener.await;
                    }
                }
            };
            self.executor.run(closing).await;
            while !self.executor.is_empty() {
                self.executor.tick().await;
            }
        });
    }

    pub(super) fn count(&self) -> Count {
        let state = self.state();
        Count { alive: state.alive, idle: state.idle.len(), waiting: state.waiting.len() }
    }

    fn is_closed(&self) -> bool {
        self.state().phase == Phase::Closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that could leave it half-changed runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
struct Lease {
    workers: Arc<Workers>,
    worker: Option<Worker>,
    is_busy: bool,
}

impl Lease {
    fn new(workers: &Arc<Workers>, worker: Worker) -> Self {
        Self { workers: workers.clone(), worker: Some(worker), is_busy: false }
    }

    async fn call(&mut self, call: &[u8], number: u64) -> Result<Answer, Unanswered> {
        let Some(worker) = &mut self.worker else { return Err(Unanswered::NotBegun) };
        self.is_busy = true;
        let answer = worker.call(call, number).await?;
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

/// Counts a process, from before it is started until after it was reaped.
struct Seat(Arc<Workers>);

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.alive -= 1;
        self.0.start_missing(&mut state);
    }
}
