//! What tests have in common.

pub(crate) mod block;
pub(crate) mod dice;
pub(crate) mod ending;
pub(crate) mod exec;
pub(crate) mod gate;
pub(crate) mod gated;
pub(crate) mod gauge;
pub(crate) mod hosts;
pub(crate) mod kinds;
pub(crate) mod latch;
pub(crate) mod lock;
pub(crate) mod on_all;
pub(crate) mod on_wake;
pub(crate) mod once;
pub(crate) mod one_thread;
pub(crate) mod open;
pub(crate) mod panicked;
pub(crate) mod random_runs;
pub(crate) mod shape;
pub(crate) mod stages;
pub(crate) mod tasks;
pub(crate) mod waker;
pub(crate) mod watched;
pub(crate) mod window;
pub(crate) mod woken;
pub(crate) mod world;
