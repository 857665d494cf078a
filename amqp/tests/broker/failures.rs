//! Jobs that fail, and what becomes of them and of their neighbours.

use std::collections::BTreeSet;
use std::future::ready;
use std::time::Duration;

use flowlet::Flow;
use flowlet_amqp::{Broker, Error, Queue, Summary, Worker};
use futures_lite::future::block_on;
use lapin::types::AMQPValue;

use crate::job::{self, Job, What};
use crate::process::queues;
use crate::raw::{Raw, header};
use crate::server::{LARGEST, Server};
use crate::wait::until;

/// Ends when a queue has so many messages to give.
pub(crate) async fn until_ready(url: String, queue: &'static str, messages: u32) {
    blocking::unblock(move || Raw::connect(&url).until_ready(queue, messages)).await;
}

pub(crate) fn outputs_come_with_ids_made_of_the_jobs(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "ids-jobs").output("ids-outputs").build().unwrap();
    // It declares the queues.
    block_on(worker.declare()).unwrap();
    raw.put("ids-jobs", [b"3".to_vec(), b"0".to_vec()]);
    let flow = Flow::<u32>::identity().flat_map_concurrent(1, |n| 0..n);
    let stop = until_ready(server.url(), "ids-outputs", 3);
    let summary = block_on(worker.run(&flow, stop)).unwrap();
    // The job without outputs may have been on its way still.
    assert!((1..=2).contains(&summary.done), "{summary}");
    let outputs = raw.take_all("ids-outputs").into_iter().map(|output| {
        assert_eq!(*output.properties.content_type(), Some("application/json".into()));
        let id = output.properties.message_id().as_ref().unwrap().to_string();
        (id, String::from_utf8(output.data).unwrap())
    });
    let expected = ["0", "1", "2"].map(|n| (format!("0:{n}"), n.to_owned()));
    assert_eq!(outputs.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

pub(crate) fn a_job_that_fails_goes_alone(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let (jobs, outputs) = queues("fail", 20);
    let worker = Worker::builder(server.url(), jobs)
        .output(outputs)
        .retry_after([Duration::from_millis(1)])
        .build()
        .unwrap();
    block_on(worker.declare()).unwrap();

    let number_of = |what: &str| match what {
        "panic" => 10,
        "fail" => 20,
        _ => 30,
    };
    let messages = (0..100).map(|id| {
        let what = match id {
            10 => What::Panic,
            20 => What::Fail,
            30 => return b"{ not a job".to_vec(),
            _ => What::Wait(1),
        };
        serde_json::to_vec(&Job::new(id, what)).unwrap()
    });
    raw.put("fail-jobs", messages);
    let (url, dead_url) = (server.url(), server.url());
    let stop = async {
        until_ready(url, "fail-outputs", 97).await;
        until_ready(dead_url, "fail-jobs.dead", 3).await;
    };
    let summary = block_on(worker.try_run(&job::flow(), stop)).unwrap();
    assert_eq!((summary.done, summary.rejected, summary.lost), (97, 3, 0));

    let outputs = raw.take_outputs("fail-outputs");
    assert!(outputs.values().all(|count| *count == 1));
    assert!((0..100).filter(|id| ![10, 20, 30].contains(id)).eq(outputs.into_keys()));
    let dead = raw.take_all("fail-jobs.dead");
    assert_eq!(dead.len(), 3);
    for (what, reason) in [
        ("panic", "panicked: job 10 is poison"),
        ("fail", "job 20 failed"),
        ("broken", "not a job: key must be a string at line 1 column 3"),
    ] {
        let id = Some(number_of(what).to_string().into());
        let letter = dead.iter().find(|letter| *letter.properties.message_id() == id).unwrap();
        assert_eq!(header(letter, "x-flowlet-reason"), reason);
        assert_eq!(header(letter, "x-flowlet-queue"), "fail-jobs");
        assert!(what != "broken" || letter.data == b"{ not a job");
    }
    assert_eq!(raw.ready("fail-jobs"), 0);
}

pub(crate) fn a_job_that_fails_once_is_tried_again(server: &mut Server) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let raw = Raw::connect(&server.url());
    for (name, tries, is_done) in [("tries-2", 2, false), ("tries-3", 3, true)] {
        let worker = Worker::builder(server.url(), name)
            .tries(tries)
            .retry_after([Duration::from_millis(1)])
            .build()
            .unwrap();
        block_on(worker.declare()).unwrap();
        raw.put(name, [b"7".to_vec()]);
        let (sender, stop) = async_channel::bounded::<()>(1);
        let count = Arc::new(AtomicU32::new(0));
        let counted = count.clone();
        let flow = Flow::<u32>::identity().map_concurrent(1, move |_| {
            let tried = 1 + counted.fetch_add(1, Ordering::Relaxed);
            if tried == tries {
                sender.close();
            }
            async move { if tried < 3 { Err("not yet") } else { Ok(()) } }
        });
        let summary = block_on(worker.try_run(&flow, async move { stop.recv().await })).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), tries);
        assert_eq!((summary.done, summary.rejected), (u64::from(is_done), u64::from(!is_done)));
        assert_eq!(raw.ready(&format!("{name}.dead")), u32::from(!is_done));
    }
}

pub(crate) fn an_output_that_is_too_large_rejects_its_job_alone(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker =
        Worker::builder(server.url(), "large-jobs").output("large-outputs").build().unwrap();
    block_on(worker.declare()).unwrap();
    raw.put("large-jobs", (0..50).map(|n| n.to_string().into_bytes()));
    let text = |n: u32| (n, "x".repeat(if n == 20 { LARGEST } else { 1 }));
    let flow = Flow::<u32>::identity().map_concurrent(1, move |n| ready(text(n)));
    let (url, dead_url) = (server.url(), server.url());
    let stop = async {
        until_ready(dead_url, "large-jobs.dead", 1).await;
        until_ready(url, "large-outputs", 49).await;
    };
    let summary = block_on(worker.run(&flow, stop)).unwrap();
    assert_eq!(summary.rejected, 1);
    let outputs = raw.take_all("large-outputs").into_iter().map(|output| {
        let (n, _): (u32, String) = serde_json::from_slice(&output.data).unwrap();
        n
    });
    // The channel is lost with the large one, so others may be there twice.
    assert!((0..50).filter(|n| *n != 20).eq(outputs.collect::<BTreeSet<_>>()));
    let dead = raw.take_all("large-jobs.dead");
    let reason = header(&dead[0], "x-flowlet-reason");
    assert!(reason.ends_with("bytes is larger than the broker takes"), "{reason}");
    assert_eq!((dead.len(), &dead[0].data[..]), (1, &b"20"[..]));
}

pub(crate) fn dead_letters_go_by_an_exchange(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let name = "by-exchange";
    let jobs = || Queue::new(name).dead_letter_exchange("broken").delivery_limit(1);
    let worker = || Worker::builder(server.url(), jobs()).prefetch(1).build().unwrap();
    let error = block_on(worker().declare()).unwrap_err();
    assert!(error.to_string().contains("no exchange 'broken'"), "{error}");

    raw.exchange("broken");
    block_on(worker().declare()).unwrap();
    // Another queue has them too.
    raw.declare("by-exchange-copies", &[]);
    raw.bind("by-exchange-copies", "broken");
    raw.put(name, [b"not a job".to_vec(), b"1".to_vec()]);
    // One is rejected by us, and one by the broker, when it came back too often.
    let mut deliveries = worker().deliveries::<u32>(std::future::pending::<()>());
    block_on(async {
        use futures_lite::StreamExt;
        for _ in 0..2 {
            drop(deliveries.next().await.unwrap().unwrap());
        }
    });
    for queue in ["by-exchange.dead", "by-exchange-copies"] {
        raw.until_ready(queue, 2);
        let letters = raw.take_all(queue);
        let data: BTreeSet<&[u8]> = letters.iter().map(|letter| &letter.data[..]).collect();
        assert_eq!(data, BTreeSet::from([&b"not a job"[..], b"1"]));
    }
    block_on(deliveries.close());
}

pub(crate) fn what_the_broker_refuses_is_an_error(server: &mut Server) {
    let flow = Flow::<u32>::identity();
    let run = |broker: Broker, jobs: Queue| {
        let worker = Worker::builder(broker, jobs).build().unwrap();
        block_on(worker.run(&flow, std::future::pending::<()>())).unwrap_err()
    };
    let here = || Broker::new(server.url());

    let raw = Raw::connect(&server.url());
    raw.declare("refused", &[("x-max-length", AMQPValue::LongLongInt(1))]);
    let error = run(here(), Queue::new("refused"));
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert!(error.to_string().contains("inequivalent arg"), "{error}");

    let error = run(here(), Queue::existing("refused-and-not-there"));
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert!(error.to_string().contains("no queue"), "{error}");

    let wrong = server.url().replace("guest:guest", "guest:wrong");
    let error = run(Broker::new(wrong), Queue::new("refused"));
    assert!(matches!(error, Error::Refused(_)), "{error:?}");

    let nobody = Broker::new("amqp://127.0.0.1:1").give_up_after(Duration::from_millis(100));
    let error = run(nobody, Queue::new("refused"));
    assert!(matches!(error, Error::GaveUp(_)), "{error}");
}

pub(crate) fn an_output_queue_that_is_deleted_is_declared_again(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let worker = Worker::builder(server.url(), "gone-jobs").output("gone-outputs").build().unwrap();
    let flow = Flow::<u32>::identity();
    block_on(worker.declare()).unwrap();
    raw.put("gone-jobs", [b"1".to_vec()]);
    let url = server.url();
    let stop = async {
        until_ready(url.clone(), "gone-outputs", 1).await;
        blocking::unblock(move || {
            let raw = Raw::connect(&url);
            raw.delete("gone-outputs");
            raw.put("gone-jobs", [b"2".to_vec()]);
            until(|| "gone-outputs", || !server_has_no(&url, "gone-outputs"));
            raw.until_ready("gone-outputs", 1);
        })
        .await;
    };
    let summary: Summary = block_on(worker.run(&flow, stop)).unwrap();
    assert_eq!(summary.done, 2);
    assert_eq!(raw.take_all("gone-outputs")[0].data, b"2");
}

/// To look for a queue that is not there costs the channel.
fn server_has_no(url: &str, queue: &str) -> bool {
    let raw = Raw::connect(url);
    let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    block_on(raw.channel.queue_declare(queue, passive, Default::default())).is_err()
}
