//! Worker processes that die, and programs that die and leave workers behind.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::{env, fs, panic};

use flowlet::prelude::*;
use flowlet_process::{Error, Function, ProcessPool, in_process};
use futures_lite::future::{self, block_on};
use rustix::process::Signal;

#[path = "support/begin.rs"]
mod begin;
#[path = "support/hold.rs"]
mod hold;
#[path = "support/kill.rs"]
mod kill;
#[path = "support/program.rs"]
mod program;
#[path = "support/role.rs"]
mod role;
#[path = "support/until.rs"]
mod until;

use begin::begin;
use hold::{Desk, HOLD, KEEP};
use kill::kill;
use program::children;
use until::until;

const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
const ID: Function<(), u32> = Function::new("id", |()| std::process::id());
const PANIC: Function<u32, u32> = Function::new("panic", panic_somehow);
const EXIT: Function<i32, ()> = Function::new("exit", |code| std::process::exit(code));
const ABORT: Function<(), ()> = Function::new("abort", |()| std::process::abort());
const SPIN: Function<(PathBuf, u32), u32> = Function::new("spin", spin);

fn main() {
    flowlet_process::worker(&[&DOUBLE, &ID, &PANIC, &EXIT, &ABORT, &SPIN, &HOLD, &KEEP]);
    match role::role().as_deref() {
        None => {}
        Some("owner") => owner(),
        Some("removed") => return removed(),
        Some(role) => panic!("no such role: {role}"),
    }
    program::run(tests![
        a_panic_is_an_error_of_the_call,
        an_exit_says_its_code,
        an_abort_says_its_signal,
        a_worker_that_is_killed_fails_only_its_call,
        an_idle_worker_that_dies_fails_no_call,
        a_worker_that_does_not_run_is_ended_all_the_same,
        many_calls_of_all_kinds_at_once,
        a_program_that_is_killed_leaves_no_worker,
        a_program_that_ends_leaves_no_worker,
        a_program_whose_file_is_gone_still_has_workers,
    ]);
}

fn pool(size: usize) -> ProcessPool {
    ProcessPool::builder().size(size).build()
}

fn panic_somehow(how: u32) -> u32 {
    match how {
        0 => panic!("a text"),
        1 => panic!("a text with a number: {how}"),
        2 => panic::panic_any(how),
        _ => how,
    }
}

fn a_panic_is_an_error_of_the_call() {
    let pool = pool(1);
    let panics = in_process(&pool, PANIC);
    let before = block_on(in_process(&pool, ID)(())).unwrap();
    for (how, says) in [(0, "a text"), (1, "a text with a number: 1"), (2, "no text")] {
        let error = block_on(panics(how)).unwrap_err();
        assert!(matches!(&error, Error::Panicked(message) if message.ends_with(says)), "{error}");
        assert!(error.to_string().ends_with(says));
    }
    assert_eq!(block_on(panics(3)).unwrap(), 3);
    // The worker lives on.
    assert_eq!(block_on(in_process(&pool, ID)(())).unwrap(), before);
}

#[track_caller]
fn assert_signal(error: Error, signal: i32) {
    let Error::Died { status, .. } = &error else { panic!("{error}") };
    assert_eq!(status.unwrap().signal(), Some(signal), "{error}");
}

fn an_abort_says_its_signal() {
    let pool = pool(1);
    assert_signal(block_on(in_process(&pool, ABORT)(())).unwrap_err(), 6);
    assert_eq!(block_on(in_process(&pool, DOUBLE)(1)).unwrap(), 2);
}

fn a_worker_that_is_killed_fails_only_its_call() {
    let (pool, desk) = (pool(2), Desk::new());
    let hold = in_process(&pool, HOLD);
    let calls: Vec<_> = (0..4).map(|number| begin(hold(desk.as_number(number)))).collect();
    let (one, other) = (desk.next(), desk.next());
    let killed = one.number;
    kill(one.process);
    one.ended();
    // It is replaced, for one that waits.
    let next = desk.next();
    assert_eq!(next.number, 2);
    next.let_go();
    desk.next().let_go();
    other.let_go();
    for (number, call) in calls.into_iter().enumerate() {
        match block_on(call) {
            Err(error) if number == killed as usize => assert_signal(error, 9),
            output => drop(output.unwrap()),
        }
    }
    assert!(desk.is_quiet());
}

fn an_idle_worker_that_dies_fails_no_call() {
    let (pool, desk) = (pool(1), Desk::new());
    for number in 0..20 {
        let id = block_on(in_process(&pool, KEEP)(desk.as_number(number))).unwrap();
        let kept = desk.next();
        kill(id);
        kept.ended();
        if number % 2 == 0 {
            // It is reaped although nobody asks.
            until(|| pool.alive() == 0);
            assert!(children().is_empty());
            assert!(format!("{pool:?}").contains("idle: 0"));
        }
        // Else the pool may not know yet.
        assert_eq!(block_on(in_process(&pool, DOUBLE)(number)).unwrap(), 2 * number);
    }
}

fn an_exit_says_its_code() {
    let pool = pool(1);
    for code in [0, 3] {
        let error = block_on(in_process(&pool, EXIT)(code)).unwrap_err();
        let Error::Died { status, stderr, .. } = &error else { panic!("{error}") };
        assert_eq!(status.unwrap().code(), Some(code));
        assert_eq!(stderr, "");
        assert!(error.to_string().ends_with(&format!("(exit status: {code})")), "{error}");
    }
    assert_eq!(block_on(in_process(&pool, DOUBLE)(1)).unwrap(), 2);
}

fn a_worker_that_does_not_run_is_ended_all_the_same() {
    let (pool, desk) = (pool(1), Desk::new());
    let dropped = begin(in_process(&pool, HOLD)(desk.as_number(0)));
    let held = desk.next();
    kill::send(Signal::STOP, held.process);
    drop(dropped);
    held.ended();
    assert_eq!(block_on(in_process(&pool, DOUBLE)(1)).unwrap(), 2);
}

fn many_calls_of_all_kinds_at_once() {
    let (pool, desk) = (pool(3), Desk::new());
    let (double, exit) = (in_process(&pool, DOUBLE), in_process(&pool, EXIT));
    let (abort, hold) = (in_process(&pool, ABORT), in_process(&pool, HOLD));
    let calls = async |n: u32| match n % 5 {
        0 => assert_signal(abort(()).await.unwrap_err(), 6),
        1 => drop(exit(n as i32).await.unwrap_err()),
        2 => {
            // It is dropped while it waits, starts or runs.
            let enough = async {
                for _ in 0..n / 5 {
                    future::yield_now().await;
                }
                Ok(0)
            };
            future::or(hold(desk.as_number(n)), enough).await.unwrap();
        }
        _ => assert_eq!(double(n).await.unwrap(), 2 * n),
    };
    let check = |()| {
        assert!(pool.alive() <= 3);
        assert!(children().len() <= 3);
    };
    block_on(pipe(0..300).map_concurrent(8, calls).map(check).drain());
}

fn spin(desk: (PathBuf, u32)) -> u32 {
    hold::keep(desk);
    loop {
        std::hint::spin_loop();
    }
}

/// A program with an idle worker, one in a call, one in a call that never ends by itself, and a
/// pool that is never dropped. It ends as it is told, once its input does.
fn owner() -> ! {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [desk, end] = &arguments[..] else { panic!("{arguments:?}") };
    let at_desk = |number| (PathBuf::from(desk), number);
    let pool: &'static ProcessPool = Box::leak(Box::new(pool(3)));
    let _running = begin(in_process(pool, HOLD)(at_desk(0)));
    let _spinning = begin(in_process(pool, SPIN)(at_desk(1)));
    block_on(in_process(pool, KEEP)(at_desk(2))).unwrap();
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    match end.as_str() {
        "exit" => std::process::exit(0),
        "abort" => std::process::abort(),
        _ => panic!("{end}"),
    }
}

fn end_of_an_owner(end: &str) {
    let desk = Desk::new();
    let mut owner = role::act("owner", &[desk.as_number(0).0.to_str().unwrap(), end]);
    let mut owner = owner.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let workers = [desk.next(), desk.next(), desk.next()];
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    if end == "kill" {
        owner.kill().unwrap();
    }
    // This lets it go on.
    owner.wait().unwrap();
    workers.into_iter().for_each(hold::Held::ended);
}

fn a_program_that_is_killed_leaves_no_worker() {
    end_of_an_owner("kill");
}

fn a_program_that_ends_leaves_no_worker() {
    end_of_an_owner("exit");
    end_of_an_owner("abort");
}

/// A program that removes its own file.
fn removed() {
    let pool = pool(1);
    let file = env::current_exe().unwrap();
    assert_eq!(file.file_name().unwrap(), "a copy");
    fs::remove_file(file).unwrap();
    assert_eq!(block_on(in_process(&pool, DOUBLE)(1)).unwrap(), 2);
}

fn a_program_whose_file_is_gone_still_has_workers() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let desk = Desk::new();
    let copy = desk.directory().join("a copy");
    fs::copy(env::current_exe().unwrap(), &copy).unwrap();
    let status = std::process::Command::new(&copy).env("ROLE", "removed").status().unwrap();
    assert!(status.success());
}
