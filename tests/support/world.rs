//! The world that random pipelines run in. What happens in it, and when, follows from a seed.

use std::collections::HashMap;
use std::future::poll_fn;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use flowlet::Semaphore;

use super::random_runs::mix;

/// The world, and what a model has to know of it.
pub(crate) struct World<T> {
    pub(crate) seed: u64,
    /// Whether calls take the lock.
    locks: bool,
    /// The lock that all calls share. It is handed over in order.
    lock: tokio::sync::Mutex<()>,
    /// The semaphore that stages share.
    pub(crate) shared: Semaphore,
    state: Mutex<State>,
    pub(crate) own: T,
}

struct State {
    random: u64,
    /// What happens some time.
    events: Vec<Box<dyn FnOnce() + Send>>,
    /// How often wakers were woken, by their data.
    wakes: HashMap<usize, Arc<AtomicUsize>>,
    /// What went against a promise.
    broken: Vec<String>,
}

impl<T> World<T> {
    pub(crate) fn new(seed: u64, locks: bool, shared: usize, own: T) -> Arc<Self> {
        let (events, wakes, broken) = (Vec::new(), HashMap::new(), Vec::new());
        Arc::new(Self {
            seed,
            locks,
            lock: tokio::sync::Mutex::new(()),
            shared: Semaphore::new(shared),
            state: Mutex::new(State { random: seed, events, wakes, broken }),
            own,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Looked at also after a check has failed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn random(&self, below: usize) -> usize {
        let mut state = self.state();
        state.random = mix(state.random, 1);
        (state.random % below as u64) as usize
    }

    pub(crate) fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.state().broken.push(what());
        }
    }

    pub(crate) fn later(&self, event: impl FnOnce() + Send + 'static) {
        self.state().events.push(Box::new(event));
    }

    /// Lets something happen. Returns whether there was anything.
    pub(crate) fn happen(&self) -> bool {
        let many = self.state().events.len();
        if many == 0 {
            return false;
        }
        let one = self.random(many);
        let event = self.state().events.swap_remove(one);
        event();
        true
    }

    /// How often a waker was woken.
    pub(crate) fn wakes(&self, waker: &Waker) -> Arc<AtomicUsize> {
        self.state().wakes.entry(waker.data() as usize).or_default().clone()
    }

    /// Is pending for a while, in one way or another.
    pub(crate) async fn pend(&self, way: u64) {
        let happened = Arc::new(AtomicBool::new(false));
        let mut polled = false;
        poll_fn(|cx| {
            let first = !mem::replace(&mut polled, true);
            if happened.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            if !first {
                return Poll::Pending;
            }
            let wake_later = || {
                let waker = cx.waker().clone();
                self.later(|| waker.wake());
            };
            let happen_later = || {
                let (waker, happened) = (cx.waker().clone(), happened.clone());
                self.later(move || {
                    happened.store(true, Ordering::Relaxed);
                    waker.wake();
                });
            };
            match way {
                // By itself, while it is polled.
                0 | 1 => {
                    happened.store(true, Ordering::Relaxed);
                    cx.waker().wake_by_ref();
                }
                // Once, some time.
                2..=4 => happen_later(),
                // Twice, and the second time it may be something else that is woken.
                5 => {
                    happen_later();
                    happen_later();
                }
                // Too early as well.
                6 => {
                    wake_later();
                    happen_later();
                    cx.waker().wake_by_ref();
                }
                // Too late as well.
                _ => {
                    happened.store(true, Ordering::Relaxed);
                    cx.waker().wake_by_ref();
                    wake_later();
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// What a call does before it gives its result.
    pub(crate) async fn work(&self, stage: usize, value: u64) {
        let mut random = mix(mix(self.seed, stage as u64), value);
        let mut next = |below: u64| {
            random = mix(random, 2);
            random % below
        };
        let steps = next(4);
        let locks = self.locks && next(2) == 0;
        let before = if locks { next(2) } else { steps };
        for _ in 0..before {
            self.pend(next(8)).await;
        }
        if locks {
            let _locked = self.lock.lock().await;
            for _ in 0..steps {
                self.pend(next(8)).await;
            }
        }
    }

    /// Checks that nothing is kept of a pipeline that is gone, and that it broke no promise.
    pub(crate) fn check_left(&self) {
        // With the events go the permits of others, and the wakers of what was alongside.
        drop(mem::take(&mut self.state().events));
        assert_eq!(self.shared.in_use(), 0, "permits are left");
        assert!(self.lock.try_lock().is_ok(), "someone has the lock, or waits for it");
        let state = self.state();
        assert!(state.broken.is_empty(), "{:#?}", state.broken);
    }
}
