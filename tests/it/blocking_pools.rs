//! Blocking calls on the pools that are there: tokio's, rayon's and smol's.

use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use flowlet::prelude::*;
use flowlet::{BlockingJob, Flow, in_blocking, ordered};
use futures_lite::future::block_on;
use tokio::runtime::{Builder, Handle};
use tokio::task::spawn_blocking;

use crate::support::gauge::Gauge;

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
    let barrier = Arc::new(Barrier::new(3));
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
