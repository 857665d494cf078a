//! What a function finds in its worker: the standard streams, its surroundings, pools of its own.

use std::env;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use flowlet::prelude::*;
use flowlet_process::{Error, Function, ProcessPool, in_process};
use futures_lite::future::block_on;

#[path = "support/begin.rs"]
mod begin;
#[path = "support/kill.rs"]
mod kill;
#[path = "support/program.rs"]
mod program;
#[path = "support/role.rs"]
mod role;

use begin::begin;
use kill::kill;

const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
const ID: Function<(), u32> = Function::new("id", |()| std::process::id());
const ABORT: Function<(), ()> = Function::new("abort", |()| std::process::abort());
const SAY: Function<String, ()> = Function::new("say", say);
const SHOUT: Function<u32, ()> = Function::new("shout", shout);
const SHOUT_AND_DIE: Function<u32, ()> = Function::new("shout and die", shout_and_die);
const READ_INPUT: Function<(), (String, String)> = Function::new("read input", read_input);
const SURROUNDINGS: Function<(), Surroundings> = Function::new("surroundings", surroundings);
const WRITE_FILE: Function<PathBuf, usize> = Function::new("write file", write_file);
const START: Function<(), u32> = Function::new("start", start_something);
const NEST: Function<u32, (u32, u32)> = Function::new("nest", nest);

type Surroundings = (Vec<String>, Option<String>, PathBuf);

fn main() {
    flowlet_process::worker(&[
        &DOUBLE,
        &ID,
        &ABORT,
        &SAY,
        &SHOUT,
        &SHOUT_AND_DIE,
        &READ_INPUT,
        &SURROUNDINGS,
        &WRITE_FILE,
        &START,
        &NEST,
    ]);
    match role::role().as_deref() {
        None => {}
        Some("printer") => return printer(),
        Some("shouter") => return shouter(),
        Some("unread") => return unread(),
        Some(role) => panic!("no such role: {role}"),
    }
    program::run(tests![
        what_is_printed_disturbs_nothing,
        all_of_standard_error_is_passed_on_and_the_end_kept,
        nobody_waits_for_who_does_not_read_standard_error,
        standard_input_is_empty,
        arguments_are_not_passed_on_the_rest_is,
        a_command_sets_the_surroundings,
        a_command_sets_limits,
        a_process_that_outlives_its_worker_holds_nothing_up,
        a_worker_can_have_a_pool,
    ]);
}

fn pool(size: usize) -> ProcessPool {
    ProcessPool::builder().size(size).build()
}

fn say(text: String) {
    print!("{text}");
    let mut child = Command::new("echo").arg("child").spawn().unwrap();
    child.wait().unwrap();
}

fn printer() {
    let pool = pool(1);
    let say = in_process(&pool, SAY);
    for text in ["\u{1}\u{7}\0\n", "no end of line"] {
        block_on(say(text.to_owned())).unwrap();
    }
}

fn what_is_printed_disturbs_nothing() {
    let output = role::act("printer", &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Nor is it lost with the worker, though the pool killed that.
    assert_eq!(output.stdout, b"\x01\x07\0\nchild\nchild\nno end of line");
}

fn read_input((): ()) -> (String, String) {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    let cat = Command::new("cat").stdout(Stdio::piped()).spawn().unwrap();
    (input, String::from_utf8(cat.wait_with_output().unwrap().stdout).unwrap())
}

fn standard_input_is_empty() {
    let pool = pool(1);
    let empty = (String::new(), String::new());
    assert_eq!(block_on(in_process(&pool, READ_INPUT)(())).unwrap(), empty);
    assert_eq!(block_on(in_process(&pool, READ_INPUT)(())).unwrap(), empty);
}

fn surroundings((): ()) -> Surroundings {
    (env::args().skip(1).collect(), env::var("PATH").ok(), env::current_dir().unwrap())
}

fn arguments_are_not_passed_on_the_rest_is() {
    let pool = pool(1);
    let (arguments, path, directory) = block_on(in_process(&pool, SURROUNDINGS)(())).unwrap();
    assert_eq!(arguments.len(), 1);
    assert!(!env::args().any(|argument| argument == arguments[0]));
    assert_eq!(path, env::var("PATH").ok());
    assert_eq!(directory, env::current_dir().unwrap());
}

fn a_command_sets_the_surroundings() {
    let make = || {
        let mut command = flowlet_process::Command::new(env::current_exe().unwrap());
        command.args(["one", "two"]).env("PATH", "nowhere").current_dir("/");
        command
    };
    let pool = ProcessPool::builder().size(1).command(make).build();
    let (arguments, path, directory) = block_on(in_process(&pool, SURROUNDINGS)(())).unwrap();
    // What marks the worker comes after them.
    assert_eq!(arguments[..2], ["one", "two"]);
    assert_eq!(arguments.len(), 3);
    assert_eq!(path.as_deref(), Some("nowhere"));
    assert_eq!(directory, PathBuf::from("/"));
}

/// Writes a megabyte to a file.
fn write_file(path: PathBuf) -> usize {
    std::fs::write(path, [0; 1_000_000]).map_or(0, |()| 1_000_000)
}

fn a_command_sets_limits() {
    let make = || {
        let mut command = flowlet_process::Command::new("sh");
        command.arg("-c").arg("ulimit -f 1 && exec \"$0\" \"$@\"");
        command.arg(env::current_exe().unwrap());
        command
    };
    let path = env::temp_dir().join(format!("flowlet-limited-{}", std::process::id()));
    let limited = ProcessPool::builder().size(1).command(make).build();
    let ended = block_on(in_process(&limited, WRITE_FILE)(path.clone()));
    // By the signal for this.
    assert!(matches!(ended, Err(Error::Died { .. })), "{ended:?}");
    assert_eq!(block_on(in_process(&limited, DOUBLE)(1)).unwrap(), 2);
    let free = pool(1);
    assert_eq!(block_on(in_process(&free, WRITE_FILE)(path.clone())).unwrap(), 1_000_000);
    std::fs::remove_file(path).unwrap();
}

fn start_something((): ()) -> u32 {
    // It has this process's standard error, and goes on after it.
    Command::new("sleep").arg("1000").spawn().unwrap().id()
}

fn a_process_that_outlives_its_worker_holds_nothing_up() {
    let pool = pool(1);
    let sleeper = block_on(in_process(&pool, START)(())).unwrap();
    assert!(matches!(block_on(in_process(&pool, ABORT)(())), Err(Error::Died { .. })));
    assert_eq!(block_on(in_process(&pool, DOUBLE)(1)).unwrap(), 2);
    drop(pool);
    kill(sleeper);
}

fn nest(n: u32) -> (u32, u32) {
    let pool = pool(2);
    let double = in_process(&pool, DOUBLE);
    let sum = pipe(0..n).map_concurrent(2, double).map(Result::unwrap).fold(0, |sum, n| sum + n);
    (block_on(sum), block_on(in_process(&pool, ID)(())).unwrap())
}

fn a_worker_can_have_a_pool() {
    let pool = pool(1);
    let (sum, inner) = block_on(in_process(&pool, NEST)(10)).unwrap();
    assert_eq!(sum, 90);
    assert_ne!(inner, block_on(in_process(&pool, ID)(())).unwrap());
}

/// Writes so many lines to standard error.
fn shout(lines: u32) {
    for line in 0..lines {
        eprintln!("line {line}");
    }
}

fn shout_and_die(lines: u32) {
    shout(lines);
    std::process::abort();
}

fn lines(lines: u32) -> String {
    (0..lines).map(|line| format!("line {line}\n")).collect()
}

/// None, some, as much as is kept, and more.
const SHOUTED: [u32; 6] = [0, 5, 930, 931, 932, 20_000];

/// Its argument says how many of the calls are made.
fn shouter() {
    let calls = std::env::args().nth(1).unwrap().parse().unwrap();
    let pool = pool(1);
    for count in SHOUTED.into_iter().rev().take(calls) {
        let error = block_on(in_process(&pool, SHOUT_AND_DIE)(count)).unwrap_err();
        let Error::Died { stderr, .. } = &error else { panic!("{error}") };
        let all = lines(count);
        assert!(all.ends_with(stderr), "{stderr}");
        assert!(all.len() < 8192 && stderr.len() == all.len() || stderr.len() > 8000, "{stderr}");
        assert!(stderr.len() <= 8192);
        assert!(stderr.is_empty() || stderr.starts_with("line "), "{stderr}");
        assert!(error.to_string().ends_with(stderr.trim_end()));
    }
}

fn all_of_standard_error_is_passed_on_and_the_end_kept() {
    let shouted = |calls: usize| {
        let output = role::act("shouter", &[&calls.to_string()]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        text
    };
    assert!(shouted(1) == lines(20_000), "the order of one worker's lines is kept");
    // What the last worker wrote may come out among what the next one writes.
    let sorted = |text: String| {
        let mut bytes = text.into_bytes();
        bytes.sort();
        bytes
    };
    assert!(sorted(shouted(SHOUTED.len())) == sorted(SHOUTED.map(lines).concat()));
}

/// A program whose standard error is not read before it says something.
fn unread() {
    let pool = pool(3);
    // Far more than the system holds for a reader.
    let shouting = begin(in_process(&pool, SHOUT)(200_000));
    let double = in_process(&pool, DOUBLE);
    for n in 0..1000 {
        assert_eq!(block_on(double(n)).unwrap(), 2 * n);
        // Nor is it different for workers that start and die.
        if n % 100 == 0 {
            block_on(in_process(&pool, ABORT)(())).unwrap_err();
        }
    }
    println!("said");
    block_on(shouting).unwrap();
}

fn nobody_waits_for_who_does_not_read_standard_error() {
    let mut unread = role::act("unread", &[]);
    let mut unread = unread.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 4];
    unread.stdout.take().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"said");
    let mut text = String::new();
    unread.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(unread.wait().unwrap().success());
    assert!(text == lines(200_000));
}
