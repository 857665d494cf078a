//! Calls that block run on threads of their own.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;

use flowlet::prelude::*;
use flowlet::{ThreadPool, in_pool, in_thread, ordered};
use futures_lite::future::block_on;

use crate::support::gauge::Gauge;
use crate::support::once::poll;
use crate::support::one_thread::with_one_thread;

/// An input that is neither `Copy` nor `Clone`.
struct Owned(Vec<usize>);

#[test]
fn a_call_runs_on_another_thread() {
    let here = thread::current().id();
    let there = block_on(in_thread(|()| thread::current().id())(()));
    assert_ne!(here, there);
}

#[test]
fn inputs_and_outputs_are_moved() {
    let sum = in_thread(|Owned(numbers): Owned| Owned(vec![numbers.iter().sum()]));
    let twice = sum.clone();
    assert_eq!(block_on(sum(Owned(vec![1, 2, 3]))).0, [6]);
    assert_eq!(block_on(twice(Owned(vec![4, 5]))).0, [9]);
}

#[test]
fn the_function_and_the_future_can_go_anywhere() {
    fn anywhere<T: Send + Sync + 'static>(_: &T) {}
    let f = in_thread(|text: String| text.len());
    anywhere(&f);
    let call = f("four".to_owned());
    fn sendable<T: Send + Unpin + 'static>(_: &T) {}
    sendable(&call);
    assert_eq!(thread::spawn(move || block_on(call)).join().unwrap(), 4);
}

#[test]
fn calls_run_at_once() {
    // None of them ends before all have begun.
    let barrier = Arc::new(Barrier::new(4));
    let meet = in_thread(move |item: usize| {
        barrier.wait();
        item
    });
    let stream = pipe(0..8).map_concurrent(4, meet);
    let mut items: Vec<usize> = block_on(stream.collect());
    items.sort_unstable();
    assert!(items.into_iter().eq(0..8));
}

#[test]
fn a_stage_bounds_them() {
    let running = Gauge::default();
    let gauge = running.clone();
    let stream = pipe(0..100).map_concurrent(
        ordered(3),
        in_thread(move |item: usize| {
            let _unit = gauge.unit();
            thread::yield_now();
            item
        }),
    );
    assert!(block_on(stream.collect::<Vec<_>>()).into_iter().eq(0..100));
    assert!(running.peak() <= 3);
    assert_eq!(running.now(), 0);
}

#[test]
fn in_the_other_stages() {
    let odd = in_thread(|item: usize| (item % 2 == 1).then(|| item.to_string()));
    let some: Vec<String> = block_on(pipe(0..6).filter_map_concurrent(ordered(2), odd).collect());
    assert_eq!(some, ["1", "3", "5"]);

    let parts = in_thread(|item: usize| vec![item; item]);
    let all: Vec<usize> = block_on(pipe(0..4).flat_map_concurrent(ordered(2), parts).collect());
    assert_eq!(all, [1, 2, 2, 3, 3, 3]);

    let is_odd = in_thread(|item: usize| item % 2 == 1);
    let odd = pipe(0..6).filter_concurrent(ordered(2), async |item: &usize| is_odd(*item).await);
    assert_eq!(block_on(odd.collect::<Vec<_>>()), [1, 3, 5]);
}

#[test]
fn a_panic_comes_out_with_its_payload() {
    struct Payload(usize);
    let f = in_thread(|item: usize| -> usize {
        if item == 1 {
            std::panic::resume_unwind(Box::new(Payload(item)));
        }
        item
    });
    let call = std::panic::AssertUnwindSafe(f(1));
    let panic = block_on(futures_lite::FutureExt::catch_unwind(call)).unwrap_err();
    assert_eq!(panic.downcast::<Payload>().ok().unwrap().0, 1);
    assert_eq!(block_on(f(2)), 2);
}

#[test]
fn nothing_begins_before_the_first_poll() {
    // With one thread, a call that comes later ends later.
    if !with_one_thread("threads::nothing_begins_before_the_first_poll") {
        return;
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let f = in_thread(move |()| count.fetch_add(1, Ordering::SeqCst));
    let unpolled = f(());
    block_on(in_thread(|()| ())(()));
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    drop(unpolled);
    block_on(in_thread(|()| ())(()));
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    block_on(f(()));
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_that_is_dropped_before_it_begins_never_does() {
    if !with_one_thread("threads::a_call_that_is_dropped_before_it_begins_never_does") {
        return;
    }
    let (go_on, blocked) = mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let mut blocking = in_thread(move |()| blocked.lock().unwrap().recv().unwrap())(());
    assert!(poll(&mut blocking).is_pending());

    let input = Arc::new(());
    let mut waiting = in_thread(|_: Arc<()>| -> () { panic!("it began") })(input.clone());
    assert!(poll(&mut waiting).is_pending());
    drop(waiting);
    // Nobody waits for a thread to drop what it will not need.
    assert_eq!(Arc::strong_count(&input), 1);
    // And so in a stage that is dropped.
    let began = Arc::new(AtomicBool::new(false));
    let note = began.clone();
    let mut stream = Box::pin(pipe(0..5).map_concurrent(
        3,
        in_thread(move |_| {
            note.store(true, Ordering::SeqCst);
        }),
    ));
    let polled = stream.as_mut().poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(stream);

    go_on.send(()).unwrap();
    block_on(blocking);
    // The one thread has come past them once this is over.
    block_on(in_thread(|()| ())(()));
    assert!(!began.load(Ordering::SeqCst));
}

/// Says when it is dropped, and may panic then.
struct Last(mpsc::Sender<&'static str>, bool);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.send("dropped").unwrap();
        if self.1 {
            std::panic::resume_unwind(Box::new(()));
        }
    }
}

#[test]
fn a_call_that_is_dropped_while_it_runs_finishes_and_its_result_is_dropped() {
    for (panics, drop_panics) in [(false, false), (true, false), (false, true), (true, true)] {
        let (begun, has_begun) = mpsc::channel();
        let (go_on, blocked) = mpsc::channel::<()>();
        let (said, events) = mpsc::channel();
        let ends = Mutex::new((begun, blocked, said));
        let mut call = in_thread(move |()| {
            let ends = ends.lock().unwrap();
            ends.0.send(()).unwrap();
            ends.1.recv().unwrap();
            ends.2.send("finished").unwrap();
            let last = Last(ends.2.clone(), drop_panics);
            if panics {
                std::panic::resume_unwind(Box::new(last));
            }
            last
        })(());
        assert!(poll(&mut call).is_pending());
        has_begun.recv().unwrap();
        drop(call);
        assert!(events.try_recv().is_err());
        go_on.send(()).unwrap();
        assert_eq!(events.recv().unwrap(), "finished");
        assert_eq!(events.recv().unwrap(), "dropped");
    }
}

#[test]
fn a_future_that_was_ready_is_not_polled_again() {
    let mut call = pin!(in_thread(|item: usize| item)(7));
    assert_eq!(block_on(call.as_mut()), 7);
    let again = std::panic::AssertUnwindSafe(call);
    assert!(block_on(futures_lite::FutureExt::catch_unwind(again)).is_err());
}

#[test]
fn a_call_on_threads_of_its_own_can_wait_for_one_of_those_that_all_share() {
    let test = "threads::a_call_on_threads_of_its_own_can_wait_for_one_of_those_that_all_share";
    if !with_one_thread(test) {
        return;
    }
    let pool = ThreadPool::new(4).unwrap();
    let inner = in_thread(|n: usize| n + 1);
    let outer = in_pool(&pool, move |n| block_on(inner(n)));
    let outputs = pipe(0..100).map_concurrent(4, outer);
    assert_eq!(block_on(outputs.fold(0, |sum, n| sum + n)), 5_050);
}
