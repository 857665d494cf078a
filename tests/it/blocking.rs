//! Blocking calls on a pool of somebody else's.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::thread;

use flowlet::prelude::*;
use flowlet::{BlockingJob, in_blocking, ordered};
use futures_lite::future::block_on;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

use crate::support::gauge::{Gauge, Unit};
use crate::support::once::{poll, poll_with};
use crate::support::panicked::{message_of, panic_of};
use crate::support::waker::Task;
use crate::support::woken::Woken;

const DROPPED: &str = "the pool dropped a call before it had begun";

/// A pool that does nothing by itself: the test says which job is run.
#[derive(Clone, Default)]
struct Jobs {
    queue: Arc<Mutex<VecDeque<BlockingJob>>>,
    /// What `spawn` returned and is still there.
    handles: Gauge,
}

impl Jobs {
    fn spawn(&self) -> impl Fn(BlockingJob) -> Unit + Clone + use<> {
        let jobs = self.clone();
        move |job| {
            jobs.queue.lock().unwrap().push_back(job);
            jobs.handles.unit()
        }
    }

    fn count(&self) -> usize {
        self.queue.lock().unwrap().len()
    }

    fn take(&self) -> BlockingJob {
        self.queue.lock().unwrap().pop_front().expect("no job was spawned")
    }
}

#[test]
fn nothing_is_spawned_before_the_first_poll_and_then_it_is_once() {
    let jobs = Jobs::default();
    let f = in_blocking(jobs.spawn(), |n: usize| n);
    drop(f(1));
    let mut call = f(7);
    assert_eq!(jobs.count(), 0);
    for _ in 0..3 {
        assert!(poll(&mut call).is_pending());
        assert_eq!(jobs.count(), 1);
    }
    jobs.take()();
    assert_eq!(poll(&mut call), Poll::Ready(7));
    assert_eq!(jobs.count(), 0);
}

#[test]
fn a_call_that_is_dropped_before_it_begins_never_does_and_its_input_goes_at_once() {
    let (jobs, inputs, begun) = (Jobs::default(), Gauge::default(), Arc::new(AtomicUsize::new(0)));
    let count = begun.clone();
    let f = in_blocking(jobs.spawn(), move |_: Unit| count.fetch_add(1, Ordering::SeqCst));
    let mut call = f(inputs.unit());
    assert!(poll(&mut call).is_pending());
    drop(call);
    assert_eq!((inputs.now(), jobs.handles.now(), jobs.count()), (0, 0, 1));

    // And so in a stage that is dropped.
    let units = inputs.clone();
    let mut stage = Box::pin(pipe(0..9).map(move |_| units.unit()).map_concurrent(3, f));
    assert!(Task::new().poll_next(&mut stage).is_pending());
    assert_eq!((inputs.now(), jobs.handles.now(), jobs.count()), (3, 3, 4));
    drop(stage);
    assert_eq!((inputs.now(), jobs.handles.now()), (0, 0));
    for _ in 0..4 {
        jobs.take()();
    }
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

/// Says when it is dropped, and may panic then.
struct Last(mpsc::Sender<&'static str>, bool);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.send("dropped").unwrap();
        if self.1 {
            resume_unwind(Box::new(()));
        }
    }
}

#[test]
fn a_call_that_is_dropped_while_it_runs_finishes_and_its_result_is_discarded() {
    for (panics, drop_panics) in [(false, false), (true, false), (false, true), (true, true)] {
        let (begun, has_begun) = mpsc::channel();
        let (go_on, blocked) = mpsc::channel::<()>();
        let (said, events) = mpsc::channel();
        let ends = Mutex::new((begun, blocked, said));
        let (joins, threads) = mpsc::channel();
        let spawn = move |job: BlockingJob| joins.send(thread::spawn(job)).unwrap();
        let mut call = in_blocking(spawn, move |()| {
            let ends = ends.lock().unwrap();
            ends.0.send(()).unwrap();
            ends.1.recv().unwrap();
            ends.2.send("finished").unwrap();
            let last = Last(ends.2.clone(), drop_panics);
            if panics {
                resume_unwind(Box::new(last));
            }
            last
        })(());
        assert!(poll(&mut call).is_pending());
        has_begun.recv().unwrap();
        drop(call);
        assert!(events.try_recv().is_err());
        go_on.send(()).unwrap();
        assert_eq!(events.recv(), Ok("finished"));
        assert_eq!(events.recv(), Ok("dropped"));
        assert!(threads.recv().unwrap().join().is_ok(), "it has seen no panic");
    }
}

#[test]
fn a_panic_comes_back_with_its_payload_and_the_pool_never_sees_it() {
    struct Payload(usize);
    let jobs = Jobs::default();
    let f = in_blocking(jobs.spawn(), |n: usize| -> usize {
        if n == 1 { resume_unwind(Box::new(Payload(n))) } else { n }
    });
    let (mut bad, mut good) = (f(1), f(2));
    assert!(poll(&mut bad).is_pending() && poll(&mut good).is_pending());
    jobs.take()();
    jobs.take()();
    let panic = panic_of(|| poll(&mut bad));
    assert_eq!(panic.downcast::<Payload>().ok().unwrap().0, 1);
    assert_eq!(poll(&mut good), Poll::Ready(2));
}

#[test]
fn a_panic_of_spawn_comes_out() {
    let f = in_blocking(|_| -> () { resume_unwind(Box::new("no pool")) }, |_: Unit| ());
    let inputs = Gauge::default();
    let mut call = f(inputs.unit());
    assert_eq!(message_of(|| poll(&mut call)), "no pool");
    drop(call);
    assert_eq!(inputs.now(), 0);
    // What tokio says outside of a runtime.
    let mut call = in_blocking(spawn_blocking, |n: usize| n)(1);
    assert!(message_of(|| poll(&mut call)).contains("no reactor running"));
}

#[test]
fn a_job_that_is_dropped_is_a_panic() {
    // By a pool that is shut down, and by `spawn`.
    let (jobs, inputs, flag) = (Jobs::default(), Gauge::default(), Woken::new());
    let mut call = in_blocking(jobs.spawn(), |_: Unit| ())(inputs.unit());
    assert!(poll_with(&mut call, &flag.waker()).is_pending());
    drop(jobs.take());
    assert!(flag.take());
    assert_eq!(message_of(|| poll(&mut call)), DROPPED);
    assert_eq!((inputs.now(), jobs.handles.now()), (0, 0));

    let mut call = in_blocking(drop, |_: Unit| ())(inputs.unit());
    assert_eq!(message_of(|| poll(&mut call)), DROPPED);
    assert_eq!(inputs.now(), 0);

    let runtime = Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let mut call = in_blocking(move |job| handle.spawn_blocking(job), |n: usize| n)(1);
    assert_eq!(message_of(|| poll(&mut call)), DROPPED);
}

#[test]
fn what_spawn_returned_is_kept_until_the_call_is_over() {
    let jobs = Jobs::default();
    let f = in_blocking(jobs.spawn(), |n: usize| n);
    let mut call = f(7);
    assert!(poll(&mut call).is_pending());
    jobs.take()();
    assert_eq!(jobs.handles.now(), 1, "nobody has taken the output");
    assert_eq!(poll(&mut call), Poll::Ready(7));
    assert_eq!(jobs.handles.now(), 0);
    drop(call);

    let mut call = f(8);
    assert!(poll(&mut call).is_pending());
    let running = jobs.take();
    drop(call);
    assert_eq!(jobs.handles.now(), 0);
    running();
}

#[test]
fn what_spawn_returned_is_dropped_when_the_call_is_over_by_a_panic() {
    let jobs = Jobs::default();
    let mut call = in_blocking(jobs.spawn(), |()| -> () { resume_unwind(Box::new(())) })(());
    assert!(poll(&mut call).is_pending());
    jobs.take()();
    drop(panic_of(|| poll(&mut call)));
    assert_eq!(jobs.handles.now(), 0);
}

#[test]
fn a_pool_may_run_the_job_at_once() {
    let f = in_blocking(|job: BlockingJob| job(), |n: usize| 2 * n);
    assert_eq!(poll(&mut f(21)), Poll::Ready(42));
    let all: Vec<usize> = block_on(pipe(0..9).map_concurrent(ordered(4), f).collect());
    assert!(all.into_iter().eq((0..9).map(|n| 2 * n)));
}

#[test]
fn the_last_waker_is_woken() {
    let jobs = Jobs::default();
    let mut call = in_blocking(jobs.spawn(), |()| ())(());
    let flags = [(); 3].map(|()| Woken::new());
    for flag in &flags {
        assert!(poll_with(&mut call, &flag.waker()).is_pending());
    }
    jobs.take()();
    assert_eq!(flags.map(|flag| flag.take()), [false, false, true]);
}

#[test]
fn a_call_that_was_ready_is_not_polled_again() {
    let mut call = in_blocking(|job: BlockingJob| job(), |()| ())(());
    assert!(poll(&mut call).is_ready());
    assert_eq!(message_of(|| poll(&mut call)), "a call was polled after it was ready");
}

#[test]
fn a_stage_bounds_its_jobs() {
    let jobs = Jobs::default();
    let mut stage =
        Box::pin(pipe(0..20).map_concurrent(3, in_blocking(jobs.spawn(), |n: usize| n)));
    let (task, mut items) = (Task::new(), vec![]);
    assert_eq!(task.settle(&mut stage), (vec![], false));
    for done in 0..20 {
        let left = (20_usize - done).min(3);
        assert_eq!((jobs.count(), jobs.handles.now()), (left, left));
        jobs.take()();
        items.extend(task.settle(&mut stage).0);
    }
    assert!(items.into_iter().eq(0..20));
    assert_eq!(jobs.handles.peak(), 3);
}

#[test]
fn the_function_and_the_future_can_go_anywhere() {
    fn anywhere<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn sendable<T: Send + Unpin + 'static>(_: &T) {}
    let f = in_blocking(spawn_blocking, |text: String| text.len());
    anywhere(&f);
    sendable(&f("four".to_owned()));
}
