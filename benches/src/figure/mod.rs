//! Figures that are no time per item: latencies, the longest poll, and fairness to others.

mod fairness;
mod latency;
mod worst_poll;

pub use fairness::{Fairness, fairness};
pub use latency::{Latency, latencies, latencies_from_another_thread};
pub use worst_poll::{WorstPoll, worst_polls};

/// How long something may go on, to fit into a subset.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    /// How often each of them runs, in turn with the others.
    pub rounds: usize,

    /// By how much to shorten them.
    pub divisor: u64,
}
