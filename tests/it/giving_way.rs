//! A pipeline whose calls never wait lets others of its thread have their turn.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Semaphore, merge, ordered};
use futures_lite::future::{block_on, or, yield_now};
use futures_lite::stream::{self, Boxed};

use crate::support::waker::Task;

/// How many outputs come before others have their turn, at most.
const MOST: usize = 128;

fn endless() -> stream::Repeat<u32> {
    stream::repeat(1)
}

/// Pipelines without end, of calls that are ready at once.
fn pipelines() -> Vec<(&'static str, Boxed<u32>)> {
    let semaphore = Semaphore::new(4);
    let stage = || endless().map_concurrent(4, async |n| n);
    vec![
        ("a stage", stage().boxed()),
        ("limit 1", endless().map_concurrent(1, async |n| n).boxed()),
        ("in order", endless().map_concurrent(ordered(4), async |n| n).boxed()),
        ("with a window", endless().map_concurrent(ordered(4).window(9), async |n| n).boxed()),
        ("with a semaphore", endless().map_concurrent(semaphore, async |n| n).boxed()),
        ("by key", endless().map_concurrent_by_key(4, |n| *n, async |n| n).boxed()),
        ("a filter", endless().filter_concurrent(4, async |_: &u32| true).boxed()),
        ("inner streams", endless().flat_map_concurrent(4, |_| endless()).boxed()),
        ("two stages", stage().map_concurrent(2, async |n| n).boxed()),
        ("batches", stage().batched(3).map(|batch| batch[0]).boxed()),
        ("driven", endless().driven().boxed()),
        ("driven stages", stage().driven().boxed()),
        ("merged", merge([endless().boxed(), stage().boxed()]).boxed()),
        (
            "results",
            endless()
                .map(Ok::<_, ()>)
                .try_map_concurrent(4, async |n| Ok(n))
                .map(|n| n.unwrap())
                .boxed(),
        ),
        ("adaptors around it", stage().filter(|_| true).map(|n| n + 1).boxed()),
    ]
}

#[test]
fn after_so_many_outputs_a_pipeline_is_pending_once_and_wakes_its_task() {
    for (name, mut pipeline) in pipelines() {
        let task = Task::new();
        for round in 0..5 {
            let mut outputs = 0;
            while task.poll_next(&mut pipeline).is_ready() {
                outputs += 1;
                assert!(outputs <= 4 * MOST, "{name} does not give way in round {round}");
            }
            assert!(outputs > 0, "{name} gives way without an output");
            assert!(task.is_woken(), "{name} does not wake its task");
        }
    }
}

#[test]
fn a_stop_is_heard_that_comes_by_another_future_of_the_same_task() {
    for (name, pipeline) in pipelines() {
        let polls = Cell::new(0);
        let stop = async {
            yield_now().await;
            yield_now().await;
        };
        let drain = async {
            let mut drain = pin!(pipeline.drain());
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                drain.as_mut().poll(cx)
            })
            .await;
            unreachable!("{name} has no end");
        };
        block_on(or(drain, stop));
        assert_eq!(polls.get(), 3, "{name}");
    }
}

#[test]
fn what_drains_a_plain_stream_gives_way_too() {
    let task = Task::new();
    let mut drain = pin!(endless().drain());
    let mut try_drain = pin!(endless().map(Ok::<_, ()>).try_drain());
    assert_eq!(task.poll(&mut drain), Poll::Pending);
    assert!(task.is_woken());
    let other = Task::new();
    assert_eq!(other.poll(&mut try_drain), Poll::Pending);
    assert!(other.is_woken());
}

#[test]
fn a_pipeline_inside_a_call_gives_way_to_the_other_calls() {
    let done = Cell::new(false);
    let call = async |n: u32| {
        if n == 0 {
            let mut numbers: Pin<Box<_>> = Box::pin(endless().map_concurrent(2, async |n| n));
            while !done.get() {
                numbers.next().await;
            }
        } else {
            yield_now().await;
            done.set(true);
        }
    };
    block_on(pipe([0, 1]).map_concurrent(2, call).drain());
}
