//! What holds while the system starts no more threads.

use std::env;
use std::io::ErrorKind;
use std::process::{self, Command};
use std::thread;

use flowlet::prelude::*;
use flowlet::{ThreadPool, in_blocking, in_pool};
use futures_lite::future::block_on;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

use crate::support::block::block;
use crate::support::latch::Latch;
use crate::support::once::poll;
use crate::support::panicked::panic_of;

/// Set in the process that is short of threads.
const SHORT: &str = "FLOWLET_TEST_SHORT_OF_THREADS";

/// Runs a test once more in a process of its own. Returns whether this is that process.
fn in_a_process_of_its_own(test: &str) -> bool {
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
    let limit = format!("--as={}:", (kilobytes + 1024) * 1024);
    let mut prlimit = Command::new("prlimit");
    assert!(
        prlimit.args(["--pid", &process::id().to_string(), &limit]).status().unwrap().success()
    );
    let refused = thread::Builder::new().spawn(|| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_pool_needs_no_thread_that_it_does_not_have() {
    // A sanitizer needs more memory than is allowed here.
    if env::var("RUSTFLAGS").is_ok_and(|flags| flags.contains("sanitizer")) {
        return;
    }
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
