use std::time::Duration;

use super::histogram::Recorded;
use super::run::{Count, STATES};
use crate::event::State;

/// What all runs of a stage have counted together.
#[derive(Clone, Default)]
pub(super) struct Counted {
    pub(super) counts: [u64; Count::Yielded as usize + 1],
    pub(super) times: [u64; STATES],
    pub(super) durations: Recorded,
}

/// The same, with a conversion from ticks to durations.
pub(super) struct Totals<'a> {
    pub(super) counted: &'a Counted,
    pub(super) to_duration: &'a dyn Fn(u64) -> Duration,
}

/// What a [`Monitor`](super::Monitor) has observed up to a moment, as plain data.
///
/// # JSON
///
/// With the feature `serde` it can be written and read, as JSON or in any other format of serde. Fields keep their
/// names. Durations are numbers of seconds, such as `0.25`, as plots, spreadsheets and Prometheus expect. Up to some
/// weeks they round-trip to the nanosecond. Unknown fields are ignored, so snapshots of later versions can be read.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use flowlet::{Monitor, monitor::Snapshot, prelude::*};
///
/// let monitor = Monitor::new();
/// let doubled = pipe([1, 2, 3]).map_concurrent(monitor.stage("double", 2), async |n| n * 2);
/// futures_lite::future::block_on(doubled.drain());
///
/// let snapshot = monitor.snapshot();
/// let json = serde_json::to_string(&snapshot).unwrap();
/// let read: Snapshot = serde_json::from_str(&json).unwrap();
/// assert_eq!(read.stages[0].calls, snapshot.stages[0].calls);
///
/// let json = serde_json::to_value(&snapshot).unwrap();
/// assert_eq!(json["stages"][0]["name"], "double");
/// assert!(json["stages"][0]["calls"]["p99"].as_f64() < Some(60.0)); // seconds
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// How long the monitor has existed.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub elapsed: Duration,

    /// The stages, in the order in which they were created: for one pipeline, from its source to its end.
    pub stages: Vec<StageSnapshot>,
}

/// What a [`Monitor`](super::Monitor) has observed of one stage, in all pipelines that contain it.
///
/// Between two polls of a pipeline the items always add up. For a stage with one output per call:
/// `pulled = yielded + refused + failed + panicked + dropped + running + waiting`.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StageSnapshot {
    /// The name.
    pub name: String,

    /// How many calls may run at once now. `None` for a point, which runs no calls.
    pub limit: Option<usize>,

    /// How many pipelines have contained it so far: one for each run of a flow.
    pub runs: u64,

    /// Items pulled.
    pub pulled: u64,

    /// Running calls and open inner streams.
    pub running: u64,

    /// Items that wait for their calls, and outputs that wait to be yielded.
    pub waiting: u64,

    /// Outputs yielded.
    pub yielded: u64,

    /// Items that a filter rejected.
    pub refused: u64,

    /// Calls that ended the pipeline with an error, and errors that came from upstream.
    pub failed: u64,

    /// Calls that panicked.
    pub panicked: u64,

    /// Calls that were dropped while running, and items and outputs that were dropped while waiting.
    pub dropped: u64,

    /// Outputs per second over the last ten seconds, or since the first output if that is more recent, in pipelines
    /// that are still running.
    pub per_second: f64,

    /// The durations of completed calls, from their start to their end.
    pub calls: Durations,

    /// How the stage spent its time.
    pub time: Times,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Durations {
    /// How many calls completed.
    pub count: u64,
    /// The mean.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub mean: Duration,
    /// The median. Like the quantiles below, it is accurate to an eighth.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub p50: Duration,
    /// The 90th percentile.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub p90: Duration,
    /// The 99th percentile.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub p99: Duration,
    /// The longest.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub max: Duration,
}

/// How a stage spent its time, from its first poll on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Times {
    /// Being polled: the stage itself, its calls, and everything upstream that is not monitored itself.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub polled: Duration,
    /// It had room for a call, and was waiting for an item.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub upstream: Duration,
    /// It had an item, and was waiting for a permit of a semaphore.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub permit: Duration,
    /// It had as many calls as its limit allows, and was waiting for them.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub calls: Duration,
    /// It had an output, and downstream did not ask for it.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub downstream: Duration,
}

impl Snapshot {
    /// Returns the average duration of a run, for the stage for which it is longest.
    pub(super) fn longest_run(&self) -> Option<Duration> {
        let run = |stage: &StageSnapshot| stage.time.total().div_f64(stage.runs.max(1) as f64);
        self.stages.iter().map(run).max()
    }

    /// Returns the total of which the times of a stage are shares: the time of all its pipelines together.
    ///
    /// That exceeds the sum of its own times if the stage finished before others, and if it polled stages that are
    /// monitored themselves.
    pub(super) fn time_of(&self, stage: &StageSnapshot) -> Duration {
        let same_runs = self.stages.iter().filter(|other| other.runs == stage.runs);
        let longest = same_runs.map(|other| other.time.total()).max();
        longest.max(self.longest_run()).unwrap_or_default()
    }

    /// Returns `number` as a rate per second over all runs of a stage.
    pub(super) fn rate_of(&self, stage: &StageSnapshot, number: u64) -> f64 {
        // Runs that overlap add up to more than the elapsed time.
        let time = self.time_of(stage).min(self.elapsed).as_secs_f64();
        if time > 0.0 { number as f64 / time } else { 0.0 }
    }
}

impl Times {
    /// Returns the sum of all times.
    ///
    /// That is how long the stage was observed, over all its runs, except while it polled upstream stages that are
    /// monitored themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Monitor;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::new();
    /// pipe(0..100).map_concurrent(monitor.stage("double", 4), async |n| 2 * n).drain().await;
    /// let times = monitor.snapshot().stages[0].time;
    /// assert!(times.polled < times.total());
    /// # });
    /// ```
    pub fn total(&self) -> Duration {
        self.polled + self.upstream + self.permit + self.calls + self.downstream
    }
}

impl StageSnapshot {
    pub(super) fn new(
        name: String,
        limit: Option<usize>,
        runs: u64,
        per_second: f64,
        Totals { counted, to_duration }: Totals<'_>,
    ) -> Self {
        let [pulled, begun, over, refused, failed, panicked, cancelled, lost, made, yielded] =
            counted.counts;
        let durations = &counted.durations;
        let quantile = |share| to_duration(durations.quantile(share));
        let time = |state: State| to_duration(counted.times[state as usize]);
        Self {
            name,
            limit,
            runs,
            pulled,
            // While a pipeline runs on another thread, the counts are not from one moment.
            running: begun.saturating_sub(over),
            waiting: (pulled + made).saturating_sub(begun + yielded + lost),
            yielded,
            refused,
            failed,
            panicked,
            dropped: cancelled + lost,
            per_second,
            calls: Durations {
                count: durations.count(),
                mean: to_duration(durations.mean()),
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                max: to_duration(durations.max()),
            },
            time: Times {
                polled: time(State::Polled),
                upstream: time(State::Upstream),
                permit: time(State::Permit),
                calls: time(State::Calls),
                downstream: time(State::Downstream),
            },
        }
    }
}
