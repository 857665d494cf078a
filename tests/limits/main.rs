//! The tests of limits, of sources that grow, and the models: a program beside `it`, as one of all takes too much
//! memory to build.

#[allow(dead_code, unused_imports, unused_macros)] // Other tests need the rest.
#[path = "../support/mod.rs"]
mod support;

mod adaptive;
mod adaptive_simulation;
mod by_key;
mod expand;
mod fairness;
mod frontier;
mod frontier_model;
mod limits_model;
mod model;
#[cfg(feature = "monitor")]
mod monitor;
mod semaphore;
mod semaphore_many;
mod try_model;
mod try_regressions;
mod weights;
mod window;
