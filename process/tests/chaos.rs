//! Pools under tokio, whose workers are killed and stopped, whose calls are dropped at any time, and which
//! end in all ways: each call is answered, and nothing is left. No harness, because the test is its own
//! worker.
//!
//! `FLOWLET_CHAOS_SECONDS=20` lets it go on for that long, and it says how often what has happened.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use flowlet_process::{Error, Function, InProcess, ProcessPool, in_process};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[path = "support/program.rs"]
mod program;

/// After that, a call is not answered any more.
const ENDLESS: Duration = Duration::from_secs(300);

/// Writes so many bytes, sleeps so many microseconds, and does what it is told.
const ACT: Function<(usize, u64, u8), (u8, Vec<u8>)> = Function::new("act", act);

fn act((length, sleep, deed): (usize, u64, u8)) -> (u8, Vec<u8>) {
    thread::sleep(Duration::from_micros(sleep));
    match deed {
        0 => std::process::exit(3),
        1 => std::process::abort(),
        2 => panic!("a panic"),
        3 => eprintln!("{}", "a line".repeat(2000)),
        _ => {}
    }
    (deed, vec![deed; length])
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        static SEED: AtomicU64 = AtomicU64::new(1);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        Self(now ^ SEED.fetch_add(1 << 40, Ordering::Relaxed) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// How often what has happened.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    fn note(&self, what: &'static str) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }
}

/// Sends signals to workers until it is over.
fn send_signals(is_over: &AtomicBool, counts: &Counts) {
    let mut dice = Dice::new();
    while !is_over.load(Ordering::Relaxed) {
        for child in program::children() {
            if dice.below(4) > 0 {
                continue;
            }
            let number = Pid::from_raw(child as i32).unwrap();
            // That stands for the one process.
            let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else { continue };
            if !program::children().contains(&child) {
                continue;
            }
            let send = |signal| pidfd_send_signal(&process, signal).is_ok();
            match dice.below(4) {
                0 | 1 if send(Signal::KILL) => counts.note("SIGKILL"),
                2 if send(Signal::STOP) => {
                    thread::sleep(Duration::from_micros(dice.below(3000)));
                    send(Signal::CONT);
                    counts.note("SIGSTOP and SIGCONT");
                }
                3 if send(Signal::TERM) => counts.note("SIGTERM"),
                _ => {}
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Makes a call, which may be dropped before it is over.
async fn call(
    call: InProcess<(usize, u64, u8), (u8, Vec<u8>)>,
    (length, _, deed): (usize, u64, u8),
    limit: Duration,
    counts: Arc<Counts>,
) {
    counts.note(match timeout(limit, call).await {
        Err(_) if limit >= ENDLESS => "UNANSWERED",
        Err(_) => "timeout",
        Ok(Ok(output)) if output == (deed, vec![deed; length]) => "right",
        Ok(Ok(_)) => "WRONG",
        Ok(Err(Error::Died { .. })) => "died",
        Ok(Err(Error::DiedAtStart { .. })) => "died at start",
        Ok(Err(Error::Closed)) => "closed",
        Ok(Err(Error::Panicked(_))) if deed == 2 => "panicked",
        Ok(Err(_)) => "OTHER",
    });
}

/// A waker that has a pool.
struct Keeper(Mutex<Option<ProcessPool>>);

impl Wake for Keeper {
    fn wake(self: Arc<Self>) {
        // On the thread of the pool.
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

async fn use_a_pool(counts: Arc<Counts>) {
    let mut dice = Dice::new();
    let mut builder =
        ProcessPool::builder().size(1 + dice.below(4) as usize).stderr(std::io::sink());
    if dice.below(2) == 0 {
        builder = builder.max_calls(1 + dice.below(10));
    }
    let pool = builder.build();
    let mut calls = JoinSet::new();
    for _ in 0..10 + dice.below(50) {
        let length = if dice.below(10) == 0 { dice.below(600_000) } else { dice.below(100) };
        let input = (length as usize, dice.below(3000), dice.below(40) as u8);
        let limit = match dice.below(3) {
            0 => Duration::from_micros(dice.below(20_000)),
            _ => ENDLESS,
        };
        calls.spawn(call(in_process(&pool, ACT)(input), input, limit, counts.clone()));
    }
    if dice.below(4) > 0 {
        sleep(Duration::from_micros(dice.below(30_000))).await;
    }
    if dice.below(4) == 0 {
        calls.abort_all();
    }
    match dice.below(6) {
        0 => {
            counts.note("pool shut down");
            pool.shutdown().await;
        }
        1 => {
            counts.note("pool shut down now");
            pool.shutdown_now().await;
        }
        2 => {
            counts.note("pool shut down, for a while");
            let limit = Duration::from_micros(dice.below(20_000));
            let _ = timeout(limit, pool.shutdown()).await;
        }
        3 => {
            counts.note("pool dropped by a waker");
            let mut last = in_process(&pool, ACT)((1, 0, 9));
            let waker = Waker::from(Arc::new(Keeper(Mutex::new(Some(pool)))));
            let polled = Pin::new(&mut last).poll(&mut Context::from_waker(&waker));
            drop(waker);
            join(&mut calls, &counts).await;
            if polled.is_pending() {
                let _ = last.await;
            }
        }
        4 => {
            counts.note("pool dropped at the end");
            join(&mut calls, &counts).await;
            drop(pool);
        }
        _ => {
            counts.note("pool dropped");
            drop(pool);
        }
    }
    join(&mut calls, &counts).await;
}

/// Waits for all calls.
async fn join(calls: &mut JoinSet<()>, counts: &Counts) {
    while let Some(ended) = calls.join_next().await {
        match ended {
            Ok(()) => {}
            Err(error) if error.is_cancelled() => counts.note("aborted"),
            Err(_) => counts.note("PANIC"),
        }
    }
}

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

/// Descriptors, threads and children.
fn held() -> [usize; 3] {
    [entries("/proc/self/fd"), entries("/proc/self/task"), program::children().len()]
}

/// Says on drop that it is over, so that a panic does not wait for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn run(length: Duration, counts: &Arc<Counts>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    let is_over = AtomicBool::new(false);
    let over = Over(&is_over);
    thread::scope(|scope| {
        let _over = over;
        scope.spawn(|| send_signals(&is_over, counts));
        runtime.block_on(async {
            let begun = Instant::now();
            while begun.elapsed() < length {
                let mut pools: JoinSet<()> = (0..4).map(|_| use_a_pool(counts.clone())).collect();
                while let Some(ended) = pools.join_next().await {
                    ended.unwrap();
                }
            }
        });
    });
}

fn main() -> ExitCode {
    flowlet_process::worker(&[&ACT]);
    if !cfg!(target_os = "linux") {
        return ExitCode::SUCCESS;
    }
    // What is there once for all pools.
    futures_lite::future::block_on(ProcessPool::new().shutdown());
    let pool = ProcessPool::builder().size(1).build();
    futures_lite::future::block_on(in_process(&pool, ACT)((1, 1, 9))).unwrap();
    drop(pool);
    let before = held();
    let seconds = std::env::var("FLOWLET_CHAOS_SECONDS").map_or(2, |text| text.parse().unwrap());
    let counts = Arc::new(Counts::default());
    run(Duration::from_secs(seconds), &counts);
    // A pool that was dropped on its own thread ends a little later.
    let begun = Instant::now();
    while held() != before && begun.elapsed() < Duration::from_secs(60) {
        thread::yield_now();
    }
    let counts = counts.0.lock().unwrap();
    println!("{counts:?}; descriptors, threads, children: {before:?} before, {:?} after", held());
    assert_eq!(held(), before);
    assert!(
        ["WRONG", "OTHER", "PANIC", "UNANSWERED"].iter().all(|fault| !counts.contains_key(fault))
    );
    println!("1 passed; 0 failed");
    ExitCode::SUCCESS
}
