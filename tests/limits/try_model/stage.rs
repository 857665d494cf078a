//! What a stage is to keep to, and its calls.

use std::iter;
use std::sync::Arc;

use flowlet::Concurrency;
use flowlet::prelude::*;
use futures_lite::stream::{self, Boxed};

use crate::support::kinds::{Kind, Limit};
use crate::support::watched::{Turns, Watched};

use super::item::{Item, Live, Out, out};
use super::model::{Outcome, value_of};
use super::spec::Place;
use super::world::{Counts, Own, World};

/// A stage of the pipeline in its world.
#[derive(Clone)]
pub(crate) struct At {
    pub(crate) world: Arc<World>,
    pub(crate) stage: usize,
    pub(crate) turns: Turns,
    pub(crate) limit: Limit,
    /// Whether it is a `try_` stage.
    pub(crate) tries: bool,
}

impl At {
    pub(crate) fn concurrency(&self) -> Concurrency {
        self.limit.concurrency(&self.world.shared)
    }

    pub(crate) fn counts<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
        look(&mut self.world.known().stages[self.stage])
    }

    /// Tells whether calls go on after an error.
    pub(crate) fn finishes(&self) -> bool {
        self.tries && self.limit.finishing
    }

    pub(crate) fn most(&self) -> usize {
        self.limit.private.unwrap_or(self.world.own.spec.shared)
    }

    pub(crate) fn window(&self) -> usize {
        self.limit.window(self.most())
    }

    /// How many calls may be there: with a semaphore inner streams pause, and others are opened in the window.
    fn most_calls(&self) -> usize {
        if self.limit.private.is_none() { self.window() } else { self.most() }
    }

    /// How many permits a call may have.
    fn shares(&self) -> usize {
        usize::from(self.limit.private.is_none())
    }

    /// Begins a call in the stage's function, which may panic and take so many values.
    pub(crate) fn begin(&self, values: impl IntoIterator<Item = u64>) -> Running {
        let running = self.start();
        self.world.may_panic(Place::Closure, self.stage, values);
        running
    }

    pub(crate) fn start(&self) -> Running {
        let failed = self.counts(|counts| counts.failed.is_some());
        self.world.expect(!failed || !self.finishes(), || {
            format!("stage {} failed and starts a call", self.stage)
        });
        self.world.known().sharing += self.shares();
        let (number, running) = self.counts(|counts| {
            counts.begun += 1;
            counts.running.insert(counts.begun - 1);
            (counts.begun - 1, counts.running.len())
        });
        // Expansions that share a semaphore have no part in it between their outputs.
        self.world.expect(running <= self.most_calls(), || {
            format!("stage {} runs {running} calls, {} are allowed", self.stage, self.most_calls())
        });
        let live = Live::new(&self.world, self.stage);
        Running { at: self.clone(), number, gone: false, live }
    }

    /// A call that gives an output or an error, or neither.
    pub(crate) async fn one(
        self,
        kind: Kind,
        mut running: Running,
        item: &Item,
    ) -> Result<Option<u64>, Item> {
        self.world.work(self.stage, item.value).await;
        self.world.may_panic(Place::Future, self.stage, [item.value]);
        let outcome = self.world.own.spec.outcomes(self.stage, kind, item.value).pop();
        running.gave(outcome);
        running.end(outcome.is_none());
        match outcome {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(error)) => {
                item.live.use_up();
                Err(Item::new(&self.world, self.stage, error))
            }
            None => {
                item.live.use_up();
                Ok(None)
            }
        }
    }

    /// Opens an inner iterable or stream, unless that fails.
    pub(crate) async fn open(
        self,
        kind: Kind,
        running: Running,
        value: u64,
    ) -> Result<(Vec<Outcome>, Running), Item> {
        self.world.work(self.stage, value).await;
        self.world.may_panic(Place::Future, self.stage, [value]);
        if let Err(error) = self.world.own.spec.or_error(self.stage, value) {
            let mut running = running;
            running.gave(Some(Err(error)));
            running.end(true);
            return Err(Item::new(&self.world, self.stage, error));
        }
        Ok((self.world.own.spec.outcomes(self.stage, kind, value), running))
    }

    pub(crate) fn iterable(
        &self,
        outcomes: Vec<Outcome>,
        mut running: Running,
    ) -> Box<dyn Iterator<Item = Out> + Send> {
        let (own, mut left) = (self.clone(), outcomes.into_iter());
        Box::new(iter::from_fn(move || {
            let outcome = left.next();
            running.gave(outcome);
            if outcome.is_none() {
                running.end(true);
            }
            Some(out(&own.world, own.stage, outcome?))
        }))
    }

    pub(crate) fn streamed(&self, outcomes: Vec<Outcome>, running: Running) -> Boxed<Out> {
        let state = (self.clone(), running, outcomes.into_iter());
        let items = stream::unfold(state, |(own, mut running, mut left)| async move {
            let Some(outcome) = left.next() else {
                running.end(true);
                return None;
            };
            own.world.work(own.stage, value_of(&outcome)).await;
            let lost = iter::once(&outcome).chain(left.as_slice()).map(value_of);
            own.world.may_panic(Place::Future, own.stage, lost);
            running.gave(Some(outcome));
            Some((out(&own.world, own.stage, outcome), (own, running, left)))
        });
        self.watch(items).boxed()
    }

    pub(crate) fn watch<C>(&self, call: C) -> Watched<C, Own> {
        Watched::new(call, &self.world, self.stage, &self.turns)
    }

    /// Checks a stage after a turn: whether it keeps permits, and whether it failed as it should.
    pub(crate) fn check_turn(&self) {
        let (permits, sharing) = (self.world.shared.in_use(), self.world.known().sharing);
        self.world.expect(permits <= sharing, || {
            format!("{sharing} calls have {permits} permits after a turn of stage {}", self.stage)
        });
        let Some(first) = self.counts(|counts| counts.failed) else { return };
        let above = self.world.live(self.stage - 1);
        let running = self.counts(|counts| {
            let ends = |number: &&usize| match (self.finishes(), self.limit.ordered) {
                (true, _) => false,
                (false, ordered) => !ordered || **number >= first,
            };
            counts.running.iter().filter(ends).count()
        });
        self.world.expect((above, running) == (0, 0), || {
            format!("stage {} failed, {above} are above, {running} run", self.stage)
        });
    }

    /// Checks a stage when it hands on an error.
    pub(crate) fn check_over(&self, error: u64) {
        let finishes = self.finishes();
        let (was_over, is_next, errors, waiting) = self.counts(|counts| {
            let was_over = counts.over;
            let is_next = !finishes || counts.errors.pop_front() == Some(error);
            counts.over = counts.errors.is_empty();
            let first = counts.failed.unwrap_or(0);
            let in_turn =
                |(number, _): &&(usize, u64)| finishes || !self.limit.ordered || *number < first;
            let waiting = counts.waiting.iter().filter(in_turn).count();
            (was_over, is_next, counts.errors.len(), waiting)
        });
        self.world.expect(is_next, || format!("stage {}: not the first error", self.stage));
        let live = self.world.live(self.stage) - errors;
        let in_turn = self.limit.ordered || self.limit.errors_in_turn || finishes;
        let skips = waiting > 0 && in_turn;
        self.world.expect(!was_over && live == 0 && !skips, || {
            format!(
                "stage {} hands on an error: over {was_over}, {live} are left, {waiting} waited",
                self.stage
            )
        });
    }
}

/// Counts a call as running.
pub(crate) struct Running {
    pub(crate) at: At,
    pub(crate) number: usize,
    /// Whether the item is gone with the call.
    pub(crate) gone: bool,
    pub(crate) live: Live,
}

impl Running {
    pub(crate) fn gave(&mut self, outcome: Option<Outcome>) {
        let number = self.number;
        self.at.counts(|counts| match outcome {
            Some(Err(error)) if self.at.tries => {
                counts.failed = Some(counts.failed.map_or(number, |first| first.min(number)));
                if self.at.limit.finishing {
                    counts.errors.push_back(error);
                }
            }
            Some(outcome) => counts.waiting.push((number, value_of(&outcome))),
            None => {}
        });
    }

    /// Ends the call, and the item if there is nothing to hand on.
    pub(crate) fn end(&mut self, gone: bool) {
        self.gone = gone;
        self.live.use_up();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let gone = self.gone || std::thread::panicking();
        self.at.world.known().sharing -= self.at.shares();
        self.at.counts(|counts| {
            counts.running.remove(&self.number);
            counts.gone += usize::from(gone);
        });
    }
}
