//! A monitor finds the bottleneck of a pipeline of five stages, whatever its cause, and its table shows it.
//!
//! A program apart, as it needs the feature. The cause takes by far the most time in each: what is slow waits for a
//! timer again and again, and all else is ready at once. Nothing is said of how long that is.

use std::thread;
use std::time::Duration;

use async_io::Timer;
use flowlet::monitor::BottleneckKind;
use flowlet::prelude::*;
use flowlet::{Flow, Monitor, Semaphore};
use futures_lite::future::block_on;
use futures_lite::stream;

/// How many items there are.
const ITEMS: usize = 60;

const SLOW: Duration = Duration::from_millis(5);

async fn slow(n: usize) -> usize {
    Timer::after(SLOW).await;
    n
}

async fn ready(n: usize) -> usize {
    n
}

fn slow_source() -> impl Stream<Item = usize> + Unpin {
    Box::pin(stream::iter(0..ITEMS).then(slow))
}

/// Checks what the bottleneck is, and that the table marks it in the line that begins so.
#[track_caller]
fn check(monitor: &Monitor, kind: BottleneckKind, stage: &str, line: &str) {
    let snapshot = monitor.snapshot();
    assert_eq!(snapshot.stages.len(), 5);
    let table = snapshot.to_string();
    println!("{table}\n");
    let bottleneck = snapshot.bottleneck().expect("one is there");
    assert_eq!((bottleneck.kind, bottleneck.stage.as_str()), (kind, stage), "\n{table}");

    let marked: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("▶ ")).collect();
    assert!(matches!(marked[..], [marked] if marked.split(' ').next() == Some(line)), "\n{table}");
    assert!(table.ends_with(&bottleneck.to_string()), "\n{table}");
    assert!(bottleneck.to_string().contains(&format!("`{stage}`")), "{bottleneck}");
}

#[test]
fn a_slow_source() {
    let monitor = Monitor::new();
    let pipeline = slow_source()
        .map_concurrent(monitor.stage("fetch", 8), ready)
        .filter_concurrent(monitor.stage("check", 4), async |_| true)
        .flat_map_concurrent(monitor.stage("rows", 4), |n| [n, n])
        .map_concurrent(monitor.stage("parse", 1), ready)
        .map_concurrent(monitor.stage("store", 2), ready);
    block_on(pipeline.drain());
    check(&monitor, BottleneckKind::Source, "fetch", "(source)");
}

#[test]
fn a_slow_source_that_is_a_point() {
    let monitor = Monitor::new();
    let pipeline = slow_source()
        .monitored(monitor.point("ids"))
        .map_concurrent(monitor.stage("fetch", 8), ready)
        .flat_map_concurrent(monitor.stage("rows", 4), |n| [n, n])
        .map_concurrent(monitor.stage("parse", 1), ready)
        .map_concurrent(monitor.stage("store", 2), ready);
    block_on(pipeline.drain());
    check(&monitor, BottleneckKind::Source, "ids", "ids");
}

#[test]
fn a_stage_that_blocks() {
    let monitor = Monitor::new();
    let pipeline = pipe(0..ITEMS)
        .map_concurrent(monitor.stage("fetch", 8), slow)
        .filter_concurrent(monitor.stage("check", 4), async |_| true)
        .flat_map_concurrent(monitor.stage("rows", 4), |n| [n, n])
        .map_concurrent(monitor.stage("parse", 4), async |n| {
            thread::sleep(SLOW); // as a processor does that has much to do
            n
        })
        .map_concurrent(monitor.stage("store", 2), ready);
    block_on(pipeline.drain());
    check(&monitor, BottleneckKind::Busy, "parse", "parse");
}

#[test]
fn a_limit_that_is_too_small() {
    let monitor = Monitor::new();
    let pipeline = pipe(0..ITEMS)
        .map_concurrent(monitor.stage("fetch", 40), slow)
        .filter_concurrent(monitor.stage("check", 4), async |_| true)
        .flat_map_concurrent(monitor.stage("rows", 4), |n| [n, n])
        .map_concurrent(monitor.stage("parse", 2), slow)
        .map_concurrent(monitor.stage("store", 40), slow);
    block_on(pipeline.drain());
    check(&monitor, BottleneckKind::Limit, "parse", "parse");
}

#[test]
fn a_limit_that_is_shared() {
    let (monitor, semaphore) = (Monitor::new(), Semaphore::new(4));
    let elsewhere = block_on(semaphore.acquire_many(3));
    let pipeline = pipe(0..ITEMS)
        .map_concurrent(monitor.stage("fetch", 8), ready)
        .filter_concurrent(monitor.stage("check", 4), async |_| true)
        .map_concurrent(monitor.stage("look up", &semaphore), slow)
        .flat_map_concurrent(monitor.stage("rows", 4), |n| [n, n])
        .map_concurrent(monitor.stage("store", 2), ready);
    block_on(pipeline.drain());
    check(&monitor, BottleneckKind::SharedLimit, "look up", "look");
    drop(elsewhere);
}

#[test]
fn a_slow_consumer() {
    let monitor = Monitor::new();
    let mut pipeline = pipe(0..ITEMS)
        .map_concurrent(monitor.stage("fetch", 8), ready)
        .filter_concurrent(monitor.stage("check", 4), async |_| true)
        .flat_map_concurrent(monitor.stage("rows", 4), |n| [n, n])
        .map_concurrent(monitor.stage("parse", 1), ready)
        .map_concurrent(monitor.stage("store", 2), ready);
    block_on(async {
        while let Some(n) = pipeline.next().await {
            slow(n).await;
        }
    });
    check(&monitor, BottleneckKind::Consumer, "store", "(consumer)");
}

#[test]
fn a_flow_is_drawn_with_numbers() {
    let monitor = Monitor::new();
    let flow = Flow::<usize>::identity()
        .monitored(monitor.point("ids"))
        .map_concurrent(monitor.stage("fetch", 20), ready)
        .map_concurrent(monitor.stage("a|\"b\n", 2), slow)
        .named("both")
        .map_concurrent(monitor.stage("twice", 2), ready)
        .map_concurrent(monitor.stage("twice", 2), ready)
        .batched(5);
    for _ in 0..3 {
        block_on(pipe(0..ITEMS / 3).through(&flow).drain());
    }
    let snapshot = monitor.snapshot();
    let picture = flow.with_numbers(&snapshot).to_string();
    println!("{picture}");
    let lines: Vec<_> = picture.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[1]), (9, "│", "├─ both"));
    assert!(lines[2].starts_with("│  ├─ monitored(ids)  ids: "), "{picture}");
    assert!(lines[3].starts_with("│  ├─ map_concurrent(20)  fetch: "), "{picture}");
    assert!(lines[4].starts_with("│  └─ map_concurrent(2)  ▶ a|\"b\\n: "), "{picture}");
    assert!(lines[4].contains("% calls, 60 out, "), "{picture}");
    // Nobody knows which of these is which.
    assert_eq!(lines[5..], ["├─ map_concurrent(2)", "├─ map_concurrent(2)", "├─ batched(5)", "▼"]);
    assert_eq!(picture.matches('▶').count(), 1);

    let graph = flow.with_numbers(&snapshot).to_mermaid();
    println!("{graph}");
    let contains = |line: &str| assert!(graph.contains(line), "{line} is not in:\n{graph}");
    contains("        step3[\"map_concurrent(2)<br>a#124;#34;b#10;#58; ");
    contains("        style step3 stroke-width:4px\n");
    contains("    step3 -->|\"60 out#44; ");
    contains("    step4 --> step5\n");
    assert_eq!(graph.matches("style").count(), 1, "{graph}");
}
