//! What the broker does not take, or takes too well.

use std::time::Duration;

use flowlet::Flow;
use flowlet::prelude::*;
use flowlet_amqp::{Error, Publisher, Queue, Worker};
use futures_lite::future::block_on;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldArray, FieldTable};

use crate::failures::until_ready;
use crate::raw::{Raw, header};
use crate::server::Server;

pub(crate) fn no_right_to_publish_is_an_error(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    for queue in ["no-right", "no-right.dead", "no-right-outputs"] {
        raw.declare(queue, &[]);
    }
    raw.put("no-right", [b"1".to_vec()]);
    server.control(&["add_user", "reader", "reader"]);
    server.control(&["set_permissions", "reader", ".*", "", ".*"]);
    let url = || server.url().replace("guest:guest", "reader:reader");
    let publisher = Publisher::new(url()).unwrap();
    let publish = publisher.publish(4, Queue::existing("no-right-outputs"));
    let error = block_on(pipe(0..9).through(publish)).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    for output in ["no-right-outputs", "no-right.dead"] {
        let builder = Worker::builder(url(), Queue::existing("no-right")).tries(1);
        let worker = builder.output(Queue::existing("no-right-outputs")).build().unwrap();
        let flow = Flow::<u32>::identity().map_concurrent(1, move |n| async move {
            if output == "no-right-outputs" { Ok(n) } else { Err("failed") }
        });
        let error = block_on(worker.try_run(&flow, std::future::pending::<()>())).unwrap_err();
        assert!(error.to_string().contains("ACCESS_REFUSED"), "{error}");
    }
}

/// Publishes what is no job, with headers.
fn put_no_job(raw: &Raw, queue: &str, headers: FieldTable) {
    let properties = BasicProperties::default().with_headers(headers);
    let (options, payload) = (BasicPublishOptions::default(), b"not a job");
    let sent = raw.channel.basic_publish("", queue, options, payload, properties);
    assert!(block_on(async { sent.await?.await }).unwrap().is_ack());
}

pub(crate) fn a_reason_that_does_not_fit_is_cut(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "large-headers").build().unwrap();
    block_on(worker.declare()).unwrap();
    // A frame has 131,072 bytes.
    for (room, is_there) in [(6000, true), (300, true), (120, true), (50, false)] {
        let mut headers = FieldTable::default();
        let value = "x".repeat(131_072 - 22 - 4 - 5 - 6 - room);
        headers.insert("large".into(), AMQPValue::LongString(value.into()));
        put_no_job(&raw, "large-headers", headers);
        let stop = until_ready(server.url(), "large-headers.dead", 1);
        let summary = block_on(worker.run(&Flow::<u32>::identity(), stop)).unwrap();
        assert_eq!(summary.rejected, 1);
        let letter = raw.take_all("large-headers.dead").remove(0);
        let headers = letter.properties.headers().as_ref().unwrap();
        assert!(headers.contains_key("large"));
        assert_eq!(headers.contains_key("x-flowlet-reason"), is_there);
        if is_there {
            let reason = header(&letter, "x-flowlet-reason");
            assert!(reason.starts_with("not a job") || reason == "…", "{reason}");
        }
    }
}

pub(crate) fn a_dead_letter_does_not_feed_itself(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "feeds").build().unwrap();
    block_on(worker.declare()).unwrap();
    let mut headers = FieldTable::default();
    let mut queues = FieldArray::default();
    queues.push(AMQPValue::LongString("feeds".into()));
    headers.insert("CC".into(), AMQPValue::FieldArray(queues));
    put_no_job(&raw, "feeds", headers);
    let stop = async {
        until_ready(server.url(), "feeds.dead", 1).await;
        // What it feeds is there by the time that a job after it is done.
        raw.put("feeds", [b"1".to_vec()]);
        until_ready(server.url(), "feeds-outputs", 1).await;
        async_io::Timer::after(Duration::from_millis(100)).await;
    };
    let worker = Worker::builder(server.url(), "feeds").output("feeds-outputs").build().unwrap();
    block_on(worker.declare()).unwrap();
    block_on(worker.run(&Flow::<u32>::identity(), stop)).unwrap();
    assert_eq!((raw.ready("feeds"), raw.ready("feeds.dead")), (0, 1));
}
