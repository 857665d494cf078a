//! One flow over several queues, and several queues for one flow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_io::Timer;
use flowlet::Flow;
use flowlet::prelude::*;
use flowlet_amqp::{Broker, Cut, Error, Job, Message, Parts, Publisher, Queue, Shards, Worker};
use futures_lite::FutureExt;
use futures_lite::future::{self, block_on, zip};

use crate::failures::until_ready;
use crate::raw::Raw;
use crate::server::Server;

fn parts(server: &Server, first: &str) -> Parts<u64> {
    let queue = |name: &str| Queue::new(format!("{first}-{name}"));
    let take: Cut<u32> = Parts::take(server.url(), queue("numbers"));
    take.part("split", Flow::identity().flat_map_concurrent(1, |n: u32| vec![n; 3]), |worker| {
        worker
    })
    .queue(queue("copies"))
    .try_part(
        "check",
        // With what came with the jobs, and what goes with the outputs.
        Flow::identity().map(|job: Job<u32>| match *job {
            7 => Err("seven"),
            n => Ok(Message::new(n.to_string()).header("tries", job.tries())),
        }),
        |worker| worker.tries(1).concurrency(4),
    )
    .queue(queue("texts"))
    .part("count", Flow::identity().map(|text: String| text.len() as u64), {
        let output = queue("lengths");
        move |worker| worker.output(output.clone())
    })
}

pub(crate) fn each_part_of_a_flow_runs_by_itself(server: &mut Server) {
    let all = parts(server, "parts");
    assert_eq!(all.names().collect::<Vec<_>>(), ["split", "check", "count"]);
    let error = block_on(all.run("store", future::pending::<()>())).unwrap_err();
    assert!(matches!(error, Error::NoPart(_)), "{error}");
    assert!(error.to_string().contains("\"store\": there are split, check, count"), "{error}");

    let publisher = Publisher::new(server.url()).unwrap();
    block_on(pipe(0..20).through(publisher.publish(10, "parts-numbers"))).unwrap();
    let done = |part: &'static str, queue: &'static str, messages| {
        let stop = until_ready(server.url(), queue, messages);
        block_on(all.run(part, stop)).unwrap()
    };
    assert_eq!(done("split", "parts-copies", 60).done, 20);
    assert_eq!(Raw::connect(&server.url()).ready("parts-numbers"), 0);
    let checked = done("check", "parts-texts", 57);
    // Those that fail may be on their way still.
    assert!(checked.done == 57 && checked.rejected <= 3, "{checked}");
    assert_eq!(done("count", "parts-lengths", 57).done, 57);
}

pub(crate) fn all_parts_of_a_flow_run_in_one_process(server: &mut Server) {
    let all = parts(server, "at-once");
    let publisher = Publisher::new(server.url()).unwrap();
    block_on(pipe(0..20).through(publisher.publish(10, "at-once-numbers"))).unwrap();
    let stop = async {
        until_ready(server.url(), "at-once-lengths", 57).await;
        until_ready(server.url(), "at-once-copies.dead", 3).await;
    };
    let summaries = block_on(all.run_all(stop)).unwrap();
    let done: Vec<u64> = summaries.iter().map(|summary| summary.done).collect();
    assert_eq!((done, summaries[1].rejected), (vec![20, 57, 57], 3));

    // One that cannot run ends the others.
    let raw = Raw::connect(&server.url());
    raw.declare("at-once-other-copies", &[("x-max-length", 1.into())]);
    let error = block_on(parts(server, "at-once-other").run_all(future::pending::<()>()));
    assert!(matches!(error, Err(Error::Refused(_))), "{error:?}");
}

pub(crate) fn jobs_of_a_key_are_done_in_their_order(server: &mut Server) {
    const ENTRIES: u32 = 1200;
    let shards = Shards::new("shards", 4);
    let broker = || Broker::new(server.url()).share_connections();
    let publisher = Publisher::new(broker()).unwrap();
    let senders: Vec<_> = shards.queues().map(|queue| publisher.sender(queue)).collect();
    let key = |n: &u32| n % 30;
    let send = async |n: u32| {
        let key = format!("key {}", key(&n));
        senders[shards.number_of(&key)].send(Message::new(n).header("key", &*key)).await
    };
    let sent = pipe(0..ENTRIES).map_concurrent_by_key(100, key, send).try_drain();

    // Many that work, one after the other. Each is dropped, with jobs that were not answered, or stops.
    let seen = Arc::new(Mutex::new((Vec::new(), BTreeSet::new())));
    let flow = Flow::<u32>::identity().map_concurrent(1, {
        let seen = seen.clone();
        move |n| {
            let seen = seen.clone();
            async move {
                Timer::after(Duration::from_micros(u64::from(n * 7919 % 500))).await;
                let (order, all) = &mut *seen.lock().unwrap();
                order.push(n);
                all.insert(n);
            }
        }
    });
    let until_seen = |count: usize| {
        let seen = seen.clone();
        async move {
            while seen.lock().unwrap().1.len() < count {
                Timer::after(Duration::from_millis(1)).await;
            }
        }
    };
    let work = async |until: usize, stops: bool| {
        let broker = broker();
        let work = async |queue: Queue| {
            let worker = Worker::builder(broker.clone(), queue).concurrency(1).build().unwrap();
            let stop = until_seen(if stops { until } else { usize::MAX });
            worker.run(&flow, stop).await.map(drop)
        };
        let all = pipe(shards.queues()).map_concurrent(4, work).try_drain();
        let dropped = async {
            until_seen(if stops { usize::MAX } else { until }).await;
            Ok(())
        };
        all.or(dropped).await.unwrap();
    };
    let rounds = (1..=12).map(|round: usize| (round * ENTRIES as usize / 12, round % 2 == 0));
    let works = pipe(rounds).map_concurrent(12, |(until, stops)| work(until, stops)).drain();
    let (sent, ()) = block_on(zip(sent, works));
    sent.unwrap();

    let mut last = BTreeMap::new();
    for n in &seen.lock().unwrap().0 {
        // A job may come twice, and then none of its key is between.
        let last = last.entry(key(n)).or_insert(*n);
        assert!(*n == *last || *n == *last + 30, "{n} after {last}");
        *last = *n;
    }
}
