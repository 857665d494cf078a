use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};
use std::thread;

use async_executor::Executor;
use async_trait::async_trait;
use futures_lite::future::{self, Boxed, block_on};

/// Where the upkeep of connections runs: heartbeats, and what else the client library has to do.
///
/// Jobs do not run there. They run in whatever polls the worker. Sockets and timers are those of `async-io`,
/// which has a thread of its own and works on every runtime; each connection also has a thread that waits
/// for its socket. By default, one thread does the upkeep of all connections of the process, so a job that
/// blocks its thread delays no heartbeat.
///
/// # Examples
///
/// ```
/// use flowlet_amqp::{Broker, Runtime};
///
/// let broker = Broker::new("amqp://localhost").runtime(Runtime::own_thread());
///
/// // Any executor will do.
/// let broker = Broker::new("amqp://localhost")
///     .runtime(Runtime::spawn_by(|task| smol::spawn(task).detach()));
/// ```
#[derive(Clone)]
pub struct Runtime {
    spawn: Arc<dyn Fn(Boxed<()>) + Send + Sync>,
}

impl Runtime {
    /// Runs it on a thread that all connections of the process share. This is the default.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = flowlet_amqp::Runtime::own_thread();
    /// ```
    pub fn own_thread() -> Self {
        static EXECUTOR: Executor<'static> = Executor::new();
        static THREAD: Once = Once::new();
        THREAD.call_once(|| {
            thread::Builder::new()
                .name("flowlet-amqp".to_owned())
                .spawn(|| block_on(EXECUTOR.run(future::pending::<()>())))
                .expect("the system can start a thread");
        });
        Self::spawn_by(|task| EXECUTOR.spawn(task).detach())
    }

    /// Runs it as tasks of any executor. `spawn` is called with each task, and must run it to its end, which
    /// comes with that of its connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Runtime;
    ///
    /// let runtime = Runtime::spawn_by(|task| smol::spawn(task).detach());
    /// ```
    pub fn spawn_by(spawn: impl Fn(Boxed<()>) + Send + Sync + 'static) -> Self {
        Self { spawn: Arc::new(spawn) }
    }

    /// Runs it as tasks of smol's global executor.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = flowlet_amqp::Runtime::smol();
    /// ```
    #[cfg(feature = "smol")]
    pub fn smol() -> Self {
        Self::spawn_by(|task| smol::spawn(task).detach())
    }

    /// Runs it as tasks of the tokio runtime that this is called in.
    ///
    /// # Panics
    ///
    /// Panics if called outside of a tokio runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let runtime = flowlet_amqp::Runtime::tokio();
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn tokio() -> Self {
        let handle = tokio::runtime::Handle::current();
        Self::spawn_by(move |task| drop(handle.spawn(task)))
    }

    /// Runs it as tasks of the crate async-global-executor, which async-std uses as well.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = flowlet_amqp::Runtime::async_global_executor();
    /// ```
    #[cfg(feature = "async-global-executor")]
    pub fn async_global_executor() -> Self {
        Self::spawn_by(|task| async_global_executor::spawn(task).detach())
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)(Box::pin(task));
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::own_thread()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl executor_trait::FullExecutor for Runtime {}

impl executor_trait::Executor for Runtime {
    fn block_on(&self, task: Pin<Box<dyn Future<Output = ()>>>) {
        block_on(task);
    }

    fn spawn(
        &self,
        task: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Box<dyn executor_trait::Task> {
        (self.spawn)(task);
        Box::new(Detached)
    }
}

#[async_trait]
impl executor_trait::BlockingExecutor for Runtime {
    async fn spawn_blocking(&self, f: Box<dyn FnOnce() + Send + 'static>) {
        blocking::unblock(f).await;
    }
}

/// The handle that the client library gets of its tasks. It uses none.
struct Detached;

impl Future for Detached {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[async_trait(?Send)]
impl executor_trait::Task for Detached {
    async fn cancel(self: Box<Self>) -> Option<()> {
        None
    }
}
