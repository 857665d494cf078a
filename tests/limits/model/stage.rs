//! What a stage is to keep to, its items and its calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flowlet::Concurrency;

use super::plain::Lost;
use super::world::{Own, Place, World};
use crate::support::kinds::Limit;
use crate::support::watched::{Turns, Watched};

/// Counts something as long as it is there.
pub(crate) struct Live(pub(crate) Arc<World>);

impl Live {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        world.own.live.fetch_add(1, Ordering::Relaxed);
        Self(world.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.own.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An item.
pub(crate) struct Item {
    pub(crate) value: u64,
    pub(crate) live: Live,
}

impl Item {
    pub(crate) fn new(world: &Arc<World>, value: u64) -> Self {
        Self { value, live: Live::new(world) }
    }

    pub(crate) fn map(self, f: impl FnOnce(u64) -> u64) -> Self {
        Self { value: f(self.value), ..self }
    }
}

/// Counts a call as running.
pub(crate) struct Running {
    pub(crate) at: At,
    pub(crate) _live: Live,
    /// Whether the item is gone with the call.
    pub(crate) gone: bool,
    /// Whether the call has a part in the shared semaphore.
    pub(crate) shares: bool,
}

/// A stage of the pipeline in its world.
#[derive(Clone)]
pub(crate) struct At {
    pub(crate) world: Arc<World>,
    pub(crate) stage: usize,
    /// This one, of all that were built of the stage.
    pub(crate) built: usize,
    pub(crate) turns: Turns,
    pub(crate) limit: Limit,
    /// Whether upstream may give an item that was not asked for.
    pub(crate) slack: usize,
    /// The call that this stage is nested in.
    pub(crate) inside: Lost,
}

impl At {
    pub(crate) fn concurrency(&self) -> Concurrency {
        self.limit.concurrency(&self.world.shared)
    }

    pub(crate) fn most(&self) -> usize {
        self.limit.private.unwrap_or(self.world.own.shared_most)
    }

    pub(crate) fn window(&self) -> usize {
        self.limit.window(self.most())
    }

    /// How many calls may be there: with a semaphore inner streams pause, and others are opened in the window.
    fn most_calls(&self) -> usize {
        if self.limit.private.is_none() { self.window() } else { self.most() }
    }

    pub(crate) fn start(&self) -> Running {
        let most = self.most_calls();
        let running = self.world.counts(self.built, |counts| {
            counts.running += 1;
            counts.running
        });
        self.world.expect(running <= most, || {
            format!("stage {} runs {running} calls, {most} are allowed", self.stage)
        });
        let live = Live::new(&self.world);
        let mut running = Running { at: self.clone(), _live: live, gone: false, shares: false };
        running.go_on();
        running
    }

    pub(crate) fn lost(&self, value: u64) -> Lost {
        self.inside.or(Some((self.stage, value)))
    }

    /// Begins a call in the stage's function, which may panic.
    pub(crate) fn begin(&self, value: u64) -> (Running, bool) {
        let running = self.start();
        let place = self.world.call_panics();
        if place == Some(Place::Closure) {
            self.world.throw(self.lost(value));
        }
        (running, place == Some(Place::Future))
    }

    /// What a call awaits.
    pub(crate) async fn go_on(&self, value: u64, panics: bool) {
        self.world.work(self.stage, value).await;
        if panics {
            self.world.throw(self.lost(value));
        }
    }

    /// Watches how a stage polls a call.
    pub(crate) fn watch<C>(&self, call: C) -> Watched<C, Own> {
        Watched::new(call, &self.world, self.stage, &self.turns)
    }
}

impl Running {
    /// Says that the item is gone with the call.
    pub(crate) fn gone(&mut self, gone: bool) {
        self.gone = gone;
    }

    /// Takes part in the shared semaphore, if the stage does.
    pub(crate) fn go_on(&mut self) {
        if self.at.limit.private.is_none() && !self.shares {
            self.shares = true;
            let world = &self.at.world;
            let running = world.own.shared_running.fetch_add(1, Ordering::Relaxed) + 1;
            let most = world.own.shared_most;
            world
                .expect(running <= most, || format!("{running} calls share a semaphore of {most}"));
        }
    }

    /// Leaves the shared semaphore to others: an expansion does between its outputs.
    pub(crate) fn pause(&mut self) {
        if std::mem::take(&mut self.shares) {
            self.at.world.own.shared_running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.at.world.counts(self.at.built, |counts| {
            counts.running -= 1;
            counts.gone += usize::from(self.gone || std::thread::panicking());
        });
        self.pause();
    }
}
