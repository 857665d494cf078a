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

/// The same with what makes durations of ticks.
pub(super) struct Totals<'a> {
    pub(super) counted: &'a Counted,
    pub(super) to_duration: &'a dyn Fn(u64) -> Duration,
}

/// What a [`Monitor`](super::Monitor) has seen up to a moment, as plain data.
///
/// # JSON
///
/// With the feature `serde` it can be written and read, as JSON or whatever else serde has. Each field has its name,
/// and a duration is its seconds as a number, such as `0.25`: that is what plots, spreadsheets and Prometheus take as
/// it is. Up to some weeks it comes back to the nanosecond. A field that this version does not know is passed over, so
/// snapshots of a later one can be read.
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
    /// How long the monitor has been there.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub elapsed: Duration,

    /// The stages, in the order in which they were named: of one pipeline, from its source to its end.
    pub stages: Vec<StageSnapshot>,
}

/// What a [`Monitor`](super::Monitor) has seen of one stage, in all pipelines that have it.
///
/// Items add up at every moment between two polls of a pipeline. Of a stage with one output a call:
/// `pulled = yielded + refused + failed + panicked + dropped + running + waiting`.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StageSnapshot {
    /// Its name.
    pub name: String,

    /// How many calls may run at once, as of now. `None` of a point, which runs none.
    pub limit: Option<usize>,

    /// How many pipelines have had it so far, one for each run of a flow.
    pub runs: u64,

    /// Items that it pulled.
    pub pulled: u64,

    /// Calls that run, and open inner streams.
    pub running: u64,

    /// Items that wait before their calls, and outputs that wait to be yielded.
    pub waiting: u64,

    /// Outputs that it yielded.
    pub yielded: u64,

    /// Items that a filter refused.
    pub refused: u64,

    /// Calls that ended the pipeline with an error, and errors that came from upstream.
    pub failed: u64,

    /// Calls that panicked.
    pub panicked: u64,

    /// Calls that were dropped as they ran, and items and outputs that were dropped as they waited.
    pub dropped: u64,

    /// Outputs a second over the last ten seconds, or since the first one if that is less, in pipelines that are not
    /// over yet.
    pub per_second: f64,

    /// How long calls took that came to their end: from when they were made until they were over.
    pub calls: Durations,

    /// What the stage did with its time.
    pub time: Times,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Durations {
    /// How many there were.
    pub count: u64,
    /// The mean.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub mean: Duration,
    /// What half of them did not exceed. This and the others below are exact to an eighth.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub p50: Duration,
    /// What 90 % of them did not exceed.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub p90: Duration,
    /// What 99 % of them did not exceed.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub p99: Duration,
    /// The longest one.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub max: Duration,
}

/// What a stage did with its time, from its first poll on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Times {
    /// It was polled: it, its calls, and what is upstream of it and not monitored itself.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub polled: Duration,
    /// It had room for a call, and waited for an item.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub upstream: Duration,
    /// It had an item, and waited for a permit of a semaphore.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub permit: Duration,
    /// It had as many calls as its limit allows, and waited for them.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub calls: Duration,
    /// It had an output, and downstream did not ask for more.
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub downstream: Duration,
}

impl Snapshot {
    /// Returns how long a run took, on average, of the stage for which that was longest.
    pub(super) fn longest_run(&self) -> Option<Duration> {
        let run = |stage: &StageSnapshot| stage.time.total().div_f64(stage.runs.max(1) as f64);
        self.stages.iter().map(run).max()
    }

    /// Returns the time of which the times of a stage are shares: that of its pipelines together.
    ///
    /// It is more than they are together if the stage was over before others, and if it polled others that are
    /// monitored themselves.
    pub(super) fn time_of(&self, stage: &StageSnapshot) -> Duration {
        let same_runs = self.stages.iter().filter(|other| other.runs == stage.runs);
        let longest = same_runs.map(|other| other.time.total()).max();
        longest.max(self.longest_run()).unwrap_or_default()
    }

    /// Returns how many a second that many are which a stage had over all its runs.
    pub(super) fn rate_of(&self, stage: &StageSnapshot, number: u64) -> f64 {
        // Runs at the same time take more together.
        let time = self.time_of(stage).min(self.elapsed).as_secs_f64();
        if time > 0.0 { number as f64 / time } else { 0.0 }
    }
}

impl Times {
    /// Returns all of it together.
    ///
    /// That is how long the stage was seen, over all its runs, but for the polls of stages upstream of it that are
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
            // They are not all of one moment while a pipeline runs elsewhere.
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
