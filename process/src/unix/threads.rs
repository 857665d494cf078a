//! The threads of a pool, and its end.

use std::io;
use std::mem;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_channel::{Receiver, bounded};
use async_io::{Async, Timer};
use futures_lite::future::or;

use super::stderr::Outlet;
use super::workers::{Phase, Workers};

/// How long the end of a pool waits until what workers wrote to their standard error is passed on.
/// Without a reader it takes for ever.
const STDERR_LIMIT: Duration = Duration::from_millis(500);

pub(super) struct Threads {
    tasks: Running,
    stderr: Running,
    outlet: Arc<Outlet>,
}

/// A thread.
struct Running {
    handle: JoinHandle<()>,
    /// Closed when it is over.
    over: Receiver<()>,
}

impl Running {
    fn start(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (running, over) = bounded(1);
        let handle = thread::Builder::new().name(name.to_owned()).spawn(move || {
            f();
            drop(running);
        })?;
        Ok(Self { handle, over })
    }

    fn is_current(&self) -> bool {
        self.handle.thread().id() == thread::current().id()
    }

    /// Waits for its end. What is passed to the threads does not panic.
    fn join(self) {
        let _ = self.handle.join();
    }
}

/// Waits until a thread is over.
async fn over(over: Receiver<()>) {
    // Nothing is ever sent.
    let _ = over.recv().await;
}

/// Waits until a thread is over, or has not come to an end for long enough.
async fn soon_over(receiver: Receiver<()>) {
    let late = async {
        Timer::after(STDERR_LIMIT).await;
    };
    or(over(receiver), late).await;
}

impl Threads {
    pub(super) fn start(workers: &Arc<Workers>) -> io::Result<Self> {
        start_reactor()?;
        let outlet = Arc::new(Outlet::new());
        let stderr = {
            let (outlet, target) = (outlet.clone(), workers.settings.stderr.clone());
            Running::start("flowlet-stderr", move || outlet.pass_on(&target))?
        };
        let tasks = {
            let (workers, end) = (workers.clone(), End(outlet.clone()));
            Running::start("flowlet-process", move || {
                workers.run();
                drop(end);
            })?
        };
        Ok(Self { tasks, stderr, outlet })
    }

    pub(super) fn outlet(&self) -> Arc<Outlet> {
        self.outlet.clone()
    }
}

/// Starts what wakes tasks, which is there once for all pools. It panics if the system has nothing for it:
/// better here than in the middle of something, and not if that can be seen before.
fn start_reactor() -> io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let (one, _other) = UnixStream::pair()?;
    // A thread and three descriptors are what it takes.
    let enough = || UnixStream::pair().and_then(|_two| UnixStream::pair().map(drop));
    thread::Builder::new().spawn(enough)?.join().unwrap_or(Ok(()))?;
    catch_unwind(|| Async::new(one).map(drop))
        .unwrap_or_else(|_| Err(io::Error::other("async-io could not be started")))?;
    STARTED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Ends the other thread when this one is over.
struct End(Arc<Outlet>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Workers {
    /// Runs all tasks until they are over and there will be no more. None should panic, but if one does,
    /// the others must not wait for ever.
    fn run(&self) {
        let run = || {
            async_io::block_on(async {
                self.executor.run(self.reach(Phase::Finishing)).await;
                while !self.executor.is_empty() {
                    self.executor.tick().await;
                }
            });
        };
        while catch_unwind(AssertUnwindSafe(run)).is_err() {}
    }

    /// Waits until the pool has come to this phase.
    pub(super) async fn reach(&self, phase: Phase) {
        while self.state().phase < phase {
            let listener = self.closing.listen();
            if self.state().phase < phase {
                listener.await;
            }
        }
    }

    /// Takes no more calls, and lets workers go when there is nothing left to do.
    pub(super) fn finish(self: &Arc<Self>) {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return;
        }
        state.phase = Phase::Finishing;
        let idle = mem::take(&mut state.idle);
        if let Some(threads) = &state.threads {
            threads.outlet.finish();
        }
        drop(state);
        idle.into_iter().for_each(|worker| self.let_go(worker));
        self.closing.notify(usize::MAX);
    }

    /// Kills all workers, and has all calls fail.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.phase = Phase::Closed;
        for known in &state.processes {
            known.process.kill();
        }
        let calls = state.take_calls();
        if let Some(threads) = &state.threads {
            threads.outlet.finish();
        }
        drop(state);
        drop(calls);
        self.closing.notify(usize::MAX);
    }

    /// Waits until nothing is left, once all is told to come to an end.
    pub(super) async fn over(&self) {
        let threads = self
            .state()
            .threads
            .as_ref()
            .map(|threads| (threads.tasks.over.clone(), threads.stderr.over.clone()));
        if let Some((tasks, stderr)) = threads {
            over(tasks).await;
            soon_over(stderr).await;
        }
    }

    /// Kills all workers, has all calls fail, and waits until there is nothing left.
    pub(super) fn close(self: &Arc<Self>) {
        if self.is_forked() {
            // All of it is the other's, and locked by whom it may.
            mem::forget(self.clone());
            return;
        }
        self.abandon();
        let threads = self.state().threads.take();
        let Some(Threads { tasks, stderr, outlet }) = threads else { return };
        // On a thread of its own, where a waker has let go of the pool, it cannot wait: but the thread
        // goes on until all is over.
        if tasks.is_current() || stderr.is_current() {
            return;
        }
        tasks.join();
        // Else it has nobody who reads. It goes on if ever there is one.
        if outlet.wait(STDERR_LIMIT) {
            stderr.join();
        }
    }
}
