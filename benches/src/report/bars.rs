use crate::peer::sequential;
use crate::{Spread, Timing};

/// What we want of a workload: our time as a part of the best peer's, at most.
const BARS: [(&str, f64); 8] = [
    ("ready", 0.6),
    ("yield once", 0.8),
    ("woken", 0.9),
    ("four waits", 0.9),
    ("flat map", 0.8),
    ("filter", 0.8),
    ("tiny pipelines", 0.8),
    ("chain of 4 stages", 0.7),
];

/// What came of a bar in a row.
#[derive(Debug)]
pub struct Bar {
    /// What was done.
    pub workload: &'static str,

    /// How many calls at once.
    pub in_flight: usize,

    /// Which peer took least time.
    pub best: &'static str,

    /// Our time divided by its time.
    pub ratio: Spread,

    /// What that should be, at most.
    pub bar: f64,
}

impl Bar {
    /// Tells whether we are as fast as we want to be.
    pub fn is_met(&self) -> bool {
        self.ratio.median <= self.bar
    }
}

/// Compares with the best peer of each row that there is a bar for.
pub fn bars(timings: &[Timing]) -> Vec<Bar> {
    let bar = |timing: &Timing| {
        let (_, bar) = BARS.into_iter().find(|(workload, _)| {
            // A workload, or all variants of it.
            let rest = timing.workload.strip_prefix(workload);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([',', ' ']))
                && !timing.workload.starts_with("woken from")
        })?;
        let peers = timing.contenders[1..].iter().filter(|peer| peer.name != sequential::NAME);
        let timed = peers.filter_map(|peer| Some((peer.nanoseconds?, peer.name, peer.ratio?)));
        let (_, best, ratio) = timed.min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Bar { workload: timing.workload, in_flight: timing.in_flight, best, ratio, bar })
    };
    timings.iter().filter_map(bar).collect()
}
