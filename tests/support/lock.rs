//! Locks to share, and calls that take them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flowlet::Semaphore;

use super::exec::rest;

/// A lock that is shared by calls of more than one stage.
pub(crate) trait Lock: Clone + Send + Sync + 'static {
    fn new() -> Self;

    /// Takes the lock, until the output is dropped.
    fn hold(self) -> impl Future<Output: Send> + Send;
}

/// Handed over in order: a waiter whose turn has come owns the lock before it is polled.
#[derive(Clone)]
pub(crate) struct Fair(Arc<tokio::sync::Mutex<()>>);

impl Lock for Fair {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn hold(self) -> impl Future<Output: Send> + Send {
        self.0.lock_owned()
    }
}

/// Goes to whoever asks first once it is free.
#[derive(Clone)]
pub(crate) struct Unfair(Arc<async_lock::Mutex<()>>);

impl Lock for Unfair {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn hold(self) -> impl Future<Output: Send> + Send {
        async move { self.0.lock_arc().await }
    }
}

/// A semaphore of the crate itself, with one permit.
impl Lock for Semaphore {
    fn new() -> Self {
        Self::new(1)
    }

    fn hold(self) -> impl Future<Output: Send> + Send {
        async move { self.acquire().await }
    }
}

/// What a call does with the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Habit {
    /// Takes it first thing, rests, gives it back, rests.
    First,
    /// Rests before it takes it.
    Second,
    /// Takes it a second time.
    Twice,
}

pub(crate) const HABITS: [Habit; 3] = [Habit::First, Habit::Second, Habit::Twice];

/// A stage's calls: they share a lock, and are counted.
#[derive(Clone)]
pub(crate) struct Site<L> {
    lock: L,
    habit: Habit,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    running: AtomicUsize,
    peak: AtomicUsize,
}

impl<L: Lock> Site<L> {
    pub(crate) fn new(lock: &L, habit: Habit) -> Self {
        Self { lock: lock.clone(), habit, calls: Arc::default() }
    }

    /// A call, which gives back what it was given.
    pub(crate) fn call(&self, n: u32) -> impl Future<Output = u32> + Send + use<L> {
        let running = self.begin();
        let site = self.clone();
        async move {
            let _running = running;
            site.work(n).await;
            n
        }
    }

    /// Counts a call from now on, until the output is dropped.
    pub(crate) fn begin(&self) -> Running {
        let running = 1 + self.calls.running.fetch_add(1, Ordering::Relaxed);
        self.calls.peak.fetch_max(running, Ordering::Relaxed);
        Running(self.calls.clone())
    }

    /// What a call does.
    pub(crate) async fn work(&self, n: u32) {
        let turns = 1 + n % 3;
        match self.habit {
            Habit::First => self.use_lock(turns).await,
            Habit::Second => {
                rest(turns).await;
                self.use_lock(2).await;
            }
            Habit::Twice => {
                self.use_lock(1).await;
                rest(turns).await;
                self.use_lock(turns).await;
            }
        }
        rest(n % 2 + 1).await;
    }

    /// How many calls were running at once, at most.
    pub(crate) fn peak(&self) -> usize {
        self.calls.peak.load(Ordering::Relaxed)
    }

    async fn use_lock(&self, turns: u32) {
        let guard = self.lock.clone().hold().await;
        rest(turns).await;
        drop(guard);
    }
}

/// A call that is counted.
pub(crate) struct Running(Arc<Calls>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes tests of functions that are generic over the lock.
macro_rules! with_each_lock {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn handed_over_in_order() {
                super::$name::<$crate::support::lock::Fair>();
            }

            #[test]
            fn handed_over_to_anyone() {
                super::$name::<$crate::support::lock::Unfair>();
            }

            #[test]
            fn semaphore() {
                super::$name::<flowlet::Semaphore>();
            }
        }
    )+};
}

pub(crate) use with_each_lock;
