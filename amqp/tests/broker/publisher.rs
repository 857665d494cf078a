//! Streaming items into a queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use flowlet::Flow;
use flowlet::prelude::*;
use flowlet_amqp::{Error, Publisher, Queue, Worker};
use futures_lite::future::{block_on, zip};
use lapin::types::AMQPValue;

use crate::failures::until_ready;
use crate::raw::Raw;
use crate::server::{LARGEST, Server};
use crate::wait::until;

pub(crate) fn all_items_arrive_once_with_ids(server: &mut Server) {
    let publisher = Publisher::new(server.url()).unwrap();
    let published = block_on(pipe(0..1000).through(publisher.publish(100, "items")));
    assert_eq!(published.unwrap(), 1000);
    let own = publisher.publish_with_id(100, "items", |n| format!("item {n}"));
    assert_eq!(block_on(pipe(1000..2000).through(own)).unwrap(), 1000);

    let messages = Raw::connect(&server.url()).take_all("items");
    let mut items: Vec<u32> =
        messages.iter().map(|message| serde_json::from_slice(&message.data).unwrap()).collect();
    items.sort();
    assert!((0..2000).eq(items));
    let ids = messages.iter().map(|message| message.properties.message_id().as_ref().unwrap());
    let ids: BTreeSet<&str> = ids.map(|id| id.as_str()).collect();
    assert_eq!(ids.len(), 2000);
    assert!((1000..2000).all(|n| ids.contains(format!("item {n}").as_str())));
}

pub(crate) fn ids_that_are_too_long_still_tell_items_apart(server: &mut Server) {
    let publisher = Publisher::new(server.url()).unwrap();
    let id = |n: &u32| format!("{}{n}", "long".repeat(100));
    let twice = pipe([0, 1, 0]).through(publisher.publish_with_id(1, "long-ids", id));
    assert_eq!(block_on(twice).unwrap(), 3);
    let worker = Worker::builder(server.url(), "long-ids").output("long-ids-outputs");
    let stop = until_ready(server.url(), "long-ids-outputs", 6);
    let flow = Flow::<u32>::identity().flat_map_concurrent(1, |n| [n, n]);
    let summary = block_on(worker.build().unwrap().run(&flow, stop)).unwrap();
    assert_eq!((summary.done, summary.rejected), (3, 0));
    let outputs = Raw::connect(&server.url()).take_all("long-ids-outputs");
    let ids = outputs.iter().map(|output| output.properties.message_id().as_ref().unwrap());
    let ids: BTreeSet<&str> = ids.map(|id| id.as_str()).collect();
    assert_eq!((outputs.len(), ids.len()), (6, 4));
}

/// A source that counts what was taken of it.
fn counted(items: u32) -> (Arc<AtomicU32>, impl Stream<Item = u32> + Send) {
    let taken = Arc::new(AtomicU32::new(0));
    let count = taken.clone();
    let items = pipe(0..items).inspect(move |_| _ = count.fetch_add(1, Ordering::Relaxed));
    (taken, items)
}

pub(crate) fn a_full_queue_holds_back(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let refuse = AMQPValue::LongString("reject-publish".into());
    raw.declare("full", &[("x-max-length", AMQPValue::LongLongInt(10)), ("x-overflow", refuse)]);
    let (taken, items) = counted(60);
    let publisher = Publisher::new(server.url()).unwrap();
    let publish = items.through(publisher.publish(5, Queue::existing("full")));
    let drain = blocking::unblock(move || {
        raw.until_ready("full", 10);
        // A quorum queue lets through a few more before it refuses; then it refuses all.
        thread::sleep(Duration::from_millis(300));
        let held = taken.load(Ordering::Relaxed);
        assert!(held < 40, "{held} were taken");
        let mut arrived = BTreeSet::new();
        until(
            || "60 items",
            || {
                let messages = raw.take_all("full");
                let items = messages.iter().map(|item| serde_json::from_slice::<u32>(&item.data));
                arrived.extend(items.map(Result::unwrap));
                arrived.len() == 60
            },
        );
        arrived
    });
    let (published, arrived) = block_on(zip(publish, drain));
    assert_eq!(published.unwrap(), 60);
    assert!((0..60).eq(arrived));
}

pub(crate) fn a_blocked_connection_holds_back(server: &mut Server) {
    let publisher = Publisher::new(server.url()).unwrap();
    let first = block_on(pipe([0]).through(publisher.publish(1, "blocked")));
    assert_eq!(first.unwrap(), 1);

    server.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    let (taken, items) = counted(60);
    let publish = items.through(publisher.publish(5, "blocked"));
    let unblock = async {
        // Each of the five is on its way; one of them tells the broker that we publish.
        while taken.load(Ordering::Relaxed) < 5 {
            futures_lite::future::yield_now().await;
        }
        let (server, taken) = (&*server, taken.clone());
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(500));
                assert_eq!(taken.load(Ordering::Relaxed), 5);
                server.control(&["set_vm_memory_high_watermark", "0.4"]);
            });
        });
    };
    let (published, ()) = block_on(zip(publish, unblock));
    assert_eq!(published.unwrap(), 60);
    assert_eq!(Raw::connect(&server.url()).ready("blocked"), 61);
}

pub(crate) fn an_item_that_cannot_be_encoded_is_an_error(server: &mut Server) {
    use std::collections::BTreeMap;
    let publisher = Publisher::new(server.url()).unwrap();
    // Keys in JSON are text.
    let items = [BTreeMap::new(), BTreeMap::from([((1, 2), 3)])];
    let error = block_on(pipe(items).through(publisher.publish(1, "not-encoded"))).unwrap_err();
    assert!(matches!(error, Error::Encode(_)), "{error}");
}

pub(crate) fn an_item_that_is_too_large_is_an_error(server: &mut Server) {
    let publisher = Publisher::new(server.url()).unwrap();
    let items = ["x".to_owned(), "x".repeat(LARGEST), "y".to_owned()];
    let error = block_on(pipe(items).through(publisher.publish(1, "too-large"))).unwrap_err();
    // Two more for the quotation marks.
    assert!(matches!(error, Error::TooLarge(bytes) if bytes == LARGEST + 2), "{error}");
    assert_eq!(Raw::connect(&server.url()).ready("too-large"), 1);
}
