//! Dead letters: to look at them, to replay and to drop them.

use std::collections::BTreeSet;
use std::process::Command;

use flowlet::Flow;
use flowlet_amqp::{Error, Letter, Letters, Queue, Verdict, Worker};
use futures_lite::future::block_on;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldArray, FieldTable};

use crate::failures::until_ready;
use crate::raw::Raw;
use crate::server::Server;

fn number(letter: &Letter) -> u32 {
    serde_json::from_slice(letter.payload()).unwrap()
}

/// Rejects all jobs up to a number.
fn rejects(server: &Server, name: &'static str, jobs: u32) -> Raw {
    let worker = Worker::builder(server.url(), name).tries(1).build().unwrap();
    block_on(worker.declare()).unwrap();
    let raw = Raw::connect(&server.url());
    raw.put(name, (0..jobs).map(|n| n.to_string().into_bytes()));
    let flow = Flow::<u32>::identity().map(|n| Err::<u32, _>(format!("{n} is broken\nbadly")));
    let dead = format!("{name}.dead").leak();
    block_on(worker.try_run(&flow, until_ready(server.url(), dead, jobs))).unwrap();
    raw
}

pub(crate) fn each_is_kept_replayed_or_dropped(server: &mut Server) {
    let raw = rejects(server, "letters", 30);
    let letters = Letters::new(server.url(), "letters.dead").unwrap();
    let mut seen = BTreeSet::new();
    let decide = |letter: &Letter| {
        let n = number(letter);
        assert!(seen.insert(n), "{n} is shown twice");
        assert_eq!(letter.origin(), Some("letters"));
        assert_eq!(letter.reason(), Some(&*format!("{n} is broken\nbadly")));
        assert_eq!(letter.id(), Some(&*n.to_string()));
        match n % 3 {
            0 => Verdict::Keep,
            1 => Verdict::Replay,
            _ => Verdict::Drop,
        }
    };
    let tally = block_on(letters.visit(1000, decide)).unwrap();
    assert_eq!((tally.kept, tally.replayed, tally.dropped), (10, 10, 10));
    assert!((0..30).eq(seen));
    raw.until_ready("letters.dead", 10);
    let replayed = raw.take_all("letters");
    assert_eq!(replayed.len(), 10);
    for job in &replayed {
        let headers = job.properties.headers().as_ref().map_or(0, |headers| headers.inner().len());
        assert_eq!(headers, 0, "{:?}", job.properties);
        assert!(job.properties.message_id().is_some());
    }
    // However often one looks, nothing of it goes.
    for _ in 0..25 {
        let tally = block_on(letters.visit(7, |_| Verdict::Keep)).unwrap();
        assert_eq!(tally.kept, 7);
    }
    let kept = raw.take_all("letters.dead");
    let kept = kept.iter().map(|letter| serde_json::from_slice::<u32>(&letter.data).unwrap());
    assert!((0..30).step_by(3).eq(kept.collect::<BTreeSet<_>>()));
}

pub(crate) fn one_that_the_broker_moved_is_replayed_without_its_marks(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let jobs = Queue::new("moved").delivery_limit(0);
    let worker = Worker::builder(server.url(), jobs).prefetch(1).build().unwrap();
    block_on(worker.declare()).unwrap();
    // Someone publishes what would feed itself if it was copied as it is.
    let mut headers = FieldTable::default();
    let mut copies = FieldArray::default();
    copies.push(AMQPValue::LongString("moved-copies".into()));
    headers.insert("CC".into(), AMQPValue::FieldArray(copies));
    headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(2));
    headers.insert("theirs".into(), AMQPValue::Boolean(true));
    let properties = BasicProperties::default().with_headers(headers);
    let options = BasicPublishOptions::default();
    let published = raw.channel.basic_publish("", "moved", options, b"1", properties);
    block_on(async { published.await.unwrap().await.unwrap() });
    let mut deliveries = worker.deliveries::<u32>(std::future::pending::<()>());
    block_on(async {
        use futures_lite::StreamExt;
        drop(deliveries.next().await.unwrap().unwrap());
        deliveries.close().await;
    });
    raw.until_ready("moved.dead", 1);
    raw.declare("moved-elsewhere", &[]);
    raw.declare("moved-copies", &[]);
    let letters = Letters::new(server.url(), "moved.dead").unwrap();
    let look = |letter: &Letter| {
        assert_eq!((letter.reason(), letter.origin()), (Some("delivery_limit"), Some("moved")));
        Verdict::ReplayTo("moved-elsewhere".into())
    };
    assert_eq!(block_on(letters.visit(10, look)).unwrap().replayed, 1);
    let jobs = raw.take_all("moved-elsewhere");
    let headers = jobs[0].properties.headers().as_ref().unwrap().inner();
    let names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["theirs"]);
    assert_eq!(raw.ready("moved-copies") + raw.ready("moved.dead"), 0);
}

pub(crate) fn what_cannot_be_replayed_stays(server: &mut Server) {
    let raw = rejects(server, "unreplayed", 3);
    let letters = Letters::new(server.url(), "unreplayed.dead").unwrap();
    let to_nowhere = |_: &Letter| Verdict::ReplayTo("no-such-queue".into());
    let error = block_on(letters.visit(10, to_nowhere)).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    raw.until_ready("unreplayed.dead", 3);
    raw.put("unreplayed", [b"1".to_vec()]);
    let of_nobody = Letters::new(server.url(), "unreplayed").unwrap();
    let error = block_on(of_nobody.visit(10, |_| Verdict::Replay)).unwrap_err();
    assert!(matches!(error, Error::NoOrigin), "{error}");
    raw.until_ready("unreplayed", 1);
}

pub(crate) fn the_tool_lists_replays_and_drops(server: &mut Server) {
    let raw = rejects(server, "tool", 12);
    let url = server.url();
    let tool = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_flowlet-amqp");
        let output = Command::new(program).args(arguments).env("AMQP_URL", &url).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, list, summary) = tool(&["list", "tool.dead"]);
    assert_eq!((code, list.lines().count()), (Some(0), 12), "{summary}");
    assert!(list.contains("3\ttool\t1 bytes\t3 is broken\n"), "{list}");
    let (code, shown, _) = tool(&["show", "tool.dead", "--id", "3"]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("x-flowlet-reason") && shown.contains("\n3\n"), "{shown}");
    let (code, _, summary) = tool(&["replay", "tool.dead", "--reason", "1 is broken"]);
    assert_eq!((code, &*summary), (Some(0), "tool.dead: 10 kept, 2 replayed, 0 dropped\n"));
    raw.until_ready("tool", 2);
    let (code, ..) = tool(&["drop", "tool.dead"]);
    assert_eq!(code, Some(2));
    let (code, _, summary) = tool(&["drop", "tool.dead", "--all", "--limit", "4"]);
    assert_eq!((code, &*summary), (Some(0), "tool.dead: 0 kept, 0 replayed, 4 dropped\n"));
    raw.until_ready("tool.dead", 6);
    let (code, _, error) = tool(&["list", "no-such-queue"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no queue 'no-such-queue'"), "{error}");
}
