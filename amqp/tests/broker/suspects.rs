//! Jobs that come back, and so may be deadly: they hold up nobody, and those that came back for other
//! reasons are none.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flowlet::Flow;
use flowlet_amqp::Worker;
use futures_lite::StreamExt;
use futures_lite::future::{block_on, zip};
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::failures::until_ready;
use crate::raw::Raw;
use crate::server::Server;

const JOBS: u32 = 8;

fn numbers(numbers: std::ops::Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    numbers.map(|n| n.to_string().into_bytes())
}

/// A flow whose calls end when so many of them run at once.
fn together(count: u32) -> Flow<u32, u32> {
    let running = Arc::new(AtomicU32::new(0));
    let (open, gate) = async_channel::bounded::<()>(1);
    Flow::identity().map_concurrent(1, move |n| {
        if 1 + running.fetch_add(1, Ordering::Relaxed) == count {
            open.close();
        }
        let (running, gate) = (running.clone(), gate.clone());
        async move {
            let running = Running(running);
            assert!(gate.recv().await.is_err());
            drop(running);
            n
        }
    })
}

struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker for which a job is a suspect that came back once.
fn worker(url: String, name: &str) -> Worker {
    Worker::builder(url, name)
        .output(format!("{name}-outputs"))
        .concurrency(JOBS as usize)
        .prefetch(3 * JOBS as usize)
        .isolate_after(1)
        .build()
        .unwrap()
}

/// Has someone take the jobs of a queue and die, so that each of them has come back once.
pub(crate) fn come_back(server: &Server, queue: &str, jobs: u32) {
    let other = Raw::connect(&server.url());
    block_on(async {
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let mut consumer = other.channel.basic_consume(queue, "", options, none).await.unwrap();
        for _ in 0..jobs {
            consumer.next().await.unwrap().unwrap();
        }
    });
    drop(other);
    Raw::connect(&server.url()).until_ready(queue, jobs);
}

pub(crate) fn a_count_of_someone_else_makes_no_suspect(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = worker(server.url(), "stale");
    block_on(worker.declare()).unwrap();
    let mut headers = FieldTable::default();
    headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(7));
    let properties = BasicProperties::default().with_headers(headers);
    for n in 0..JOBS {
        let (options, payload) = (BasicPublishOptions::default(), n.to_string());
        let sent =
            raw.channel.basic_publish("", "stale", options, payload.as_bytes(), properties.clone());
        assert!(block_on(async { sent.await?.await }).unwrap().is_ack());
    }
    let stop = until_ready(server.url(), "stale-outputs", JOBS);
    assert_eq!(block_on(worker.run(&together(JOBS), stop)).unwrap().done, u64::from(JOBS));
}

pub(crate) fn what_a_stopped_worker_gave_back_is_no_suspect(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = worker(server.url(), "given-back");
    block_on(worker.declare()).unwrap();
    raw.put("given-back", numbers(0..3 * JOBS));
    // As many run as may, until the others are back.
    let (begun, all_begun) = async_channel::bounded::<()>(JOBS as usize);
    let (open, gate) = async_channel::bounded::<()>(1);
    let flow = Flow::<u32>::identity().map_concurrent(1, move |n| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            begun.send(()).await.unwrap();
            assert!(gate.recv().await.is_err());
            n
        }
    });
    let (stop, is_told) = async_channel::bounded::<()>(1);
    let run = worker.run(&flow, async move { is_told.recv().await });
    let direct = async {
        for _ in 0..JOBS {
            all_begun.recv().await.unwrap();
        }
        stop.close();
        until_ready(server.url(), "given-back", 2 * JOBS).await;
        open.close();
    };
    let (summary, ()) = block_on(zip(run, direct));
    assert_eq!(summary.unwrap().done, u64::from(JOBS));
    let stop = until_ready(server.url(), "given-back-outputs", 3 * JOBS);
    let summary = block_on(worker.run(&together(JOBS), stop)).unwrap();
    assert_eq!(summary.done, 2 * u64::from(JOBS));
}

pub(crate) fn a_connection_that_is_lost_makes_no_suspect(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = worker(server.url(), "unsuspected");
    block_on(worker.declare()).unwrap();
    raw.put("unsuspected", numbers(0..JOBS));
    let begun = Arc::new(AtomicU32::new(0));
    let count = begun.clone();
    // All run at once again, and then they end.
    let both = 2 * JOBS;
    let flow = Flow::<u32>::identity().map_concurrent(1, move |n| {
        let (count, number) = (count.clone(), 1 + count.fetch_add(1, Ordering::Relaxed));
        async move {
            if number <= JOBS {
                pending::<()>().await;
            }
            while count.load(Ordering::Relaxed) < both {
                async_io::Timer::after(std::time::Duration::from_millis(1)).await;
            }
            n
        }
    });
    let (tell, told) = async_channel::bounded::<()>(1);
    let stop = async {
        // What looks for outputs has a connection as well.
        assert!(told.recv().await.is_err());
        until_ready(server.url(), "unsuspected-outputs", JOBS).await;
    };
    let run = worker.run(&flow, stop);
    let lose = async {
        while begun.load(Ordering::Relaxed) < JOBS {
            async_io::Timer::after(std::time::Duration::from_millis(1)).await;
        }
        server.control(&["close_all_connections", "for a test"]);
        tell.close();
    };
    let (summary, ()) = block_on(zip(run, lose));
    let summary = summary.unwrap();
    assert_eq!((summary.done, summary.lost), (u64::from(JOBS), u64::from(JOBS)));
}

/// Suspects run one at a time, and one of them does not end.
pub(crate) fn a_suspect_that_never_ends_holds_up_nobody(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "never")
        .output("never-outputs")
        .concurrency(2)
        .prefetch(JOBS as usize)
        .isolate_after(1)
        .build()
        .unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("never", numbers(0..JOBS));
    come_back(server, "never", JOBS);
    raw.put("never", numbers(JOBS..5 * JOBS));
    let flow = Flow::<u32>::identity().map_concurrent(1, async |n| {
        if n == 0 {
            pending::<()>().await;
        }
        n
    });
    // It does not stop by itself.
    let done = block_on(futures_lite::future::or(
        async { Some(worker.run(&flow, pending::<()>()).await) },
        async {
            until_ready(server.url(), "never-outputs", 5 * JOBS - 1).await;
            None
        },
    ));
    assert!(done.is_none());
}
