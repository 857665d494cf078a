//! Workers and publishers against a real broker, which these tests start themselves, on loopback.
//!
//! Where no RabbitMQ is installed they are skipped, and say so. The arguments are names, or parts of
//! names, of the tests to run; `--list` shows them.

mod acks;
mod broker_death;
mod connect;
mod deaths;
mod deliveries;
mod ends;
mod failures;
mod frames;
mod health;
mod job;
mod letters;
mod messages;
mod odd;
mod process;
mod proxy;
mod publisher;
mod raw;
mod refusals;
mod retries;
mod secure;
mod server;
mod several;
mod stop;
mod suspects;
mod wait;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fs, thread};

use server::Server;
use wait::watched;

/// A test of a server that is given to it.
type Shared = (&'static str, fn(&mut Server));

/// A test of servers that it starts.
type Own = (&'static str, fn());

macro_rules! tests {
    ($($module:ident :: $test:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($test)), $module::$test)),*]
    };
}

/// Those that share a server.
const SHARED: &[Shared] = tests![
    messages::a_flow_sees_what_came_with_its_job,
    messages::a_job_knows_that_its_connection_is_lost,
    messages::outputs_carry_the_trace_of_their_job_and_what_they_set,
    messages::an_output_goes_where_it_says,
    messages::a_queue_that_is_full_holds_up_no_other,
    messages::answers_go_to_those_who_ask,
    messages::single_items_are_confirmed,
    several::each_part_of_a_flow_runs_by_itself,
    several::all_parts_of_a_flow_run_in_one_process,
    several::jobs_of_a_key_are_done_in_their_order,
    health::a_worker_says_what_it_does,
    letters::each_is_kept_replayed_or_dropped,
    letters::one_that_the_broker_moved_is_replayed_without_its_marks,
    letters::what_cannot_be_replayed_stays,
    letters::looking_writes_nothing_however_often,
    letters::dead_letters_have_no_limit_of_looks_unless_they_were_there,
    letters::a_full_queue_ends_a_replay_and_nothing_is_lost,
    letters::the_tool_lists_replays_and_drops,
    letters::the_tool_says_which_broker_failed_without_the_password,
    connect::an_ipv6_address_leads_there,
    connect::a_vhost_that_is_not_there_ends_it_at_once,
    connect::a_vhost_that_is_full_is_tried_again,
    connect::another_address_is_taken_when_one_fails,
    connect::a_silent_peer_is_given_up_in_time,
    failures::outputs_come_with_ids_made_of_the_jobs,
    failures::a_job_that_fails_goes_alone,
    failures::a_job_that_fails_once_is_tried_again,
    failures::an_output_that_is_too_large_rejects_its_job_alone,
    failures::dead_letters_go_by_an_exchange,
    failures::what_the_broker_refuses_is_an_error,
    failures::an_output_queue_that_is_deleted_is_declared_again,
    ends::without_a_broker,
    ends::while_the_broker_takes_nothing,
    ends::with_suspects_that_wait,
    ends::within_the_time_that_jobs_are_given,
    ends::a_job_that_takes_too_long_comes_to_an_end,
    suspects::a_count_of_someone_else_makes_no_suspect,
    suspects::what_a_stopped_worker_gave_back_is_no_suspect,
    suspects::a_connection_that_is_lost_makes_no_suspect,
    suspects::a_suspect_that_never_ends_holds_up_nobody,
    retries::failed_jobs_that_wait_keep_no_slots,
    retries::the_number_of_tries_survives_workers,
    retries::items_come_after_their_delay,
    retries::a_replayed_job_that_fails_is_not_lost,
    refusals::no_right_to_publish_is_an_error,
    refusals::a_reason_that_does_not_fit_is_cut,
    refusals::a_dead_letter_does_not_feed_itself,
    odd::messages_that_are_not_utf_8_are_jobs_like_others,
    odd::a_message_that_ends_its_connection_goes_alone,
    deliveries::answers_come_in_any_order,
    deliveries::batches_are_acked_after_their_commit,
    deliveries::a_broken_payload_does_not_reach_the_stream,
    deliveries::answers_of_a_lost_connection_are_lost,
    deliveries::jobs_of_a_lost_connection_are_not_yielded,
    deliveries::a_job_whose_decoding_panics_does_not_reach_the_stream,
    deliveries::none_is_taken_when_the_stream_is_dropped,
    acks::no_job_is_acked_before_all_its_outputs_are_confirmed,
    acks::no_job_is_rejected_before_its_dead_letter_is_confirmed,
    acks::a_connection_that_is_cut_around_a_confirm_loses_nothing,
    stop::what_runs_is_finished_and_nothing_comes_twice,
    stop::a_worker_stops_while_the_broker_is_away,
    publisher::all_items_arrive_once_with_ids,
    publisher::ids_that_are_too_long_still_tell_items_apart,
    publisher::a_full_queue_holds_back,
    publisher::a_blocked_connection_holds_back,
    publisher::an_item_that_cannot_be_encoded_is_an_error,
    publisher::an_item_that_is_too_large_is_an_error,
    deaths::a_job_of_a_killed_worker_is_redelivered_at_once,
    deaths::workers_that_are_killed_lose_nothing,
    deaths::a_worker_that_is_stopped_loses_its_jobs_to_others,
    deaths::a_job_that_aborts_takes_no_other_along,
    deaths::a_full_output_queue_keeps_jobs_unacked,
];

/// Those that start servers of their own, meanwhile.
const OWN: &[Own] = tests![
    secure::a_broker_is_trusted_by_its_authority_alone,
    broker_death::a_broker_that_is_killed_loses_nothing,
];

/// Those that count what this process has, when all others are done.
const ALONE: &[Shared] = tests![
    deaths::connections_that_are_lost_leave_nothing_behind,
    connect::shared_connections_serve_all_and_end_with_the_last,
    connect::connects_that_are_dropped_leave_nothing_behind,
    connect::an_idle_connection_takes_little_memory,
    // The last, as it has all be logged from then on.
    connect::no_password_is_logged_or_shown,
];

fn main() {
    process::serve();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|filter| !filter.starts_with('-')).collect();
    let is_asked_for =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    let asked_for = |tests: &[Shared]| -> Vec<Shared> {
        tests.iter().filter(|(name, _)| is_asked_for(name)).copied().collect()
    };
    let (shared, alone) = (asked_for(SHARED), asked_for(ALONE));
    let own: Vec<_> = OWN.iter().filter(|(name, _)| is_asked_for(name)).collect();
    let names = || {
        let of_shared = shared.iter().chain(&alone).map(|(name, _)| *name);
        of_shared.chain(own.iter().map(|(name, _)| *name))
    };
    if arguments.iter().any(|argument| argument == "--list") {
        names().for_each(|name| println!("{name}: test"));
        return;
    }
    let count = names().count();
    if count == 0 {
        return;
    }
    if !server::is_installed() {
        println!(
            "SKIPPED: {count} tests need a broker, and no RabbitMQ is installed: on Debian, `apt-get \
             install -y --no-install-recommends rabbitmq-server`"
        );
        return;
    }
    let begun = Instant::now();
    let failed = AtomicUsize::new(0);
    let run = |name: &str, test: &mut dyn FnMut()| {
        let begun = Instant::now();
        let ended = watched(name, || catch_unwind(AssertUnwindSafe(test)));
        failed.fetch_add(usize::from(ended.is_err()), Ordering::Relaxed);
        let word = if ended.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1?})", begun.elapsed());
    };
    let mut server = (shared.len() + alone.len() > 0).then(Server::start);
    let mut run_with = |(name, test): &Shared| {
        let server = server.as_mut().expect("it was started for this");
        let before = failed.load(Ordering::Relaxed);
        run(name, &mut || test(server));
        if failed.load(Ordering::Relaxed) > before {
            println!("the broker's log:\n{}", server.log());
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| own.iter().for_each(|(name, test)| run(name, &mut || test())));
        shared.iter().for_each(&mut run_with);
    });
    alone.iter().for_each(&mut run_with);
    drop(server);
    let failed = failed.into_inner();
    println!("{} passed; {failed} failed, in {:.0?}", count - failed, begun.elapsed());
    exit(if failed == 0 { 0 } else { 101 });
}

/// How many threads this process has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// How many files and sockets this process has open.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
