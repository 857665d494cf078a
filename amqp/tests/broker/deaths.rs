//! Workers that die, at many moments.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use flowlet::Flow;
use flowlet_amqp::{Queue, Worker};
use futures_lite::future::block_on;
use lapin::types::AMQPValue;

use crate::job::{self, Job, What};
use crate::process::{Process, Settings, queues};
use crate::raw::{Raw, header};
use crate::server::Server;
use crate::threads;
use crate::wait::until;

pub(crate) const JOBS: u64 = 10_000;

/// How many workers are killed meanwhile.
const KILLS: u64 = 5;

/// Declares the queues of a test and fills the first.
pub(crate) fn fill(
    server: &Server,
    name: &str,
    limit: u32,
    jobs: impl IntoIterator<Item = Job>,
) -> Raw {
    let (queue, outputs) = queues(name, limit);
    let worker = Worker::builder(server.url(), queue).output(outputs).build().unwrap();
    block_on(worker.declare()).unwrap();
    let raw = Raw::connect(&server.url());
    raw.put_jobs(&format!("{name}-jobs"), jobs);
    raw
}

pub(crate) fn waits(ids: Range<u64>, time: u64) -> impl Iterator<Item = Job> {
    ids.map(move |id| Job::new(id, What::Wait(time)))
}

pub(crate) fn settings<'a>(url: &'a str, name: &'a str) -> Settings<'a> {
    Settings { url, name, concurrency: 32, heartbeat: 60, delivery_limit: 20 }
}

/// How many workers take jobs from a queue, as the broker sees it.
fn consumers(server: &Server, queue: &str) -> usize {
    let consumers = server.control(&["list_consumers", "--no-table-headers", "queue_name"]);
    consumers.lines().filter(|line| line.trim() == queue).count()
}

/// Waits until no worker has a job any more, and none waits for one.
fn until_done(server: &Server, raw: &Raw, queue: &str) {
    let what = || format!("an empty {queue}, which has {}", server.messages(queue));
    let mut quiet = 0;
    until(what, || {
        // The second is not of this very moment.
        let is_quiet = raw.ready(queue) == 0 && server.messages(queue) == 0;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        thread::sleep(Duration::from_millis(100));
        quiet == 3
    });
}

/// All jobs' outputs are there, and which are there more often is told.
pub(crate) fn check(
    name: &str,
    outputs: &BTreeMap<u64, usize>,
    expected: impl Iterator<Item = u64>,
) {
    let missing: Vec<u64> = expected.filter(|id| !outputs.contains_key(id)).collect();
    assert!(
        missing.is_empty(),
        "{} jobs are lost, of which the first {}",
        missing.len(),
        missing[0]
    );
    let duplicates: usize = outputs.values().map(|count| count - 1).sum();
    println!("  {name}: {} jobs done, {duplicates} outputs twice", outputs.len());
}

pub(crate) fn a_job_of_a_killed_worker_is_redelivered_at_once(server: &mut Server) {
    for (signal, heartbeat) in [("-KILL", 60), ("-STOP", 3)] {
        let name = format!("hang{signal}");
        let file = env::temp_dir().join(format!("flowlet-amqp-{}{signal}", std::process::id()));
        let raw = fill(server, &name, 20, [Job::new(0, What::HangOnce(file.clone()))]);
        let url = server.url();
        let settings = Settings { heartbeat, ..settings(&url, &name) };
        let first = Process::start(&settings, 0);
        until(|| "the first worker's start", || file.exists());
        // It waits beside for when there is something to do.
        let second = Process::start(&settings, 1);
        until(|| "two consumers", || consumers(server, &format!("{name}-jobs")) == 2);
        first.signal(signal);
        let begun = Instant::now();
        raw.until_ready(&format!("{name}-outputs"), 1);
        println!("  done by another {:.0?} after kill {signal}", begun.elapsed());
        until_done(server, &raw, &format!("{name}-jobs"));
        assert!(second.stop().starts_with("1 jobs done"));
        fs::remove_file(file).unwrap();
    }
}

pub(crate) fn workers_that_are_killed_lose_nothing(server: &mut Server) {
    for seed in [1, 2, 3] {
        let mut dice = fastrand::Rng::with_seed(seed);
        let name = format!("killed-{seed}");
        let raw = fill(server, &name, 20, waits(0..JOBS, 5));
        let url = server.url();
        let settings = settings(&url, &name);
        let mut workers: Vec<Process> =
            (0..3).map(|number| Process::start(&settings, number)).collect();
        let outputs = format!("{name}-outputs");
        for kill in 1..=KILLS {
            raw.until_ready(&outputs, (kill * JOBS / (KILLS + 1)) as u32);
            thread::sleep(Duration::from_micros(dice.u64(..20_000)));
            // Dropped is killed.
            drop(workers.swap_remove(dice.usize(..workers.len())));
            workers.push(Process::start(&settings, 2 + kill as usize));
        }
        until_done(server, &raw, &format!("{name}-jobs"));
        workers.into_iter().for_each(|worker| drop(worker.stop()));
        check(&format!("seed {seed}, {KILLS} kills"), &raw.take_outputs(&outputs), 0..JOBS);
        assert_eq!(raw.ready(&format!("{name}-jobs.dead")), 0);
    }
}

pub(crate) fn a_worker_that_is_stopped_loses_its_jobs_to_others(server: &mut Server) {
    let name = "stopped";
    let raw = fill(server, name, 20, waits(0..JOBS, 80));
    let url = server.url();
    let settings = Settings { heartbeat: 3, ..settings(&url, name) };
    // The first has jobs for sure, and still has some when the other is there.
    let mut workers = vec![Process::start(&settings, 0)];
    raw.until_ready("stopped-outputs", 1000);
    workers.push(Process::start(&settings, 1));
    until(|| "two consumers", || consumers(server, "stopped-jobs") == 2);
    workers[0].signal("-STOP");
    thread::sleep(Duration::from_secs(10));
    // A busy broker may take longer to find out.
    until(|| "one consumer", || consumers(server, "stopped-jobs") == 1);
    workers[0].signal("-CONT");
    until_done(server, &raw, "stopped-jobs");
    let ends: Vec<String> = workers.into_iter().map(Process::stop).collect();
    println!("  {}", ends.join("; "));
    assert!(!ends[0].ends_with(" 0 lost with their connection"));
    check("stopped for 10 s", &raw.take_outputs("stopped-outputs"), 0..JOBS);
    assert_eq!(raw.ready("stopped-jobs.dead"), 0);
}

pub(crate) fn a_job_that_aborts_takes_no_other_along(server: &mut Server) {
    let name = "aborts";
    let limit = 20;
    // In the midst of others, and the last they are prefetched with.
    let jobs =
        (0..1000).map(|id| Job::new(id, if id == 20 { What::Abort } else { What::Wait(20) }));
    let raw = fill(server, name, limit, jobs);
    let url = server.url();
    let settings = Settings { delivery_limit: limit, ..settings(&url, name) };
    let mut starts = 2;
    let mut workers: Vec<Process> =
        (0..starts).map(|number| Process::start(&settings, number)).collect();
    // As a supervisor does.
    until(
        || "an empty queue",
        || {
            for worker in &mut workers {
                if worker.has_ended() {
                    *worker = Process::start(&settings, starts);
                    starts += 1;
                }
            }
            raw.ready("aborts-jobs") == 0 && server.messages("aborts-jobs") == 0
        },
    );
    // The last death was the last of the job, and need not have been seen.
    workers.retain_mut(|worker| !worker.has_ended());
    workers.into_iter().for_each(|worker| drop(worker.stop()));
    check("one that aborts", &raw.take_outputs("aborts-outputs"), (0..1000).filter(|id| *id != 20));
    println!("  it took {} workers with it", starts - 2);
    let dead = raw.take_all("aborts-jobs.dead");
    let ids: Vec<u64> =
        dead.iter().map(|job| serde_json::from_slice::<Job>(&job.data).unwrap().id).collect();
    assert_eq!(ids, [20]);
    assert_eq!(header(&dead[0], "x-first-death-reason"), "delivery_limit");
}

pub(crate) fn a_full_output_queue_keeps_jobs_unacked(server: &mut Server) {
    let raw = Raw::connect(&server.url());
    let refuse = AMQPValue::LongString("reject-publish".into());
    let bound = [("x-max-length", AMQPValue::LongLongInt(50)), ("x-overflow", refuse)];
    raw.declare("full-outputs", &bound);
    let worker = Worker::builder(server.url(), "full-jobs")
        .output(Queue::existing("full-outputs"))
        .concurrency(8)
        .build()
        .unwrap();
    let flow = Flow::<u32>::identity();
    block_on(worker.declare()).unwrap();
    raw.put("full-jobs", (0..500).map(|n| n.to_string().into_bytes()));
    let (sender, stop) = async_channel::bounded::<()>(1);
    let check = || {
        raw.until_ready("full-outputs", 50);
        thread::sleep(Duration::from_millis(500));
        let acked = 500 - server.messages("full-jobs");
        let there = u64::from(raw.ready("full-outputs"));
        assert!(acked <= there, "{acked} were acked, of {there} that are there");
        assert!(there < 100, "{there} are there");
        let mut outputs: BTreeMap<u32, usize> = BTreeMap::new();
        until(
            || "500 outputs",
            || {
                for output in raw.take_all("full-outputs") {
                    *outputs.entry(serde_json::from_slice(&output.data).unwrap()).or_default() += 1;
                }
                outputs.len() == 500
            },
        );
        sender.close();
        outputs
    };
    let (summary, outputs) = thread::scope(|scope| {
        let checked = scope.spawn(check);
        let summary = block_on(worker.run(&flow, async move { stop.recv().await })).unwrap();
        (summary, checked.join().unwrap())
    });
    println!("  {summary}, {} outputs", outputs.values().sum::<usize>());
    assert_eq!((summary.done, summary.rejected, summary.lost), (500, 0, 0));
    assert_eq!(raw.ready("full-jobs"), 0);
}

pub(crate) fn connections_that_are_lost_leave_nothing_behind(server: &mut Server) {
    let raw = fill(server, "losses", 1000, []);
    drop(raw);
    let (jobs, outputs) = queues("losses", 1000);
    let worker =
        Worker::builder(server.url(), jobs).output(outputs).concurrency(4).build().unwrap();
    let (sender, stop) = async_channel::bounded::<()>(1);
    let flow = job::flow();
    let direct = || {
        let mut counts = Vec::new();
        for round in 0..6 {
            let raw = Raw::connect(&server.url());
            raw.put_jobs("losses-jobs", waits(round * 10..(round + 1) * 10, 1));
            raw.until_ready("losses-outputs", (round as u32 + 1) * 10);
            drop(raw);
            server.control(&["close_all_connections", "for a test"]);
            counts.push(threads());
        }
        let raw = Raw::connect(&server.url());
        until_done(server, &raw, "losses-jobs");
        sender.close();
        counts
    };
    let (summary, counts) = thread::scope(|scope| {
        let directed = scope.spawn(direct);
        let run = worker.try_run(&flow, async move { stop.recv().await });
        (block_on(run).unwrap(), directed.join().unwrap())
    });
    println!("  {summary}; threads after each loss: {counts:?}");
    assert!(counts[5] <= counts[1] + 4, "{counts:?}");
    let outputs = Raw::connect(&server.url()).take_outputs("losses-outputs");
    check("six losses", &outputs, 0..60);
}
