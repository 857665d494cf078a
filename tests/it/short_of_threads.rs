//! What holds while the system starts no more threads.

use std::env;
use std::io::ErrorKind;
use std::process::{self, Command};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use flowlet::prelude::*;
use flowlet::{ThreadPool, in_blocking, in_pool, in_thread};
use futures_lite::future::block_on;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

use crate::support::block::block;
use crate::support::latch::Latch;
use crate::support::once::poll;
use crate::support::panicked::{message_of, panic_of};

/// Set in the process that is short of threads.
const SHORT: &str = "FLOWLET_TEST_SHORT_OF_THREADS";

/// Runs a test once more in a process of its own. Returns whether this is that process.
fn in_a_process_of_its_own(test: &str) -> bool {
    // A sanitizer needs more memory than is allowed there.
    if env::var("RUSTFLAGS").is_ok_and(|flags| flags.contains("sanitizer")) {
        return false;
    }
    if env::var_os(SHORT).is_some() {
        return true;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test]).env(SHORT, "1");
    let child = command.output().unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
    false
}

/// Leaves this process too little address space for the stack of one more thread.
fn start_no_more_threads() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    limit_address_space(&((kilobytes + 1024) * 1024).to_string());
    let refused = thread::Builder::new().spawn(|| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
}

/// Sets how many bytes of address space this process may have.
fn limit_address_space(bytes: &str) {
    let (process, limit) = (process::id().to_string(), format!("--as={bytes}:"));
    let prlimit = Command::new("prlimit").args(["--pid", &process, &limit]).status();
    assert!(prlimit.unwrap().success());
}

#[test]
fn a_call_is_refused_only_where_there_is_no_thread_at_all() {
    let test = "short_of_threads::a_call_is_refused_only_where_there_is_no_thread_at_all";
    if !in_a_process_of_its_own(test) {
        return;
    }
    start_no_more_threads();
    let message = message_of(|| block_on(in_thread(|n: usize| n)(1)));
    assert!(message.starts_with("the system starts no thread"), "{message}");

    // It was not for good.
    limit_address_space("unlimited");
    assert_eq!(block_on(in_thread(|n: usize| n)(1)), 1);
    // The thread stays, and so it is enough when there are no more again.
    start_no_more_threads();
    let outputs = pipe(0..1_000).map_concurrent(64, in_thread(|n: usize| n));
    assert_eq!(block_on(outputs.fold(0, |sum, n| sum + n)), 499_500);
}

#[test]
fn calls_wait_for_the_threads_there_are_and_get_more_later() {
    let test = "short_of_threads::calls_wait_for_the_threads_there_are_and_get_more_later";
    if !in_a_process_of_its_own(test) {
        return;
    }
    let latch = Latch::default();
    let (begun, has_begun) = mpsc::channel();
    let opened = latch.clone();
    let block = in_thread(move |n: usize| {
        begun.send(n).unwrap();
        opened.wait();
        n
    });
    let mut calls: Vec<_> = (0..2).map(&block).collect();
    assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
    let mut first = [has_begun.recv().unwrap(), has_begun.recv().unwrap()];
    first.sort_unstable();
    assert_eq!(first, [0, 1]);

    // None of these polls waits for a thread.
    start_no_more_threads();
    calls.extend((2..8).map(&block));
    assert!(calls[2..].iter_mut().all(|call| poll(call).is_pending()));
    // One that is dropped leaves, and the others are none the worse.
    drop(calls.pop());

    // With threads again, the next call brings one for each that waits.
    limit_address_space("unlimited");
    calls.extend((8..12).map(&block));
    assert!(calls[7..].iter_mut().all(|call| poll(call).is_pending()));
    // All of them are running at once.
    let next = |_| has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut rest: Vec<usize> = (0..9).map(next).collect();
    rest.sort_unstable();
    assert_eq!(rest, [2, 3, 4, 5, 6, 8, 9, 10, 11]);
    latch.open();
    let outputs: usize = calls.into_iter().map(block_on).sum();
    assert_eq!(outputs, (0..12).sum::<usize>() - 7);
}

#[test]
fn a_pool_needs_no_thread_that_it_does_not_have() {
    if !in_a_process_of_its_own("short_of_threads::a_pool_needs_no_thread_that_it_does_not_have") {
        return;
    }
    let pool = ThreadPool::new(2).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    let none_yet = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { spawn_blocking(|| ()).await.unwrap() });
    start_no_more_threads();

    // Its calls are polled, wait and run as ever.
    let latch = Latch::default();
    let busy = [block(&pool, &latch), block(&pool, &latch)];
    let mut waiting = in_pool(&pool, |n: usize| n)(1);
    assert!(poll(&mut waiting).is_pending());
    latch.open();
    busy.into_iter().for_each(block_on);
    assert_eq!(block_on(waiting), 1);
    let outputs = pipe(0..1_000).map_concurrent(64, in_pool(&pool, |n: usize| n));
    assert_eq!(block_on(outputs.fold(0, |sum, n| sum + n)), 499_500);

    // So do those on tokio's threads, as it has one. Where it has none, they panic.
    let on_tokio = in_blocking(spawn_blocking, |n: usize| n);
    let outputs = pipe(0..100).map_concurrent(8, on_tokio.clone());
    assert_eq!(runtime.block_on(outputs.fold(0, |sum, n| sum + n)), 4_950);
    panic_of(|| none_yet.block_on(on_tokio(1)));

    // No pool can be made, and the one that is there can be ended.
    assert_eq!(ThreadPool::new(1).unwrap_err().kind(), ErrorKind::WouldBlock);
    block_on(pool.shutdown());
}
