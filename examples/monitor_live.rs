//! One line per stage of a pipeline, redrawn in the terminal while it runs.

use std::time::Duration;

use flowlet::monitor::StageSnapshot;
use flowlet::{Monitor, prelude::*};
use futures_lite::future::or;
use indicatif::{MultiProgress, ProgressBar, ProgressFinish, ProgressStyle};
use smol::Timer;

/// Redraws the stages on stderr while it is polled, and clears them when it is dropped. Draws nothing if stderr is not
/// a terminal.
async fn show(monitor: &Monitor) {
    let style = ProgressStyle::with_template("{prefix:8} {bar:20} {msg}").expect("it is valid");
    let screen = MultiProgress::new();
    let mut bars = Vec::new();
    loop {
        let stages = monitor.snapshot().stages;
        for stage in &stages[bars.len()..] {
            let bar = ProgressBar::new(0).with_finish(ProgressFinish::AndClear);
            let bar = bar.with_style(style.clone()).with_prefix(stage.name.clone());
            bars.push(screen.add(bar));
        }
        for (bar, stage) in bars.iter().zip(&stages) {
            bar.set_length(stage.limit.unwrap_or(0) as u64);
            bar.set_position(stage.running);
            bar.set_message(numbers(stage));
        }
        Timer::after(Duration::from_millis(100)).await;
    }
}

fn numbers(stage: &StageSnapshot) -> String {
    let StageSnapshot { running, limit, waiting, yielded, per_second, .. } = stage;
    let limit = limit.map_or(String::new(), |limit| format!(" of {limit}"));
    format!("{running}{limit} running, {waiting} waiting, {yielded} yielded, {per_second:.0}/s")
}

/// Takes the given time, as the network or a database would.
async fn wait(millis: u64) {
    Timer::after(Duration::from_millis(millis)).await;
}

fn main() {
    let monitor = Monitor::new();
    let pages = pipe(0..400).map_concurrent(monitor.stage("fetch", 20), async |page| {
        wait(20 + page % 20).await;
        page
    });
    let parsed = pages.filter_map_concurrent(monitor.stage("parse", 4), async |page| {
        wait(15).await;
        (page % 10 != 0).then_some(page)
    });
    let stored = parsed.map_concurrent(monitor.stage("store", 8), async |_| wait(10).await);

    let show = async {
        show(&monitor).await;
        unreachable!("it never ends")
    };
    let stored = smol::block_on(or(stored.count(), show));
    assert_eq!(stored, 360);

    // This remains visible. Without a terminal it is the only output.
    for stage in monitor.snapshot().stages {
        println!("{:8} {} yielded, calls took {:?}", stage.name, stage.yielded, stage.calls.mean);
    }
}
