//! The numbers of a monitor are events of `tracing`.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex};

use flowlet::{Monitor, prelude::*};
use futures_lite::future::{block_on, poll_once};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The fields of an event.
#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

/// Keeps every event.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Fields>>>);

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        assert_eq!(*event.metadata().level(), Level::INFO);
        assert_eq!(event.metadata().target(), "flowlet::monitor");
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields);
    }
}

fn traced(monitor: &Monitor) -> Vec<Fields> {
    let kept = Kept::default();
    let subscriber = tracing_subscriber::registry().with(kept.clone());
    tracing::subscriber::with_default(subscriber, || monitor.trace());
    std::mem::take(&mut *kept.0.lock().unwrap())
}

#[test]
fn each_stage_has_an_event() {
    for monitor in [Monitor::new(), Monitor::counting()] {
        let mut numbers = pipe(0..10)
            .map_concurrent(monitor.stage("plus", 2), async |n| n + 1)
            .map_concurrent(monitor.stage("waits", 3), |_| pending::<()>());
        assert!(block_on(poll_once(numbers.next())).is_none());

        let events = traced(&monitor);
        let numbers = |stage: &Fields| {
            ["message", "stage", "limit", "pulled", "running", "yielded", "dropped"]
                .map(|name| stage.0[name].clone())
        };
        let [plus, waits] = &events[..] else { panic!("{} events", events.len()) };
        assert_eq!(numbers(plus)[..3], ["numbers of a stage", "\"plus\"", "2"]);
        assert_eq!(numbers(waits)[1..], ["\"waits\"", "3", "3", "3", "0", "0"]);

        // What there is not is left out.
        let is_timed = monitor.snapshot().stages[0].calls.count > 0;
        let has = |stage: &Fields, name| stage.0.contains_key(name);
        for stage in [plus, waits] {
            for name in ["per_second", "calls.count", "time.polled", "time.downstream"] {
                assert_eq!(has(stage, name), is_timed, "{name}");
            }
        }
        assert_eq!(has(plus, "calls.p99"), is_timed);
        assert!(!has(waits, "calls.p99"), "no call has ended");
    }
}

#[test]
fn nothing_happens_if_nobody_wants_it() {
    let kept = Kept::default();
    let filter = tracing_subscriber::filter::LevelFilter::WARN;
    let subscriber = tracing_subscriber::registry().with(kept.clone().with_filter(filter));
    let monitor = Monitor::new();
    let _limit = monitor.stage("fetch", 3);
    tracing::subscriber::with_default(subscriber, || monitor.trace());
    assert!(kept.0.lock().unwrap().is_empty());
    monitor.trace(); // without a subscriber
}
