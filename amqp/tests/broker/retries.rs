//! Failed jobs, which wait in the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flowlet::Flow;
use flowlet_amqp::Worker;
use futures_lite::future::{block_on, or};

use crate::failures::until_ready;
use crate::raw::{Raw, header};
use crate::server::Server;

fn numbers(numbers: std::ops::Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    numbers.map(|n| n.to_string().into_bytes())
}

pub(crate) fn failed_jobs_that_wait_keep_no_slots(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "slots")
        .output("slots-outputs")
        .retry_after(Duration::from_secs(3600))
        .build()
        .unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("slots", numbers(0..516));
    let flow = Flow::<u32>::identity()
        .map_concurrent(1, async |n| if n < 16 { Err("not yet") } else { Ok(n) });
    let stop = until_ready(server.url(), "slots-outputs", 500);
    let summary = block_on(worker.try_run(&flow, stop)).unwrap();
    assert_eq!((summary.done, summary.rejected, summary.retried), (500, 0, 16));
    assert_eq!((raw.ready("slots"), raw.ready("slots.retry.1h")), (0, 16));
}

/// Each worker is stopped after the first failure, so that none would try it often enough.
pub(crate) fn the_number_of_tries_survives_workers(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let tries = Arc::new(AtomicU32::new(0));
    let worker = || {
        Worker::builder(server.url(), "survives")
            .tries(4)
            .retry_after([1, 50, 1].map(Duration::from_millis))
            .build()
            .unwrap()
    };
    block_on(worker().declare()).unwrap();
    raw.put("survives", numbers(7..8));
    for number in 1..=4 {
        let count = tries.clone();
        let (tell, told) = async_channel::bounded::<()>(1);
        let flow = Flow::<u32>::identity().map_concurrent(1, move |n| {
            count.fetch_add(1, Ordering::Relaxed);
            tell.close();
            async move { Err::<u32, _>(format!("{n} failed")) }
        });
        let summary = block_on(worker().try_run(&flow, async move { told.recv().await })).unwrap();
        assert_eq!(summary.retried + summary.rejected, 1);
        assert_eq!(tries.load(Ordering::Relaxed), number);
        assert_eq!(summary.rejected, u64::from(number == 4));
    }
    let dead = raw.take_all("survives.dead");
    assert_eq!(dead.len(), 1);
    assert_eq!(header(&dead[0], "x-flowlet-reason"), "7 failed");
    let headers = dead[0].properties.headers().as_ref().unwrap();
    assert!(!headers.contains_key("x-flowlet-tries"));
}

/// One that the broker moved away once, and that came back, would be taken for one that goes in circles.
pub(crate) fn a_replayed_job_that_fails_is_not_lost(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let queue = || flowlet_amqp::Queue::new("circles").delivery_limit(1);
    let worker = Worker::builder(server.url(), queue())
        .tries(2)
        .retry_after(Duration::from_millis(1))
        .build()
        .unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("circles", numbers(7..8));
    block_on(async {
        use futures_lite::StreamExt;
        let mut deliveries = worker.deliveries::<u32>(std::future::pending::<()>());
        for _ in 0..2 {
            drop(deliveries.next().await.unwrap().unwrap());
        }
        until_ready(server.url(), "circles.dead", 1).await;
        deliveries.close().await;
        // As a shovel does.
        let letter = raw.take_all("circles.dead").remove(0);
        let options = lapin::options::BasicPublishOptions::default();
        let again =
            raw.channel.basic_publish("", "circles", options, &letter.data, letter.properties);
        assert!(again.await.unwrap().await.unwrap().is_ack());
        let flow = Flow::<u32>::identity().map_concurrent(1, async |_| Err::<u32, _>("failed"));
        let run = async { worker.try_run(&flow, std::future::pending::<()>()).await.map(drop) };
        let dead = async {
            until_ready(server.url(), "circles.dead", 1).await;
            Ok(())
        };
        or(run, dead).await.unwrap();
    });
}

pub(crate) fn items_come_after_their_delay(server: &mut Server) {
    use flowlet::prelude::*;
    let raw = Raw::connect(&server.url());
    block_on(Worker::builder(server.url(), "later").build().unwrap().declare()).unwrap();
    let publisher = flowlet_amqp::Publisher::new(server.url()).unwrap();
    for (delay, queue) in [(3600, "later.retry.1h"), (0, "later")] {
        let publish = publisher.publish_after(Duration::from_secs(delay), 10, "later");
        assert_eq!(block_on(pipe(0..30).through(publish)).unwrap(), 30);
        raw.until_ready(queue, 30);
        assert_eq!(raw.ready("later.retry.1h"), 30);
    }
    assert_eq!(raw.ready("later"), 30);
}
