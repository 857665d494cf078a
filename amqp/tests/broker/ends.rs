//! A worker that is told to stop does, whatever the broker does or does not.

use std::future::pending;
use std::time::Duration;

use async_io::Timer;
use flowlet::Flow;
use flowlet_amqp::{Queue, Summary, Worker};
use futures_lite::StreamExt;
use futures_lite::future::{block_on, or, zip};
use lapin::types::AMQPValue;

use crate::raw::Raw;
use crate::server::Server;
use crate::suspects::come_back;

/// Runs a worker that is told to stop when `until` is ready, and ends the test if it does not.
fn stopped(worker: &Worker, flow: &Flow<u32, u32>, until: impl Future<Output = ()>) -> Summary {
    let (tell, told) = async_channel::bounded::<()>(1);
    let run = async { worker.run(flow, async move { told.recv().await }).await.unwrap() };
    let stop = async {
        until.await;
        tell.close();
        // Some seconds are allowed for what is on its way.
        Timer::after(Duration::from_secs(40)).await;
        panic!("it does not stop");
    };
    block_on(or(run, stop))
}

pub(crate) fn without_a_broker(_: &mut Server) {
    // Nobody listens, or nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [1, silent.local_addr().unwrap().port()] {
        let url = format!("amqp://127.0.0.1:{port}");
        for worker in [
            Worker::builder(url.as_str(), "jobs").build(),
            Worker::builder(url.as_str(), "jobs").output("outputs").build(),
        ] {
            let begun = Timer::after(Duration::from_millis(100));
            let summary = stopped(&worker.unwrap(), &Flow::identity(), async { _ = begun.await });
            assert_eq!(summary, Summary::default());
        }
        let worker = Worker::builder(url.as_str(), "jobs").build().unwrap();
        let mut deliveries = worker.deliveries::<u32>(Timer::after(Duration::from_millis(100)));
        block_on(async {
            assert!(deliveries.next().await.is_none());
            deliveries.close().await;
        });
    }
}

pub(crate) fn while_the_broker_takes_nothing(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let refuse = AMQPValue::LongString("reject-publish".into());
    let bound = [("x-max-length", AMQPValue::LongLongInt(1)), ("x-overflow", refuse)];
    raw.declare("ends-full", &bound);
    raw.put("ends-full", [b"0".to_vec()]);
    let builder = |name: &str| Worker::builder(server.url(), name).concurrency(4);
    let full = builder("ends-1").output(Queue::existing("ends-full")).build().unwrap();
    let alarm = builder("ends-2").output("ends-2-outputs").build().unwrap();
    for (worker, name, is_alarm) in [(&full, "ends-1", false), (&alarm, "ends-2", true)] {
        block_on(worker.declare()).unwrap();
        raw.put(name, (0..20_u32).map(|n| n.to_string().into_bytes()));
        if is_alarm {
            server.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
        }
        let (begun, all_begun) = async_channel::unbounded::<()>();
        let flow = Flow::identity().inspect_concurrent(1, move |_: &u32| {
            _ = begun.try_send(());
            std::future::ready(())
        });
        let summary = stopped(worker, &flow, async {
            // A queue that is full takes a few more.
            for _ in 0..4 {
                all_begun.recv().await.unwrap();
            }
            Timer::after(Duration::from_secs(1)).await;
        });
        if is_alarm {
            server.control(&["set_vm_memory_high_watermark", "0.4"]);
        }
        println!("  {name}: {summary}");
        assert!(summary.dropped > 0, "{summary}");
        // The broker needs a moment to see that the connection has ended.
        raw.until_ready(name, 20 - u32::try_from(summary.done).unwrap());
    }
}

/// They would go back as copies, which the broker does not take.
pub(crate) fn with_suspects_that_wait(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let builder = Worker::builder(server.url(), "ends-suspects").concurrency(2).prefetch(10);
    let worker = builder.isolate_after(1).build().unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("ends-suspects", (0..10_u32).map(|n| n.to_string().into_bytes()));
    come_back(server, "ends-suspects", 10);
    let (begun, all_begun) = async_channel::unbounded::<()>();
    let (end, ends) = async_channel::bounded::<()>(1);
    let flow = Flow::identity().inspect_concurrent(1, move |_: &u32| {
        _ = begun.try_send(());
        let ends = ends.clone();
        async move { _ = ends.recv().await }
    });
    server.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    let summary = stopped(&worker, &flow, async {
        all_begun.recv().await.unwrap();
        end.close();
    });
    server.control(&["set_vm_memory_high_watermark", "0.4"]);
    raw.until_ready("ends-suspects", 10 - u32::try_from(summary.done).unwrap());
}

pub(crate) fn within_the_time_that_jobs_are_given(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "ends-within")
        .concurrency(3)
        .prefetch(10)
        .stop_within(Duration::from_millis(50))
        .build()
        .unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("ends-within", (0..10_u32).map(|n| n.to_string().into_bytes()));
    let (begun, all_begun) = async_channel::unbounded::<()>();
    let flow = Flow::identity().map_concurrent(1, move |_: u32| {
        _ = begun.try_send(());
        pending::<u32>()
    });
    let summary = stopped(&worker, &flow, async {
        for _ in 0..3 {
            all_begun.recv().await.unwrap();
        }
    });
    assert_eq!((summary.done, summary.dropped, summary.lost), (0, 3, 0));
    raw.until_ready("ends-within", 10);
}

/// The broker looks for such jobs every half a second, and lets them be held for three.
pub(crate) fn a_job_that_takes_too_long_comes_to_an_end(server: &mut Server) {
    let set = |name: &str, value: &str| {
        server.control(&["eval", &format!("application:set_env(rabbit, {name}, {value}).")]);
    };
    set("consumer_timeout", "3000");
    set("channel_tick_interval", "500");
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "too-long")
        .output("too-long-outputs")
        .concurrency(4)
        .tries(1)
        .build()
        .unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("too-long", (0..40_u32).map(|n| n.to_string().into_bytes()));
    let flow = Flow::identity().map_concurrent(1, async |n: u32| {
        match n {
            3 => pending::<()>().await,
            n => _ = Timer::after(Duration::from_millis(u64::from(n))).await,
        }
        n
    });
    let (tell, told) = async_channel::bounded::<()>(1);
    let run = worker.run(&flow, async move { told.recv().await });
    let done = async {
        crate::failures::until_ready(server.url(), "too-long.dead", 1).await;
        crate::failures::until_ready(server.url(), "too-long-outputs", 39).await;
        tell.close();
    };
    let (summary, ()) = block_on(zip(run, done));
    set("consumer_timeout", "1800000");
    set("channel_tick_interval", "60000");
    println!("  {}", summary.unwrap());
    let letter = raw.take_all("too-long.dead").remove(0);
    let reason = crate::raw::header(&letter, "x-flowlet-reason");
    assert!(reason.contains("consumer timeout"), "{reason}");
}
