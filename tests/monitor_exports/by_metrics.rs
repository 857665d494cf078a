//! The numbers of a monitor are handed to the crate `metrics`.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::time::Duration;

use flowlet::monitor::StageSnapshot;
use flowlet::{Monitor, Semaphore, prelude::*};
use futures_lite::future::{block_on, poll_once};
use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

/// What was recorded: by name and labels, all of them.
type Recorded = BTreeMap<(String, Vec<(String, String)>), f64>;

/// Returns what is recorded as `export` is called.
fn recorded(export: impl Fn()) -> Recorded {
    let recorder = DebuggingRecorder::new();
    with_local_recorder(&recorder, export);
    let seen = recorder.snapshotter().snapshot().into_vec().into_iter();
    seen.map(|(metric, _, description, value)| {
        let (_, key) = metric.into_parts();
        assert!(description.is_some(), "{key:?} is not described");
        let label = |label: &metrics::Label| (label.key().to_owned(), label.value().to_owned());
        let mut labels: Vec<_> = key.labels().map(label).collect();
        labels.sort();
        let value = match value {
            DebugValue::Counter(count) => {
                assert!(key.name().ends_with("_total"), "{key:?}");
                count as f64
            }
            DebugValue::Gauge(value) => {
                assert!(!key.name().ends_with("_total"), "{key:?}");
                value.into_inner()
            }
            DebugValue::Histogram(_) => panic!("{key:?}"),
        };
        ((key.name().to_owned(), labels), value)
    })
    .collect()
}

fn labels(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut labels: Vec<_> =
        labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    labels.sort();
    labels
}

/// What there is of a stage with these labels: runs, pulled, refused, dropped, yielded, failed, panicked, running,
/// waiting.
fn counts(recorded: &Recorded, of: &[(&str, &str)]) -> [f64; 9] {
    [
        "flowlet_runs_total",
        "flowlet_items_pulled_total",
        "flowlet_items_refused_total",
        "flowlet_items_dropped_total",
        "flowlet_outputs_yielded_total",
        "flowlet_calls_failed_total",
        "flowlet_calls_panicked_total",
        "flowlet_calls_running",
        "flowlet_items_waiting",
    ]
    .map(|name| recorded[&(name.to_owned(), labels(of))])
}

#[test]
fn errors_and_drops_are_counted_as_they_are() {
    let monitor = Monitor::counting();
    let mut numbers = pipe(0..100)
        .map(Ok)
        .try_filter_concurrent(monitor.stage("even", 1), async |n: &i32| Ok(n % 2 == 0))
        .try_map_concurrent(monitor.stage("fails", 4), async |n| match n {
            0 => Ok(n),
            8 => Err(n),
            _ => pending().await,
        });
    assert_eq!(block_on(numbers.next()), Some(Ok(0)));
    let before = recorded(|| monitor.export());
    assert_eq!(counts(&before, &[("stage", "fails")])[4], 1.0);
    let is_time = |name: &str| name.contains("seconds") || name.contains("timed");
    assert!(!before.keys().any(|(name, _)| is_time(name)), "it takes no time");

    assert_eq!(block_on(numbers.next()), Some(Err(8)));
    let after = recorded(|| monitor.export());
    // 0, 2, 4, 6 and 8, of which three were dropped.
    assert_eq!(counts(&after, &[("stage", "fails")]), [1., 5., 0., 3., 1., 1., 0., 0., 0.]);
    let even = counts(&after, &[("stage", "even")]);
    assert_eq!(even[2], 4.0);
    assert_eq!(even[1], even[2..].iter().sum::<f64>(), "{even:?}");
    // As in a snapshot, now and later.
    drop(numbers);
    assert_eq!(recorded(|| monitor.export()), after);
}

#[test]
fn a_dropped_pipeline_leaves_no_running_calls() {
    let monitor = Monitor::new();
    let mut numbers = pipe(0..10).map_concurrent(monitor.stage("waits", 3), |_| pending::<()>());
    assert!(block_on(poll_once(numbers.next())).is_none());
    let before = recorded(|| monitor.export());
    assert_eq!(counts(&before, &[("stage", "waits")]), [1., 3., 0., 0., 0., 0., 0., 3., 0.]);
    drop(numbers);
    let after = recorded(|| monitor.export());
    assert_eq!(counts(&after, &[("stage", "waits")]), [1., 3., 0., 3., 0., 0., 0., 0., 0.]);
    let has_quantiles = after.keys().any(|(name, _)| name == "flowlet_call_duration_seconds");
    assert!(!has_quantiles, "no call has ended");
}

#[test]
fn two_monitors_go_by_labels() {
    let monitors = [Monitor::new(), Monitor::new()];
    for (monitor, items) in monitors.iter().zip([2, 5]) {
        let numbers = pipe(0..items).map_concurrent(monitor.stage("fetch", 2), ready);
        block_on(numbers.drain());
    }
    let all = recorded(|| {
        // However often.
        for _ in 0..3 {
            monitors[0].export_with(&[("pipeline", "crawl")]);
            monitors[1].export_with(&[("pipeline", "import")]);
        }
    });
    let crawl = counts(&all, &[("stage", "fetch"), ("pipeline", "crawl")]);
    let import = counts(&all, &[("stage", "fetch"), ("pipeline", "import")]);
    assert_eq!((crawl[1], crawl[4]), (2.0, 2.0));
    assert_eq!((import[1], import[4]), (5.0, 5.0));
    assert!(all.keys().all(|(_, labels)| labels.iter().any(|(key, _)| key == "pipeline")));
}

#[test]
fn stages_of_one_name_are_added_up() {
    let monitor = Monitor::new();
    for (items, limit) in [(2, 3), (5, 4), (6, 5)] {
        let numbers = pipe(0..items).map_concurrent(monitor.stage("fetch", limit), ready);
        block_on(numbers.drain());
    }
    let all = recorded(|| monitor.export());
    let of = labels(&[("stage", "fetch")]);
    assert_eq!(counts(&all, &[("stage", "fetch")])[..2], [3.0, 13.0]);
    assert_eq!(all[&("flowlet_calls_limit".to_owned(), of.clone())], 12.0);
    assert_eq!(all[&("flowlet_calls_timed_total".to_owned(), of)], 13.0);
}

#[test]
fn durations_of_calls_are_those_of_a_snapshot() {
    let monitor = Monitor::new();
    let numbers = pipe(0..1000).map_concurrent(monitor.stage("fetch", 7), ready);
    block_on(numbers.drain());
    let all = recorded(|| monitor.export());
    let [stage] = &monitor.snapshot().stages[..] else { panic!("one stage") };
    let one = |name: &str, key: &str, value: &str| {
        all[&(name.to_owned(), labels(&[("stage", "fetch"), (key, value)]))]
    };
    let quantile = |share| one("flowlet_call_duration_seconds", "quantile", share);
    let calls = &stage.calls;
    let quantiles = [calls.p50, calls.p90, calls.p99, calls.max].map(|time| time.as_secs_f64());
    assert_eq!(["0.5", "0.9", "0.99", "1"].map(quantile), quantiles);
    let together = all
        [&("flowlet_call_duration_microseconds_total".to_owned(), labels(&[("stage", "fetch")]))];
    assert_eq!(together, (calls.mean * 1000).as_micros() as f64);
}

/// Returns what a stage has spent in the states.
fn states(stage: &StageSnapshot) -> [(&'static str, Duration); 5] {
    let time = &stage.time;
    [
        ("polled", time.polled),
        ("upstream", time.upstream),
        ("permit", time.permit),
        ("calls", time.calls),
        ("downstream", time.downstream),
    ]
}

#[test]
fn times_are_those_of_a_snapshot() {
    // A stage in each state, by its name.
    let monitor = Monitor::new();
    let semaphore = Semaphore::new(1);
    let _permit = block_on(semaphore.acquire());
    let pending_items = futures_lite::stream::pending::<u32>();
    let mut upstream = pending_items.map_concurrent(monitor.stage("upstream", 2), ready);
    let mut permit = pipe(0..3).map_concurrent(monitor.stage("permit", &semaphore), ready);
    let mut calls = pipe(0..3).map_concurrent(monitor.stage("calls", 2), |_| pending::<()>());
    let mut downstream = pipe(0..3).map_concurrent(monitor.stage("downstream", 2), ready);
    assert!(block_on(poll_once(upstream.next())).is_none());
    assert!(block_on(poll_once(permit.next())).is_none());
    assert!(block_on(poll_once(calls.next())).is_none());
    assert!(block_on(poll_once(downstream.next())).is_some());

    let own = |stage: &StageSnapshot| {
        let own = states(stage).into_iter().find(|(state, _)| *state == stage.name);
        own.expect("it is one of the states").1
    };
    while monitor.snapshot().stages.iter().map(own).any(|time| time < Duration::from_micros(2)) {
        std::hint::spin_loop();
    }
    drop((upstream, permit, calls, downstream));

    let all = recorded(|| monitor.export());
    for stage in monitor.snapshot().stages {
        for (state, time) in states(&stage) {
            let labels = labels(&[("stage", &stage.name), ("state", state)]);
            let recorded = all[&("flowlet_stage_time_microseconds_total".to_owned(), labels)];
            assert_eq!(recorded, time.as_micros() as f64, "{state} of {}", stage.name);
        }
    }
}
