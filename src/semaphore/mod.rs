//! A limit that is a value.

mod acquire;
mod line;
mod permit;
mod waiter;
pub(crate) mod watch;

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, PoisonError};

use event_listener::Event;

pub use self::acquire::Acquire;
pub(crate) use self::line::CountedBy;
use self::line::Line;
pub use self::permit::Permit;
pub(crate) use self::waiter::Waiter;
use self::watch::Watch;
use crate::panics::first_panic;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};

/// A limit on what runs at once, shared by any number of stages and by code outside them.
///
/// Pass it to stages instead of a number, as `&semaphore` or `semaphore.clone()`: the running calls of all of
/// them together never exceed the limit. It can be [read](Self::in_use) and [changed](Self::set_limit) while they
/// run. Code outside the stages takes part with [`acquire`](Self::acquire). Clones are handles to the same
/// semaphore. For a limit that adjusts itself, see [`Adaptive`](crate::Adaptive).
///
/// A stage takes a permit when it starts a call, and releases it when the call completes. An inner stream of a
/// flat map releases its permit whenever it has yielded an output, and takes one again to continue. Like a stage
/// with a limit of its own, a stage with a semaphore keeps at most [`limit`](Self::limit) items between pulled
/// and yielded, including outputs that wait for the consumer.
///
/// # Fairness
///
/// Permits are granted first come, first served, to stages and [`acquire`](Self::acquire) alike, in one task or
/// in many. A released permit is reserved for whoever is next, and wakes nobody else. If there are more users than
/// permits, all get an equal share. It makes no difference whether the user is a stage, which asks for the next
/// permit at once, or a loop that asks again when its call is done.
///
/// A stage waits for a permit while it holds an item, never for an item while it holds a permit. So stages of one
/// pipeline can share a semaphore with any limit, even 1. (As with any lock, adaptors between them that hold
/// items of their own, such as the plain `flat_map`, can undo that. `flat_map_concurrent(1, f)` does not.)
///
/// To run one call per key at a time, in the order of the key's items, use
/// [`map_concurrent_by_key`](crate::FlowExt::map_concurrent_by_key). A semaphore per key, acquired inside the
/// calls, does not keep their order: calls that are woken together are polled in any order.
///
/// # What can hang
///
/// - **Nested use**: a call that takes another permit of the semaphore it runs under, for example through a stage
///   inside it, may wait for its own caller. That hangs, as locking a mutex twice does. Use two semaphores.
/// - **Nobody polls**: calls run, and turns are taken, only when the pipeline is polled. A pipeline that is
///   neither polled nor dropped keeps the permits of its running calls, even if they run [in tasks](crate::in_task)
///   and have finished there. If it was woken for its turn, it also keeps the permit that is reserved for it. A
///   pipeline that has yielded and is not polled again blocks nobody's turn. So a few responses whose clients do
///   not read can stall all others. End such a pipeline with `prefetch(n, tokio::spawn)`: a
///   [task](crate::FlowExt::prefetch) polls it, so its calls complete and release their permits, no matter who
///   polls the response.
///
/// # Examples
///
/// ```
/// use flowlet::Semaphore;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let database = Semaphore::new(4);
///
/// let names: Vec<String> = pipe(1..=100)
///     .map_concurrent(&database, async |id| format!("user {id}"))
///     .filter_concurrent(&database, async |name| !name.ends_with('3'))
///     .collect()
///     .await;
///
/// assert_eq!(names.len(), 90);
/// assert_eq!(database.in_use(), 0);
/// # });
/// ```
#[derive(Clone)]
pub struct Semaphore {
    shared: Arc<Shared>,
}

/// What the handles of a semaphore share.
pub(crate) struct Shared {
    line: Mutex<Line>,

    /// A copy of the line's limit, to be read without the lock.
    limit: AtomicUsize,

    /// Notified when the limit is raised. Stages listen that hold as many items as it allows.
    raised: Event,

    /// Observes how permits are used, if there is an observer.
    watch: Option<Arc<dyn Watch>>,
}

impl Semaphore {
    /// Creates a semaphore with `limit` permits.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is 0. To start paused, call [`set_limit`](Self::set_limit).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = flowlet::Semaphore::new(8);
    /// assert_eq!(semaphore.limit(), 8);
    /// ```
    #[track_caller]
    pub fn new(limit: usize) -> Self {
        assert!(limit > 0, "a semaphore's limit must be at least 1");
        Self::with_watch(limit, None)
    }

    /// Creates a semaphore that reports to `watch` how its permits are used.
    pub(crate) fn with_watch(limit: usize, watch: Option<Arc<dyn Watch>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                line: Mutex::new(Line::new(limit)),
                limit: AtomicUsize::new(limit),
                raised: Event::new(),
                watch,
            }),
        }
    }

    /// Returns how many permits can be in use at once.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet::Semaphore::new(8).limit(), 8);
    /// ```
    #[inline]
    pub fn limit(&self) -> usize {
        self.shared.limit()
    }

    /// Changes how many permits can be in use at once, from now on.
    ///
    /// A higher limit wakes those that wait. A lower one revokes no permit: nothing new starts until enough have
    /// been released.
    ///
    /// 0 pauses everything that is not already running, until the limit is raised again. A paused stage still
    /// reacts to a stop, an error and the end of its source, and ends if nothing is in flight. To detect the end of
    /// a plain source it has to pull an item: at most one, which waits for the pause to end. After a
    /// [`take_until_stopped`](crate::FlowExt::take_until_stopped) it pulls none.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = flowlet::Semaphore::new(1);
    /// let _permit = semaphore.try_acquire().unwrap();
    /// assert!(semaphore.try_acquire().is_none());
    ///
    /// semaphore.set_limit(2);
    /// assert!(semaphore.try_acquire().is_some());
    /// ```
    pub fn set_limit(&self, limit: usize) {
        self.shared.set_limit(limit);
    }

    /// Returns how many permits are in use now.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = flowlet::Semaphore::new(8);
    /// let permit = semaphore.try_acquire();
    /// assert_eq!(semaphore.in_use(), 1);
    /// drop(permit);
    /// assert_eq!(semaphore.in_use(), 0);
    /// ```
    pub fn in_use(&self) -> usize {
        self.shared.line().in_use()
    }

    /// Waits in line for a permit, which is released when it is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves takes no permit, and passes its turn to the next in line.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let semaphore = flowlet::Semaphore::new(1);
    /// let permit = semaphore.acquire().await;
    /// assert_eq!(semaphore.in_use(), 1);
    /// # drop(permit);
    /// # });
    /// ```
    pub fn acquire(&self) -> Acquire {
        self.acquire_many(1)
    }

    /// Waits in line for `permits` permits, which are released when they are dropped.
    ///
    /// A large request is not overtaken by later small ones: they wait until it is served. A request for more
    /// permits than there are is served when all are free, and nothing runs beside it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it resolves takes no permit, and passes its turn to the next in line.
    ///
    /// # Examples
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// let megabytes = flowlet::Semaphore::new(64);
    /// let file = megabytes.acquire_many(48).await;
    /// assert_eq!(megabytes.in_use(), 48);
    /// # drop(file);
    /// # });
    /// ```
    pub fn acquire_many(&self, permits: usize) -> Acquire {
        Acquire::new(self.clone(), permits)
    }

    /// Takes a permit if one is free and nobody is waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = flowlet::Semaphore::new(1);
    /// let permit = semaphore.try_acquire();
    /// assert!(permit.is_some());
    /// assert!(semaphore.try_acquire().is_none());
    /// ```
    pub fn try_acquire(&self) -> Option<Permit> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` permits if they are free and nobody is waiting.
    ///
    /// A request for more permits than there are succeeds when all are free.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = flowlet::Semaphore::new(8);
    /// let five = semaphore.try_acquire_many(5);
    /// assert!(five.is_some());
    /// assert!(semaphore.try_acquire_many(5).is_none());
    /// ```
    pub fn try_acquire_many(&self, permits: usize) -> Option<Permit> {
        let mut line = self.shared.line();
        let left = line.take(None, permits, CountedBy::Permits)?;
        let in_use = line.in_use();
        drop(line);
        drop(left);
        let mut permit = Permit::new(self.shared.clone(), permits, CountedBy::Permits);
        permit.watch(in_use);
        Some(permit)
    }
}

impl Shared {
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        let mut line = self.line();
        let raised = limit > line.limit();
        line.set_limit(limit);
        self.limit.store(limit, Ordering::Relaxed);
        let granted = catch_unwind(AssertUnwindSafe(|| self.grant_all(line)));
        if raised {
            self.raised.notify(usize::MAX);
        }
        if let Err(panic) = granted {
            resume_unwind(panic);
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // No code that could leave the line in an inconsistent state runs under the lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants permits to all waiters that fit, in their order, and wakes them. If a waker panics, its turn
    /// passes to the next, and the panic resumes when all have been woken.
    #[inline]
    fn grant_all<'a>(&'a self, line: MutexGuard<'a, Line>) {
        if line.anyone_waits() {
            self.grant_to_all(line);
        }
    }

    fn grant_to_all<'a>(&'a self, mut line: MutexGuard<'a, Line>) {
        let mut woken = Ok(());
        while let Some((ticket, waker)) = line.grant() {
            drop(line);
            let result = catch_unwind(AssertUnwindSafe(|| waker.wake()));
            line = self.line();
            if result.is_err() {
                line.withdraw(ticket);
            }
            woken = first_panic(woken, result);
        }
        drop(line);
        if let Err(panic) = woken {
            resume_unwind(panic);
        }
    }
}

impl From<NonZeroUsize> for Semaphore {
    fn from(limit: NonZeroUsize) -> Self {
        Self::new(limit.get())
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.shared.line();
        let (limit, in_use) = (line.limit(), line.in_use());
        drop(line);
        f.debug_struct("Semaphore").field("limit", &limit).field("in_use", &in_use).finish()
    }
}
