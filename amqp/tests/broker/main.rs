//! Workers and publishers against a real broker, which these tests start themselves, on loopback.
//!
//! Where no RabbitMQ is installed they are skipped, and say so. The arguments are names, or parts of
//! names, of the tests to run; `--list` shows them.

mod deaths;
mod deliveries;
mod failures;
mod job;
mod process;
mod publisher;
mod raw;
mod server;
mod stop;
mod wait;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::time::Instant;
use std::{env, fs};

use server::Server;
use wait::watched;

type Test = (&'static str, fn(&mut Server));

macro_rules! tests {
    ($($module:ident :: $test:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($test)), $module::$test as fn(&mut Server))),*]
    };
}

const TESTS: &[Test] = tests![
    failures::outputs_come_with_ids_made_of_the_jobs,
    failures::a_job_that_fails_goes_alone,
    failures::a_job_that_fails_once_is_tried_again,
    failures::an_output_that_is_too_large_rejects_its_job_alone,
    failures::what_the_broker_refuses_is_an_error,
    failures::an_output_queue_that_is_deleted_is_declared_again,
    deliveries::answers_come_in_any_order,
    deliveries::batches_are_acked_after_their_commit,
    deliveries::a_broken_payload_does_not_reach_the_stream,
    deliveries::answers_of_a_lost_connection_are_lost,
    stop::what_runs_is_finished_and_nothing_comes_twice,
    publisher::all_items_arrive_once_with_ids,
    publisher::a_full_queue_holds_back,
    publisher::a_blocked_connection_holds_back,
    publisher::an_item_that_cannot_be_encoded_is_an_error,
    publisher::an_item_that_is_too_large_is_an_error,
    deaths::a_job_of_a_killed_worker_is_redelivered_at_once,
    deaths::workers_that_are_killed_lose_nothing,
    deaths::a_broker_that_is_killed_loses_nothing,
    deaths::a_worker_that_is_stopped_loses_its_jobs_to_others,
    deaths::a_job_that_aborts_takes_no_other_along,
    deaths::a_full_output_queue_keeps_jobs_unacked,
    deaths::connections_that_are_lost_leave_nothing_behind,
];

/// Those that run only if they are named.
const BY_NAME: &[&str] = &["deaths::a_broker_that_is_killed_loses_nothing"];

fn main() {
    process::serve();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|filter| !filter.starts_with('-')).collect();
    let is_asked_for = |name: &str| match &filters[..] {
        [] => !BY_NAME.contains(&name),
        filters => filters.iter().any(|filter| name.contains(*filter)),
    };
    let tests: Vec<_> = TESTS.iter().filter(|(name, _)| is_asked_for(name)).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    if tests.is_empty() {
        return;
    }
    if !server::is_installed() {
        println!(
            "SKIPPED: {} tests need a broker, and no RabbitMQ is installed: on Debian, `apt-get \
             install -y --no-install-recommends rabbitmq-server`",
            tests.len(),
        );
        return;
    }
    let begun = Instant::now();
    let mut server = Server::start();
    println!("the broker was up after {:.1?}", begun.elapsed());
    let mut failed = 0;
    for (name, test) in &tests {
        let begun = Instant::now();
        let ended = watched(name, || catch_unwind(AssertUnwindSafe(|| test(&mut server))));
        failed += usize::from(ended.is_err());
        let word = if ended.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1?})", begun.elapsed());
    }
    drop(server);
    println!("{} passed; {failed} failed, in {:.0?}", tests.len() - failed, begun.elapsed());
    exit(if failed == 0 { 0 } else { 101 });
}

/// How many threads this process has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}
