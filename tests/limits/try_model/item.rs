//! Items and errors, which are counted, and may panic when they are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::model::Outcome;
use super::spec::Place;
use super::world::World;

/// Counts something as being in a stage. Should it be dropped before it was used up, it may panic.
pub(crate) struct Live {
    pub(crate) world: Arc<World>,
    pub(crate) stage: usize,
    pub(crate) used_up: AtomicBool,
}

impl Live {
    pub(crate) fn new(world: &Arc<World>, stage: usize) -> Self {
        world.known().stages[stage].live += 1;
        Self { world: world.clone(), stage, used_up: AtomicBool::new(false) }
    }

    pub(crate) fn enter(&mut self, stage: usize) {
        let mut state = self.world.known();
        state.stages[self.stage].live -= 1;
        state.stages[stage].live += 1;
        self.stage = stage;
    }

    pub(crate) fn use_up(&self) {
        self.used_up.store(true, Ordering::Relaxed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.world.known().stages[self.stage].live -= 1;
        if !*self.used_up.get_mut() && !std::thread::panicking() {
            self.world.may_panic(Place::Drop, self.stage, []);
        }
    }
}

/// An item, or an error.
pub(crate) struct Item {
    pub(crate) value: u64,
    pub(crate) live: Live,
}

impl Item {
    pub(crate) fn new(world: &Arc<World>, stage: usize, value: u64) -> Self {
        Self { value, live: Live::new(world, stage) }
    }

    pub(crate) fn map(self, f: impl FnOnce(u64) -> u64) -> Self {
        Self { value: f(self.value), ..self }
    }

    pub(crate) fn take(self) -> u64 {
        self.live.use_up();
        self.value
    }
}

pub(crate) type Out = Result<Item, Item>;

pub(crate) fn out(world: &Arc<World>, stage: usize, outcome: Outcome) -> Out {
    let item = |value| Item::new(world, stage, value);
    outcome.map(item).map_err(item)
}

/// What goes into stages.
pub(crate) trait Goods {
    fn enter(&mut self, stage: usize);
}

impl Goods for Item {
    fn enter(&mut self, stage: usize) {
        self.live.enter(stage);
    }
}

impl Goods for Vec<Item> {
    fn enter(&mut self, stage: usize) {
        self.iter_mut().for_each(|item| item.live.enter(stage));
    }
}
