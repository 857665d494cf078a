use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, thread};

use super::Command;
use super::program::this_program;
use super::workers::{Count, MakeCommand, Workers};

/// How long a process may take to say that it is a worker.
const START_LIMIT: Duration = Duration::from_secs(60);

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
        Builder { size: None, command: None, start_limit: START_LIMIT }
    }

    /// Returns how many workers there can be.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_process::ProcessPool::builder().size(4).build().size(), 4);
    /// ```
    pub fn size(&self) -> usize {
        self.workers.size
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

/// Settings of a [`ProcessPool`].
///
/// # Examples
///
/// ```
/// use flowlet_process::ProcessPool;
///
/// let pool = ProcessPool::builder().size(4).build();
/// assert_eq!(pool.size(), 4);
/// ```
#[must_use = "a builder does nothing before `build`"]
pub struct Builder {
    size: Option<usize>,
    command: Option<Box<MakeCommand>>,
    start_limit: Duration,
}

impl Builder {
    /// Sets how many workers there can be, and so how many calls at once. It is the number of cores
    /// if nothing else is said.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().size(4).build();
    /// assert_eq!(pool.size(), 4);
    /// ```
    #[track_caller]
    pub fn size(mut self, size: usize) -> Self {
        assert!(size > 0, "a pool's size must be at least 1");
        self.size = Some(size);
        self
    }

    /// Sets the command that starts a worker, for an environment, a directory, limits or a program
    /// of its own. `make` is called for each worker, on a thread of the pool.
    ///
    /// The pool adds a last argument and sets standard input and standard error. Whatever the
    /// command does must end in a program that calls [`worker`](crate::worker), with that argument
    /// and those streams. If it replaces itself by the program, as the usual wrappers do, killing
    /// the one kills the other; if not, the program still sees that its pool is gone.
    ///
    /// # Examples
    ///
    /// A limit on the memory of each worker. A call that wants more fails, as allocations do, which
    /// ends the worker but not the program:
    ///
    /// ```no_run
    /// use flowlet_process::{Command, ProcessPool};
    ///
    /// let program = std::env::current_exe().unwrap();
    /// let pool = ProcessPool::builder()
    ///     .command(move || {
    ///         let mut command = Command::new("prlimit");
    ///         command.arg("--as=2147483648").arg(&program);
    ///         command
    ///     })
    ///     .build();
    /// ```
    ///
    /// Where there is no `prlimit`, any shell can do it:
    ///
    /// ```no_run
    /// use flowlet_process::{Command, ProcessPool};
    ///
    /// let program = std::env::current_exe().unwrap();
    /// let pool = ProcessPool::builder()
    ///     .command(move || {
    ///         let mut command = Command::new("sh");
    ///         command.arg("-c").arg("ulimit -v 2097152 && exec \"$0\" \"$@\"").arg(&program);
    ///         command
    ///     })
    ///     .build();
    /// ```
    ///
    /// Workers that a Ctrl-C in the terminal does not reach, so that the program can finish its
    /// calls, and which print nothing:
    ///
    /// ```no_run
    /// use flowlet_process::{Command, ProcessPool};
    /// use std::os::unix::process::CommandExt;
    /// use std::process::Stdio;
    ///
    /// let program = std::env::current_exe().unwrap();
    /// let pool = ProcessPool::builder()
    ///     .command(move || {
    ///         let mut command = std::process::Command::new(&program);
    ///         command.process_group(0);
    ///         let mut command = Command::from(command);
    ///         command.stdout(Stdio::null());
    ///         command
    ///     })
    ///     .build();
    /// ```
    pub fn command<F>(mut self, make: F) -> Self
    where
        F: Fn() -> Command + Send + Sync + 'static,
    {
        self.command = Some(Box::new(move || Ok(make())));
        self
    }

    /// Sets how long a process may take to become a worker, from its start until `main` calls
    /// [`worker`](crate::worker). Then it is killed, and a call fails. It is one minute if nothing
    /// else is said.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_process::ProcessPool;
    /// use std::time::Duration;
    ///
    /// let pool = ProcessPool::builder().start_limit(Duration::from_secs(5)).build();
    /// ```
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// Makes the pool. No process is started before it is needed.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().build();
    /// assert_eq!(pool.alive(), 0);
    /// ```
    pub fn build(self) -> ProcessPool {
        let size = self
            .size
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));
        let is_foreign = self.command.is_some();
        let command = self.command.unwrap_or_else(|| Box::new(|| this_program().map(Command::new)));
        ProcessPool { workers: Arc::new(Workers::new(size, command, is_foreign, self.start_limit)) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("size", &self.size)
            .field("start_limit", &self.start_limit)
            .finish_non_exhaustive()
    }
}
