//! A stop at the end of a pipeline drops what is in flight, and tells how much that was.

use std::cell::Cell;
use std::future::pending;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Dropped, Semaphore, frontier, merge, ordered};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gated::Gated;
use crate::support::gauge::Gauge;
use crate::support::panicked::message_of;
use crate::support::waker::Task;

/// Calls, items and outputs.
fn numbers(dropped: Dropped) -> [usize; 3] {
    [dropped.calls, dropped.items, dropped.outputs]
}

/// Lets a pipeline go as far as it can, then stops it. Returns what came out, and what was dropped.
fn stopped<S: Stream>(pipeline: S) -> (Vec<S::Item>, [usize; 3]) {
    let (stop, told, task) = (Gate::default(), Cell::new(None), Task::new());
    let stage = pipeline.take_until_stopped(stop.passed());
    let mut stage =
        Box::pin(stage.on_stop(|dropped| assert!(told.replace(Some(dropped)).is_none())));
    let (outputs, over) = task.settle(&mut stage);
    assert!(!over && told.get().is_none());
    stop.open();
    assert_eq!(task.settle(&mut stage).0.len(), 0);
    assert!(task.poll_next(&mut stage).is_ready());
    (outputs, numbers(told.get().unwrap()))
}

#[test]
fn calls_that_run_are_counted() {
    for limit in [Concurrency::from(6), ordered(6), Semaphore::new(6).into()] {
        let gated = Gated::default();
        gated.gates[3].open();
        let stage = gated.source(0..12).map_concurrent(limit.clone(), |n| gated.call(n, n));
        let (outputs, dropped) = stopped(stage);
        match format!("{limit:?}").contains("ordered") {
            false => assert_eq!((outputs, dropped), (vec![3], [6, 0, 0])),
            true => assert_eq!((outputs, dropped), (vec![], [5, 0, 1])),
        }
        assert_eq!(gated.left(), (0, 0));
    }
}

#[test]
fn a_filter_has_no_outputs_of_what_it_refused() {
    let gates = [(); 6].map(|()| Gate::default());
    let filter = stream::iter(0..6).filter_map_concurrent(ordered(6), |n| {
        let passed = gates[n].passed();
        async move {
            passed.await;
            (n % 2 == 0).then_some(n)
        }
    });
    gates[1..5].iter().for_each(Gate::open);
    assert_eq!(stopped(filter), (vec![], [2, 0, 2]), "0 and 5 run, 2 and 4 wait");
}

#[test]
fn what_waits_in_front_of_a_call_is_counted() {
    let limit = Semaphore::new(4);
    let all = limit.try_acquire_many(4).unwrap();
    assert_eq!(stopped(stream::repeat(1).map_concurrent(&limit, |_| pending::<()>())).1, [0, 1, 0]);
    drop(all);

    // Those of one key wait for the first of them.
    let by_key = stream::iter(0..7).map_concurrent_by_key(3, |_| (), |_| pending::<()>());
    assert_eq!(stopped(by_key).1, [1, 6, 0]);

    // The third is too heavy beside the others.
    let by_weight =
        stream::iter([2, 2, 3]).map_concurrent(5, |_| pending::<()>()).weighed_by(|weight| *weight);
    assert_eq!(stopped(by_weight).1, [2, 1, 0]);

    limit.set_limit(0);
    assert_eq!(stopped(stream::repeat(1).map_concurrent(&limit, |_| pending::<()>())).1, [0, 1, 0]);
}

#[test]
fn batches_that_are_not_full_are_counted() {
    let source = || stream::iter(0..7).chain(stream::pending());
    let (batches, dropped) = stopped(source().batched(5));
    assert_eq!((batches.len(), dropped), (1, [0, 2, 0]));
    let (batches, dropped) = stopped(source().batched_by_weight(3, |_| 1));
    assert_eq!((batches.len(), dropped), (2, [0, 1, 0]));
    let (batches, dropped) = stopped(source().map(Ok::<_, ()>).try_batched(4));
    assert_eq!((batches.len(), dropped), (1, [0, 3, 0]));
    #[cfg(feature = "time")]
    {
        let (batches, dropped) =
            stopped(source().batched_within(5, std::time::Duration::from_secs(3600)));
        assert_eq!((batches.len(), dropped), (1, [0, 2, 0]));
    }
}

#[test]
fn all_stages_are_counted_through_adaptors() {
    let gates = [(); 12].map(|()| Gate::default());
    gates[..5].iter().for_each(Gate::open);
    let pipeline = stream::iter(0..12)
        .map_concurrent(3, |n| {
            let passed = gates[n].passed();
            async move {
                passed.await;
                n
            }
        })
        .map(|n| n)
        .boxed_local()
        .batched(2)
        .filter(|_| true)
        .map_concurrent(1, |_| pending::<()>())
        .driven();
    // Two of five are in a call, two wait as a batch... as outputs of the first stage, with its calls.
    let (_, dropped) = stopped(pipeline);
    assert_eq!(dropped, [1, 0, 3]);
}

#[test]
fn open_inner_streams_are_calls() {
    let inner = |n: usize| stream::iter(0..n).chain(stream::pending());
    let (outputs, dropped) = stopped(stream::iter(0..4).flat_map_concurrent(4, inner));
    assert_eq!((outputs.len(), dropped), (6, [4, 0, 0]));
    // In a window those behind the first run ahead.
    let stage = stream::iter([0, 3, 5]).flat_map_concurrent(ordered(3).window(20), inner);
    assert_eq!(stopped(stage), (vec![], [3, 0, 8]));
}

#[test]
fn what_pipelines_in_calls_have_in_flight_counts_as_well() {
    let stage = stream::iter(0..2)
        .map_concurrent(2, |_| stream::iter(0..3).map_concurrent(3, |_| pending::<()>()).drain());
    assert_eq!(stopped(stage).1, [2 + 2 * 3, 0, 0]);
}

#[test]
fn merged_streams_and_frontiers_are_counted() {
    let branch = |calls| stream::repeat(()).map_concurrent(calls, |()| pending::<()>());
    assert_eq!(stopped(merge([branch(2), branch(3)])).1, [5, 0, 0]);

    let (_, dropped) = stopped(frontier(0..9).map_concurrent(2, |entry| async move {
        pending::<()>().await;
        entry
    }));
    assert_eq!(dropped, [2, 7, 0]);
    let stage = stream::iter([1]).expand_concurrent(2, async |n: u32| {
        if n > 1 {
            pending::<()>().await;
        }
        (n, vec![n + 1; 5])
    });
    assert_eq!(stopped(stage), (vec![1], [2, 3, 0]));
}

#[test]
fn prefetched_outputs_are_counted() {
    let executor = smol::LocalExecutor::new();
    let (stop, told, task) = (Gate::default(), Cell::new(None), Task::new());
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut stage = stream::repeat(1)
        .prefetch(5, move |future| sender.send(future).unwrap())
        .take_until_stopped(stop.passed())
        .on_stop(|dropped| told.set(Some(dropped)));
    assert!(task.poll_next(&mut stage).is_pending());
    let spawned = executor.spawn(receiver.recv().unwrap());
    while executor.try_tick() {}
    stop.open();
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(None));
    assert_eq!(told.get().map(numbers), Some([0, 0, 5]));
    drop(spawned);
}

#[test]
fn a_pipeline_that_ends_by_itself_tells_nothing() {
    let task = Task::new();
    let stage = stream::iter(0..3).map_concurrent(2, async |n| n);
    let stage = stage.take_until_stopped(pending::<()>());
    let mut stage = Box::pin(stage.on_stop(|_| panic!("it was not stopped")));
    assert_eq!(task.settle(&mut stage), (vec![0, 1, 2], true));
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(None));
}

#[test]
fn the_last_one_is_told_that_nothing_was_in_flight() {
    let (outputs, dropped) = stopped(stream::iter(0..3).chain(stream::pending()));
    assert_eq!((outputs.len(), dropped), (3, [0, 0, 0]));
}

#[test]
fn it_is_told_and_the_panic_comes_out_if_a_drop_panics() {
    let there = Gauge::default();
    let (told, task) = (Cell::new(None), Task::new());
    let mut stage = stream::iter(0..5)
        .map_concurrent(5, |n| {
            let unit = there.unit();
            async move {
                let _unit = unit;
                let _panics = (n == 2).then(|| Panics);
                pending::<()>().await
            }
        })
        .take_until_stopped(Gate::default().passed())
        .on_stop(|_| ());
    assert!(task.poll_next(&mut stage).is_pending());
    let stop = Gate::default();
    let mut stage =
        stage.take_until_stopped(stop.passed()).on_stop(|dropped| told.set(Some(dropped)));
    stop.open();
    assert_eq!(message_of(|| task.poll_next(&mut stage)), "dropped");
    assert_eq!(told.get().map(numbers), Some([5, 0, 0]));
    assert_eq!(there.now(), 0);
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(None));
}

/// Panics as it is dropped.
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn nothing_is_counted_but_what_the_stop_drops() {
    let other = stream::repeat(1).map_concurrent(4, |_| pending::<()>());
    let mut other = Box::pin(other);
    assert!(Task::new().poll_next(&mut other).is_pending());
    let (stop, told, task) = (Gate::default(), Cell::new(None), Task::new());
    let stage = stream::repeat(1).map_concurrent(2, |_| pending::<()>());
    let stage = stage.take_until_stopped(stop.passed());
    let mut stage = stage.on_stop(|dropped| {
        drop(other);
        told.set(Some(dropped));
    });
    assert!(task.poll_next(&mut stage).is_pending());
    stop.open();
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(None));
    assert_eq!(told.get().map(numbers), Some([2, 0, 0]));
}
