use std::fmt;
use std::sync::Arc;

use super::Builder;
use super::settings::Settings;
use super::workers::{Count, Workers};

/// A number of worker processes, shared by as many stages as wanted.
///
/// Each call made by [`in_process`](crate::in_process) gets a worker of its own for as long as it
/// takes. There are never more workers than the pool's size, those that are just being ended
/// included. One is started when a call finds none that is idle; it stays until the pool is dropped,
/// and is replaced, when there is need, if it dies.
///
/// See [the crate](crate) for when to use it and for an example.
///
/// # When the pool is dropped
///
/// All workers are killed, in the middle of a call or not, and `drop` waits until they have ended,
/// which takes the system a moment. No process is left, not even as a zombie. Calls that run or wait
/// give [`Error::Closed`](crate::Error::Closed), as do later ones: keep the pool for as long as the
/// pipeline, in an [`Arc`] or a `static` if that is easier.
///
/// [`shutdown`](Self::shutdown) waits for the calls instead. When the program dies, of whatever, the
/// workers see it and end too, in the middle of a call or not.
///
/// # Threads
///
/// With the first call the pool starts two threads, which end with it: one follows the workers, one
/// passes on what they write to their standard error. All of it comes out, and in order; but where that
/// is not read at once, the last of what a dead worker wrote may come out among what its successor
/// writes.
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

    /// Lets the calls that run or wait finish, and then the workers exit, and waits for that.
    ///
    /// Calls that come later give [`Error::Closed`](crate::Error::Closed). Unlike workers that are
    /// killed, those that exit run what was registered with the system for that, such as the writing
    /// of coverage data.
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

    /// Kills the workers, has the calls that run or wait fail, and waits until nothing is left.
    ///
    /// It is what dropping the pool does, without blocking the thread meanwhile. The calls resolve to
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
