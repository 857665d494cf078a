//! Graceful stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flowlet::Flow;
use flowlet_amqp::Worker;
use futures_lite::future::{block_on, zip};

use crate::raw::Raw;
use crate::server::Server;

pub(crate) fn what_runs_is_finished_and_nothing_comes_twice(server: &mut Server) {
    const JOBS: u32 = 50;
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "stop-jobs")
        .output("stop-outputs")
        .concurrency(8)
        .prefetch(20)
        .build()
        .unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("stop-jobs", (0..JOBS).map(|n| n.to_string().into_bytes()));

    // Eight jobs run when it is told to stop, and none of them can end before that.
    let (begun, begun_all) = (Arc::new(AtomicU32::new(0)), async_channel::bounded::<()>(1));
    let (open, gate) = async_channel::bounded::<()>(1);
    let (tell, told) = async_channel::bounded::<()>(1);
    let all = begun_all.0.clone();
    let count = begun.clone();
    let flow = Flow::<u32>::identity().map_concurrent(1, move |n| {
        if 1 + count.fetch_add(1, Ordering::Relaxed) == 8 {
            all.close();
        }
        let gate = gate.clone();
        async move {
            assert!(gate.recv().await.is_err());
            n
        }
    });
    let run = worker.run(&flow, async move { told.recv().await });
    let direct = async {
        assert!(begun_all.1.recv().await.is_err());
        tell.close();
        // What has not begun goes back while they run.
        blocking::unblock({
            let raw = Raw::connect(&server.url());
            move || raw.until_ready("stop-jobs", JOBS - 8)
        })
        .await;
        open.close();
    };
    let (summary, ()) = block_on(zip(run, direct));
    let summary = summary.unwrap();
    assert_eq!((summary.done, summary.rejected, summary.lost), (8, 0, 0));
    assert_eq!(begun.load(Ordering::Relaxed), 8);

    // The others do the rest, each job once.
    assert_eq!(raw.ready("stop-jobs"), JOBS - 8);
    let stop = crate::failures::until_ready(server.url(), "stop-outputs", JOBS);
    let summary = block_on(worker.run(&Flow::<u32>::identity(), stop)).unwrap();
    assert_eq!(summary.done, u64::from(JOBS) - 8);
    let mut outputs: Vec<u32> = raw
        .take_all("stop-outputs")
        .iter()
        .map(|output| serde_json::from_slice(&output.data).unwrap())
        .collect();
    outputs.sort();
    assert!((0..JOBS).eq(outputs));
}
