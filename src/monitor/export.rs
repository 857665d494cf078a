//! The numbers of a monitor for the crate `metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};

use super::{Durations, Monitor, StageSnapshot, Times};

/// A metric of a stage: its name, its meaning, and how to get it.
type Number = (&'static str, &'static str, fn(&StageSnapshot) -> u64);

/// The counters. The last one needs times.
const COUNTERS: [Number; 8] = [
    ("flowlet_runs_total", "Pipelines that have had the stage.", |stage| stage.runs),
    ("flowlet_items_pulled_total", "Items that the stage pulled.", |stage| stage.pulled),
    ("flowlet_items_refused_total", "Items that a filter refused.", |stage| stage.refused),
    ("flowlet_items_dropped_total", "Calls, items and outputs that were dropped.", |stage| {
        stage.dropped
    }),
    ("flowlet_outputs_yielded_total", "Outputs that the stage yielded.", |stage| stage.yielded),
    ("flowlet_calls_failed_total", "Calls that failed, and errors from upstream.", |stage| {
        stage.failed
    }),
    ("flowlet_calls_panicked_total", "Calls that panicked.", |stage| stage.panicked),
    ("flowlet_calls_timed_total", "Calls whose duration is known.", |stage| stage.calls.count),
];

/// The gauges.
const GAUGES: [Number; 2] = [
    ("flowlet_calls_running", "Calls that run, and open inner streams.", |stage| stage.running),
    ("flowlet_items_waiting", "Items and outputs that wait.", |stage| stage.waiting),
];

const LIMIT: &str = "flowlet_calls_limit";
const CALL_QUANTILES: &str = "flowlet_call_duration_seconds";
const CALL_TIME: &str = "flowlet_call_duration_microseconds_total";
const STAGE_TIME: &str = "flowlet_stage_time_microseconds_total";

/// A label, and the duration it stands for.
type Labelled<T> = (&'static str, fn(&T) -> Duration);

const QUANTILES: [Labelled<Durations>; 4] = [
    ("0.5", |calls| calls.p50),
    ("0.9", |calls| calls.p90),
    ("0.99", |calls| calls.p99),
    ("1", |calls| calls.max),
];

const STATES: [Labelled<Times>; 5] = [
    ("polled", |time| time.polled),
    ("upstream", |time| time.upstream),
    ("permit", |time| time.permit),
    ("calls", |time| time.calls),
    ("downstream", |time| time.downstream),
];

impl Monitor {
    /// Exports the current numbers of each stage to the recorder of the crate [`metrics`], and so to Prometheus and
    /// others. With the feature `metrics`.
    ///
    /// Call it from a timer, or before a scrape is answered. Nothing is exported in between, so it does not slow the
    /// pipeline down. If no recorder is installed, it does nothing.
    ///
    /// Every metric has the label `stage`. Stages with the same name are added up; for quantiles the longest is taken.
    ///
    /// | metric | kind | |
    /// | --- | --- | --- |
    /// | `flowlet_runs_total` | counter | [`runs`](StageSnapshot::runs) |
    /// | `flowlet_items_pulled_total` | counter | [`pulled`](StageSnapshot::pulled) |
    /// | `flowlet_items_refused_total` | counter | [`refused`](StageSnapshot::refused) |
    /// | `flowlet_items_dropped_total` | counter | [`dropped`](StageSnapshot::dropped) |
    /// | `flowlet_outputs_yielded_total` | counter | [`yielded`](StageSnapshot::yielded) |
    /// | `flowlet_calls_failed_total` | counter | [`failed`](StageSnapshot::failed) |
    /// | `flowlet_calls_panicked_total` | counter | [`panicked`](StageSnapshot::panicked) |
    /// | `flowlet_calls_limit` | gauge | [`limit`](StageSnapshot::limit), for stages that have one |
    /// | `flowlet_calls_running` | gauge | [`running`](StageSnapshot::running) |
    /// | `flowlet_items_waiting` | gauge | [`waiting`](StageSnapshot::waiting) |
    ///
    /// A monitor that takes times also exports these:
    ///
    /// | metric | kind | |
    /// | --- | --- | --- |
    /// | `flowlet_calls_timed_total` | counter | how many [`calls`](StageSnapshot::calls) have completed |
    /// | `flowlet_call_duration_microseconds_total` | counter | their total duration |
    /// | `flowlet_call_duration_seconds` | gauge | with the label `quantile`: `0.5`, `0.9`, `0.99` or `1`, of all calls so far |
    /// | `flowlet_stage_time_microseconds_total` | counter | with the label `state`, a field of [`Times`] |
    ///
    /// Total times are in microseconds because a counter of `metrics` is an integer. Use them for rates: in PromQL,
    /// `rate(flowlet_stage_time_microseconds_total{state="calls"}[1m]) / 1e6` is the share of its time in which a stage
    /// waited for its calls, and `rate(flowlet_call_duration_microseconds_total[1m]) /
    /// rate(flowlet_calls_timed_total[1m])` is the mean duration of a call in microseconds. There is no metric for
    /// [`per_second`](StageSnapshot::per_second), because `rate(flowlet_outputs_yielded_total[10s])` is the same.
    ///
    /// If two monitors have stages with the same names, tell them apart with labels: see
    /// [`export_with`](Self::export_with).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "metrics")] {
    /// use flowlet::{Monitor, prelude::*};
    /// use metrics_util::debugging::DebuggingRecorder; // in a program: metrics-exporter-prometheus, or another
    ///
    /// let recorder = DebuggingRecorder::new();
    /// let seen = recorder.snapshotter();
    /// recorder.install().expect("it is the first");
    ///
    /// let monitor = Monitor::new();
    /// let doubled = pipe([1, 2, 3]).map_concurrent(monitor.stage("double", 2), async |n| n * 2);
    /// futures_lite::future::block_on(doubled.drain());
    /// monitor.export();
    ///
    /// let seen = seen.snapshot().into_vec();
    /// let is_pulled = |name: &str| name == "flowlet_items_pulled_total";
    /// assert!(seen.iter().any(|(metric, ..)| is_pulled(metric.key().name())));
    /// # }
    /// ```
    pub fn export(&self) {
        self.export_with(&[]);
    }

    /// Does what [`export`](Self::export) does, with additional labels.
    ///
    /// A label for the pipeline keeps two monitors with the same stage names from counting in each other's metrics.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "metrics")] {
    /// use flowlet::Monitor;
    ///
    /// let (crawl, import) = (Monitor::new(), Monitor::new());
    /// // Both have a stage "fetch".
    /// crawl.export_with(&[("pipeline", "crawl")]);
    /// import.export_with(&[("pipeline", "import")]);
    /// # }
    /// ```
    pub fn export_with(&self, labels: &[(&'static str, &str)]) {
        let is_timed = self.shared.is_timed;
        describe(is_timed);
        let mut stages = BTreeMap::<_, Vec<_>>::new();
        let snapshot = self.snapshot();
        for stage in &snapshot.stages {
            stages.entry(&stage.name).or_default().push(stage);
        }
        for (name, stages) in stages {
            let labels = labels.iter().map(|&(key, value)| Label::new(key, value.to_owned()));
            let labels = labels.chain([Label::new("stage", name.clone())]).collect();
            Stage { labels, stages }.export(is_timed);
        }
    }
}

fn describe(is_timed: bool) {
    for (name, what, _) in counters(is_timed) {
        describe_counter!(*name, *what);
    }
    for (name, what, _) in &GAUGES {
        describe_gauge!(*name, *what);
    }
    describe_gauge!(LIMIT, "Calls that may run at once.");
    if is_timed {
        describe_counter!(CALL_TIME, "How long calls took together.");
        describe_gauge!(CALL_QUANTILES, "How long calls took, by share of all so far.");
        describe_counter!(STAGE_TIME, "What the stage did with its time.");
    }
}

fn counters(is_timed: bool) -> &'static [Number] {
    &COUNTERS[..COUNTERS.len() - usize::from(!is_timed)]
}

/// The stages with the same name.
struct Stage<'a> {
    stages: Vec<&'a StageSnapshot>,
    labels: Vec<Label>,
}

impl Stage<'_> {
    fn export(&self, is_timed: bool) {
        for &(name, _, of) in counters(is_timed) {
            counter!(name, self.labels.clone()).absolute(self.sum(of));
        }
        for &(name, _, of) in &GAUGES {
            gauge!(name, self.labels.clone()).set(self.sum(of) as f64);
        }
        if self.stages.iter().any(|stage| stage.limit.is_some()) {
            let limit = self.sum(|stage| stage.limit.unwrap_or(0) as u64);
            gauge!(LIMIT, self.labels.clone()).set(limit as f64);
        }
        if is_timed {
            self.export_times();
        }
    }

    fn export_times(&self) {
        let sum =
            self.sum(|stage| micros(stage.calls.mean.as_nanos() * u128::from(stage.calls.count)));
        counter!(CALL_TIME, self.labels.clone()).absolute(sum);
        if self.stages.iter().any(|stage| stage.calls.count > 0) {
            for (quantile, of) in QUANTILES {
                // The longest of several stages, which is no less than that of all their calls together.
                let longest = self.stages.iter().map(|stage| of(&stage.calls)).max();
                gauge!(CALL_QUANTILES, self.and("quantile", quantile))
                    .set(longest.unwrap_or_default().as_secs_f64());
            }
        }
        for (state, of) in STATES {
            let time = self.sum(|stage| micros(of(&stage.time).as_nanos()));
            counter!(STAGE_TIME, self.and("state", state)).absolute(time);
        }
    }

    fn sum(&self, of: impl Fn(&StageSnapshot) -> u64) -> u64 {
        self.stages.iter().fold(0, |sum, stage| sum.saturating_add(of(stage)))
    }

    /// Returns the labels and one more.
    fn and(&self, key: &'static str, value: &'static str) -> Vec<Label> {
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts(key, value));
        labels
    }
}

/// Returns whole microseconds.
fn micros(nanos: u128) -> u64 {
    u64::try_from(nanos / 1000).unwrap_or(u64::MAX)
}
