//! Programs to start from, a module each. `src/bin` runs them, `tests` tests them.

pub mod crunch;
pub mod etl;
pub mod keyed_queue;
pub mod mirror;
pub mod objects;
pub mod sse;
