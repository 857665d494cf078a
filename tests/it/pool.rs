//! Calls that block run on the threads of a pool.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use flowlet::prelude::*;
use flowlet::{InPool, ThreadPool, in_pool, ordered};
use futures_lite::future::{block_on, zip};

use crate::support::block::block;
use crate::support::gauge::{Gauge, Unit};
use crate::support::latch::Latch;
use crate::support::on_all::on_all;
use crate::support::once::poll;
use crate::support::panicked::{message_of, panic_of};

fn pool(size: usize) -> ThreadPool {
    ThreadPool::new(size).unwrap()
}

#[test]
fn calls_run_on_its_threads() {
    let name = || thread::current().name().unwrap().to_owned();
    let names: BTreeSet<_> = on_all(&pool(3), name).into_iter().collect();
    assert!(names.iter().eq(&["flowlet-0", "flowlet-1", "flowlet-2"]));
    let named = ThreadPool::builder(2).name("database").build().unwrap();
    assert_eq!(named.size(), 2);
    for _ in 0..10 {
        let names: BTreeSet<_> = on_all(&named, name).into_iter().collect();
        assert!(names.iter().eq(&["database-0", "database-1"]));
    }
}

#[test]
fn the_stack_is_as_large_as_was_asked_for() {
    let pool = ThreadPool::builder(1).stack_size(32 << 20).build().unwrap();
    // Overflows a stack of the size that threads have otherwise.
    let large = in_pool(&pool, |byte| black_box([byte; 8 << 20]).len());
    assert_eq!(block_on(large(1_u8)), 8 << 20);
    let smallest = ThreadPool::builder(1).stack_size(0).build().unwrap();
    assert_eq!(block_on(in_pool(&smallest, |n| n)(1)), 1);
}

#[test]
fn no_call_waits_behind_one_that_blocks() {
    // None of them ends before all have begun.
    let pool = pool(4);
    let barrier = Barrier::new(4);
    let meet = in_pool(&pool, move |item: usize| {
        barrier.wait();
        item
    });
    let stream = pipe(0..2_000).map_concurrent(4, meet.clone());
    assert_eq!(block_on(stream.count()), 2_000);
    // More wait than can run.
    let stream = pipe(0..2_000).map_concurrent(40, meet);
    assert_eq!(block_on(stream.count()), 2_000);
}

#[test]
fn stages_that_share_it_never_exceed_its_threads() {
    let pool = pool(3);
    let running = Gauge::default();
    let step = |running: &Gauge| {
        let running = running.clone();
        in_pool(&pool, move |item: usize| {
            let _unit = running.unit();
            thread::yield_now();
            item + 1
        })
    };
    let stream = pipe(0..200)
        .map_concurrent(8, step(&running))
        .map_concurrent(usize::MAX, step(&running))
        .map_concurrent(ordered(2), step(&running));
    let mut items: Vec<usize> = block_on(stream.collect());
    items.sort_unstable();
    assert!(items.into_iter().eq(3..203));
    assert!(running.peak() <= 3);
    assert_eq!(running.now(), 0);
}

#[test]
fn in_use_counts_the_calls_that_run() {
    let pool = pool(3);
    let (begun, has_begun) = mpsc::channel();
    let latch = Latch::default();
    let call = {
        let latch = latch.clone();
        in_pool(&pool, move |_| {
            begun.send(()).unwrap();
            latch.wait();
        })
    };
    assert_eq!(pool.in_use(), 0);
    let mut calls: Vec<_> = (0..5).map(&call).collect();
    for (number, call) in calls.iter_mut().enumerate() {
        assert!(poll(call).is_pending());
        if number < 3 {
            has_begun.recv().unwrap();
        }
        assert_eq!(pool.in_use(), 3.min(number + 1));
    }
    latch.open();
    calls.into_iter().for_each(block_on);
    assert_eq!(pool.in_use(), 0);
    let bang = in_pool(&pool, |()| -> () { resume_unwind(Box::new(())) });
    panic_of(|| block_on(bang(())));
    assert_eq!(pool.in_use(), 0);
    assert_eq!(pool.size(), 3);
}

#[test]
fn calls_begin_in_the_order_of_their_first_polls() {
    let pool = pool(1);
    let latch = Latch::default();
    let blocking = block(&pool, &latch);
    let begun = Arc::new(Mutex::new(Vec::new()));
    let note = |begun: &Arc<Mutex<Vec<usize>>>| {
        let begun = begun.clone();
        in_pool(&pool, move |item| begun.lock().unwrap().push(item))
    };
    let functions = [note(&begun), note(&begun)];
    let mut calls: Vec<_> = (0..600).rev().map(|item| functions[item % 2](item)).collect();
    calls.reverse();
    assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
    latch.open();
    block_on(blocking);
    calls.into_iter().for_each(block_on);
    assert!(begun.lock().unwrap().iter().copied().eq(0..600));
}

#[test]
fn in_the_other_stages() {
    let pool = pool(2);
    let odd = in_pool(&pool, |item: usize| (item % 2 == 1).then(|| item.to_string()));
    let some: Vec<String> = block_on(pipe(0..6).filter_map_concurrent(ordered(2), odd).collect());
    assert_eq!(some, ["1", "3", "5"]);
    let parts = in_pool(&pool, |item: usize| vec![item; item]);
    let all: Vec<usize> = block_on(pipe(0..4).flat_map_concurrent(ordered(2), parts).collect());
    assert_eq!(all, [1, 2, 2, 3, 3, 3]);
    let is_odd = in_pool(&pool, |item: usize| item % 2 == 1);
    let odd = pipe(0..6).filter_concurrent(ordered(2), async |item: &usize| is_odd(*item).await);
    assert_eq!(block_on(odd.collect::<Vec<_>>()), [1, 3, 5]);
}

#[test]
fn the_function_and_the_future_can_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sendable<T: Send + Unpin + 'static>(_: &T) {}
    let pool = pool(1);
    let f = in_pool(&pool, |text: String| text.len());
    anywhere(&f);
    let call: InPool<_, String, usize> = f("four".to_owned());
    sendable(&call);
    assert_eq!(thread::spawn(move || block_on(call)).join().unwrap(), 4);
}

#[test]
fn the_last_waker_is_woken() {
    let pool = pool(1);
    let latch = Latch::default();
    let mut call = block(&pool, &latch);
    assert!(poll(&mut call).is_pending());
    // It is opened when the call is pending.
    block_on(zip(call, async { latch.open() }));
}

#[test]
fn a_panic_comes_out_with_its_payload_and_the_thread_lives_on() {
    struct Payload(usize);
    let pool = pool(1);
    let id = in_pool(&pool, |()| thread::current().id());
    let before = block_on(id(()));
    let f = in_pool(&pool, |item: usize| -> usize {
        if item == 1 {
            resume_unwind(Box::new(Payload(item)));
        }
        item
    });
    let panic = panic_of(|| block_on(f(1)));
    assert_eq!(panic.downcast::<Payload>().ok().unwrap().0, 1);
    assert_eq!(block_on(f(2)), 2);
    // And so it does when nobody wants to know.
    let latch = Latch::default();
    let blocking = block(&pool, &latch);
    let (begun, has_begun) = mpsc::channel();
    let mut call = in_pool(&pool, move |()| -> () {
        begun.send(()).unwrap();
        resume_unwind(Box::new(()));
    })(());
    assert!(poll(&mut call).is_pending());
    latch.open();
    has_begun.recv().unwrap();
    drop((call, blocking));
    assert_eq!(block_on(id(())), before);
}

#[test]
fn nothing_begins_before_the_first_poll() {
    let pool = pool(1);
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let f = in_pool(&pool, move |()| count.fetch_add(1, Ordering::SeqCst));
    let past = in_pool(&pool, |()| ());
    let unpolled = f(());
    block_on(past(()));
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    drop(unpolled);
    block_on(past(()));
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    block_on(f(()));
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_that_is_dropped_before_it_begins_never_does() {
    let pool = pool(1);
    let latch = Latch::default();
    let blocking = block(&pool, &latch);
    let (inputs, begun) = (Gauge::default(), Gauge::default());
    let f = {
        let begun = begun.clone();
        in_pool(&pool, move |_: Unit| drop(begun.unit()))
    };
    let mut waiting = f(inputs.unit());
    assert!(poll(&mut waiting).is_pending());
    let mut stream = Box::pin(pipe(0..5).map_concurrent(3, |_| f(inputs.unit())));
    assert!(poll(&mut stream.next()).is_pending());
    // Nobody waits for the thread to drop what it will not need.
    assert_eq!(inputs.now(), 4);
    drop(waiting);
    assert_eq!(inputs.now(), 3);
    drop(stream);
    assert_eq!(inputs.now(), 0);
    latch.open();
    block_on(blocking);
    // The thread has come past them once this is over.
    block_on(in_pool(&pool, |()| ())(()));
    assert_eq!(begun.peak(), 0);
}

/// Says when it is dropped, and may panic then.
struct Last {
    said: mpsc::Sender<thread::ThreadId>,
    panics: bool,
}

impl Drop for Last {
    fn drop(&mut self) {
        self.said.send(thread::current().id()).unwrap();
        if self.panics {
            resume_unwind(Box::new(()));
        }
    }
}

#[test]
fn a_call_that_is_dropped_while_it_runs_finishes_and_its_result_is_dropped() {
    let pool = pool(1);
    let id = block_on(in_pool(&pool, |()| thread::current().id())(()));
    for (panics, drop_panics) in [(false, false), (true, false), (false, true), (true, true)] {
        let (begun, has_begun) = mpsc::channel();
        let (said, dropped) = mpsc::channel();
        let latch = Latch::default();
        let mut call = {
            let latch = latch.clone();
            in_pool(&pool, move |()| {
                begun.send(()).unwrap();
                latch.wait();
                let last = Last { said: said.clone(), panics: drop_panics };
                if panics {
                    resume_unwind(Box::new(last));
                }
                last
            })(())
        };
        assert!(poll(&mut call).is_pending());
        has_begun.recv().unwrap();
        drop(call);
        assert!(dropped.try_recv().is_err());
        latch.open();
        assert_eq!(dropped.recv().unwrap(), id);
        assert!(dropped.recv().is_err()); // no second time: the function has gone as well
        // It is the same thread that lives on, and is free.
        assert_eq!(block_on(in_pool(&pool, |()| thread::current().id())(())), id);
        assert_eq!(pool.in_use(), 0);
    }
}

#[test]
fn a_panic_in_a_drop_comes_out_where_the_drop_is() {
    let pool = pool(1);
    let latch = Latch::default();
    let blocking = block(&pool, &latch);
    let (said, dropped) = mpsc::channel();
    let last = |panics| Last { said: said.clone(), panics };

    // Of an input, unpolled or waiting: who drops the call.
    let f = in_pool(&pool, |_: Last| ());
    panic_of(|| drop(f(last(true))));
    assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
    let mut waiting = f(last(true));
    assert!(poll(&mut waiting).is_pending());
    panic_of(|| drop(waiting));
    assert_eq!(dropped.try_recv(), Ok(thread::current().id()));

    // Of the function, with its last call: the same.
    let captured = last(true);
    let f = in_pool(&pool, move |()| _ = &captured);
    let mut waiting = f(());
    assert!(poll(&mut waiting).is_pending());
    drop(f);
    panic_of(|| drop(waiting));
    assert_eq!(dropped.try_recv(), Ok(thread::current().id()));

    latch.open();
    block_on(blocking);
    // Of an input that was used: its call.
    let f = in_pool(&pool, |_: Last| ());
    panic_of(|| block_on(f(last(true))));
    assert_ne!(dropped.try_recv(), Ok(thread::current().id()));

    // Of a result that is there and not taken: who drops the call.
    let latch = Latch::default();
    let blocking = block(&pool, &latch);
    let mut call = in_pool(&pool, |last: Last| last)(last(true));
    assert!(poll(&mut call).is_pending());
    latch.open();
    block_on(blocking);
    block_on(in_pool(&pool, |()| ())(()));
    panic_of(|| drop(call));
    assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
}

#[test]
fn a_future_that_was_ready_is_not_polled_again() {
    let pool = pool(1);
    let mut call = in_pool(&pool, |item: usize| item)(7);
    assert_eq!(block_on(&mut call), 7);
    assert_eq!(message_of(|| poll(&mut call)), "a call was polled after it was ready");
    let mut call = in_pool(&pool, |()| -> () { resume_unwind(Box::new(())) })(());
    panic_of(|| block_on(&mut call));
    assert_eq!(message_of(|| poll(&mut call)), "a call was polled after it was ready");
}

#[test]
fn wherever_a_pipeline_is_dropped_nothing_is_left() {
    for polls in 0..40 {
        let pool = pool(2);
        let values = Gauge::default();
        let mut stream = Box::pin(
            pipe(0..10)
                .map(|_| values.unit())
                .map_concurrent(3, in_pool(&pool, |value: Unit| (value, ())))
                .map_concurrent(ordered(2), in_pool(&pool, |(value, ())| value)),
        );
        for _ in 0..polls {
            let _ = poll(&mut stream.next());
            // So that some calls come to their end.
            block_on(in_pool(&pool, |()| ())(()));
        }
        drop(stream);
        drop(pool);
        assert_eq!(values.now(), 0, "dropped after {polls} polls");
    }
}

#[test]
fn on_every_runtime() {
    async fn run() -> usize {
        let pool = ThreadPool::new(3).unwrap();
        let add = in_pool(&pool, |n: usize| n + 1);
        let sum = pipe(0..100)
            .map_concurrent(8, add.clone())
            .map_concurrent(ordered(2), add)
            .fold(0, |sum, n| sum + n)
            .await;
        pool.shutdown().await;
        sum
    }
    let sum = (2..102).sum::<usize>();
    assert_eq!(block_on(run()), sum);
    assert_eq!(smol::block_on(smol::spawn(run())), sum);
    assert_eq!(async_std::task::block_on(async_std::task::spawn(run())), sum);
    for mut builder in
        [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()]
    {
        let runtime = builder.worker_threads(2).build().unwrap();
        assert_eq!(runtime.block_on(async { tokio::spawn(run()).await.unwrap() }), sum);
    }
}
