use std::fmt;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::ProcessPool;
use super::format::Limits;
use super::program::this_program;
use super::settings::Settings;

/// How long a process may take to say that it is a worker.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What an argument or an output may take.
const LIMITS: Limits = Limits { depth: 256, bytes: 1024 * 1024 * 1024 };

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
    settings: Settings,
}

impl Builder {
    pub(super) fn new() -> Self {
        let settings = Settings {
            size: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            command: Box::new(|| this_program().map(Command::new)),
            is_foreign: false,
            start_limit: START_LIMIT,
            limits: LIMITS,
            max_calls: u64::MAX,
            max_memory: u64::MAX,
            stderr: Arc::new(Mutex::new(Box::new(io::stderr()))),
            heeds_signals: false,
        };
        Self { settings }
    }

    /// Sets how many workers there can be, and so how many calls at once. Defaults to the number of
    /// cores that the system has for this program.
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
        self.settings.size = size;
        self
    }

    /// Sets the command that starts a worker, for an environment, a directory, limits or a program
    /// of its own. `make` is called for each worker, on the thread of the pool that does everything else too,
    /// so it should not block.
    ///
    /// The pool adds a last argument and sets standard input and standard error. Whatever the
    /// command does must end in a program that calls [`worker`](crate::worker), with that argument
    /// and those streams. If it replaces itself by the program, as the usual wrappers do, killing
    /// the one kills the other. If not, the program still ends when the command or the pool is gone.
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
    /// Workers in a process group of their own, which no signal from the terminal reaches, and which print
    /// nothing:
    ///
    /// ```no_run
    /// use flowlet_process::{Command, ProcessPool};
    /// use std::os::unix::process::CommandExt;
    /// use std::process::Stdio;
    ///
    /// let program = std::env::current_exe().unwrap();
    /// let pool = ProcessPool::builder()
    ///     .command(move || {
    ///         let mut command = Command::new(&program);
    ///         command.process_group(0).stdout(Stdio::null());
    ///         command
    ///     })
    ///     .build();
    /// ```
    pub fn command<F>(mut self, make: F) -> Self
    where
        F: Fn() -> Command + Send + Sync + 'static,
    {
        self.settings.command = Box::new(move || Ok(make()));
        self.settings.is_foreign = true;
        self
    }

    /// Sets how long a process may take to become a worker, from its start until `main` calls
    /// [`worker`](crate::worker). Then it is killed, and the start has failed. Defaults to one minute.
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
        self.settings.start_limit = limit;
        self
    }

    /// Has the workers of a test run the test `name`, which has to call [`worker`](crate::worker).
    ///
    /// The program of a `#[test]` has no `main` of its own to call it in. What a worker prints goes
    /// nowhere. See [how to test](crate#in-tests).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_process::{Function, ProcessPool, in_process, worker};
    /// use futures_lite::future::block_on;
    ///
    /// const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
    ///
    /// #[test]
    /// fn workers() {
    ///     worker(&[&DOUBLE]); // does nothing, except in a worker
    /// }
    ///
    /// #[test]
    /// fn numbers_are_doubled() {
    ///     // In a module `tests` its name is `tests::workers`.
    ///     let pool = ProcessPool::builder().test_worker("workers").build();
    ///     assert_eq!(block_on(in_process(&pool, DOUBLE)(21)).unwrap(), 42);
    /// }
    /// ```
    pub fn test_worker(mut self, name: &str) -> Self {
        let name = name.to_owned();
        self.settings.command = Box::new(move || {
            let mut command = Command::new(this_program()?);
            // After the dashes, what marks a worker is the name of another test, which there is not.
            command.args(["--exact", "--include-ignored", "--nocapture", &name, "--"]);
            command.stdout(Stdio::null());
            Ok(command)
        });
        self.settings.is_foreign = true;
        self
    }

    /// Sets how deep arguments and outputs may be nested. Defaults to 256.
    ///
    /// Each struct, tuple, sequence, map, variant with content, newtype and `Some` inside of another
    /// counts. What is deeper is an [error](crate::Error::Argument) of the call, because it is on the
    /// stack of the program that values are encoded and decoded: whatever a worker sends, it must not
    /// overflow. For deeper values set a higher limit, and see to it that the threads which poll the calls
    /// have the stack: 1 kB a level is plenty.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().depth_limit(1000).build();
    /// ```
    pub fn depth_limit(mut self, depth: usize) -> Self {
        self.settings.limits.depth = depth;
        self
    }

    /// Sets how many bytes an argument or an output may have, encoded. Defaults to 1 GiB.
    ///
    /// What is longer is an [error](crate::Error::Argument) of the call. Decoded it may take more
    /// memory: an empty `Vec` is one byte, and 24 once it is decoded.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().byte_limit(1024 * 1024).build();
    /// ```
    pub fn byte_limit(mut self, bytes: usize) -> Self {
        self.settings.limits.bytes = bytes;
        self
    }

    /// Sets after how many calls a worker is replaced, for functions that leak. Defaults to never.
    ///
    /// The worker exits after its last call; one that has not after five seconds is killed. The next
    /// is started when a call needs it.
    ///
    /// # Panics
    ///
    /// Panics if `calls` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().max_calls(1000).build();
    /// ```
    #[track_caller]
    pub fn max_calls(mut self, calls: u64) -> Self {
        assert!(calls > 0, "a worker must be good for at least 1 call");
        self.settings.max_calls = calls;
        self
    }

    /// Sets with how many bytes of resident memory a worker is replaced, as with
    /// [`max_calls`](Self::max_calls). Defaults to any number.
    ///
    /// This is looked at after each call, and no limit on what a call may take: that is for the
    /// [`command`](Self::command) to set. Only Linux tells it.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().max_memory(512 * 1024 * 1024).build();
    /// ```
    #[cfg(target_os = "linux")]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.settings.max_memory = bytes;
        self
    }

    /// Sets where the standard error of the workers goes. Defaults to that of the program.
    ///
    /// [`io::sink`](std::io::sink) discards it. What comes is passed on as it comes, on a thread of
    /// the pool, and not cut at the ends of lines. The end of it is kept for
    /// [errors](crate::Error::Died) in any case. If `target` panics, the rest is discarded.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().stderr(std::io::sink()).build();
    /// ```
    pub fn stderr<W: Write + Send + 'static>(mut self, target: W) -> Self {
        self.settings.stderr = Arc::new(Mutex::new(Box::new(target)));
        self
    }

    /// Sets whether workers go on at `SIGINT` and `SIGTERM`. Defaults to `true`.
    ///
    /// See [the pool](ProcessPool#signals) for why. With `false`, the signals do in a worker what they
    /// do in any program.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet_process::ProcessPool::builder().ignore_signals(false).build();
    /// ```
    pub fn ignore_signals(mut self, ignore: bool) -> Self {
        self.settings.heeds_signals = !ignore;
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
        ProcessPool::new_with(self.settings)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("size", &self.settings.size)
            .field("start_limit", &self.settings.start_limit)
            .finish_non_exhaustive()
    }
}
