//! A broker that is killed, as by a power failure, and comes back.
//!
//! What is promised is that nothing is lost *by us*: a job is acked only when the broker has said that
//! its outputs are safe. A broker of one node does not always keep its own word: of RabbitMQ 3.10 a queue
//! now and then does not come back, or comes back empty. The proxy between has every word of both on
//! record, so whose loss it was is no matter of opinion: if the broker has less than it confirmed, that
//! is said, and another one is taken. Anything else is a failure, and so is a broker that always forgets.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::{Duration, Instant};

use crate::deaths::{JOBS, check, fill, settings, waits};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::raw::Raw;
use crate::server::Server;
use crate::wait::until;

/// How many brokers may forget what they confirmed.
const BROKERS: usize = 4;

const QUEUE: &str = "dead-broker-jobs";
const OUTPUTS: &str = "dead-broker-outputs";
const DEAD: &str = "dead-broker-jobs.dead";

/// What a broker did not keep.
struct Forgot(String);

pub(crate) fn a_broker_that_is_killed_loses_nothing() {
    for number in 1..=BROKERS {
        match kill_one() {
            Ok(()) => return,
            Err(Forgot(what)) => {
                println!("  BROKER {number} DID NOT KEEP WHAT IT HAD CONFIRMED: {what}");
            }
        }
    }
    panic!("none of {BROKERS} brokers kept what it had confirmed");
}

fn kill_one() -> Result<(), Forgot> {
    let mut server = Server::start();
    // The producer has the broker's word on all jobs.
    drop(fill(&server, "dead-broker", 20, waits(0..JOBS, 5)));
    let proxy = Proxy::start(server.port(), 1);
    let outcome = catch_unwind(AssertUnwindSafe(|| kill_twice(&mut server, &proxy)));
    // Whatever the broker did: this is ours.
    proxy.check();
    let outputs = match outcome {
        Ok(outputs) => outputs?,
        Err(panic) => {
            // There are no workers any more.
            audit(&server, &proxy)?;
            resume_unwind(panic)
        }
    };
    kept(&proxy, &outputs)?;
    check("two kills of the broker", &outputs, 0..JOBS);
    Ok(())
}

/// Kills the broker while workers work, and returns what outputs there are when all is done.
fn kill_twice(server: &mut Server, proxy: &Proxy) -> Result<BTreeMap<u64, usize>, Forgot> {
    let url = proxy.url();
    let settings = settings(&url, "dead-broker");
    let workers: Vec<Process> = (0..4).map(|number| Process::start(&settings, number)).collect();
    for (part, is_asked_first) in [(1, true), (2, false)] {
        let confirmed = || proxy.look(|state| state.confirmed.values().sum::<usize>() as u64);
        until(|| format!("outputs, of which {}", confirmed()), || confirmed() >= part * JOBS / 4);
        server.kill();
        let begun = Instant::now();
        let refused = || proxy.look(|state| state.refused);
        let before = refused();
        until(|| "workers that look for it", || refused() >= before + 8);
        // Once it is asked what it has before anyone takes anything from it, and once the workers are
        // there as soon as it is.
        proxy.shut(is_asked_first);
        let before = confirmed();
        server.restart();
        let back = begun.elapsed();
        if is_asked_first {
            audit(server, proxy)?;
            proxy.shut(false);
        }
        until(|| "an output", || is_dead(server) || confirmed() > before);
        println!("  the broker was back after {back:.1?}, an output after {:.1?}", begun.elapsed());
    }
    let acked = || proxy.look(|state| state.acked.len() as u64);
    // A queue that died may have been started again, with all that it had.
    let has_lost = || is_dead(server) && audit(server, proxy).is_err();
    until(|| format!("{JOBS} acks, of which {}", acked()), || acked() == JOBS || has_lost());
    if acked() < JOBS {
        audit(server, proxy)?;
    }
    let raw = Raw::connect(&server.url());
    workers.into_iter().for_each(|worker| drop(worker.stop()));
    assert_eq!(raw.ready(DEAD), 0);
    Ok(raw.take_outputs(OUTPUTS))
}

/// The broker has as much as it confirmed, by the records of what it said and was told.
fn audit(server: &Server, proxy: &Proxy) -> Result<(), Forgot> {
    let (confirmed, acked) = proxy
        .look(|state| (state.confirmed.values().sum::<usize>() as u64, state.acked.len() as u64));
    let begun = Instant::now();
    loop {
        let (jobs, outputs) = (server.try_messages(QUEUE), server.try_messages(OUTPUTS));
        if jobs.as_ref().is_ok_and(|jobs| jobs + acked >= JOBS)
            && outputs.as_ref().is_ok_and(|outputs| *outputs >= confirmed)
        {
            return Ok(());
        }
        // It may need a while to count.
        if begun.elapsed() > Duration::from_secs(30) {
            return Err(Forgot(format!(
                "of {JOBS} jobs, of which {acked} were acked, it has {jobs:?}; of {confirmed} outputs \
                 {outputs:?}; {}",
                dead_queue(server).unwrap_or_default()
            )));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Each job that is lost was lost by us, or else the broker forgot.
fn kept(proxy: &Proxy, outputs: &BTreeMap<u64, usize>) -> Result<(), Forgot> {
    let missing = (0..JOBS).filter(|id| !outputs.contains_key(id));
    let (confirmed, rest): (Vec<u64>, Vec<u64>) =
        missing.partition(|id| proxy.look(|state| state.confirmed.contains_key(id)));
    let untouched: Vec<u64> =
        rest.into_iter().filter(|id| !proxy.look(|state| state.acked.contains_key(id))).collect();
    if confirmed.is_empty() && untouched.is_empty() {
        return Ok(());
    }
    Err(Forgot(format!(
        "it lacks {} outputs that it had confirmed, and {} jobs that nobody had acked",
        confirmed.len(),
        untouched.len()
    )))
}

fn is_dead(server: &Server) -> bool {
    dead_queue(server).is_some()
}

/// What the broker's log says of a queue that crashed.
fn dead_queue(server: &Server) -> Option<String> {
    let log = server.log();
    let line =
        log.lines().find(|line| line.contains("dead-broker") && line.contains("terminat"))?;
    Some(line.to_owned())
}
