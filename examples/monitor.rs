//! Which stage is slow? A monitor finds it, and the limit that the stage needs.

use std::time::{Duration, Instant};

use flowlet::monitor::{BottleneckKind, Snapshot};
use flowlet::prelude::*;
use flowlet::{Monitor, ordered};
use smol::Timer;

async fn fetch(id: u32) -> String {
    Timer::after(Duration::from_millis(10)).await;
    format!("page {id}")
}

async fn store(page: String) -> usize {
    Timer::after(Duration::from_millis(5)).await;
    page.len()
}

/// Stores 200 pages, with up to `stores` calls of `store` at once. Returns what was observed, and how long it took.
async fn run(stores: usize) -> (Snapshot, Duration) {
    let monitor = Monitor::new();
    let began = Instant::now();
    pipe(1..=200)
        .monitored(monitor.point("ids"))
        .map_concurrent(monitor.stage("fetch", 20), fetch)
        .filter_concurrent(monitor.stage("check", 4), async |page: &String| !page.ends_with('7'))
        .map_concurrent(monitor.stage("store", ordered(stores)), store)
        .drain()
        .await;
    (monitor.snapshot(), began.elapsed())
}

fn main() {
    smol::block_on(async {
        let (seen, slow) = run(2).await;
        println!("{seen}\n");
        let bottleneck = seen.bottleneck().expect("one stands out");
        assert_eq!((bottleneck.kind, bottleneck.stage.as_str()), (BottleneckKind::Limit, "store"));

        // By Little's law: this many calls run when items arrive as fast as the next slowest stage can yield them.
        let needed = bottleneck.needed.expect("another stage is slow enough to tell");
        assert!(needed > 2);
        let (seen, fast) = run(needed).await;
        println!("{seen}\n");
        println!("{slow:.0?} with a limit of 2, {fast:.0?} with a limit of {needed}");
        assert!(fast < slow);
    });
}
