//! Figures that are no time per item: latencies, the longest poll, and fairness to others.

mod fairness;
mod latency;
mod worst_poll;

pub use fairness::fairness;
pub use latency::{latencies, latencies_from_another_thread};
pub use worst_poll::worst_polls;

/// How long something may go on, to fit into a subset.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    /// How often each of them runs, in turn with the others.
    pub rounds: usize,

    /// By how much to shorten them.
    pub divisor: u64,
}

/// A function for each of [`THREE`](crate::peer::THREE).
macro_rules! three {
    ($f:ident) => {
        [
            $f::<$crate::peer::Flowlet>,
            $f::<$crate::peer::FuturesUtil>,
            $f::<$crate::peer::FuturesBuffered>,
        ]
    };
}
use three;

/// Runs the three in turn, so that whatever disturbs the machine disturbs all of them: what came of each.
fn in_turn<R, T>(repeat: Repeat, runs: [R; 3], run: impl Fn(&R) -> T) -> [Vec<T>; 3] {
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..repeat.rounds {
        for (of, rounds) in runs.iter().zip(&mut rounds) {
            rounds.push(run(of));
        }
    }
    rounds
}
