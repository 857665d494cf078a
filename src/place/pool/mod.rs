mod builder;
mod calls;
mod threads;
mod workers;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

pub use self::builder::ThreadPoolBuilder;
pub use self::calls::{InPool, in_pool};
use self::threads::Threads;
use self::workers::Workers;
use crate::panics::discard;

/// A fixed number of threads for calls that block, shared by as many stages as wanted.
///
/// [`in_pool`] has a function run on them. What [`in_thread`](crate::in_thread) uses is one pool for
/// the whole process, which grows. A pool of its own bounds all the work for something, such as a
/// database, keeps it from being held up by other work, and ends when it is told to: then its
/// threads have ended too, and dropped what they held in a [`ThreadLocal`](crate::ThreadLocal) or
/// any other thread-local value.
///
/// The threads are started when the pool is made, and sleep while there is nothing to do. There is
/// one handle to a pool, so that it is plain when it ends; share it by reference or in an [`Arc`].
/// The functions that [`in_pool`] makes hold none, and do not keep it.
///
/// A thread is in use until its call returns, also if the call was dropped because it was late. How to keep such
/// calls from making others late is told at [`in_pool`](in_pool#deadlines).
///
/// # How a pool ends
///
/// In one of three ways. After each of them new calls are refused: their futures panic with a message
/// that says so.
///
/// | | calls that run | calls that wait for a thread | waits |
/// | --- | --- | --- | --- |
/// | [`shutdown`](Self::shutdown) | finish | run and finish | without blocking |
/// | [`shutdown_now`](Self::shutdown_now) | finish | are refused | without blocking |
/// | drop | finish | are refused | by blocking the thread |
///
/// - A call that is refused never begins, and its future panics as that of a new call does.
/// - The results of calls that finish are handed out as ever.
/// - All three wait until the threads have ended. If the `Drop` of a thread's resource panicked, the
///   panic comes out here.
/// - On one of the pool's own threads nothing is waited for, because that would take forever: a call
///   that drops the pool, or blocks on its shutdown, goes on at once, and the threads end by
///   themselves.
///
/// In async code, await a shutdown before the pool is dropped: the drop has nothing left to block for then.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::{ThreadPool, in_pool};
///
/// # futures_lite::future::block_on(async {
/// let pool = ThreadPool::new(4)?;
/// let lengths: Vec<usize> = pipe(["Cargo.toml", "LICENSE"])
///     .map_concurrent(8, in_pool(&pool, |path| std::fs::read(path).unwrap().len()))
///     .collect()
///     .await;
/// assert!(lengths.iter().all(|&length| length > 0));
/// pool.shutdown().await;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct ThreadPool {
    workers: Arc<Workers>,
    threads: Threads,
}

impl ThreadPool {
    /// Makes a pool of `size` threads.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    ///
    /// # Errors
    ///
    /// The system's, if it cannot start so many threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet::ThreadPool::new(4)?;
    /// assert_eq!(pool.size(), 4);
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn new(size: usize) -> io::Result<Self> {
        Self::builder(size).build()
    }

    /// Begins a pool of `size` threads with a name or a stack size of their own.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet::ThreadPool::builder(4).name("database").build()?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn builder(size: usize) -> ThreadPoolBuilder {
        ThreadPoolBuilder::new(size)
    }

    /// Returns how many threads the pool has, or had before it was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet::ThreadPool::new(4)?.size(), 4);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn size(&self) -> usize {
        self.threads.len()
    }

    /// Returns how many of the threads are in use now, each by a call.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let pool = std::sync::Arc::new(flowlet::ThreadPool::new(4)?);
    /// let its_pool = pool.clone();
    /// let in_use = flowlet::in_pool(&pool, move |()| its_pool.in_use());
    /// assert_eq!(in_use(()).await, 1);
    /// assert_eq!(pool.in_use(), 0);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn in_use(&self) -> usize {
        self.workers.in_use()
    }

    /// Shuts the pool down when its work is done: it accepts no new calls, and runs all that it has accepted.
    /// Resolves when the threads have ended.
    ///
    /// A call is accepted when its future is first polled. Calls that are dropped meanwhile are not run. If a
    /// running call blocks on one that waits, and no thread is left to run that, the pool does not end until
    /// [`shutdown_now`](Self::shutdown_now) refuses the one that waits.
    ///
    /// Called again, it only waits.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before its first poll has done nothing, and later the pool is shut
    /// down all the same. To wait again, call it again, or `shutdown_now` to wait for no more than the calls
    /// that run.
    ///
    /// # Panics
    ///
    /// Panics if the `Drop` of something in a [`ThreadLocal`](crate::ThreadLocal) did when a thread
    /// ended, with its payload, after all threads have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{ThreadPool, in_pool};
    /// use futures_lite::future::zip;
    ///
    /// # futures_lite::future::block_on(async {
    /// let pool = ThreadPool::new(2)?;
    /// let double = in_pool(&pool, |n: u32| 2 * n);
    /// let (output, ()) = zip(double(1), pool.shutdown()).await;
    /// assert_eq!(output, 2);
    /// // `double(2).await` would panic now.
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn shutdown(&self) {
        self.workers.close();
        self.ended().await;
    }

    /// Shuts the pool down without the calls that wait for a thread: it refuses them, and all new ones. Resolves
    /// when those that run have finished, and the threads have ended.
    ///
    /// The future of a refused call panics, and so does its pipeline. Drop the pipeline first to avoid that.
    ///
    /// # Cancel safety
    ///
    /// As with [`shutdown`](Self::shutdown). It may also be called while that is under way.
    ///
    /// # Panics
    ///
    /// As [`shutdown`](Self::shutdown).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::{ThreadPool, in_pool};
    ///
    /// # futures_lite::future::block_on(async {
    /// let pool = ThreadPool::new(2)?;
    /// let mut squares = pipe(0..1_000).map_concurrent(100, in_pool(&pool, |n: u32| n * n));
    /// squares.next().await;
    ///
    /// drop(squares);
    /// pool.shutdown_now().await;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn shutdown_now(&self) {
        self.workers.close_now();
        self.ended().await;
    }

    /// Waits until the threads have ended.
    async fn ended(&self) {
        let mut joined = pin!(self.threads.joined(&self.workers.name));
        let result = poll_fn(|cx| {
            if self.threads.has_current() { Poll::Ready(Ok(())) } else { joined.as_mut().poll(cx) }
        });
        if let Err(panic) = result.await {
            resume_unwind(panic);
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.workers.close_now();
        if self.threads.has_current() {
            return;
        }
        if let Err(panic) = self.threads.join() {
            if thread::panicking() { discard(panic) } else { resume_unwind(panic) }
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("name", &self.workers.name)
            .field("size", &self.size())
            .field("in_use", &self.in_use())
            .finish()
    }
}
