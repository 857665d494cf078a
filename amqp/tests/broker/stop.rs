//! Graceful stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flowlet::Flow;
use flowlet_amqp::Worker;
use futures_lite::future::{block_on, zip};

use crate::failures::until_ready;
use crate::job::{Job, What};
use crate::proxy::{Cut, Proxy};
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
    let stop = until_ready(server.url(), "stop-outputs", JOBS);
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

pub(crate) fn a_worker_stops_while_the_broker_is_away(server: &mut Server) {
    let proxy = Proxy::start(server.port(), 1);
    let builder = |url: String| Worker::builder(url, "away-jobs").output("away-outputs");
    let worker = builder(proxy.url()).tries(1).concurrency(2).build().unwrap();
    block_on(worker.declare()).unwrap();
    // One has an output, and one a dead letter.
    let raw = Raw::connect(&server.url());
    raw.put_jobs("away-jobs", [Job::new(0, What::Wait(0)), Job::new(1, What::Fail)]);
    let (begun, all_begun) = async_channel::bounded::<()>(2);
    let (open, gate) = async_channel::bounded::<()>(1);
    let (tell, told) = async_channel::bounded::<()>(1);
    let flow = Flow::<Job>::identity().map_concurrent(1, move |job| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            begun.send(()).await.unwrap();
            assert!(gate.recv().await.is_err());
            job.run().await
        }
    });
    let run = worker.try_run(&flow, async move { told.recv().await });
    let direct = async {
        for _ in 0..2 {
            all_begun.recv().await.unwrap();
        }
        // Both look for a connection to publish on, and then that goes which the jobs came on.
        proxy.shut(true);
        proxy.cut(Cut::BeforeConfirm { all: false });
        open.close();
        let proxy = &proxy;
        let is_looked_for = || proxy.look(|state| state.waiting) >= 2;
        while !is_looked_for() {
            async_io::Timer::after(Duration::from_millis(1)).await;
        }
        proxy.cut_off();
        tell.close();
    };
    let (summary, ()) = block_on(zip(run, direct));
    let summary = summary.unwrap();
    assert_eq!((summary.done, summary.rejected, summary.lost), (0, 0, 2));

    // Others do them, and so the output is there once more.
    let stop = async {
        until_ready(server.url(), "away-outputs", 2).await;
        until_ready(server.url(), "away-jobs.dead", 1).await;
    };
    let others = builder(server.url()).tries(1).build().unwrap();
    let summary = block_on(others.try_run(&crate::job::flow(), stop)).unwrap();
    assert_eq!((summary.done, summary.rejected), (1, 1));
}
