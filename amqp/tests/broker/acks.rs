//! A job is acked when the broker has confirmed all that came of it, and not before: seen on the wire,
//! where confirms are held back, and connections cut at the worst moments.

use std::collections::BTreeMap;
use std::thread;

use flowlet::Flow;
use flowlet_amqp::{Summary, Worker};
use futures_lite::future::block_on;

use crate::job::{Done, Job, What};
use crate::process::queues;
use crate::proxy::{Cut, Proxy};
use crate::raw::{Raw, header};
use crate::server::Server;
use crate::wait::until;

/// A worker in a thread, whose connections are seen.
struct Watched {
    proxy: Proxy,
    raw: Raw,
    name: String,
    stop: async_channel::Sender<()>,
    run: thread::JoinHandle<Summary>,
}

impl Watched {
    /// Puts jobs into a queue, does `prepare`, and has a worker do all of them at once.
    fn start(
        server: &Server,
        name: &str,
        jobs: Vec<Job>,
        outputs: usize,
        prepare: impl FnOnce(&Proxy),
    ) -> Self {
        let proxy = Proxy::start(server.port(), outputs);
        prepare(&proxy);
        let (queue, output) = queues(name, 20);
        let worker = Worker::builder(proxy.url(), queue)
            .output(output)
            .concurrency(jobs.len())
            .tries(1)
            .build()
            .unwrap();
        block_on(worker.declare()).unwrap();
        let raw = Raw::connect(&server.url());
        raw.put_jobs(&format!("{name}-jobs"), jobs);
        let flow = Flow::<Job>::identity().map_concurrent(1, Job::run).flat_map_concurrent(
            1,
            move |done: Result<Done, String>| {
                let id = done.as_ref().map(|done| done.id);
                let more = id.into_iter().flat_map(move |id| (1..outputs).map(move |_| id));
                let more: Vec<Result<Done, String>> = more.map(|id| Ok(Done { id })).collect();
                std::iter::once(done).chain(more)
            },
        );
        let (stop, told) = async_channel::bounded::<()>(1);
        let run = thread::spawn(move || {
            block_on(worker.try_run(&flow, async move { told.recv().await })).unwrap()
        });
        Self { proxy, raw, name: name.to_owned(), stop, run }
    }

    fn queue(&self, kind: &str) -> String {
        format!("{}-{kind}", self.name)
    }

    /// Has the worker say that it wants no more jobs, and waits until that has passed: what it said
    /// before has passed as well.
    fn stop(&self) {
        let before = self.proxy.look(|state| state.cancelled);
        self.stop.close();
        until(|| "the end of the consumer", || self.proxy.look(|state| state.cancelled) > before);
    }

    fn acked(&self) -> BTreeMap<u64, usize> {
        self.proxy.look(|state| state.acked.clone())
    }

    fn end(self) -> (Summary, BTreeMap<u64, usize>, Raw) {
        let summary = self.run.join().unwrap();
        self.proxy.check();
        let acked = self.proxy.look(|state| state.acked.clone());
        (summary, acked, self.raw)
    }
}

fn waits(jobs: u64) -> Vec<Job> {
    (0..jobs).map(|id| Job::new(id, What::Wait(0))).collect()
}

fn once_each(ids: std::ops::Range<u64>) -> BTreeMap<u64, usize> {
    ids.map(|id| (id, 1)).collect()
}

pub(crate) fn no_job_is_acked_before_all_its_outputs_are_confirmed(server: &mut Server) {
    // All confirms are held back, or the last of those that a job waits for.
    for (jobs, outputs, permits) in [(8, 1, 0), (1, 3, 2), (4, 3, 3)] {
        let name = format!("held-{jobs}-{outputs}");
        let watched =
            Watched::start(server, &name, waits(jobs), outputs, |proxy| proxy.permit(permits));
        // The broker has all outputs, the worker nothing left to do but to wait.
        watched.raw.until_ready(&watched.queue("outputs"), jobs as u32 * outputs as u32);
        watched.stop();
        let acked = watched.acked().len();
        assert!(acked <= permits / outputs, "{acked} of {jobs} were acked");
        watched.proxy.permit_all();
        let (summary, acked, _) = watched.end();
        assert_eq!((summary.done, summary.rejected, summary.lost), (jobs, 0, 0));
        assert_eq!(acked, once_each(0..jobs));
    }
}

pub(crate) fn no_job_is_rejected_before_its_dead_letter_is_confirmed(server: &mut Server) {
    let jobs = (0..8).map(|id| Job::new(id, if id < 4 { What::Fail } else { What::Panic }));
    let watched = Watched::start(server, "held-dead", jobs.collect(), 1, |proxy| proxy.permit(0));
    watched.raw.until_ready("held-dead-jobs.dead", 8);
    watched.stop();
    assert_eq!(watched.acked().len(), 0);
    watched.proxy.permit_all();
    let (summary, acked, raw) = watched.end();
    assert_eq!((summary.done, summary.rejected, summary.lost), (0, 8, 0));
    assert_eq!(acked, once_each(0..8));
    for letter in raw.take_all("held-dead-jobs.dead") {
        assert_ne!(header(&letter, "x-flowlet-reason"), "");
    }
}

pub(crate) fn a_connection_that_is_cut_around_a_confirm_loses_nothing(server: &mut Server) {
    const JOBS: u64 = 20;
    for (number, cut) in [
        // Only what was published is in doubt: it is published once more.
        Cut::BeforeConfirm { all: false },
        Cut::BeforeConfirm { all: true },
        Cut::BeforeAck { all: false },
        Cut::BeforeAck { all: true },
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("cut-{number}");
        let watched = Watched::start(server, &name, waits(JOBS), 1, |proxy| proxy.cut(cut));
        until(|| "the cut", || watched.proxy.has_cut());
        let left = || server.messages(&watched.queue("jobs"));
        until(|| format!("no job left, of {}", left()), || left() == 0);
        watched.stop();
        let (summary, acked, raw) = watched.end();
        println!("  {cut:?}: {summary}");
        assert!((0..JOBS).eq(acked.into_keys()));
        // An ack that did not arrive was given all the same.
        assert!(summary.done >= JOBS);
        match cut {
            Cut::BeforeConfirm { all } => assert_eq!(summary.lost > 0, all),
            Cut::BeforeAck { .. } => {}
        }
        let outputs = raw.take_outputs(&format!("{name}-outputs"));
        assert!((0..JOBS).eq(outputs.keys().copied()));
        // One at least was in doubt.
        assert!(outputs.values().any(|count| *count > 1), "{outputs:?}");
        assert_eq!(raw.ready(&format!("{name}-jobs.dead")), 0);
    }
}
