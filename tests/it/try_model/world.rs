//! The world the pipelines run in.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::iter;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use flowlet::Semaphore;

use super::model::{Lost, flat};
use super::spec::{Place, Spec};
use crate::support::random_runs::mix;

pub(crate) struct World {
    pub(crate) spec: Spec,
    pub(crate) shared: Semaphore,
    pub(crate) lock: tokio::sync::Mutex<()>,
    pub(crate) state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) random: u64,
    /// Who is woken some time, and what is to be true then.
    pub(crate) events: Vec<(Waker, Option<Arc<AtomicBool>>)>,
    /// How often wakers were woken, by their data.
    pub(crate) wakes: HashMap<usize, Arc<AtomicUsize>>,
    pub(crate) stages: Vec<Counts>,
    /// How often each place where it may panic was passed.
    pub(crate) passed: [usize; 4],
    pub(crate) thrown: usize,
    /// Calls that there are of stages that share the semaphore.
    pub(crate) sharing: usize,
    pub(crate) lost: Lost,
    /// What went against a promise.
    pub(crate) broken: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Counts {
    /// Items, calls, errors and sources that are there.
    pub(crate) live: usize,
    /// Items that went in, and those that were handed on or have nothing to hand on.
    pub(crate) pulled: usize,
    pub(crate) gone: usize,
    /// The numbers of the calls.
    pub(crate) begun: usize,
    pub(crate) running: HashSet<usize>,
    /// Outputs that were not handed on, and the numbers of their calls.
    pub(crate) waiting: Vec<(usize, u64)>,
    /// Set once the stage has an error, to the number of the first call that ends with it.
    pub(crate) failed: Option<usize>,
    /// Whether the error was handed on.
    pub(crate) over: bool,
}

/// What is thrown: how many were before.
pub(crate) struct Thrown(pub(crate) usize);

impl World {
    pub(crate) fn new(spec: &Spec) -> Arc<Self> {
        let stages = iter::repeat_with(Counts::default).take(flat(&spec.stages).len() + 2);
        Arc::new(Self {
            spec: spec.clone(),
            shared: Semaphore::new(spec.shared),
            lock: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                random: spec.seed,
                events: Vec::new(),
                wakes: HashMap::new(),
                stages: stages.collect(),
                passed: [0; 4],
                thrown: 0,
                sharing: 0,
                lost: Lost::new(),
                broken: Vec::new(),
            }),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Looked at also after a check has failed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.state().broken.push(what());
        }
    }

    pub(crate) fn random(&self, below: usize) -> usize {
        let mut state = self.state();
        state.random = mix(state.random, 1);
        (state.random % below as u64) as usize
    }

    /// How much is there of the source and the stages up to one.
    pub(crate) fn live(&self, up_to: usize) -> usize {
        self.state().stages.iter().take(up_to + 1).map(|counts| counts.live).sum()
    }

    /// Passes a place where it may panic, which takes so many values of a stage.
    pub(crate) fn may_panic(
        &self,
        place: Place,
        stage: usize,
        lost: impl IntoIterator<Item = u64>,
    ) {
        let mut state = self.state();
        let passed = state.passed[place as usize];
        state.passed[place as usize] += 1;
        if self.spec.panics.contains(&(place, passed)) {
            state.lost.extend(lost.into_iter().map(|value| (stage, value)));
            state.thrown += 1;
            let before = state.thrown - 1;
            drop(state);
            // Does not call the panic hook.
            resume_unwind(Box::new(Thrown(before)));
        }
    }

    /// Wakes someone. Returns whether there was anyone.
    pub(crate) fn happen(&self) -> bool {
        let many = self.state().events.len();
        if many == 0 {
            return false;
        }
        let one = self.random(many);
        let (waker, happened) = self.state().events.swap_remove(one);
        if let Some(happened) = happened {
            happened.store(true, Ordering::Relaxed);
        }
        waker.wake();
        true
    }

    /// Is pending for a while, in one way or another.
    pub(crate) async fn pend(&self, way: u64) {
        let happened = Arc::new(AtomicBool::new(false));
        let mut polled = false;
        poll_fn(|cx| {
            if happened.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut polled, true) {
                let later = |happened| self.state().events.push((cx.waker().clone(), happened));
                match way {
                    // By itself, while it is polled.
                    0 | 1 => {
                        happened.store(true, Ordering::Relaxed);
                        cx.waker().wake_by_ref();
                    }
                    // Twice: the second time it may be something else that is woken.
                    2 => {
                        later(Some(happened.clone()));
                        later(Some(happened.clone()));
                    }
                    // Too early as well.
                    3 => {
                        later(Some(happened.clone()));
                        cx.waker().wake_by_ref();
                    }
                    _ => later(Some(happened.clone())),
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// What a call does before it gives its result.
    pub(crate) async fn work(&self, stage: usize, value: u64) {
        let mut random = mix(mix(self.spec.seed, stage as u64), value);
        let mut next = |below: u64| {
            random = mix(random, 2);
            random % below
        };
        for _ in 0..next(3) {
            self.pend(next(8)).await;
        }
        if self.spec.locks && next(2) == 0 {
            let _locked = self.lock.lock().await;
            for _ in 0..next(3) {
                self.pend(next(8)).await;
            }
        }
    }
}
