//! What the benchmarks share: workloads, a way to run them, and a table of what came out.

mod measure;
mod plan;
mod reactor;

pub use measure::{Contender, Measured, measure};
pub use plan::Plan;
pub use reactor::{Reactor, WokenOnce, YieldOnce};
