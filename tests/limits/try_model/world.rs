//! What is known of the pipelines while they run.

use std::collections::{HashSet, VecDeque};
use std::iter;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::support::world;

use super::model::{Lost, flat};
use super::spec::{Place, Spec};

pub(crate) type World = world::World<Own>;

/// What is known of a pipeline.
pub(crate) struct Own {
    pub(crate) spec: Spec,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) stages: Vec<Counts>,
    /// How often each place where it may panic was passed.
    pub(crate) passed: [usize; 4],
    pub(crate) thrown: usize,
    /// Calls that there are of stages that share the semaphore.
    pub(crate) sharing: usize,
    pub(crate) lost: Lost,
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
    /// The errors that wait until calls have finished, in the order in which they happened.
    pub(crate) errors: VecDeque<u64>,
    /// Whether all errors were handed on.
    pub(crate) over: bool,
}

/// What is thrown: how many were before.
pub(crate) struct Thrown(pub(crate) usize);

impl World {
    pub(crate) fn of(spec: &Spec) -> Arc<Self> {
        let stages = iter::repeat_with(Counts::default).take(flat(&spec.stages).len() + 2);
        let state = State {
            stages: stages.collect(),
            passed: [0; 4],
            thrown: 0,
            sharing: 0,
            lost: Lost::new(),
        };
        let own = Own { spec: spec.clone(), state: Mutex::new(state) };
        Self::new(spec.seed, spec.locks, spec.shared, own)
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, State> {
        // Looked at also after a check has failed.
        self.own.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is there of the source and the stages up to one.
    pub(crate) fn live(&self, up_to: usize) -> usize {
        self.known().stages.iter().take(up_to + 1).map(|counts| counts.live).sum()
    }

    /// Passes a place where it may panic, which takes so many values of a stage.
    pub(crate) fn may_panic(
        &self,
        place: Place,
        stage: usize,
        lost: impl IntoIterator<Item = u64>,
    ) {
        let mut state = self.known();
        let passed = state.passed[place as usize];
        state.passed[place as usize] += 1;
        if self.own.spec.panics.contains(&(place, passed)) {
            state.lost.extend(lost.into_iter().map(|value| (stage, value)));
            state.thrown += 1;
            let before = state.thrown - 1;
            drop(state);
            // Does not call the panic hook.
            resume_unwind(Box::new(Thrown(before)));
        }
    }
}
