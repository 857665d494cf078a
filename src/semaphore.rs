//! A limit that is a value.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use event_listener::{Event, EventListener};

/// A limit on what runs at once, shared by any number of stages and by code outside them.
///
/// Give it to stages in place of a number, as `&semaphore` or `semaphore.clone()`: together their
/// running calls never exceed the limit. It can be [read](Self::in_use) and
/// [changed](Self::set_limit) while they run, and code outside the stages takes part with
/// [`acquire`](Self::acquire). Clones are handles to the same semaphore.
///
/// A stage takes a permit when it starts a call and gives it back when the call is over; an expansion
/// of a flat map gives it back whenever it gave an output, and takes one to go on. A stage also
/// keeps no more than [`limit`](Self::limit) items between "pulled" and "handed on" itself, outputs
/// that wait for the consumer included, as a stage with a limit of its own does. Stages of one
/// pipeline can share a semaphore of any limit, 1 included: a stage never holds a permit while it
/// waits for an item. (Adaptors between them that have items of their own to give, as the plain
/// `flat_map` has, can undo that, as with any lock: `flat_map_concurrent(1, f)` does not.)
///
/// A permit that was given back goes to whoever asks first. So that a busy stage does not keep all
/// others out, it lets those that wait go first once before it takes a permit again. All stages that
/// wait are woken then, so hundreds of pipelines at one semaphore cost hundreds of polls a permit.
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

struct Shared {
    state: Mutex<State>,

    /// Notified once for each permit that can be had: the futures of `acquire`.
    acquirers: Event,

    /// All notified whenever a permit can be had: the stages that wait for one. A stage may not be
    /// polled for long, and must not keep the news from the others.
    stages: Event,

    /// All notified when the limit is raised: the stages that have as many items as it allows.
    raised: Event,
}

struct State {
    limit: usize,
    in_use: usize,
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
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State { limit, in_use: 0 }),
                acquirers: Event::new(),
                stages: Event::new(),
                raised: Event::new(),
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
    pub fn limit(&self) -> usize {
        self.state().limit
    }

    /// Changes how many permits can be in use at once, from now on.
    ///
    /// A higher limit wakes who waits. A lower one takes no permit away: nothing new is started
    /// until enough were given back. 0 pauses everything that is not running already, until the
    /// limit is raised again.
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
        let mut state = self.state();
        let free_before = state.free();
        let raised = limit > state.limit;
        state.limit = limit;
        let freed = state.free().saturating_sub(free_before);
        drop(state);
        self.shared.notify(freed);
        if raised {
            self.shared.raised.notify(usize::MAX);
        }
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
        self.state().in_use
    }

    /// Waits for a permit. It is given back when it is dropped.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready has taken nothing, and passes on its wake if it
    /// had been given one.
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
        Acquire { semaphore: self.clone(), listener: None }
    }

    /// Takes a permit if one is free.
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
        let mut state = self.state();
        if state.free() == 0 {
            return None;
        }
        state.in_use += 1;
        Some(Permit { shared: self.shared.clone() })
    }

    /// Tells whether a stage with so many items in flight may start one more, and if not, why.
    pub(crate) fn room(&self, in_flight: usize) -> Room {
        let state = self.state();
        if in_flight >= state.limit {
            Room::NoneUnderLimit
        } else if state.free() == 0 {
            Room::NoPermit
        } else {
            Room::Some
        }
    }

    /// Tells whether anyone waits for a permit.
    pub(crate) fn is_awaited(&self) -> bool {
        self.shared.acquirers.total_listeners() > 0 || self.shared.stages.total_listeners() > 0
    }

    /// Listens, as a stage, for what [`room`](Self::room) said is missing, or `None` if nothing is.
    pub(crate) fn listen(&self, room: Room) -> Option<EventListener> {
        match room {
            Room::Some => None,
            Room::NoPermit => Some(self.shared.stages.listen()),
            Room::NoneUnderLimit => Some(self.shared.raised.listen()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

/// Whether a stage may start one more call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It may.
    Some,
    /// All permits are in use.
    NoPermit,
    /// It has as many items in flight as the limit allows.
    NoneUnderLimit,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that could leave it half-changed runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who waits that `freed` more permits can be had.
    fn notify(&self, freed: usize) {
        if freed > 0 {
            self.acquirers.notify_additional(freed);
            self.stages.notify(usize::MAX);
        }
    }
}

impl State {
    fn free(&self) -> usize {
        self.limit.saturating_sub(self.in_use)
    }
}

impl From<NonZeroUsize> for Semaphore {
    fn from(limit: NonZeroUsize) -> Self {
        Self::new(limit.get())
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { limit, in_use } = *self.state();
        f.debug_struct("Semaphore").field("limit", &limit).field("in_use", &in_use).finish()
    }
}

/// A permit of a [`Semaphore`], given back when it is dropped.
///
/// It borrows nothing, so it can be kept anywhere and sent to other threads.
///
/// # Examples
///
/// ```
/// use flowlet::{Permit, Semaphore};
///
/// struct Connection {
///     _permit: Permit,
/// }
///
/// let semaphore = Semaphore::new(1);
/// let connection = Connection { _permit: semaphore.try_acquire().unwrap() };
/// assert_eq!(semaphore.in_use(), 1);
/// drop(connection);
/// assert_eq!(semaphore.in_use(), 0);
/// ```
#[must_use = "a permit is given back when it is dropped"]
pub struct Permit {
    shared: Arc<Shared>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let free_before = state.free();
        state.in_use -= 1;
        let freed = state.free() - free_before;
        drop(state);
        self.shared.notify(freed);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Future returned by [`Semaphore::acquire`].
///
/// # Examples
///
/// ```
/// use flowlet::{Permit, Semaphore};
///
/// # futures_lite::future::block_on(async {
/// let semaphore = Semaphore::new(1);
/// let acquire: flowlet::Acquire = semaphore.acquire();
/// let permit: Permit = acquire.await;
/// # drop(permit);
/// # });
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Acquire {
    semaphore: Semaphore,
    listener: Option<EventListener>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        loop {
            if let Some(permit) = self.semaphore.try_acquire() {
                self.listener = None;
                return Poll::Ready(permit);
            }
            // Between listening and waiting, look once more.
            match &mut self.listener {
                Some(listener) => {
                    ready!(Pin::new(listener).poll(cx));
                    self.listener = None;
                }
                None => self.listener = Some(self.semaphore.shared.acquirers.listen()),
            }
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("semaphore", &self.semaphore).finish_non_exhaustive()
    }
}
