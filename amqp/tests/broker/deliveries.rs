//! The lower level: jobs that the program answers itself.

use std::future::pending;

use flowlet::prelude::*;
use flowlet_amqp::{Delivery, Error, Worker};
use futures_lite::future::block_on;

use crate::raw::{Raw, header};
use crate::server::Server;
use crate::wait::until;

/// A worker whose queue holds the numbers from 0 up.
fn worker(server: &Server, queue: &str, numbers: u32) -> (Worker, Raw) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), queue).prefetch(10).build().unwrap();
    block_on(worker.declare()).unwrap();
    raw.put(queue, (0..numbers).map(|n| n.to_string().into_bytes()));
    (worker, raw)
}

pub(crate) fn answers_come_in_any_order(server: &mut Server) {
    let (worker, raw) = worker(server, "order", 6);
    let mut deliveries = worker.deliveries::<u32>(pending::<()>());
    block_on(async {
        let mut taken = Vec::new();
        while taken.len() < 6 {
            taken.push(deliveries.next().await.unwrap().unwrap());
        }
        let [zero, one, two, three, four, five] = taken.try_into().unwrap();
        assert_eq!((*four.job(), four.payload(), four.message_id()), (4, &b"4"[..], Some("4")));
        assert_eq!(four.redeliveries(), 0);
        four.ack().await.unwrap();
        drop(two); // as good as a requeue
        zero.ack().await.unwrap();
        one.reject("not wanted").await.unwrap();
        three.requeue();
        let (job, rest) = five.split();
        assert_eq!(job, 5);
        rest.map(|()| "whatever").ack().await.unwrap();

        let mut again = [0; 2];
        for number in &mut again {
            let delivery: Delivery<u32> = deliveries.next().await.unwrap().unwrap();
            assert_eq!(delivery.redeliveries(), 1);
            *number = *delivery.job();
            delivery.ack().await.unwrap();
        }
        again.sort();
        assert_eq!(again, [2, 3]);
        deliveries.close().await;
    });
    assert_eq!(raw.ready("order"), 0);
    let dead = raw.take_all("order.dead");
    assert_eq!(header(&dead[0], "x-flowlet-reason"), "not wanted");
    assert_eq!((dead.len(), &dead[0].data[..]), (1, &b"1"[..]));
}

pub(crate) fn batches_are_acked_after_their_commit(server: &mut Server) {
    let (worker, raw) = worker(server, "batches", 25);
    let (sender, stop) = async_channel::bounded::<()>(1);
    let mut deliveries = worker.deliveries::<u32>(async move { stop.recv().await });
    let mut committed = Vec::new();
    block_on(async {
        // The prefetch is 10, so a second batch comes only when the first was acked.
        let store = async |batch: Vec<Delivery<u32>>| -> Result<Vec<u32>, Error> {
            let rows = batch.iter().map(|delivery| *delivery.job()).collect();
            for delivery in batch.into_iter().rev() {
                delivery.ack().await?;
            }
            Ok(rows)
        };
        let mut batches =
            std::pin::pin!(pipe(&mut deliveries).try_batched(5).try_map_concurrent(2, store));
        while let Some(batch) = batches.next().await {
            committed.extend(batch.unwrap());
            if committed.len() == 25 {
                sender.close();
            }
        }
        deliveries.close().await;
    });
    committed.sort();
    assert!((0..25).eq(committed));
    assert_eq!((raw.ready("batches"), raw.ready("batches.dead")), (0, 0));
}

pub(crate) fn a_broken_payload_does_not_reach_the_stream(server: &mut Server) {
    let (worker, raw) = worker(server, "broken", 0);
    raw.put("broken", [b"one".to_vec(), b"2".to_vec()]);
    let mut deliveries = worker.deliveries::<u32>(pending::<()>());
    block_on(async {
        let two = deliveries.next().await.unwrap().unwrap();
        assert_eq!(*two.job(), 2);
        two.ack().await.unwrap();
        deliveries.close().await;
    });
    let dead = raw.take_all("broken.dead");
    assert_eq!((dead.len(), &dead[0].data[..]), (1, &b"one"[..]));
    assert!(header(&dead[0], "x-flowlet-reason").starts_with("not a job: expected value"));
    assert_eq!(raw.ready("broken"), 0);
}

pub(crate) fn answers_of_a_lost_connection_are_lost(server: &mut Server) {
    let (worker, raw) = worker(server, "lost", 3);
    let mut deliveries = worker.deliveries::<u32>(pending::<()>());
    block_on(async {
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(deliveries.next().await.unwrap().unwrap());
        }
        server.control(&["close_all_connections", "for a test"]);
        // They are there again, on another connection.
        let mut again = Vec::new();
        for _ in 0..3 {
            let delivery = deliveries.next().await.unwrap().unwrap();
            assert_eq!(delivery.redeliveries(), 1);
            again.push(delivery);
        }
        let [one, two, three] = taken.try_into().unwrap();
        assert!(one.is_lost());
        assert!(matches!(one.ack().await, Err(Error::Lost)));
        assert!(matches!(two.reject("no").await, Err(Error::Lost)));
        drop(three);
        for delivery in again {
            assert!(!delivery.is_lost());
            delivery.ack().await.unwrap();
        }
        deliveries.close().await;
    });
    drop(raw); // it was closed like the others
    let raw = Raw::connect(&server.url());
    assert_eq!((raw.ready("lost"), raw.ready("lost.dead")), (0, 0));
}

pub(crate) fn jobs_of_a_lost_connection_are_not_yielded(server: &mut Server) {
    let (worker, raw) = worker(server, "gone", 10);
    let mut deliveries = worker.deliveries::<u32>(pending::<()>());
    block_on(async {
        let first = deliveries.next().await.unwrap().unwrap();
        // All have come by now.
        let count =
            || server.control(&["list_queues", "--no-table-headers", "name", "messages_ready"]);
        until(count, || raw.ready("gone") == 0);
        server.control(&["close_all_connections", "for a test"]);
        until(|| "the loss", || first.is_lost());
        for _ in 0..10 {
            let again = deliveries.next().await.unwrap().unwrap();
            assert!(!again.is_lost() && again.redeliveries() == 1);
            again.ack().await.unwrap();
        }
        deliveries.close().await;
    });
}

#[derive(Debug)]
struct Panics;

impl<'de> serde::Deserialize<'de> for Panics {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            3 => panic!("three is poison"),
            _ => Ok(Self),
        }
    }
}

pub(crate) fn a_job_whose_decoding_panics_does_not_reach_the_stream(server: &mut Server) {
    let (worker, raw) = worker(server, "panics", 6);
    let mut deliveries = worker.deliveries::<Panics>(pending::<()>());
    block_on(async {
        for _ in 0..5 {
            deliveries.next().await.unwrap().unwrap().ack().await.unwrap();
        }
        deliveries.close().await;
    });
    let dead = raw.take_all("panics.dead");
    assert_eq!((dead.len(), raw.ready("panics")), (1, 0));
    assert_eq!(header(&dead[0], "x-flowlet-reason"), "not a job: panicked: three is poison");
}

pub(crate) fn none_is_taken_when_the_stream_is_dropped(server: &mut Server) {
    let (worker, raw) = worker(server, "no-more", 5);
    let mut deliveries = worker.deliveries::<u32>(pending::<()>());
    let held = block_on(deliveries.next()).unwrap().unwrap();
    drop(deliveries);
    // Those that had come go back, and those that come stay there.
    raw.until_ready("no-more", 4);
    raw.put("no-more", (5..20).map(|n: u32| n.to_string().into_bytes()));
    assert_eq!(raw.ready("no-more"), 19);
    block_on(held.ack()).unwrap();
    assert_eq!(raw.ready("no-more"), 19);
}
