//! The numbers of a monitor as events.

use std::time::Duration;

use tracing::{Level, enabled, event};

use super::{Monitor, StageSnapshot};

/// The target by which filters select the events.
const TARGET: &str = "flowlet::monitor";

impl Monitor {
    /// Emits an event of the crate [`tracing`] for each stage, with its current numbers, and one that names the
    /// [bottleneck](crate::monitor::Snapshot::bottleneck). With the feature `tracing`.
    ///
    /// Call it from a timer, or when a pipeline has ended. Nothing is emitted in between, so it does not slow the
    /// pipeline down. If no subscriber is interested in the events, it does nothing.
    ///
    /// The target is `flowlet::monitor`, the level `INFO`, and the message "numbers of a stage". The fields are those
    /// of a [`StageSnapshot`]: its name as `stage`, nested fields as `time.upstream` and `calls.p99`, times in seconds.
    /// Missing values are left out: the limit of a point, times if the monitor takes none, durations before a call has
    /// completed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "tracing")] {
    /// use flowlet::{Monitor, prelude::*};
    ///
    /// let monitor = Monitor::new();
    /// let doubled = pipe([1, 2, 3]).map_concurrent(monitor.stage("double", 2), async |n| n * 2);
    /// futures_lite::future::block_on(doubled.drain());
    /// monitor.trace(); // INFO flowlet::monitor: numbers of a stage stage="double" limit=2 pulled=3 ..
    /// # }
    /// ```
    pub fn trace(&self) {
        if enabled!(target: TARGET, Level::INFO) {
            let snapshot = self.snapshot();
            snapshot.stages.iter().for_each(|stage| emit(stage, self.shared.is_timed));
            if let Some(bottleneck) = snapshot.bottleneck() {
                event!(target: TARGET, Level::INFO, stage = bottleneck.stage, "{bottleneck}");
            }
        }
    }
}

fn emit(stage: &StageSnapshot, is_timed: bool) {
    let StageSnapshot { calls, time, .. } = stage;
    let of_calls = |time: Duration| (calls.count > 0).then_some(time.as_secs_f64());
    let of_stage = |time: Duration| is_timed.then_some(time.as_secs_f64());
    event!(
        target: TARGET,
        Level::INFO,
        stage = stage.name,
        limit = stage.limit,
        runs = stage.runs,
        pulled = stage.pulled,
        running = stage.running,
        waiting = stage.waiting,
        yielded = stage.yielded,
        refused = stage.refused,
        failed = stage.failed,
        panicked = stage.panicked,
        dropped = stage.dropped,
        per_second = is_timed.then_some(stage.per_second),
        calls.count = is_timed.then_some(calls.count),
        calls.mean = of_calls(calls.mean),
        calls.p50 = of_calls(calls.p50),
        calls.p90 = of_calls(calls.p90),
        calls.p99 = of_calls(calls.p99),
        calls.max = of_calls(calls.max),
        time.polled = of_stage(time.polled),
        time.upstream = of_stage(time.upstream),
        time.permit = of_stage(time.permit),
        time.calls = of_stage(time.calls),
        time.downstream = of_stage(time.downstream),
        "numbers of a stage"
    );
}
