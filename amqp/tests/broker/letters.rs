//! Dead letters: to look at them, to replay and to drop them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use flowlet::Flow;
use flowlet_amqp::{Error, Letter, Letters, Queue, Verdict, Worker};
use futures_lite::future::block_on;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};

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

pub(crate) fn looking_writes_nothing_however_often(server: &mut Server) {
    let raw = rejects(server, "looks", 3);
    // One that has no room for another.
    let refuse = AMQPValue::LongString("reject-publish".into());
    raw.declare(
        "full-looks",
        &[("x-max-length", AMQPValue::LongLongInt(3)), ("x-overflow", refuse)],
    );
    raw.put("full-looks", (0..3).map(|n: u32| n.to_string().into_bytes()));
    server.control(&["add_user", "looker", "looker"]);
    server.control(&["set_permissions", "looker", "", "", ".*"]);
    let url = server.url().replace("guest:guest", "looker:looker");
    for (queue, looks) in [("looks.dead", 25), ("full-looks", 15)] {
        let letters = Letters::new(url.as_str(), queue).unwrap();
        for look in 0..looks {
            let mut seen = Vec::new();
            let decide = |letter: &Letter| {
                seen.push(number(letter));
                Verdict::Keep
            };
            let tally = block_on(letters.visit(1000, decide)).unwrap();
            seen.sort_unstable();
            assert_eq!((tally.kept, &*seen), (3, &[0, 1, 2][..]), "look {look} at {queue}");
        }
        raw.until_ready(queue, 3);
        for letter in raw.take_all(queue) {
            // Copies would be counted anew.
            let headers = letter.properties.headers().as_ref().unwrap().inner();
            let count = headers.get("x-delivery-count").and_then(AMQPValue::as_long_long_int);
            assert_eq!(count, Some(looks), "{:?}", letter.properties);
        }
    }
    server.control(&["delete_user", "looker"]);
}

pub(crate) fn dead_letters_have_no_limit_of_looks_unless_they_were_there(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    raw.declare("limitless-before.dead", &[]);
    for name in ["limitless", "limitless-before"] {
        let worker = Worker::builder(server.url(), name).build().unwrap();
        // The second time it is there, with what it was declared with.
        block_on(worker.declare()).unwrap();
        block_on(worker.declare()).unwrap();
    }
    let queues = server.control(&["list_queues", "name", "arguments"]);
    let limit = |name: &str| {
        let line = queues.lines().find(|line| line.split('\t').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name}: {queues}"));
        line.contains("x-delivery-limit").then(|| line.contains("2147483647"))
    };
    assert_eq!([limit("limitless.dead"), limit("limitless-before.dead")], [Some(true), None]);
}

pub(crate) fn a_full_queue_ends_a_replay_and_nothing_is_lost(server: &mut Server) {
    let raw = rejects(server, "many", 20);
    let refuse = AMQPValue::LongString("reject-publish".into());
    let arguments = [("x-max-length", AMQPValue::LongLongInt(5)), ("x-overflow", refuse)];
    let arguments = arguments.into_iter().map(|(name, value)| (name.into(), value));
    let arguments = FieldTable::from(arguments.collect::<BTreeMap<ShortString, AMQPValue>>());
    // Of the kind that refuses at once.
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    block_on(raw.channel.queue_declare("few", options, arguments)).unwrap();
    let letters = Letters::new(server.url(), "many.dead").unwrap();
    let error = block_on(letters.visit(1000, |letter| match number(letter) % 2 {
        0 => Verdict::ReplayTo("few".into()),
        _ => Verdict::Keep,
    }));
    let error = error.unwrap_err();
    let Error::Unconfirmed { queue, replayed } = &error else { panic!("{error}") };
    assert_eq!((&**queue, *replayed), ("few", 5));
    let text = error.to_string();
    assert!(text.contains("\"few\"") && text.contains("5 were replayed"), "{text}");
    raw.until_ready("many.dead", 15);
    let all = raw.take_all("few").into_iter().chain(raw.take_all("many.dead"));
    let number = |job: lapin::message::Delivery| serde_json::from_slice::<u32>(&job.data).unwrap();
    let mut all: Vec<u32> = all.map(number).collect();
    all.sort_unstable();
    assert!((0..20).eq(all.iter().copied()), "{all:?}");
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
    let (code, list, summary) = tool(&["--amqp", &url, "--limit", "2", "list", "tool.dead"]);
    assert_eq!((code, list.lines().count()), (Some(0), 2), "{summary}");
    let (code, _, error) = tool(&["--amqp", &url, "look", "tool.dead"]);
    assert_eq!(code, Some(2), "{error}");
}

pub(crate) fn the_tool_says_which_broker_failed_without_the_password(server: &mut Server) {
    let list = |url: &str| {
        let program = env!("CARGO_BIN_EXE_flowlet-amqp");
        let mut list = Command::new(program);
        list.args(["list", "jobs", "--amqp", url]).stdout(Stdio::null()).stderr(Stdio::piped());
        list.spawn().unwrap()
    };
    let port = server.port();
    let listed = [
        (format!("amqp://secret:secret@127.0.0.1:{port}"), &*format!("127.0.0.1:{port}")),
        ("amqp://secret:secret@127.0.0.1:1/%2f".into(), "127.0.0.1:1"),
        ("amqp://secret:secret@[::1]:1".into(), "[::1]:1"),
        // The password has a slash in it, so its beginning looks like a port.
        ("amqp://secret:12/secret@host".into(), ""),
    ]
    // At the same time, as some wait for a broker.
    .map(|(url, address)| (list(&url), address.to_owned()));
    for (list, address) in listed {
        let output = list.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(&address) && error.contains("--amqp or AMQP_URL"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
