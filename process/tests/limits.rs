//! Limits: of depth and size, of a worker's memory and life, and what each worker does at first.

use std::env;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use flowlet_process::{Command, Error, Function, ProcessPool, in_process, is_worker};
use futures_lite::future::block_on;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[path = "support/program.rs"]
mod program;
#[path = "support/role.rs"]
mod role;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Node(u32, Option<Box<Node>>);

/// Makes a node with so many inside, one in the other.
fn nest(depth: u32) -> Node {
    (0..depth).fold(Node(0, None), |node, n| Node(n, Some(Box::new(node))))
}

fn depth(node: Node) -> u32 {
    let mut depth = 0;
    let mut next = node.1;
    while let Some(node) = next {
        depth += 1;
        next = node.1;
    }
    depth
}

/// How often this process has begun as a worker.
static BEGUN: AtomicU32 = AtomicU32::new(0);

const NEST: Function<u32, Node> = Function::new("nest", nest);
const DEPTH: Function<Node, u32> = Function::new("depth", depth);
const ID: Function<(), u32> = Function::new("id", |()| std::process::id());
const LENGTH: Function<String, usize> = Function::new("length", |text| text.len());
const REPEAT: Function<usize, String> = Function::new("repeat", |length| "x".repeat(length));
const LEAK: Function<usize, u32> = Function::new("leak", |bytes| {
    // Written, so that the memory is there.
    std::mem::forget(vec![1u8; bytes]);
    std::process::id()
});
const BEGINNINGS: Function<(), u32> =
    Function::new("beginnings", |()| BEGUN.load(Ordering::SeqCst));
const TALK: Function<Talker, Talker> = Function::new("talk", |talker| talker);

fn main() {
    if is_worker() {
        BEGUN.fetch_add(1, Ordering::SeqCst);
    }
    flowlet_process::worker(&[&NEST, &DEPTH, &ID, &LENGTH, &REPEAT, &LEAK, &BEGINNINGS, &TALK]);
    match role::role().as_deref() {
        None => {}
        Some("poor") => return poor(),
        Some(role) => panic!("no such role: {role}"),
    }
    program::run(tests![
        what_is_too_deep_is_an_error,
        a_higher_limit_of_depth_reaches_further,
        what_is_too_long_is_an_error,
        an_argument_that_a_worker_has_no_memory_for_is_an_error,
        an_output_that_the_program_has_no_memory_for_is_an_error,
        what_a_type_says_of_itself_arrives,
        workers_are_replaced_after_so_many_calls,
        workers_are_replaced_with_so_much_memory,
        workers_can_do_something_first,
    ]);
}

fn pool() -> ProcessPool {
    ProcessPool::builder().size(1).build()
}

#[track_caller]
fn says<T: Debug>(result: Result<T, Error>, is_argument: bool, text: &str) {
    match result.unwrap_err() {
        Error::Argument(why) if is_argument => assert!(why.contains(text), "{why}"),
        Error::Output(why) if !is_argument => assert!(why.contains(text), "{why}"),
        error => panic!("{error}"),
    }
}

fn what_is_too_deep_is_an_error() {
    let pool = pool();
    // Neither does it come to a worker, ...
    says(block_on(in_process(&pool, DEPTH)(nest(1000))), true, "deeper than the limit of 256");
    assert_eq!(pool.alive(), 0);
    // ... nor to the program, on whose thread it would not have the room.
    let nest = in_process(&pool, NEST);
    let consumer = thread::Builder::new().stack_size(256 * 1024);
    let deep = consumer.spawn(move || block_on(nest(2000))).unwrap();
    says(deep.join().unwrap(), false, "deeper than the limit of 256");
    // A node in a node is an option and a struct.
    let id = block_on(in_process(&pool, ID)(())).unwrap();
    assert_eq!(depth(block_on(in_process(&pool, NEST)(127)).unwrap()), 127);
    says(block_on(in_process(&pool, NEST)(128)), false, "`flowlet_process::Builder::depth_limit`");
    assert_eq!(block_on(in_process(&pool, DEPTH)(self::nest(127))).unwrap(), 127);
    // The worker lives on.
    assert_eq!(block_on(in_process(&pool, ID)(())).unwrap(), id);
}

fn a_higher_limit_of_depth_reaches_further() {
    let pool = ProcessPool::builder().size(1).depth_limit(2001).build();
    assert_eq!(depth(block_on(in_process(&pool, NEST)(1000)).unwrap()), 1000);
    assert_eq!(block_on(in_process(&pool, DEPTH)(nest(1000))).unwrap(), 1000);
    says(block_on(in_process(&pool, NEST)(1001)), false, "2001");
    let pool = ProcessPool::builder().size(1).depth_limit(0).build();
    assert!(block_on(in_process(&pool, ID)(())).is_ok());
    says(block_on(in_process(&pool, NEST)(0)), false, "limit of 0");
}

fn what_is_too_long_is_an_error() {
    let pool = ProcessPool::builder().size(1).byte_limit(1000).build();
    let (length, repeat) = (in_process(&pool, LENGTH), in_process(&pool, REPEAT));
    says(block_on(length("x".repeat(999))), true, "limit of 1000 bytes");
    assert_eq!(pool.alive(), 0);
    // Two bytes say how long it is.
    assert_eq!(block_on(length("x".repeat(998))).unwrap(), 998);
    let id = block_on(in_process(&pool, ID)(())).unwrap();
    assert_eq!(block_on(repeat(998)).unwrap().len(), 998);
    says(block_on(repeat(999)), false, "`flowlet_process::Builder::byte_limit`");
    says(block_on(repeat(10_000_000)), false, "limit of 1000 bytes");
    assert_eq!(block_on(in_process(&pool, ID)(())).unwrap(), id);
}

fn an_argument_that_a_worker_has_no_memory_for_is_an_error() {
    let make = || {
        let mut command = Command::new("sh");
        command.arg("-c").arg("ulimit -v 300000 && exec \"$0\" \"$@\"");
        command.arg(env::current_exe().unwrap());
        command
    };
    let pool = ProcessPool::builder().size(1).command(make).build();
    let id = block_on(in_process(&pool, ID)(())).unwrap();
    for _ in 0..2 {
        let text = "x".repeat(400_000_000);
        says(block_on(in_process(&pool, LENGTH)(text)), true, "no memory for its 4000000");
    }
    assert_eq!(block_on(in_process(&pool, ID)(())).unwrap(), id);
}

/// A program that has little memory left.
fn poor() {
    let pool = ProcessPool::builder().size(1).build();
    assert_eq!(block_on(in_process(&pool, REPEAT)(10)).unwrap().len(), 10);
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    let limit = Rlimit { current: Some(pages * 4096 + 100_000_000), ..getrlimit(Resource::As) };
    setrlimit(Resource::As, limit).unwrap();
    says(block_on(in_process(&pool, REPEAT)(300_000_000)), false, "no memory");
    assert_eq!(block_on(in_process(&pool, LENGTH)("x".to_owned())).unwrap(), 1);
}

fn an_output_that_the_program_has_no_memory_for_is_an_error() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let output = role::act("poor", &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Says no where it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Talker(u8);

impl Serialize for Talker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, is_worker()) {
            (1, false) => Err(S::Error::custom("not sent")),
            (2, true) => Err(S::Error::custom("not returned")),
            _ => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Talker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match (u8::deserialize(deserializer)?, is_worker()) {
            (3, true) => Err(D::Error::custom("not taken")),
            (4, false) => Err(D::Error::custom("not wanted")),
            (number, _) => Ok(Self(number)),
        }
    }
}

fn what_a_type_says_of_itself_arrives() {
    let pool = pool();
    let talk = in_process(&pool, TALK);
    assert_eq!(block_on(talk(Talker(0))).unwrap(), Talker(0));
    says(block_on(talk(Talker(1))), true, "Talker`: not sent");
    says(block_on(talk(Talker(2))), false, "Talker`: not returned");
    says(block_on(talk(Talker(3))), true, "Talker`: not taken");
    says(block_on(talk(Talker(4))), false, "Talker`: not wanted");
}

fn workers_are_replaced_after_so_many_calls() {
    let pool = ProcessPool::builder().size(1).max_calls(3).build();
    let mut ids: Vec<u32> = (0..12).map(|_| block_on(in_process(&pool, ID)(())).unwrap()).collect();
    assert!(ids.chunks(3).all(|three| three[0] == three[1] && three[1] == three[2]), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

fn workers_are_replaced_with_so_much_memory() {
    #[cfg(target_os = "linux")]
    {
        let pool = ProcessPool::builder().size(1).max_memory(200_000_000).build();
        let leak = in_process(&pool, LEAK);
        let ids = [1, 1, 300_000_000, 1, 1].map(|bytes| block_on(leak(bytes)).unwrap());
        assert!(ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
        assert_ne!(ids[2], ids[3]);
        assert_eq!(ids[3], ids[4]);
    }
}

fn workers_can_do_something_first() {
    assert!(!is_worker());
    assert_eq!(BEGUN.load(Ordering::SeqCst), 0);
    let pool = pool();
    for _ in 0..2 {
        assert_eq!(block_on(in_process(&pool, BEGINNINGS)(())).unwrap(), 1);
    }
}
