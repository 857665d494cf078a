//! Calls in worker processes: where they run, how many at once, in which order, and what is left.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use flowlet::ordered;
use flowlet::prelude::*;
use flowlet_process::{Command, Error, Function, ProcessPool, in_process};
use futures_lite::future::block_on;

#[path = "support/begin.rs"]
mod begin;
#[path = "support/hold.rs"]
mod hold;
#[path = "support/program.rs"]
mod program;
#[path = "support/until.rs"]
mod until;

use begin::{begin, poll};
use hold::{Desk, HOLD, KEEP};
use program::children;
use until::until;

const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
const COUNT: Function<(), u32> = Function::new("count", count);
const OWNED: Function<Vec<String>, (usize, Option<String>)> =
    Function::new("owned", |texts| (texts.len(), texts.into_iter().max()));
const ID: Function<(), u32> = Function::new("id", |()| std::process::id());
const ECHO: Function<String, String> = Function::new("echo", |text| text);
const ECHO_BYTES: Function<Vec<u8>, Vec<u8>> = Function::new("echo bytes", |bytes| bytes);

fn main() {
    flowlet_process::worker(&[&DOUBLE, &COUNT, &OWNED, &ID, &ECHO, &ECHO_BYTES, &HOLD, &KEEP]);
    program::run(tests![
        outputs_come,
        it_works_in_every_stage,
        it_works_on_every_runtime,
        it_runs_in_other_processes,
        the_pool_bounds_whatever_the_stages_limits_are,
        a_worker_is_used_again,
        nothing_is_started_before_the_first_poll,
        calls_wait_in_order,
        a_waiting_call_that_is_dropped_never_begins,
        a_call_goes_on_without_being_polled,
        a_dropped_call_ends_its_worker,
        it_can_be_dropped_at_every_point,
        a_dropped_stage_ends_all_its_workers,
        a_dropped_pool_leaves_nothing,
        a_pool_can_be_dropped_at_every_point,
        a_pool_can_be_dropped_while_a_worker_starts,
        an_unused_pool_is_dropped,
        a_shutdown_waits_for_calls_that_nobody_polls,
        workers_exit_by_themselves_at_a_shutdown,
        a_dropped_shutdown_kills,
        large_values_go_over,
    ]);
}

fn pool(size: usize) -> ProcessPool {
    ProcessPool::builder().size(size).build()
}

fn outputs_come() {
    let pool = pool(2);
    assert_eq!(block_on(in_process(&pool, DOUBLE)(21)).unwrap(), 42);
    let texts = vec!["one".to_owned(), "two".to_owned()];
    let owned = block_on(in_process(&pool, OWNED)(texts)).unwrap();
    assert_eq!(owned, (2, Some("two".to_owned())));
}

fn it_works_in_every_stage() {
    let pool = pool(2);
    let double = in_process(&pool, DOUBLE);
    let run = async {
        let doubled: Vec<u32> =
            pipe(0..100).map_concurrent(ordered(4), &double).map(Result::unwrap).collect().await;
        assert!(doubled.into_iter().eq((0..100).map(|n| 2 * n)));

        let mut doubled: Vec<u32> =
            pipe(0..100).map_concurrent(4, &double).map(Result::unwrap).collect().await;
        doubled.sort_unstable();
        assert!(doubled.into_iter().eq((0..100).map(|n| 2 * n)));

        let some: Vec<u32> = pipe(0..4)
            .filter_map_concurrent(ordered(2), async |n| double(n).await.ok().filter(|n| *n > 2))
            .collect()
            .await;
        assert_eq!(some, [4, 6]);

        let all: Vec<u32> =
            pipe(0..2).flat_map_concurrent(ordered(2), async |n| double(n).await).collect().await;
        assert_eq!(all, [0, 2]);

        let kept: Vec<u32> = pipe(0..3)
            .filter_concurrent(ordered(2), async |n: &u32| double(*n).await.unwrap() == 2)
            .collect()
            .await;
        assert_eq!(kept, [1]);
    };
    block_on(run);
}

fn it_works_on_every_runtime() {
    let pool = pool(2);
    let double = in_process(&pool, DOUBLE);
    let run = || {
        let stream = pipe(0..20).map_concurrent(4, double.clone()).map(Result::unwrap);
        // That it can be spawned shows that it is `Send` and borrows nothing.
        stream.fold(0, |sum, n| sum + n)
    };
    assert_eq!(block_on(run()), 380);
    assert_eq!(smol::block_on(smol::spawn(run())), 380);
    assert_eq!(async_std::task::block_on(async_std::task::spawn(run())), 380);
    let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(one.block_on(run()), 380);
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    assert_eq!(many.block_on(async { tokio::spawn(run()).await.unwrap() }), 380);
}

fn it_runs_in_other_processes() {
    let pool = pool(1);
    let id = block_on(in_process(&pool, ID)(())).unwrap();
    assert_ne!(id, std::process::id());
    if cfg!(target_os = "linux") {
        assert_eq!(children(), BTreeSet::from([id]));
    }
}

fn the_pool_bounds_whatever_the_stages_limits_are() {
    let (pool, desk) = (pool(2), Desk::new());
    let hold = in_process(&pool, HOLD);
    let mut streams: Vec<_> = [0, 10]
        .map(|first| {
            let numbers = (first..first + 5).map(|number| desk.as_number(number));
            Box::pin(pipe(numbers.collect::<Vec<_>>()).map_concurrent(5, hold.clone()))
        })
        .into();
    for stream in &mut streams {
        assert!(poll(&mut stream.next()).is_pending());
    }
    // When one goes on, it is the others' turn.
    let mut held = vec![desk.next(), desk.next()];
    for _ in 2..10 {
        assert!(desk.is_quiet());
        assert_eq!(pool.alive(), 2);
        if cfg!(target_os = "linux") {
            assert_eq!(children().len(), 2);
        }
        held.remove(0).let_go();
        held.push(desk.next());
    }
    held.into_iter().for_each(hold::Held::let_go);
    let ids: BTreeSet<u32> = streams
        .into_iter()
        .flat_map(|stream| block_on(stream.map(Result::unwrap).collect::<Vec<_>>()))
        .collect();
    assert_eq!(ids.len(), 2);
}

fn count((): ()) -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed)
}

fn a_worker_is_used_again() {
    let pool = pool(2);
    // One after the other, none needs a second worker.
    for before in 0..5 {
        assert_eq!(block_on(in_process(&pool, COUNT)(())).unwrap(), before);
        assert_eq!(pool.alive(), 1);
    }
}

fn nothing_is_started_before_the_first_poll() {
    let pool = pool(2);
    let call = in_process(&pool, DOUBLE)(1);
    assert_eq!(pool.alive(), 0);
    drop(call);
    assert_eq!(pool.alive(), 0);
    assert!(children().is_empty());
}

fn calls_wait_in_order() {
    let (pool, desk) = (pool(1), Desk::new());
    let hold = in_process(&pool, HOLD);
    let calls: Vec<_> = (0..20).map(|number| begin(hold(desk.as_number(number)))).collect();
    for number in 0..20 {
        let held = desk.next();
        assert_eq!(held.number, number);
        held.let_go();
    }
    for call in calls {
        block_on(call).unwrap();
    }
}

fn a_waiting_call_that_is_dropped_never_begins() {
    let (pool, desk) = (pool(1), Desk::new());
    let hold = in_process(&pool, HOLD);
    let first = begin(hold(desk.as_number(0)));
    let held = desk.next();
    let mut waiting: Vec<_> =
        (1..=6).map(|number| Some(begin(hold(desk.as_number(number))))).collect();
    // The first, one in between, and the last.
    for index in [0, 2, 5] {
        waiting[index] = None;
    }
    // Their places are given up, though no worker is free to find that out.
    until(|| format!("{pool:?}").ends_with("waiting: 3 }"));
    held.let_go();
    let mut ids = vec![block_on(first).unwrap()];
    for number in [2, 4, 5] {
        let held = desk.next();
        assert_eq!(held.number, number);
        held.let_go();
    }
    for call in waiting.into_iter().flatten() {
        ids.push(block_on(call).unwrap());
    }
    assert!(desk.is_quiet());
    // Nor did it cost a worker.
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1);
}

fn a_call_goes_on_without_being_polled() {
    let pool = pool(1);
    let large = "large".repeat(1_000_000);
    let unpolled = begin(in_process(&pool, ECHO)(large.clone()));
    // It needs the only worker, and so the other to be over.
    assert_eq!(block_on(in_process(&pool, DOUBLE)(1)).unwrap(), 2);
    assert_eq!(block_on(unpolled).unwrap(), large);
}

fn a_dropped_call_ends_its_worker() {
    let (pool, desk) = (pool(1), Desk::new());
    let hold = in_process(&pool, HOLD);
    let dropped = begin(hold(desk.as_number(0)));
    let held = desk.next();
    let next = begin(hold(desk.as_number(1)));
    drop(dropped);
    let ended = held.process;
    held.ended();
    // The next has another.
    let held = desk.next();
    assert_ne!(held.process, ended);
    // Of which there is only one, at any time.
    if cfg!(target_os = "linux") {
        assert_eq!(children(), BTreeSet::from([held.process]));
    }
    held.let_go();
    block_on(next).unwrap();
}

fn it_can_be_dropped_at_every_point() {
    let pool = pool(2);
    let echo = in_process(&pool, ECHO);
    let text = "a text ".repeat(100_000);
    for round in 0..60 {
        let mut call = echo(text.clone());
        let polls = round / 2;
        for poll_number in 0..polls {
            if poll(&mut call).is_ready() {
                break;
            }
            // So that it is at one point this time and at another the next.
            for _ in 0..poll_number * 20 {
                thread::yield_now();
            }
        }
        drop(call);
        assert!(pool.alive() <= 2);
        if round % 2 == 0 {
            assert_eq!(block_on(echo(text.clone())).unwrap(), text);
        }
    }
}

fn a_dropped_stage_ends_all_its_workers() {
    let (pool, desk) = (pool(3), Desk::new());
    let items: Vec<_> = (0..10).map(|number| desk.as_number(number)).collect();
    let mut stream = Box::pin(pipe(items).map_concurrent(5, in_process(&pool, HOLD)));
    assert!(poll(&mut stream.next()).is_pending());
    let held = [desk.next(), desk.next(), desk.next()];
    drop(stream);
    held.into_iter().for_each(hold::Held::ended);
    // None of those that waited goes on in their place. One may have begun while the stage was being
    // dropped, call by call, and then it was dropped too.
    let next = begin(in_process(&pool, HOLD)(desk.as_number(10)));
    let held = desk.next_of(10);
    held.let_go();
    block_on(next).unwrap();
    assert!(desk.is_quiet());
}

fn a_dropped_pool_leaves_nothing() {
    let (pool, desk) = (pool(2), Desk::new());
    let hold = in_process(&pool, HOLD);
    // One is idle, one in a call, and then one waits.
    let idle = begin(in_process(&pool, KEEP)(desk.as_number(0)));
    let running = begin(hold(desk.as_number(1)));
    let ends = [desk.next(), desk.next()];
    block_on(idle).unwrap();
    let also = begin(hold(desk.as_number(2)));
    let also_held = desk.next();
    let waiting = begin(hold(desk.as_number(3)));
    drop(pool);
    assert!(children().is_empty());
    ends.into_iter().chain([also_held]).for_each(hold::Held::ended);
    for call in [running, also, waiting, begin(hold(desk.as_number(4)))] {
        let error = block_on(call).unwrap_err();
        assert!(matches!(error, Error::Closed), "{error}");
    }
    assert!(desk.is_quiet());
}

fn a_pool_can_be_dropped_at_every_point() {
    for round in 0..60 {
        let pool = pool(2);
        let double = in_process(&pool, DOUBLE);
        // Of the workers, some start, some are idle, some are given to a call just now.
        if round % 3 > 0 {
            block_on(double(1)).unwrap();
        }
        let calls: Vec<_> = (0..round % 5).map(|n| begin(double(n))).collect();
        for _ in 0..round {
            thread::yield_now();
        }
        if round % 2 == 0 {
            drop(pool);
        } else {
            let mut shutdown = Box::pin(pool.shutdown());
            let _ = poll(&mut shutdown);
        }
        assert!(children().is_empty());
        for (n, call) in calls.into_iter().enumerate() {
            match block_on(call) {
                Ok(double) => assert_eq!(double, 2 * n as u32),
                Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
            }
        }
    }
}

fn a_pool_can_be_dropped_while_a_worker_starts() {
    let (begun, has_begun) = mpsc::channel();
    let (go_on, blocked) = mpsc::channel::<()>();
    let ends = Mutex::new((begun, blocked));
    let make = move || {
        let ends = ends.lock().unwrap();
        ends.0.send(()).unwrap();
        ends.1.recv().unwrap();
        // It never says that it is a worker.
        let mut command = Command::new("sh");
        command.arg("-c").arg("exec sleep 1000");
        command
    };
    let pool = ProcessPool::builder().size(1).command(make).start_limit(Duration::MAX).build();
    let double = in_process(&pool, DOUBLE);
    let call = begin(double(1));
    has_begun.recv().unwrap();
    let dropping = thread::spawn(|| drop(pool));
    // Once it is closed, and not before, the process starts.
    until(|| matches!(poll(&mut double(1)), Poll::Ready(Err(Error::Closed))));
    go_on.send(()).unwrap();
    dropping.join().unwrap();
    assert!(children().is_empty());
    assert!(matches!(block_on(call), Err(Error::Closed)));
}

fn an_unused_pool_is_dropped() {
    drop(pool(2));
    block_on(pool(2).shutdown());
    assert!(ProcessPool::new().size() >= 1);
    assert!(ProcessPool::default().size() >= 1);
}

fn a_shutdown_waits_for_calls_that_nobody_polls() {
    let (pool, desk) = (pool(1), Desk::new());
    let hold = in_process(&pool, HOLD);
    let running = begin(hold(desk.as_number(0)));
    let held = desk.next();
    let waiting = begin(hold(desk.as_number(1)));
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll(&mut shutdown).is_pending());
    // It takes no more.
    assert!(matches!(block_on(hold(desk.as_number(2))), Err(Error::Closed)));
    held.let_go();
    let held = desk.next();
    assert_eq!(held.number, 1);
    assert!(poll(&mut shutdown).is_pending());
    held.let_go();
    block_on(shutdown);
    assert!(children().is_empty());
    assert!(block_on(running).is_ok());
    assert!(block_on(waiting).is_ok());
}

/// Has workers run by a shell that writes down how they ended.
fn pool_with_records(size: usize, records: PathBuf) -> ProcessPool {
    let script = "\"$0\" \"$@\"; echo $? >>$RECORDS";
    let make = move || {
        let mut command = Command::new("sh");
        command.env("RECORDS", &records).arg("-c").arg(script).arg(env::current_exe().unwrap());
        command
    };
    ProcessPool::builder().size(size).command(make).build()
}

fn workers_exit_by_themselves_at_a_shutdown() {
    let desk = Desk::new();
    let records = desk.directory().join("records");
    let pool = pool_with_records(2, records.clone());
    let hold = in_process(&pool, HOLD);
    let calls = [0, 1].map(|number| begin(hold(desk.as_number(number))));
    desk.next().let_go();
    let held = desk.next();
    // One is idle, or about to be, one runs.
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll(&mut shutdown).is_pending());
    held.let_go();
    block_on(shutdown);
    assert_eq!(std::fs::read_to_string(records).unwrap(), "0\n0\n");
    for call in calls {
        block_on(call).unwrap();
    }
}

fn a_dropped_shutdown_kills() {
    let (pool, desk) = (pool(1), Desk::new());
    let running = begin(in_process(&pool, HOLD)(desk.as_number(0)));
    let held = desk.next();
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll(&mut shutdown).is_pending());
    drop(shutdown);
    assert!(children().is_empty());
    held.ended();
    assert!(matches!(block_on(running), Err(Error::Closed)));
}

fn large_values_go_over() {
    let pool = pool(1);
    let text = "0123456789".repeat(10_000_000);
    let echoed = block_on(in_process(&pool, ECHO)(text.clone())).unwrap();
    assert!(text == echoed);
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let echoed = block_on(in_process(&pool, ECHO_BYTES)(bytes.clone())).unwrap();
    assert!(bytes == echoed);
    assert_eq!(block_on(in_process(&pool, ECHO)(String::new())).unwrap(), "");
}
