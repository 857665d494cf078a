//! What is known of the pipelines while they run.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::plain::Lost;
use super::spec::Spec;
use crate::support::world;

pub(crate) type World = world::World<Own>;

/// What is known of a pipeline.
pub(crate) struct Own {
    /// The highest limit that the semaphore ever has.
    pub(crate) shared_most: usize,
    /// Who takes part in the semaphore and runs.
    pub(crate) shared_running: AtomicUsize,
    /// By stage, as built.
    pub(crate) stages: Mutex<HashMap<usize, Counts>>,
    /// Items, calls and expansions that are there.
    pub(crate) live: AtomicUsize,
    pub(crate) panic: Option<Panic>,
    pub(crate) calls: AtomicUsize,
    /// Counts the stages that were built, those in calls included.
    pub(crate) built: AtomicUsize,
    pub(crate) lost: Mutex<Lost>,
    pub(crate) panics: AtomicUsize,
}

#[derive(Default, Clone)]
pub(crate) struct Counts {
    pub(crate) running: usize,
    pub(crate) pulled: usize,
    /// Handed on, or known to give nothing.
    pub(crate) gone: usize,
}

/// Where a call panics, counted over all stages. The source does at the item of this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panic {
    pub(crate) call: usize,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Source,
    Closure,
    Future,
}

/// What is thrown.
pub(crate) struct Thrown;

impl World {
    pub(crate) fn of(spec: &Spec, panic: Option<Panic>) -> Arc<Self> {
        let own = Own {
            shared_most: spec.changes.iter().copied().fold(spec.shared, usize::max),
            shared_running: AtomicUsize::new(0),
            stages: Mutex::default(),
            live: AtomicUsize::new(0),
            panic,
            calls: AtomicUsize::new(0),
            built: AtomicUsize::new(0),
            lost: Mutex::new(None),
            panics: AtomicUsize::new(0),
        };
        let world = Self::new(spec.seed, spec.locks, spec.shared, own);
        for &limit in &spec.changes {
            let shared = world.shared.clone();
            world.later(move || shared.set_limit(limit));
            // Someone else takes a permit, and gives it back.
            let there = world.clone();
            world.later(move || {
                if let Some(permit) = there.shared.try_acquire() {
                    there.later(|| drop(permit));
                }
            });
        }
        world
    }

    pub(crate) fn counts<T>(&self, stage: usize, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(self.own.stages.lock().unwrap().entry(stage).or_default())
    }

    /// Lets something happen. Returns whether there was anything.
    pub(crate) fn goes_on(&self) -> bool {
        // The order is random, so the limit may have become none.
        let opens = || {
            let opens = self.shared.limit() == 0;
            if opens {
                self.shared.set_limit(1);
            }
            opens
        };
        self.happen() || opens()
    }

    /// Counts a call, which may be the one that panics, and where.
    pub(crate) fn call_panics(&self) -> Option<Place> {
        let call = self.own.calls.fetch_add(1, Ordering::Relaxed);
        let panic =
            self.own.panic.filter(|panic| panic.call == call && panic.place != Place::Source);
        panic.map(|panic| panic.place)
    }

    pub(crate) fn throw(&self, lost: Lost) -> ! {
        *self.own.lost.lock().unwrap() = lost;
        self.own.panics.fetch_add(1, Ordering::Relaxed);
        // Does not call the panic hook.
        resume_unwind(Box::new(Thrown));
    }
}
