//! What a stage tells its monitor.

use std::cell::Cell;
use std::sync::Arc;

use quanta::Clock;

use super::run::{Count, Run};
use super::{Runs, Watched};
use crate::event::{Ended, Event, State};

thread_local! {
    /// How long upstream stages took in the current turn.
    static NESTED: Cell<u64> = const { Cell::new(0) };
}

/// Records what one stage does in one pipeline.
pub(crate) struct Recorder {
    run: Arc<Run>,
    stage: Arc<Watched>,
    clock: Option<Clock>,

    /// When the calls began, slot by slot.
    began: Vec<u64>,

    /// When the most recent call began.
    beginning: u64,

    /// When the turn began, and how much time the stages of the enclosing turn had taken by then.
    turn: u64,
    outer: u64,

    /// The last reading of the clock.
    now: u64,

    /// Whether this turn yields an output.
    has_yielded: bool,

    /// Whether a failure waits among the outputs, or has done so.
    has_failure: bool,
}

impl Watched {
    /// Begins a run of the stage. If the monitor is gone, no times are taken.
    pub(crate) fn recorder(self: &Arc<Self>) -> Recorder {
        let shared = self.shared.upgrade();
        let began = shared.as_ref().map_or(0, |shared| shared.clock.raw());
        let clock = shared.filter(|shared| shared.is_timed).map(|shared| shared.clock.clone());
        let mut runs = self.runs();
        let run = Arc::new(Run::new(runs.count, began));
        runs.count += 1;
        runs.now.push(run.clone());
        drop(runs);
        Recorder {
            run,
            stage: self.clone(),
            clock,
            began: Vec::new(),
            beginning: 0,
            turn: 0,
            outer: 0,
            now: 0,
            has_yielded: false,
            has_failure: false,
        }
    }
}

impl Recorder {
    /// Reads the clock.
    #[inline]
    fn take_time(&mut self) -> u64 {
        if let Some(clock) = &self.clock {
            self.now = clock.raw();
        }
        self.now
    }

    #[inline(always)]
    pub(crate) fn record(&mut self, event: Event) {
        match event {
            Event::TurnBegins => self.begin_turn(),
            Event::TurnEnds { state, direct } => self.end_turn(state, direct),
            Event::Pulled => self.run.add(Count::Pulled, 1),
            Event::Begins => {
                self.run.add(Count::Begun, 1);
                self.beginning = self.take_time();
            }
            Event::RunsIn(slot) => self.runs_in(slot),
            Event::Made => self.run.add(Count::Made, 1),
            Event::Ended(slot, how) => self.ended(slot, how),
            Event::Panicked { running, waiting } => self.panicked(running as u64, waiting as u64),
            Event::Left { running, waiting } => self.left(running as u64, waiting as u64),
            Event::KeepsFailure => self.has_failure = true,
            Event::Yielded => {
                self.run.add(Count::Yielded, 1);
                self.has_yielded = true;
            }
        }
    }

    #[inline]
    fn begin_turn(&mut self) {
        if self.clock.is_some() {
            self.outer = NESTED.replace(0);
            self.turn = self.take_time();
            self.run.enter(State::Polled, self.turn, 0);
        }
    }

    /// Records what the stage waits for from now on.
    #[inline]
    fn end_turn(&mut self, state: State, direct: bool) {
        if self.clock.is_some() {
            // If an output was yielded at once, its call has just read the clock.
            let now = if direct { self.now } else { self.take_time() };
            self.run.enter(state, now, NESTED.get());
            NESTED.set(self.outer + (now - self.turn));
            if self.has_yielded {
                self.has_yielded = false;
                self.run.rate.count(now);
            }
        }
    }

    #[inline]
    fn runs_in(&mut self, slot: u32) {
        if self.clock.is_some() {
            let slot = slot as usize;
            if self.began.len() <= slot {
                self.began.resize(slot + 1, 0);
            }
            self.began[slot] = self.beginning;
        }
    }

    #[inline]
    fn ended(&mut self, slot: u32, how: Ended) {
        self.run.add(Count::Over, 1);
        match how {
            Ended::Output => self.run.add(Count::Made, 1),
            Ended::Refused => self.run.add(Count::Refused, 1),
            Ended::Closed => {}
            Ended::Failed => self.run.add(Count::Failed, 1),
        }
        if self.clock.is_some() {
            let now = self.take_time();
            let began = self.began.get(slot as usize).copied().unwrap_or(now);
            self.run.durations.record(now.saturating_sub(began));
        }
    }

    /// Counts everything that is no longer there as panicked.
    #[cold]
    fn panicked(&mut self, running: u64, waiting: u64) {
        let waiting = waiting.saturating_sub(u64::from(self.has_failure));
        let items = self.run.waiting() - waiting;
        self.run.add(Count::Begun, items);
        let panicked = self.run.running() - running;
        self.run.add(Count::Over, panicked);
        self.run.add(Count::Panicked, panicked);
        self.end_turn(State::Downstream, false);
    }

    /// Counts everything that is no longer there as dropped.
    #[cold]
    fn left(&mut self, running: u64, waiting: u64) {
        let dropped = self.run.running() - running;
        self.run.add(Count::Over, dropped);
        self.run.add(Count::Cancelled, dropped);
        self.run.add(Count::Lost, self.run.waiting() - waiting);
    }
}

impl Drop for Recorder {
    /// The run has ended, and what was in it is dropped.
    fn drop(&mut self) {
        self.left(0, 0);
        let now = self.take_time();
        let mut runs = self.stage.runs();
        let Runs { past, now: runs_now, .. } = &mut *runs;
        if let Some(at) = runs_now.iter().position(|other| Arc::ptr_eq(other, &self.run)) {
            let run = runs_now.swap_remove(at);
            run.add_to(past, self.clock.as_ref().map(|_| now));
        }
    }
}
