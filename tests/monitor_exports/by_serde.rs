//! A snapshot can be written as JSON, and read.

use std::time::Duration;

use flowlet::monitor::Snapshot;
use flowlet::{Monitor, Semaphore, prelude::*};
use futures_lite::future::block_on;
use serde_json::{Value, json};

fn written() -> Value {
    json!({
        "elapsed": 12.5,
        "stages": [{
            "name": "fetch",
            "limit": 20,
            "runs": 1,
            "pulled": 10,
            "running": 2,
            "waiting": 1,
            "yielded": 3,
            "refused": 1,
            "failed": 1,
            "panicked": 1,
            "dropped": 1,
            "per_second": 0.25,
            "calls": { "count": 6, "mean": 0.5, "p50": 0.5, "p90": 1.0, "p99": 1.25, "max": 1.25 },
            "time": {
                "polled": 0.125, "upstream": 1.0, "permit": 2.0, "calls": 3.0, "downstream": 0.0,
            },
        }],
    })
}

/// This is what others read, so it stays so.
#[test]
fn durations_are_seconds_and_fields_have_their_names() {
    let snapshot: Snapshot = serde_json::from_value(written()).unwrap();
    let [stage] = &snapshot.stages[..] else { panic!("{snapshot:?}") };
    assert_eq!(snapshot.elapsed, Duration::from_millis(12_500));
    assert_eq!((stage.name.as_str(), stage.limit), ("fetch", Some(20)));
    let items = [stage.pulled, stage.running, stage.waiting, stage.yielded, stage.refused];
    assert_eq!(items, [10, 2, 1, 3, 1]);
    assert_eq!([stage.runs, stage.failed, stage.panicked, stage.dropped], [1; 4]);
    assert_eq!(stage.calls.p99, Duration::from_millis(1250));
    assert_eq!(stage.time.polled, Duration::from_millis(125));
    assert_eq!(serde_json::to_value(&snapshot).unwrap(), written());
}

#[test]
fn what_was_seen_comes_back() {
    let monitor = Monitor::new();
    let semaphore = Semaphore::new(3);
    let numbers = pipe(0..100)
        .map_concurrent(monitor.stage("double", 8), async |n| n * 2)
        .filter_concurrent(monitor.stage("some", &semaphore), async |n| n % 3 == 0);
    block_on(numbers.drain());
    let mut snapshot = monitor.snapshot();
    assert_eq!(snapshot.stages[1].refused, 66);
    // As `serde_json` reads the last bit of a number right only with a feature of its own.
    snapshot.stages.iter_mut().for_each(|stage| stage.per_second = 0.25);
    let json = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
}

#[test]
fn nanoseconds_come_back_for_weeks() {
    let mut snapshot: Snapshot = serde_json::from_value(written()).unwrap();
    let longest = Duration::from_secs(21 * 24 * 60 * 60);
    for nanos in (0..1000).chain(999_999_000..1_000_000_000) {
        for whole in [Duration::ZERO, Duration::from_secs(1), longest] {
            snapshot.elapsed = whole + Duration::from_nanos(nanos);
            let json = serde_json::to_string(&snapshot).unwrap();
            assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
        }
    }
}

#[test]
fn a_later_version_can_be_read() {
    let mut later = written();
    later["stages"][0]["time"]["asleep"] = json!(1.0);
    later["bottleneck"] = json!("fetch");
    let snapshot: Snapshot = serde_json::from_value(later).unwrap();
    assert_eq!(serde_json::to_value(&snapshot).unwrap(), written());
}

/// An error, and no panic.
#[test]
fn no_duration_is_refused() {
    for elapsed in [json!(-1.0), json!(1e300), json!("1 s"), json!(null)] {
        let mut written = written();
        written["elapsed"] = elapsed;
        assert!(serde_json::from_value::<Snapshot>(written).is_err());
    }
}
