use std::fmt;
use std::sync::Arc;

use super::Builder;
use super::settings::Settings;
use super::workers::{Count, Workers};

/// A number of worker processes, shared by any number of stages.
///
/// Each call made by [`in_process`](crate::in_process) has a worker to itself while it runs. There are
/// never more workers than the pool's size, including those that are being ended. A worker is started
/// when a call finds none idle. It stays until the pool is dropped, and is replaced, when needed, if it
/// dies.
///
/// See [the crate](crate) for when to use it and for an example.
///
/// # When the pool is dropped
///
/// All workers are killed, whether they run a call or not, and `drop` waits until they have ended, which
/// takes the system a moment. No process is left, not even as a zombie. Calls that run or wait resolve to
/// [`Error::Closed`](crate::Error::Closed), as do later ones: keep the pool for as long as the pipeline,
/// in an [`Arc`] or a `static` if that is easier.
///
/// | | calls that run | calls that wait | later calls |
/// | --- | --- | --- | --- |
/// | [`shutdown`](Self::shutdown) | finish | run and finish | fail |
/// | [`shutdown_now`](Self::shutdown_now) | are killed and fail | fail | fail |
/// | `drop` | are killed and fail, while `drop` blocks | fail | fail |
///
/// On a thread of the pool itself, as when a waker drops the last handle, `drop` cannot wait. The workers
/// are killed all the same, and the thread ends when they have ended. In a process that was forked from the
/// one that made the pool, `drop` does nothing.
///
/// # When the program ends
///
/// Workers do not outlive the program, whatever ends it. On Linux the system kills them, even if they are
/// stopped, or if the program has forked and the child lives on. Elsewhere they see their socket close, and
/// end too, whether they run a call or not.
///
/// # When the system runs short
///
/// A worker may fail to start because the system has no more processes, descriptors or memory, or because
/// it is killed while it starts. While the pool has a worker, or one that starts, calls wait for that, and
/// the pool tries to start others after a pause, which grows up to a second, and when a worker ends. A call
/// fails only if there is no worker and none can be started: at once if trying again cannot help, as when
/// there is no such program, else after six more attempts, within a second. Then each attempt that fails
/// has one call fail.
///
/// # Signals
///
/// A worker lives and dies by its pool, so it ignores `SIGINT` and `SIGTERM`. The program handles them, and
/// ends its pools by [`shutdown`](Self::shutdown) or by dropping them:
///
/// - **Ctrl-C** in a terminal goes to workers as well. Those of a program that handles it finish their calls,
///   those of one that does not die with it.
/// - **systemd** sends `SIGTERM` to all processes of a unit, unless `KillMode=mixed` or `process` says
///   otherwise, and `SIGKILL` to those that are left after `TimeoutStopSec`.
/// - **Kubernetes** sends `SIGTERM` to the first process of each container, and `SIGKILL` to all after
///   `terminationGracePeriodSeconds`. If the first process is a shell, have it `exec` the program.
///
/// Processes that a function starts do not inherit this. [`Builder::ignore_signals`] turns it off.
///
/// # Threads
///
/// With the first call the pool starts two threads, which end with it: one follows the workers, one
/// passes on what they write to their standard error. All of it comes out, and in order. But if it is not
/// read at once, the last of what a dead worker wrote may come out among what its successor writes. If
/// nobody reads it at all, workers that write much are held up, and the end of a pool waits half a second
/// and leaves the thread behind. Where there are no process descriptors, as on macOS, each worker has
/// a thread that waits for its end.
///
/// # Examples
///
/// ```
/// use flowlet_process::{Function, ProcessPool, in_process};
///
/// const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
/// const SQUARE: Function<u32, u32> = Function::new("square", |n| n * n);
///
/// fn main() {
///     flowlet_process::worker(&[&DOUBLE, &SQUARE]);
///
///     let pool = ProcessPool::builder().size(2).build();
///     let (double, square) = (in_process(&pool, DOUBLE), in_process(&pool, SQUARE));
///     futures_lite::future::block_on(async {
///         assert_eq!(square(double(3).await.unwrap()).await.unwrap(), 36);
///     });
/// }
/// ```
pub struct ProcessPool {
    workers: Arc<Workers>,
}

impl ProcessPool {
    /// Makes a pool of as many workers as the system has cores for this program.
    ///
    /// No process is started before it is needed.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::new();
    /// assert!(pool.size() >= 1);
    /// ```
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Makes a pool with settings of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().size(4).build();
    /// assert_eq!(pool.size(), 4);
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns how many workers there can be.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_process::ProcessPool::builder().size(4).build().size(), 4);
    /// ```
    pub fn size(&self) -> usize {
        self.workers.settings.size
    }

    /// Returns how many worker processes there are now: those that start, run a call, are idle, or
    /// are being ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_process::{Function, ProcessPool, in_process};
    ///
    /// const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
    ///
    /// fn main() {
    ///     flowlet_process::worker(&[&DOUBLE]);
    ///
    ///     let pool = ProcessPool::builder().size(4).build();
    ///     assert_eq!(pool.alive(), 0);
    ///     futures_lite::future::block_on(in_process(&pool, DOUBLE)(1)).unwrap();
    ///     assert_eq!(pool.alive(), 1);
    /// }
    /// ```
    pub fn alive(&self) -> usize {
        self.workers.count().alive
    }

    /// Takes no more calls, lets those that run or wait finish, and then the workers exit. Resolves when
    /// all of that is done.
    ///
    /// It is Python's `shutdown(wait=True)`. Calls that come later resolve to
    /// [`Error::Closed`](crate::Error::Closed). Unlike workers that are killed, those that exit run what
    /// was registered for that with the system, such as the writing of coverage data. A worker that has
    /// not exited after five seconds is killed.
    ///
    /// # Cancel safety
    ///
    /// To drop this future is to drop the pool: what is left of it is killed.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_process::{Function, ProcessPool, in_process};
    ///
    /// const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
    ///
    /// fn main() {
    ///     flowlet_process::worker(&[&DOUBLE]);
    ///
    ///     let pool = ProcessPool::new();
    ///     let double = in_process(&pool, DOUBLE);
    ///     futures_lite::future::block_on(async {
    ///         assert_eq!(double(1).await.unwrap(), 2);
    ///         pool.shutdown().await;
    ///         assert!(matches!(double(2).await, Err(flowlet_process::Error::Closed)));
    ///     });
    /// }
    /// ```
    pub async fn shutdown(self) {
        self.workers.finish();
        self.workers.over().await;
    }

    /// Takes no more calls, drops those that wait, and kills the workers. Resolves when they have ended.
    ///
    /// It is Python's `shutdown(cancel_futures=True)`, except that calls that run do not finish. It does
    /// what dropping the pool does, but does not block the thread. The calls resolve to
    /// [`Error::Closed`](crate::Error::Closed).
    ///
    /// # Cancel safety
    ///
    /// To drop this future is to drop the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_process::{Function, ProcessPool, in_process};
    ///
    /// const SLEEP: Function<u64, ()> =
    ///     Function::new("sleep", |s| std::thread::sleep(std::time::Duration::from_secs(s)));
    ///
    /// #[tokio::main]
    /// async fn run() {
    ///     let pool = ProcessPool::new();
    ///     let call = tokio::spawn(in_process(&pool, SLEEP)(1000));
    ///     while pool.alive() == 0 {
    ///         tokio::task::yield_now().await;
    ///     }
    ///     pool.shutdown_now().await;
    ///     assert!(matches!(call.await.unwrap(), Err(flowlet_process::Error::Closed)));
    /// }
    ///
    /// fn main() {
    ///     flowlet_process::worker(&[&SLEEP]);
    ///     run();
    /// }
    /// ```
    pub async fn shutdown_now(self) {
        self.workers.abandon();
        self.workers.over().await;
    }

    pub(super) fn new_with(settings: Settings) -> Self {
        Self { workers: Arc::new(Workers::new(settings)) }
    }

    pub(super) fn workers(&self) -> &Arc<Workers> {
        &self.workers
    }
}

impl Default for ProcessPool {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ProcessPool {
    fn drop(&mut self) {
        self.workers.close();
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count { alive, idle, waiting } = self.workers.count();
        f.debug_struct("ProcessPool")
            .field("size", &self.size())
            .field("alive", &alive)
            .field("idle", &idle)
            .field("waiting", &waiting)
            .finish()
    }
}
