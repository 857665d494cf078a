//! Ends: of pools on whatever thread and whoever reads, of workers whose program ends, and what signals do.

use std::collections::BTreeSet;
use std::env;
use std::future::Future;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use flowlet_process::{Error, Function, InProcess, ProcessPool, in_process};
use futures_lite::future::block_on;
use rustix::process::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
use kill::{kill, send};
use program::children;
use until::until;

const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
const EXIT: Function<i32, ()> = Function::new("exit", |code| std::process::exit(code));
const SHOUT: Function<usize, usize> = Function::new("shout", |bytes| {
    eprint!("{}", "x".repeat(bytes));
    bytes
});

fn main() {
    flowlet_process::worker(&[&DOUBLE, &EXIT, &SHOUT, &HOLD, &KEEP]);
    match role::role().as_deref() {
        None => {}
        Some("owner") => return owner(),
        Some("forker") => return forker(),
        Some("ignorant") => return ignorant(),
        Some("reaper") => return reaper(),
        Some("unread") => return unread(),
        Some(role) => panic!("no such role: {role}"),
    }
    program::run(tests![
        stopped_workers_do_not_outlive_the_program,
        workers_do_not_outlive_the_program_though_it_has_forked,
        a_worker_that_comes_too_late_ends,
        a_forked_program_leaves_the_pool_alone,
        it_works_where_the_system_does_not_tell_how_workers_end,
        it_works_where_others_reap_workers,
        the_last_handle_may_be_dropped_on_the_pools_own_thread,
        the_last_handle_may_be_dropped_at_the_end_of_a_thread,
        nobody_needs_to_read_standard_error_for_a_pool_to_end,
        standard_error_goes_where_it_is_wanted,
        a_target_that_panics_holds_nobody_up,
        a_shutdown_now_drops_what_waits_and_what_runs,
        a_worker_that_does_not_exit_is_killed,
        workers_leave_signals_to_the_program,
        workers_heed_signals_if_they_are_to,
    ]);
}

fn pool(size: usize) -> ProcessPool {
    ProcessPool::builder().size(size).build()
}

/// Has a program like this one as a child, which says that it is ready.
fn start(role: &str, desk: &Desk, more: &[&str]) -> std::process::Child {
    let desk = desk.as_number(0).0;
    let mut child = role::act(role, &[&[desk.to_str().unwrap()], more].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

/// The desk that the argument names.
fn desk() -> PathBuf {
    PathBuf::from(env::args().nth(1).unwrap())
}

/// Begins two calls.
fn two_calls(pool: &ProcessPool) -> [impl Future<Output = Result<u32, Error>> + use<>; 2] {
    [0, 1].map(|number| begin(in_process(pool, HOLD)((desk(), number))))
}

fn wait_for_input() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn owner() {
    let pool = pool(2);
    let _calls = two_calls(&pool);
    println!("ready");
    wait_for_input();
}

fn stopped_workers_do_not_outlive_the_program() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let desk = Desk::new();
    let mut owner = start("owner", &desk, &[]);
    let held = [desk.next(), desk.next()];
    held.iter().for_each(|held| send(Signal::STOP, held.process));
    owner.kill().unwrap();
    owner.wait().unwrap();
    held.into_iter().for_each(hold::Held::ended);
}

/// Forks as servers do, and so that the child has what the pool has.
fn forker() {
    let mut builder = ProcessPool::builder().size(2);
    if let Some(records) = env::args().nth(2) {
        // A shell that writes down how workers ended.
        builder = builder.command(move || {
            let mut command = Command::new("sh");
            command.arg("-c").arg("\"$0\" \"$@\"; echo $? >>$RECORDS");
            command.arg(env::current_exe().unwrap()).env("RECORDS", &records);
            command
        });
    }
    let pool = builder.build();
    let calls = two_calls(&pool);
    // All is there that the child can have.
    until(|| pool.alive() == 2);
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            // Neither of these does anything to the parent's pool, nor do they hang.
            let refused = block_on(in_process(&pool, DOUBLE)(1)).unwrap_err();
            assert!(matches!(refused, Error::Start(_)), "{refused}");
            drop(pool);
            println!("ready");
            hold::hold((desk(), 2));
            std::process::exit(0);
        }
        fork::Fork::Parent(child) => {
            wait_for_input();
            block_on(pool.shutdown());
            assert!(calls.into_iter().all(|call| block_on(call).is_ok()));
            // There is only the one that was forked.
            assert_eq!(children(), BTreeSet::from([child as u32]));
        }
    }
}

/// A program that has forked, its workers, and its child.
fn start_forker(desk: &Desk, more: &[&str]) -> (std::process::Child, [hold::Held; 3]) {
    let forker = start("forker", desk, more);
    let mut held = [desk.next(), desk.next(), desk.next()];
    held.sort_by_key(|held| held.number);
    (forker, held)
}

fn workers_do_not_outlive_the_program_though_it_has_forked() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let desk = Desk::new();
    let (mut forker, [one, other, child]) = start_forker(&desk, &[]);
    forker.kill().unwrap();
    forker.wait().unwrap();
    one.ended();
    other.ended();
    child.let_go();
}

fn a_forked_program_leaves_the_pool_alone() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let desk = Desk::new();
    let records = desk.directory().join("records");
    let (mut forker, [one, other, child]) = start_forker(&desk, &[records.to_str().unwrap()]);
    // The child has dropped the pool, and the workers are still there.
    one.let_go();
    other.let_go();
    // They exit by themselves, though the child has the sockets as well.
    drop(forker.stdin.take());
    assert!(forker.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(records).unwrap(), "0\n0\n");
    child.let_go();
}

fn a_worker_that_comes_too_late_ends() {
    if !cfg!(target_os = "linux") {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let space = std::fs::metadata("/proc/self/ns/pid").unwrap().ino();
    // The socket does not tell: this process has the other end.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let start = |owner: u32| {
        let mut worker = Command::new(env::current_exe().unwrap());
        worker.arg("--flowlet-process-worker");
        worker.stdin(OwnedFd::from(theirs.try_clone().unwrap()));
        worker.env("FLOWLET_PROCESS_OWNER", format!("{owner} {space}")).spawn().unwrap()
    };
    let mut gone = Command::new("true").spawn().unwrap();
    let owner = gone.id();
    // First it is only to be reaped.
    let stat = || std::fs::read_to_string(format!("/proc/{owner}/stat")).unwrap();
    until(|| stat().contains(") Z "));
    assert_eq!(start(owner).wait().unwrap().signal(), Some(9));
    gone.wait().unwrap();
    assert_eq!(start(owner).wait().unwrap().signal(), Some(9));
    // The owner need not be the parent, as long as it runs.
    let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
    let mut worker = start(sleeper.id());
    drop(theirs);
    (&ours).read_exact(&mut [0; 17]).expect("it says that it is a worker");
    drop(ours);
    assert!(worker.wait().unwrap().success());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// A program that is started with `SIGCHLD` ignored.
fn ignorant() {
    let (pool, desk) = (pool(2), Desk::new());
    for n in 0..10 {
        let error = block_on(in_process(&pool, EXIT)(3)).unwrap_err();
        assert!(matches!(error, Error::Died { status: None, .. }), "{error}");
        assert_eq!(block_on(in_process(&pool, DOUBLE)(n)).unwrap(), 2 * n);
        let id = block_on(in_process(&pool, KEEP)(desk.as_number(n))).unwrap();
        let kept = desk.next();
        kill(id);
        kept.ended();
    }
    let running = begin(in_process(&pool, HOLD)(desk.as_number(0)));
    let held = desk.next();
    drop(pool);
    held.ended();
    assert!(matches!(block_on(running), Err(Error::Closed)));
    assert!(children().is_empty());
}

fn it_works_where_the_system_does_not_tell_how_workers_end() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let mut ignorant = Command::new("env");
    ignorant.args(["--ignore-signal=CHLD", "ROLE=ignorant"]).arg(env::current_exe().unwrap());
    let output = ignorant.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A program that reaps whatever child there is, as the first process of a container does.
fn reaper() {
    thread::spawn(|| {
        loop {
            let _ = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
            thread::yield_now();
        }
    });
    let (pool, desk) = (pool(2), Desk::new());
    for n in 0..20 {
        // Who of the two is first may tell how it has ended.
        let error = block_on(in_process(&pool, EXIT)(3)).unwrap_err();
        let Error::Died { status, .. } = &error else { panic!("{error}") };
        assert!(status.is_none_or(|status| status.code() == Some(3)), "{error}");
        assert_eq!(block_on(in_process(&pool, DOUBLE)(n)).unwrap(), 2 * n);
    }
    // That there is no such program is told by a child that is gone.
    let missing = || {
        let mut command = Command::new("/nowhere/to/be/found");
        // Which has std start it in the other of its two ways.
        command.uid(rustix::process::getuid().as_raw());
        command
    };
    let none = ProcessPool::builder().size(1).command(missing).build();
    assert!(matches!(block_on(in_process(&none, DOUBLE)(1)), Err(Error::Start(_))));
    let running = begin(in_process(&pool, HOLD)(desk.as_number(0)));
    let held = desk.next();
    drop(pool);
    held.ended();
    assert!(matches!(block_on(running), Err(Error::Closed)));
}

fn it_works_where_others_reap_workers() {
    let output = role::act("reaper", &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Someone's task: what it works with, woken by what it waits for.
struct Task {
    _pool: ProcessPool,
    woken: Arc<AtomicBool>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
    }
}

fn poll<T: Serialize, U: DeserializeOwned>(
    call: &mut InProcess<T, U>,
    waker: &Waker,
) -> Poll<Result<U, Error>> {
    Pin::new(call).poll(&mut Context::from_waker(waker))
}

fn the_last_handle_may_be_dropped_on_the_pools_own_thread() {
    for _ in 0..10 {
        let (pool, desk) = (pool(2), Desk::new());
        let mut call = in_process(&pool, HOLD)(desk.as_number(0));
        let woken = Arc::new(AtomicBool::new(false));
        let waker = Waker::from(Arc::new(Task { _pool: pool, woken: woken.clone() }));
        assert!(poll(&mut call, &waker).is_pending());
        // The call has the last.
        drop(waker);
        desk.next().let_go();
        until(|| woken.load(Ordering::SeqCst));
        assert!(matches!(poll(&mut call, Waker::noop()), Poll::Ready(Ok(_))));
        until(|| children().is_empty());
    }
}

fn the_last_handle_may_be_dropped_at_the_end_of_a_thread() {
    thread_local! {
        static POOL: ProcessPool = pool(2);
    }
    let used = thread::spawn(|| POOL.with(|pool| block_on(in_process(pool, DOUBLE)(1)).unwrap()));
    assert_eq!(used.join().unwrap(), 2);
    assert!(children().is_empty());
}

/// A program whose standard error nobody reads.
fn unread() {
    for end in ["drop", "shutdown", "shutdown now", "drop in a call"] {
        let (pool, desk) = (pool(2), Desk::new());
        // More than the system holds for a reader, less than what it would hold a worker up for.
        assert_eq!(block_on(in_process(&pool, SHOUT)(90_000)).unwrap(), 90_000);
        match end {
            "drop" => drop(pool),
            "shutdown" => block_on(pool.shutdown()),
            "shutdown now" => block_on(pool.shutdown_now()),
            _ => {
                // It never comes to an end of its own.
                let _shouting = begin(in_process(&pool, SHOUT)(10_000_000));
                let _holding = begin(in_process(&pool, HOLD)(desk.as_number(0)));
                let _held = desk.next();
                drop(pool);
            }
        }
        assert!(children().is_empty());
        println!("{end}");
    }
}

fn nobody_needs_to_read_standard_error_for_a_pool_to_end() {
    let mut unread = role::act("unread", &[]);
    let mut unread = unread.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    unread.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "drop\nshutdown\nshutdown now\ndrop in a call\n");
    assert!(unread.wait().unwrap().success());
}

/// Keeps what is written.
struct Keep(mpsc::Sender<Vec<u8>>);

impl std::io::Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn standard_error_goes_where_it_is_wanted() {
    let (sender, received) = mpsc::channel();
    let pool = ProcessPool::builder().size(2).stderr(Keep(sender)).build();
    for bytes in [10, 100_000, 0, 5] {
        block_on(in_process(&pool, SHOUT)(bytes)).unwrap();
    }
    block_on(pool.shutdown());
    // All of it was there before the end.
    assert_eq!(received.try_iter().flatten().count(), 100_015);
    assert!(received.recv().is_err());
}

/// Panics at each write.
struct Bomb(Arc<Mutex<u32>>);

impl std::io::Write for Bomb {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        *self.0.lock().unwrap() += 1;
        std::panic::resume_unwind(Box::new("no"));
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn a_target_that_panics_holds_nobody_up() {
    let writes = Arc::new(Mutex::new(0));
    let pool = ProcessPool::builder().size(1).stderr(Bomb(writes.clone())).build();
    for _ in 0..3 {
        assert_eq!(block_on(in_process(&pool, SHOUT)(200_000)).unwrap(), 200_000);
    }
    drop(pool);
    assert_eq!(*writes.lock().unwrap(), 1);
}

fn a_shutdown_now_drops_what_waits_and_what_runs() {
    let (pool, desk) = (pool(2), Desk::new());
    let hold = in_process(&pool, HOLD);
    let calls: Vec<_> = (0..5).map(|number| begin(hold(desk.as_number(number)))).collect();
    let held = [desk.next(), desk.next()];
    block_on(pool.shutdown_now());
    assert!(children().is_empty());
    held.into_iter().for_each(hold::Held::ended);
    for call in calls.into_iter().chain([begin(hold(desk.as_number(5)))]) {
        assert!(matches!(block_on(call), Err(Error::Closed)));
    }
    assert!(desk.is_quiet());
}

fn a_worker_that_does_not_exit_is_killed() {
    let (pool, desk) = (pool(1), Desk::new());
    let id = block_on(in_process(&pool, KEEP)(desk.as_number(0))).unwrap();
    let kept = desk.next();
    send(Signal::STOP, id);
    block_on(pool.shutdown());
    kept.ended();
}

fn workers_leave_signals_to_the_program() {
    let (pool, desk) = (pool(2), Desk::new());
    let idle = block_on(in_process(&pool, KEEP)(desk.as_number(0))).unwrap();
    drop(desk.next());
    let running = begin(in_process(&pool, HOLD)(desk.as_number(1)));
    let held = desk.next();
    let also = begin(in_process(&pool, HOLD)(desk.as_number(2)));
    let also_held = desk.next();
    for process in [idle, held.process, also_held.process] {
        send(Signal::TERM, process);
        send(Signal::INT, process);
    }
    held.let_go();
    also_held.let_go();
    block_on(running).unwrap();
    block_on(also).unwrap();
    assert_eq!(pool.alive(), 2);
}

fn workers_heed_signals_if_they_are_to() {
    for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        let desk = Desk::new();
        let pool = ProcessPool::builder().size(1).ignore_signals(false).build();
        let mut running = begin(in_process(&pool, HOLD)(desk.as_number(0)));
        let held = desk.next();
        send(signal, held.process);
        let error = block_on(&mut running).unwrap_err();
        let Error::Died { status, .. } = &error else { panic!("{error}") };
        assert_eq!(status.unwrap().signal(), Some(number));
    }
}
