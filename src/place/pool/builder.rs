use std::io;
use std::sync::Arc;
use std::thread;

use super::ThreadPool;
use super::threads::Threads;
use super::workers::Workers;

/// What a [`ThreadPool`] is to be like, made by [`ThreadPool::builder`].
///
/// # Examples
///
/// ```
/// use flowlet::{ThreadPool, in_pool};
/// use std::thread;
///
/// # futures_lite::future::block_on(async {
/// let pool = ThreadPool::builder(2).name("database").stack_size(256 * 1024).build()?;
///
/// let name = in_pool(&pool, |()| thread::current().name().map(str::to_owned));
/// assert!(name(()).await.unwrap().starts_with("database-"));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "it makes nothing before `build` is called"]
pub struct ThreadPoolBuilder {
    size: usize,
    name: String,
    stack_size: Option<usize>,
}

impl ThreadPoolBuilder {
    #[track_caller]
    pub(super) fn new(size: usize) -> Self {
        assert!(size > 0, "the size of a thread pool must be at least 1");
        Self { size, name: "flowlet".to_owned(), stack_size: None }
    }

    /// Names the pool, and its threads `name-0`, `name-1` and so on. It is `flowlet` otherwise.
    ///
    /// Some systems show the beginning only: Linux 15 bytes.
    ///
    /// # Panics
    ///
    /// Panics if there is a null byte in the name, which no thread can have.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet::ThreadPool::builder(2).name("database").build()?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        assert!(!self.name.contains('\0'), "the name of a thread pool must not have a null byte");
        self
    }

    /// Gives each thread a stack of so many bytes, or of the least that the system allows if that is
    /// more.
    ///
    /// Otherwise it is what std gives to any thread, 2 MiB mostly.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet::ThreadPool::builder(2).stack_size(16 * 1024 * 1024).build()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Makes the pool and starts its threads.
    ///
    /// # Errors
    ///
    /// The system's, if it cannot start them all. Those that were started have ended then.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = flowlet::ThreadPool::builder(2).build()?;
    /// assert_eq!(pool.size(), 2);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn build(self) -> io::Result<ThreadPool> {
        let workers = Arc::new(Workers::new(self.name));
        // Ends the threads if it is dropped.
        let mut pool = ThreadPool { workers: workers.clone(), threads: Threads::new() };
        for number in 0..self.size {
            let mut thread = thread::Builder::new().name(format!("{}-{number}", workers.name));
            if let Some(bytes) = self.stack_size {
                thread = thread.stack_size(bytes);
            }
            let workers = workers.clone();
            pool.threads.push(thread.spawn(move || workers.work())?);
        }
        Ok(pool)
    }
}
