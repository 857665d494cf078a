//! Starts of workers: when, and what becomes of the calls if there is none to be had.
//!
//! A start that fails is nobody's call's fault. While there is a worker, or one that starts, the calls wait
//! for it, and after a pause, or when a worker ends, another start is tried. Only where there is none, and
//! trying again has not helped or cannot help, does one call fail for each start that failed.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_executor::Task;
use async_io::Timer;
use futures_lite::future::or;

use super::Error;
use super::process::Process;
use super::serve::message;
use super::stderr::Outlet;
use super::worker::{NoWorker, Worker};
use super::workers::{Known, Phase, State, Workers};

/// How often in a row it is tried again before calls fail, where there is no worker: for 630 ms.
const RETRIES: u32 = 6;

/// The first pause before it is tried again. Each that follows is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a worker may take to exit.
const EXIT_LIMIT: Duration = Duration::from_secs(5);

/// How the starts of a pool stand.
#[derive(Default)]
pub(super) struct Starts {
    /// How many processes there are, from before they start until they were reaped.
    alive: usize,
    /// How many of them have not said that they are workers.
    starting: usize,
    /// How often in a row it was tried again in vain.
    retries: u32,
    /// Until when no other is tried.
    pause: Option<Task<()>>,
    /// Why starts have failed, while others may still succeed. Until that is known, none begins.
    failed: Vec<Error>,
}

impl Starts {
    pub(super) fn alive(&self) -> usize {
        self.alive
    }

    /// Takes note that there is nothing to be waited for.
    fn succeed(&mut self) {
        self.retries = 0;
        self.failed.clear();
        self.pause = None;
    }
}

/// What becomes of the calls after a start that failed.
enum Verdict {
    /// They wait.
    Wait,
    /// One fails for each of these.
    Fail(Vec<Error>),
}

impl Workers {
    /// Starts workers, while calls wait that no starting worker is for, and there may be more.
    pub(super) fn start_missing(self: &Arc<Self>, state: &mut State) {
        while state.phase != Phase::Closed
            && state.starts.pause.is_none()
            && state.starts.failed.is_empty()
            && state.starts.alive < self.settings.size
            && state.starts.starting < state.waiting.len()
        {
            let Some(threads) = &state.threads else { return };
            let outlet = threads.outlet();
            state.starts.alive += 1;
            state.starts.starting += 1;
            let seat = Arc::new(Seat(self.clone()));
            self.executor.spawn(async move { seat.0.clone().start(&seat, outlet).await }).detach();
        }
    }

    async fn start(self: Arc<Self>, seat: &Arc<Seat>, outlet: Arc<Outlet>) {
        match self.start_one(seat.clone(), outlet).await {
            Ok(worker) => {
                let mut state = self.state();
                state.starts.starting -= 1;
                state.starts.succeed();
                drop(state);
                self.hand_on(worker);
                self.start_missing(&mut self.state());
            }
            Err(NoWorker { error, is_passing }) => {
                let verdict = self.judge(&mut self.state(), error, is_passing);
                if let Verdict::Fail(errors) = verdict {
                    errors.into_iter().for_each(|error| self.fail_first(error));
                    self.start_missing(&mut self.state());
                }
            }
        }
    }

    /// Returns a worker that has said that it is one.
    async fn start_one(
        self: &Arc<Self>,
        seat: Arc<Seat>,
        outlet: Arc<Outlet>,
    ) -> Result<Worker, NoWorker> {
        // Not only the command can panic: std does if it cannot reap a program that it could not start.
        let start = || {
            let command = (self.settings.command)()?;
            Worker::start(command, self.settings.heeds_signals, outlet)
        };
        let (worker, stderr) = catch_unwind(AssertUnwindSafe(start))
            .unwrap_or_else(|panic| {
                let panicked = format!("starting the worker panicked: {}", message(&*panic));
                Err(io::Error::other(panicked))
            })
            .map_err(NoWorker::refused)?;
        let process = worker.process().clone();
        {
            let mut state = self.state();
            if state.phase == Phase::Closed {
                process.kill();
            }
            state.processes.push(Known { process: process.clone(), is_worker: false });
        }
        let follow = async move {
            let ended = || {
                seat.0.forget(&process);
                // Only now may the next be started, once it is known what this means for the calls.
                drop(seat);
            };
            process.follow(stderr, ended).await;
        };
        self.executor.spawn(follow).detach();
        worker.greet(self.settings.start_limit).await?;
        let mut state = self.state();
        let mut known = state.processes.iter_mut();
        // It may have ended since. Then the call that it is given to finds that out.
        if let Some(known) = known.find(|known| Arc::ptr_eq(&known.process, worker.process())) {
            known.is_worker = true;
        }
        drop(state);
        Ok(worker)
    }

    /// Says what becomes of the calls after a start that failed.
    fn judge(self: &Arc<Self>, state: &mut State, error: Error, is_passing: bool) -> Verdict {
        state.starts.starting -= 1;
        if state.has_worker() || is_passing && state.starts.retries < RETRIES {
            state.starts.failed.clear();
            self.pause(state);
            return Verdict::Wait;
        }
        state.starts.failed.push(error);
        if state.starts.starting > 0 {
            // It is for the last of them to say.
            return Verdict::Wait;
        }
        Verdict::Fail(mem::take(&mut state.starts.failed))
    }

    /// Has starts wait for a while.
    fn pause(self: &Arc<Self>, state: &mut State) {
        if state.starts.pause.is_some() || state.phase == Phase::Closed {
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << state.starts.retries.min(10));
        state.starts.retries += 1;
        let workers = self.clone();
        let over = async move {
            let late = async {
                Timer::after(pause.min(LONGEST_PAUSE)).await;
            };
            or(late, workers.reach(Phase::Closed)).await;
            let mut state = workers.state();
            if let Some(this) = state.starts.pause.take() {
                this.detach();
            }
            workers.start_missing(&mut state);
        };
        state.starts.pause = Some(self.executor.spawn(over));
    }

    /// Takes note that a process has ended.
    fn forget(&self, process: &Arc<Process>) {
        let mut state = self.state();
        let same = |other: &Arc<Process>| Arc::ptr_eq(other, process);
        if state.processes.iter().any(|known| known.is_worker && same(&known.process)) {
            // There is room for another now.
            state.starts.pause = None;
        }
        state.processes.retain(|known| !same(&known.process));
        state.idle.retain(|worker| !same(worker.process()));
    }

    /// Has a worker exit. If it does not, it is killed.
    pub(super) fn let_go(self: &Arc<Self>, worker: Worker) {
        let process = worker.let_go();
        let workers = self.clone();
        let end = async move {
            let late = async {
                Timer::after(EXIT_LIMIT).await;
            };
            let ended = async {
                process.ended().await;
            };
            or(ended, or(late, workers.reach(Phase::Closed))).await;
            process.kill();
        };
        self.executor.spawn(end).detach();
    }
}

/// Counts a process, from before it is started until after it was reaped, and its start is over.
struct Seat(Arc<Workers>);

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.starts.alive -= 1;
        self.0.start_missing(&mut state);
    }
}
