//! What a worker says of itself.

use std::time::Duration;

use async_io::Timer;
use flowlet::Flow;
use flowlet_amqp::{Broker, Publisher, Worker};
use futures_lite::FutureExt;
use futures_lite::future::{self, block_on, zip};

use crate::server::Server;

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        Timer::after(Duration::from_millis(2)).await;
    }
}

pub(crate) fn a_worker_says_what_it_does(server: &mut Server) {
    let worker = Worker::builder(server.url(), "health").concurrency(3).tries(1).build().unwrap();
    let jobs = Publisher::new(server.url()).unwrap().sender("health");
    let (open, gate) = async_channel::unbounded::<()>();
    let flow = Flow::<u32>::identity().map_concurrent(1, move |n| {
        let gate = gate.clone();
        async move {
            gate.recv().await.unwrap();
            if n == 0 { Err("zero") } else { Ok(n) }
        }
    });
    let health = || worker.health();
    assert!(!health().is_connected && health().last_loss.is_none());
    let (tell, told) = async_channel::bounded::<()>(1);
    let direct = async {
        until(|| health().is_connected).await;
        for n in 0..5 {
            jobs.send(n).await.unwrap();
        }
        until(|| health().running == 3).await;
        (0..5).for_each(|_| open.try_send(()).unwrap());
        until(|| health().summary.done == 4).await;
        until(|| health().summary.rejected == 1 && health().running == 0).await;
        assert_eq!(health().losses, 0, "{}", health());

        server.control(&["close_all_connections", "for a test"]);
        until(|| health().losses > 0).await;
        let loss = health().last_loss.unwrap();
        assert!(loss.reason.contains("for a test"), "{}", loss.reason);
        until(|| health().is_connected).await;
        jobs.send(7).await.unwrap();
        open.try_send(()).unwrap();
        until(|| health().summary.done == 5).await;
        tell.close();
    };
    let (summary, ()) = block_on(zip(worker.try_run(&flow, told.recv()), direct));
    // What one run did is counted on in the next.
    let after = health();
    assert!(!after.is_connected && after.summary == summary.unwrap(), "{after}");
    let next = worker.try_run(&flow, future::pending::<()>());
    let direct = async {
        until(|| health().is_connected).await;
        jobs.send(8).await.unwrap();
        open.try_send(()).unwrap();
        until(|| health().summary.done == 6).await;
    };
    block_on(async { _ = next.await }.or(direct));

    // One that cannot connect says why.
    let nowhere = Broker::new("amqp://127.0.0.1:1");
    let worker = Worker::builder(nowhere, "health").build().unwrap();
    let run = worker.try_run(&flow, future::pending::<()>());
    block_on(async { _ = run.await }.or(until(|| worker.health().losses > 1)));
    let health = worker.health();
    assert!(!health.is_connected && health.to_string().contains("refused"), "{health}");
}
