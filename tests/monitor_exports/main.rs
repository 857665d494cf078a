//! A monitor's numbers, as others have them.
//!
//! A program of its own, as what it needs would make types of other tests ambiguous: a number can be compared with a
//! value of `serde_json`.

mod by_metrics;
mod by_serde;
mod by_tracing;
