//! What comes with a job, what goes with an output, and single items.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use flowlet::Flow;
use flowlet::prelude::*;
use flowlet_amqp::{Error, Job, Message, Publisher, Worker};
use futures_lite::future::{block_on, zip};
use lapin::options::BasicPublishOptions;
use lapin::types::FieldTable;
use lapin::{BasicProperties, types::AMQPValue};

use crate::failures::until_ready;
use crate::raw::{Raw, header};
use crate::server::Server;

/// A message as other programs publish it.
fn put(raw: &Raw, queue: &str, payload: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    let published = raw.channel.basic_publish("", queue, options, payload, properties);
    block_on(async { published.await.unwrap().await.unwrap() });
}

fn headers<const N: usize>(headers: [(&str, &str); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, text) in headers {
        table.insert(name.into(), AMQPValue::LongString(text.into()));
    }
    table
}

pub(crate) fn a_flow_sees_what_came_with_its_job(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let publisher = Publisher::new(server.url()).unwrap();
    let message = Message::new(7)
        .id("seven")
        .header("text", "a text")
        .header("number", 3)
        .correlation_id("question 7")
        .reply_to("nowhere")
        .kind("a kind")
        .priority(4);
    assert_eq!(block_on(pipe([message]).through(publisher.publish(1, "context"))).unwrap(), 1);

    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    async fn look(job: Job<u32>) -> Result<u32, String> {
        let (headers, tries) = (job.headers(), job.tries());
        SEEN.lock().unwrap().push(format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {} {}",
            job.id(),
            headers.text("text"),
            headers.number("number"),
            job.correlation_id(),
            job.reply_to(),
            job.kind(),
            job.priority(),
            job.redeliveries(),
            job.is_lost(),
            *job + 1,
        ));
        // Passed from stage to stage, with what came with it.
        let job = job.map(|n| n + u32::from(tries == 2));
        if tries < 2 { Err(format!("try {tries}")) } else { Ok(job.into_item()) }
    }
    let flow = Flow::<Job<u32>>::identity().map_concurrent(1, look);
    let worker = Worker::builder(server.url(), "context")
        .output("context-outputs")
        .retry_after(std::time::Duration::from_millis(1));
    let stop = until_ready(server.url(), "context-outputs", 1);
    let summary = block_on(worker.build().unwrap().try_run(&flow, stop)).unwrap();
    assert_eq!((summary.done, summary.rejected), (1, 0), "{summary}");
    let expected = "Some(\"seven\") Some(\"a text\") Some(3) Some(\"question 7\") Some(\"nowhere\") \
                    Some(\"a kind\") Some(4) 0 false 8";
    assert_eq!(SEEN.lock().unwrap()[..], [expected; 3]);
    assert_eq!(raw.take_all("context-outputs")[0].data, b"8");
}

pub(crate) fn a_job_knows_that_its_connection_is_lost(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let publisher = Publisher::new(server.url()).unwrap();
    block_on(publisher.sender("context-lost").send(1)).unwrap();
    let (begun, all_begun) = async_channel::bounded::<()>(1);
    let flow = Flow::<Job<u32>>::identity().map_concurrent(1, move |job: Job<u32>| {
        let begun = begun.clone();
        async move {
            if job.redeliveries() == 0 {
                begun.close();
                job.lost().await;
                assert!(job.is_lost());
            }
            *job
        }
    });
    let worker = Worker::builder(server.url(), "context-lost").output("context-lost-outputs");
    let worker = worker.build().unwrap();
    let stop = async {
        assert!(all_begun.recv().await.is_err());
        server.control(&["close_all_connections", "for a test"]);
        until_ready(server.url(), "context-lost-outputs", 1).await;
    };
    let summary = block_on(worker.run(&flow, stop)).unwrap();
    assert_eq!(summary.lost, 1, "{summary}");
    drop(raw);
}

pub(crate) fn outputs_carry_the_trace_of_their_job_and_what_they_set(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "trace").output("trace-outputs").build().unwrap();
    block_on(worker.declare()).unwrap();
    let trace = [("traceparent", "00-1"), ("tracestate", "a=b"), ("baggage", "c=d"), ("own", "x")];
    let came = BasicProperties::default()
        .with_message_id("1".into())
        .with_correlation_id("question".into())
        .with_reply_to("asker".into())
        .with_headers(headers(trace));
    put(&raw, "trace", b"1", came);
    let flow = Flow::<u32>::identity().flat_map_concurrent(1, |n| {
        let own = Message::new(n).header("traceparent", "00-2").correlation_id("mine").id("mine");
        [Message::new(n), own.priority(9).kind("kind")]
    });
    let stop = until_ready(server.url(), "trace-outputs", 2);
    block_on(worker.run(&flow, stop)).unwrap();
    let outputs = raw.take_all("trace-outputs");
    let is_own = |output: &&lapin::message::Delivery| output.properties.priority().is_some();
    let (own, plain): (Vec<_>, Vec<_>) = outputs.iter().partition(is_own);
    let property = |output: &lapin::message::Delivery| {
        let text = |text: &Option<lapin::types::ShortString>| text.as_ref().unwrap().to_string();
        (text(output.properties.correlation_id()), text(output.properties.message_id()))
    };
    assert_eq!(property(plain[0]), ("question".into(), "1:0".into()));
    assert_eq!(property(own[0]), ("mine".into(), "mine".into()));
    for (output, parent) in [(plain[0], "00-1"), (own[0], "00-2")] {
        assert_eq!(header(output, "traceparent"), parent);
        assert_eq!(header(output, "tracestate"), "a=b");
        assert_eq!(header(output, "baggage"), "c=d");
        let names = output.properties.headers().as_ref().unwrap().inner().len();
        assert_eq!((names, output.properties.reply_to()), (3, &None));
    }
}

pub(crate) fn a_queue_that_is_full_holds_up_no_other(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let refuse = AMQPValue::LongString("reject-publish".into());
    raw.declare(
        "crowd-full",
        &[("x-max-length", AMQPValue::LongLongInt(1)), ("x-overflow", refuse)],
    );
    raw.declare("crowd-free", &[]);
    raw.put("crowd-full", [b"0".to_vec()]);
    let worker = Worker::builder(server.url(), "crowd").concurrency(8);
    let worker = worker.stop_within(Duration::ZERO).build().unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("crowd", (0..100).map(|n| n.to_string().into_bytes()));
    // It takes one or two more than it says.
    let is_for_full = |n: u32| matches!(n, 3..7);
    let flow = Flow::<u32>::identity().map(move |n| {
        Message::new(n).route("", if is_for_full(n) { "crowd-full" } else { "crowd-free" })
    });
    let stop = until_ready(server.url(), "crowd-free", 96);
    let summary = block_on(worker.run(&flow, stop)).unwrap();
    assert!(summary.dropped > 0, "{summary}");
}

pub(crate) fn an_output_goes_where_it_says(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    raw.exchange("fan");
    raw.declare("fan-1", &[]);
    raw.bind("fan-1", "fan");
    let worker = Worker::builder(server.url(), "routes").output("routes-outputs").tries(1);
    let worker = worker.concurrency(20).build().unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("routes", (0..60).map(|n| n.to_string().into_bytes()));
    let flow = Flow::<u32>::identity().map(|n| match n % 3 {
        0 => Message::new(n),
        1 => Message::new(n).route("fan", "any"),
        _ => Message::new(n).route("", "no such queue"),
    });
    let stop = async {
        until_ready(server.url(), "routes-outputs", 20).await;
        until_ready(server.url(), "fan-1", 20).await;
        until_ready(server.url(), "routes.dead", 20).await;
    };
    let summary = block_on(worker.run(&flow, stop)).unwrap();
    assert_eq!((summary.done, summary.rejected), (40, 20), "{summary}");
    for (queue, rest) in [("routes-outputs", 0), ("fan-1", 1), ("routes.dead", 2)] {
        let letters = raw.take_all(queue);
        if rest == 2 {
            assert!(header(&letters[0], "x-flowlet-reason").contains("routing key"));
        }
        let items = letters.iter().map(|letter| serde_json::from_slice::<u32>(&letter.data));
        let items: BTreeSet<u32> = items.map(Result::unwrap).collect();
        assert!((0..60).filter(|n| n % 3 == rest).eq(items), "{queue}");
    }

    let publisher = Publisher::new(server.url()).unwrap();
    let items = [Message::new(1).route("fan", ""), Message::new(2).route("", "no such queue")];
    let error = block_on(pipe(items).through(publisher.publish(1, "routes"))).unwrap_err();
    assert!(matches!(error, Error::Unroutable), "{error}");
    assert_eq!(raw.take_all("fan-1").len(), 1);
}

pub(crate) fn answers_go_to_those_who_ask(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    raw.declare("answers", &[]);
    let worker = Worker::builder(server.url(), "questions").output("no-questions").reply();
    let worker = worker.build().unwrap();
    block_on(worker.declare()).unwrap();
    for (question, reply_to) in [(1, Some("answers")), (2, Some("gone")), (3, None)] {
        let mut properties =
            BasicProperties::default().with_correlation_id(format!("question {question}").into());
        if let Some(queue) = reply_to {
            properties = properties.with_reply_to(queue.into());
        }
        put(&raw, "questions", question.to_string().as_bytes(), properties);
    }
    let stop = async {
        until_ready(server.url(), "answers", 1).await;
        until_ready(server.url(), "no-questions", 1).await;
    };
    let flow = Flow::<u32>::identity().map(|n| 10 * n);
    let summary = block_on(worker.run(&flow, stop)).unwrap();
    // The second may have been given back.
    assert!((2..=3).contains(&summary.done) && summary.rejected == 0, "{summary}");
    for (queue, number) in [("answers", 1), ("no-questions", 3)] {
        let answers = raw.take_all(queue);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].data, (10 * number).to_string().into_bytes());
        let id = answers[0].properties.correlation_id().as_ref().unwrap();
        assert_eq!(id.as_str(), format!("question {number}"));
    }
}

pub(crate) fn single_items_are_confirmed(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let sender = Publisher::new(server.url()).unwrap().sender("single");
    block_on(sender.send("first")).unwrap();
    assert_eq!(raw.ready("single"), 1);
    // From many places at once, on one connection, over its loss.
    let threads = super::threads();
    let send = async |n: u32| sender.clone().send(Message::new(n).header("n", n)).await;
    let sent = pipe(0..500).map_concurrent(50, send).try_drain();
    let lose = blocking::unblock({
        let url = server.url();
        move || Raw::connect(&url).until_ready("single", 100)
    });
    let lose = async {
        lose.await;
        let threads = super::threads();
        server.control(&["close_all_connections", "for a test"]);
        threads
    };
    let (sent, most) = block_on(zip(sent, lose));
    sent.unwrap();
    assert!(most <= threads + 10, "{threads} threads, and {most}");
    let raw = Raw::connect(&server.url());
    let items = raw.take_all("single");
    let numbers = items.iter().filter_map(|item| serde_json::from_slice::<u32>(&item.data).ok());
    assert!((0..500).eq(numbers.collect::<BTreeSet<_>>()));
    block_on(sender.close());
    let error = block_on(sender.send(std::collections::BTreeMap::from([((1, 2), 3)])));
    assert!(matches!(error, Err(Error::Encode(_))), "{error:?}");
}
