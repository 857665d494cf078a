//! Blocking calls on a pool of somebody else's.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use flowlet::prelude::*;
use flowlet::{BlockingJob, Flow, in_blocking, ordered};
use futures_lite::future::block_on;
use tokio::runtime::{Builder, Handle};
use tokio::task::spawn_blocking;

mod support {
    pub(crate) mod gauge;
    pub(crate) mod panicked;
    pub(crate) mod waker;
}

use support::gauge::{Gauge, Unit};
use support::panicked::{message_of, panic_of};
use support::waker::Task;

const DROPPED: &str = "the pool dropped a call before it had begun";

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

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

/// A pool of the kind of rayon's: threads that run what is in a queue, until that is closed.
fn pool(threads: usize) -> impl Fn(BlockingJob) + Clone {
    let (queue, jobs) = mpsc::channel::<BlockingJob>();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..threads {
        let jobs = jobs.clone();
        thread::spawn(move || {
            loop {
                let job = jobs.lock().unwrap().recv();
                let Ok(job) = job else { break };
                job();
            }
        });
    }
    move |job| queue.send(job).unwrap()
}

/// A consumer's waker that says whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn on_tokio_a_call_has_the_runtime_and_can_block_on_it() {
    for mut runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = runtime.worker_threads(2).build().unwrap();
        let id = runtime.handle().id();
        let ask = in_blocking(spawn_blocking, move |n: usize| {
            assert_eq!(Handle::current().id(), id);
            let there = thread::current().id();
            (Handle::current().block_on(async { tokio::spawn(async move { 2 * n }).await }), there)
        });
        let answers: Vec<_> =
            runtime.block_on(pipe(0..20).map_concurrent(ordered(4), ask).collect());
        let here = thread::current().id();
        for (n, (answer, there)) in answers.into_iter().enumerate() {
            assert_eq!((answer.unwrap(), there != here), (2 * n, true));
        }
    }
}

#[test]
fn from_outside_of_a_runtime_its_handle_spawns() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    let double = in_blocking(move |job| handle.spawn_blocking(job), |n: usize| 2 * n);
    assert_eq!(block_on(double(21)), 42);
}

#[test]
fn on_a_pool_of_threads_calls_run_there_and_at_once() {
    // None of them ends before all have begun.
    let barrier = Arc::new(std::sync::Barrier::new(3));
    let call = in_blocking(pool(3), move |n: usize| {
        barrier.wait();
        (n, thread::current().id())
    });
    let calls: Vec<_> = block_on(pipe(0..9).map_concurrent(ordered(3), call).collect());
    assert!(calls.iter().map(|(n, _)| *n).eq(0..9));
    assert!(calls.iter().all(|(_, thread)| *thread != thread::current().id()));
}

#[test]
fn on_the_threads_of_blocking() {
    let call = in_blocking(blocking::unblock, |text: String| text.len());
    let lengths = pipe(0..9).map(|n| "x".repeat(n)).map_concurrent(ordered(4), call);
    assert!(block_on(lengths.collect::<Vec<_>>()).into_iter().eq(0..9));
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
        let run = pool(1);
        let mut call = in_blocking(run.clone(), move |()| {
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
        // The thread has seen no panic.
        assert_eq!(block_on(in_blocking(run, |n: u8| n)(7)), 7);
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
    let (jobs, inputs, flag) = (Jobs::default(), Gauge::default(), Arc::new(Flag::default()));
    let mut call = in_blocking(jobs.spawn(), |_: Unit| ())(inputs.unit());
    assert!(poll_with(&mut call, &flag.clone().into()).is_pending());
    drop(jobs.take());
    assert!(flag.0.load(Ordering::SeqCst));
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
    let flags = [(); 3].map(|()| Arc::new(Flag::default()));
    for flag in &flags {
        assert!(poll_with(&mut call, &flag.clone().into()).is_pending());
    }
    jobs.take()();
    assert_eq!(flags.map(|flag| flag.0.load(Ordering::SeqCst)), [false, false, true]);
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
fn on_more_threads_than_the_limit_no_more_calls_run() {
    for limit in [1, 3] {
        let running = Gauge::default();
        let gauge = running.clone();
        let call = in_blocking(pool(6), move |n: usize| {
            let _unit = gauge.unit();
            thread::yield_now();
            n
        });
        let all: Vec<usize> = block_on(pipe(0..20).map_concurrent(ordered(limit), call).collect());
        assert!(all.into_iter().eq(0..20));
        assert!(running.peak() <= limit);
        assert_eq!(running.now(), 0);
    }
}

#[test]
fn in_the_other_stages_and_in_a_flow() {
    let run = pool(2);
    let flow: Flow<usize> = Flow::new(move |items| {
        let odd = in_blocking(run.clone(), |n: usize| n % 2 == 1);
        let larger = in_blocking(run.clone(), |n: usize| (n > 1).then_some(n));
        let twice = in_blocking(run.clone(), |n: usize| [n; 2]);
        items
            .filter_concurrent(ordered(2), async move |n: &usize| odd(*n).await)
            .filter_map_concurrent(ordered(2), larger)
            .flat_map_concurrent(ordered(2), twice)
    })
    .map_concurrent(ordered(4), in_blocking(blocking::unblock, |n: usize| n + 1));
    for _ in 0..2 {
        let items: Vec<usize> = block_on(pipe(0..8).through(&flow).collect());
        assert_eq!(items, [4, 4, 6, 6, 8, 8]);
    }
}

#[test]
fn the_function_and_the_future_can_go_anywhere() {
    fn anywhere<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn sendable<T: Send + Unpin + 'static>(_: &T) {}
    let f = in_blocking(spawn_blocking, |text: String| text.len());
    anywhere(&f);
    sendable(&f("four".to_owned()));
}
