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
/// Give it to stages in place of a number, as `&semaphore` or `semaphore.clone()`: together their
/// running calls never exceed the limit. It can be [read](Self::in_use) and
/// [changed](Self::set_limit) while they run, and code outside the stages takes part with
/// [`acquire`](Self::acquire). Clones are handles to the same semaphore. One that finds its limit by itself is
/// [`Adaptive`](crate::Adaptive).
///
/// A stage takes a permit when it starts a call and gives it back when the call is over; an inner stream
/// of a flat map gives it back whenever it yielded an output, and takes one to go on. A stage also
/// keeps no more than [`limit`](Self::limit) items between pulled and yielded, outputs that wait for the
/// consumer included, as a stage with a limit of its own does.
///
/// # Fairness
///
/// Permits are taken first come, first served, by stages and [`acquire`](Self::acquire) alike, in one task
/// or in many. A permit that is given back is reserved for whoever is next, and wakes nobody else. With more
/// users than permits everyone gets an equal share, whether it is a stage, which asks for the next permit
/// at once, or a loop that asks again when its call is over.
///
/// A stage waits for a permit with an item in hand, never for an item with a permit in hand. So stages of
/// one pipeline can share a semaphore of any limit, 1 included. (Adaptors between them that have items of
/// their own to yield, as the plain `flat_map` has, can undo that, as with any lock:
/// `flat_map_concurrent(1, f)` does not.)
///
/// For one call of a key at a time, in the order of its items, there is
/// [`map_concurrent_by_key`](crate::FlowExt::map_concurrent_by_key). A semaphore of its own for each key, acquired in
/// the calls, does not keep their order: calls that are woken together are polled in any order.
///
/// # What can hang
///
/// - **Nested use**: a call that takes a permit of the semaphore that it runs under, as by a stage inside
///   of it, may wait for its own caller. As with a lock that is taken twice, it hangs. Use two semaphores.
/// - **Nobody polls**: a call runs, and a turn is taken, when the pipeline is polled. A pipeline that is
///   neither polled nor dropped keeps the permits of its running calls, even if they run
///   [in tasks](crate::in_task) and are over, and so does one that was woken for its turn. One that has yielded
///   and is not polled again keeps no turn from others. So a few responses whose clients do not read can hold
///   up all others. End such a pipeline with `prefetch(n, tokio::spawn)`: a [task](crate::FlowExt::prefetch)
///   polls it, so its calls end and give their permits back, whoever polls the response.
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

    /// The limit of the line once more, to be read without the lock.
    limit: AtomicUsize,

    /// Notified when the limit is raised: the stages that have as many items as it allows.
    raised: Event,

    /// Who is told how permits are used, if anyone is.
    watch: Option<Arc<dyn Watch>>,
}

impl Semaphore {
    /// Makes a semaphore with `limit` permits.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is 0. To begin with a pause, call [`set_limit`](Self::set_limit).
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

    /// Makes a semaphore that tells someone how its permits are used.
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
    /// A higher limit wakes who waits. A lower one takes no permit away: nothing new is started
    /// until enough were given back.
    ///
    /// 0 pauses everything that is not running already, until the limit is raised again. A paused stage still
    /// hears a stop, an error, and the end of its source, and ends if nothing is in flight. To hear the end of a plain
    /// source it has to ask for an item: one at most, which waits for the pause to end. Behind a
    /// [`take_until_stopped`](crate::FlowExt::take_until_stopped) it asks for none.
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

    /// Waits for a permit, in turn. It is given back when it is dropped.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it resolves has taken nothing, and its turn goes to the next.
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

    /// Waits for that many permits, in turn. They are given back when they are dropped.
    ///
    /// A large request is not overtaken by small ones that come later: they wait until it is served. One for
    /// more permits than there are is served when all are free, and nothing runs beside it.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it resolves has taken nothing, and its turn goes to the next.
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

    /// Takes a permit if one is free, and nobody waits for it.
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

    /// Takes that many permits if they are free, and nobody waits for any.
    ///
    /// More permits than there are can be had when all are free.
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
        // No code that could leave it half-changed runs under the lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants permits to all that wait and fit, in their order, and wakes them. If a waker panics, its turn
    /// goes to the next, and the panic goes on when all were woken.
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
