//! What one run of a stage has counted.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{Histogram, add};
use super::rate::Rate;
use super::snapshot::Counted;
use crate::event::State;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Count {
    /// Items pulled, including those that had failed upstream.
    Pulled,
    /// Calls started.
    Begun,
    /// Calls that ended in any way.
    Over,
    /// Of these, those that ended without an output, in a filter.
    Refused,
    /// Of these, those that failed the stage.
    Failed,
    /// Of these, those that panicked.
    Panicked,
    /// Of these, those that were dropped while running.
    Cancelled,
    /// Items and outputs that were dropped while waiting.
    Lost,
    /// Outputs that calls produced, excluding failures.
    Made,
    /// Outputs yielded.
    Yielded,
}

const COUNTS: usize = Count::Yielded as usize + 1;

pub(super) const STATES: usize = State::Downstream as usize + 1;

/// One run of a stage: its pipeline writes, and anyone reads.
pub(crate) struct Run {
    /// The number of the run among those of the stage, and when it began, in ticks.
    pub(super) number: u64,
    pub(super) began: u64,

    counts: [AtomicU64; COUNTS],
    pub(super) durations: Histogram,
    pub(super) rate: Rate,

    /// How long it was in each state, in ticks.
    times: [AtomicU64; STATES],

    /// The current state, and since when.
    state: AtomicU64,
    since: AtomicU64,
}

impl Run {
    pub(super) fn new(number: u64, began: u64) -> Self {
        Self {
            number,
            began,
            counts: array::from_fn(|_| AtomicU64::new(0)),
            durations: Histogram::new(),
            rate: Rate::new(),
            times: array::from_fn(|_| AtomicU64::new(0)),
            state: AtomicU64::new(State::Idle as u64),
            since: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn add(&self, count: Count, more: u64) {
        add(&self.counts[count as usize], more);
    }

    fn count(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// Returns how many calls are running.
    pub(super) fn running(&self) -> u64 {
        self.count(Count::Begun) - self.count(Count::Over)
    }

    /// Returns how many items and outputs are waiting.
    pub(super) fn waiting(&self) -> u64 {
        let come = self.count(Count::Pulled) + self.count(Count::Made);
        let gone = self.count(Count::Begun) + self.count(Count::Yielded) + self.count(Count::Lost);
        come - gone
    }

    /// Changes the state, at a time in ticks. Part of the time in the previous state can be excluded.
    #[inline]
    pub(super) fn enter(&self, state: State, now: u64, left_out: u64) {
        let since = self.since.load(Ordering::Relaxed);
        let before = self.state.load(Ordering::Relaxed) as usize;
        add(&self.times[before], now.saturating_sub(since).saturating_sub(left_out));
        self.state.store(state as u64, Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
    }

    /// Adds what was counted so far to `counted`. The current state counts until `now`.
    pub(super) fn add_to(&self, counted: &mut Counted, now: Option<u64>) {
        for (sum, count) in counted.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
        for (sum, time) in counted.times.iter_mut().zip(&self.times) {
            *sum += time.load(Ordering::Relaxed);
        }
        if let Some(now) = now {
            let since = self.since.load(Ordering::Relaxed);
            let state = self.state.load(Ordering::Relaxed) as usize;
            counted.times[state] += now.saturating_sub(since);
        }
        self.durations.add_to(&mut counted.durations);
    }
}
