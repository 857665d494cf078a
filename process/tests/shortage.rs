//! Pools that get no more workers: the system has no more descriptors, or kills what it starts.

use std::env;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use flowlet::prelude::*;
use flowlet_process::{Command, Error, Function, ProcessPool, in_process};
use futures_lite::future::block_on;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[path = "support/begin.rs"]
mod begin;
#[path = "support/hold.rs"]
mod hold;
#[path = "support/program.rs"]
mod program;
#[path = "support/role.rs"]
mod role;
#[path = "support/until.rs"]
mod until;

use begin::begin;
use hold::{Desk, HOLD};
use program::children;
use until::until;

const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);

fn main() {
    flowlet_process::worker(&[&DOUBLE, &HOLD]);
    match role::role().as_deref() {
        None => {}
        // The limit is that of a process of its own.
        Some("short") => return short(),
        Some("short at first") => return short_at_first(),
        Some("shorter and shorter") => return shorter_and_shorter(),
        Some("crowded") => return crowded(),
        Some(role) => panic!("no such role: {role}"),
    }
    program::run(tests![
        calls_wait_for_the_workers_there_are,
        a_shortage_that_passes_costs_no_call,
        without_workers_a_shortage_is_an_error,
        nothing_is_left_of_workers_that_cannot_be_followed,
        what_is_always_killed_as_it_starts_is_an_error,
        what_is_killed_as_it_starts_now_and_then_costs_no_call,
        calls_wait_for_a_worker_whatever_becomes_of_the_others,
    ]);
}

/// All the descriptors that this process may have.
struct Hogs(Vec<File>);

impl Hogs {
    fn new() -> Self {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
        Self(std::iter::from_fn(|| File::open("/dev/null").ok()).collect())
    }
}

#[track_caller]
fn run(role: &str, arguments: &[&str]) {
    let output = role::act(role, arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns a command, and how often it was asked for.
fn counted(
    make: impl Fn(usize) -> Command + Send + Sync + 'static,
) -> (impl Fn() -> Command + Send + Sync + 'static, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    (move || make(count.fetch_add(1, Ordering::SeqCst)), asked)
}

fn this() -> Command {
    Command::new(env::current_exe().unwrap())
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    command
}

fn short() {
    let pool = ProcessPool::builder().size(4).build();
    let (double, hold) = (in_process(&pool, DOUBLE), in_process(&pool, HOLD));
    // There are two workers, ...
    let desk = Desk::new();
    let two = [0, 1].map(|number| begin(hold(desk.as_number(number))));
    let held = [desk.next(), desk.next()];
    held.into_iter().for_each(hold::Held::let_go);
    assert!(two.into_iter().all(|call| block_on(call).is_ok()));
    assert_eq!(pool.alive(), 2);
    // ... and can be no more.
    let hogs = Hogs::new();
    let calls = pipe(0..1000).map_concurrent(16, &double).map(Result::unwrap);
    assert_eq!(block_on(calls.fold(0, |sum, n| sum + n)), 999_000);
    // Once there can, they are started, though no call ends.
    drop(hogs);
    let all: Vec<_> = (0..4).map(|number| begin(hold(desk.as_number(number)))).collect();
    let held = [(); 4].map(|()| desk.next());
    held.into_iter().for_each(hold::Held::let_go);
    assert!(all.into_iter().all(|call| block_on(call).is_ok()));
}

fn calls_wait_for_the_workers_there_are() {
    run("short", &[]);
}

fn short_at_first() {
    let hogs = Mutex::new(None);
    // The third start has what it needs.
    let (make, asked) = counted(move |count| {
        let mut hogs = hogs.lock().unwrap();
        match count {
            0 => *hogs = Some(Hogs::new()),
            2 => *hogs = None,
            _ => {}
        }
        this()
    });
    let pool = ProcessPool::builder().size(1).command(make).build();
    assert_eq!(block_on(in_process(&pool, DOUBLE)(1)).unwrap(), 2);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

fn a_shortage_that_passes_costs_no_call() {
    run("short at first", &[]);
}

fn shorter_and_shorter() {
    let pool = || ProcessPool::builder().size(2).build();
    if env::args().nth(1).is_some() {
        // There is already what all pools have together.
        assert_eq!(block_on(in_process(&pool(), DOUBLE)(1)).unwrap(), 2);
    }
    let pool = pool();
    let Hogs(mut hogs) = Hogs::new();
    let double = in_process(&pool, DOUBLE);
    let mut failed = 0;
    // The pool recovers from each call that fails.
    while let Err(error) = block_on(double(1)) {
        let Error::Start(why) = &error else { panic!("{error}") };
        assert_eq!(why.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
        assert_eq!(pool.alive(), 0);
        assert!(children().is_empty());
        failed += 1;
        hogs.pop();
    }
    assert!(failed > 3, "a worker takes more descriptors than that");
    assert_eq!(pool.alive(), 1);
}

fn without_workers_a_shortage_is_an_error() {
    run("shorter and shorter", &[]);
    run("shorter and shorter", &["not the first"]);
}

/// Takes what descriptors there are once a process has been started by the thread whose children these are,
/// for a moment.
fn take_descriptors(of: &File) {
    let begun = Instant::now();
    let is_early = || begun.elapsed() < Duration::from_millis(20);
    while is_early() && of.read_at(&mut [0; 16], 0).is_ok_and(|length| length == 0) {}
    while is_early() {
        if let Ok(taken) = File::open("/dev/null") {
            // Nothing depends on how long this is.
            thread::sleep(Duration::from_millis(1));
            return drop(taken);
        }
    }
}

/// A program at its limit of descriptors, where another thread takes the one by which a worker that was
/// started is to be followed.
fn crowded() {
    let pool = || ProcessPool::builder().size(1);
    assert_eq!(block_on(in_process(&pool().build(), DOUBLE)(1)).unwrap(), 2);
    let (sender, started) = mpsc::channel::<File>();
    let (done, is_done) = mpsc::channel();
    let other = thread::spawn(move || {
        for of in started {
            take_descriptors(&of);
            drop(of);
            done.send(()).unwrap();
        }
    });
    let limit = getrlimit(Resource::Nofile);
    let Hogs(mut hogs) = Hogs::new();
    for _ in 0..50 {
        // As many as it takes to start one, and one to see it by.
        hogs.truncate(hogs.len() - 5);
        let sent = Arc::new(AtomicUsize::new(0));
        let (sender, count) = (sender.clone(), sent.clone());
        let (make, _) = counted(move |_| {
            // This is the thread that starts workers.
            if let Ok(of) = File::open("/proc/thread-self/children") {
                sender.send(of).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
            this()
        });
        let pool = pool().command(make).build();
        match block_on(in_process(&pool, DOUBLE)(1)) {
            Ok(two) => assert_eq!(two, 2),
            Err(error) => assert!(matches!(error, Error::Start(_)), "{error}"),
        }
        drop(pool);
        (0..sent.load(Ordering::SeqCst)).for_each(|_| is_done.recv().unwrap());
        hogs.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
    }
    drop(sender);
    other.join().unwrap();
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(children().is_empty());
}

fn nothing_is_left_of_workers_that_cannot_be_followed() {
    run("crowded", &[]);
}

fn what_is_always_killed_as_it_starts_is_an_error() {
    let (make, asked) = counted(|_| shell("echo no luck >&2; kill -KILL $$"));
    let pool = ProcessPool::builder().size(3).command(make).stderr(std::io::sink()).build();
    let error = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
    let Error::DiedAtStart { status, stderr, .. } = &error else { panic!("{error}") };
    assert_eq!(status.unwrap().signal(), Some(9));
    assert_eq!(stderr, "no luck\n");
    let said = error.to_string();
    assert!(said.contains("killed while it started (signal: 9"), "{said}");
    assert!(!said.contains("`main`"), "{said}");
    assert_eq!(asked.load(Ordering::SeqCst), 7);
    // After that each costs one call.
    let errors = block_on(pipe([1; 10]).map_concurrent(10, in_process(&pool, DOUBLE)).count());
    assert_eq!(errors, 10);
    assert_eq!(asked.load(Ordering::SeqCst), 17);
}

fn what_is_killed_as_it_starts_now_and_then_costs_no_call() {
    let (make, asked) =
        counted(|count| if count % 3 == 2 { this() } else { shell("kill -KILL $$") });
    let pool = ProcessPool::builder().size(2).command(make).max_calls(2).build();
    let calls = pipe(0..20).map_concurrent(4, in_process(&pool, DOUBLE)).map(Result::unwrap);
    assert_eq!(block_on(calls.count()), 20);
    // Each of ten workers was the third of three.
    assert!(asked.load(Ordering::SeqCst) >= 30);
}

fn calls_wait_for_a_worker_whatever_becomes_of_the_others() {
    for script in ["kill -KILL $$", "exit 3", "echo >&0", "exec /nowhere/to/be/found"] {
        let (make, asked) = counted(move |count| if count == 0 { this() } else { shell(script) });
        let pool = ProcessPool::builder().size(3).command(make).stderr(std::io::sink()).build();
        let (desk, hold) = (Desk::new(), in_process(&pool, HOLD));
        let first = begin(hold(desk.as_number(0)));
        let held = desk.next();
        let waiting: Vec<_> = (1..4).map(|number| begin(hold(desk.as_number(number)))).collect();
        // Some starts fail.
        until(|| asked.load(Ordering::SeqCst) > 4);
        held.let_go();
        let worker = block_on(first).unwrap();
        for call in waiting {
            desk.next().let_go();
            assert_eq!(block_on(call).unwrap(), worker);
        }
    }
}
