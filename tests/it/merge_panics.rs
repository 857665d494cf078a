//! A panic in a branch of a merge costs nothing but what it cost in the branch alone.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, merge, ordered};
use futures_lite::future::{pending, yield_now};
use futures_lite::stream;

use crate::support::gauge::Gauge;
use crate::support::waker::Task;

/// What comes of a stream in the end: its items in order, and how many panics.
fn all_of<T: Ord>(stream: impl Stream<Item = T>) -> (Vec<T>, usize) {
    let (mut stream, task) = (Box::pin(stream), Task::new());
    let (mut items, mut panics) = (Vec::new(), 0);
    for _ in 0..10_000 {
        match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))) {
            Ok(Poll::Ready(Some(item))) => items.push(item),
            Ok(Poll::Ready(None)) => {
                items.sort_unstable();
                return (items, panics);
            }
            Ok(Poll::Pending) => assert!(task.is_woken(), "stuck"),
            Err(_) => panics += 1,
        }
    }
    panic!("no end");
}

/// A call that takes some turns, and panics for every third item.
async fn call(n: u32) -> u32 {
    for _ in 0..n * 5 % 4 {
        yield_now().await;
    }
    if n % 3 == 1 { resume_unwind(Box::new(n)) } else { n }
}

fn limits() -> [Concurrency; 6] {
    [1.into(), 3.into(), 100.into(), ordered(3), Semaphore::new(1).into(), Semaphore::new(4).into()]
}

#[test]
fn a_stage_that_panics_stays() {
    for limit in limits() {
        let stage = || pipe(0..14).map_concurrent(limit.clone(), call);
        let alone = all_of(stage());
        assert_eq!((alone.0.len(), alone.1), (9, 5));
        assert_eq!(all_of(merge([stage()])), alone, "{limit:?}");
        assert_eq!(all_of(merge([merge([stage()])])), alone, "{limit:?}");
        let (items, panics) = all_of(merge([stage(), stage(), stage()]));
        assert_eq!((items.len(), panics), (3 * 9, 3 * 5), "{limit:?}");
    }
}

#[test]
fn one_that_panics_while_a_later_stage_is_full_stays() {
    for limit in limits() {
        for below in [1, 2] {
            let stages = [0, 1].map(|_| pipe(0..14).map_concurrent(limit.clone(), call));
            let (items, panics) = all_of(merge(stages).map_concurrent(below, async |n| {
                for _ in 0..5 {
                    yield_now().await;
                }
                n
            }));
            assert_eq!((items.len(), panics), (2 * 9, 2 * 5), "{limit:?} {below}");
        }
    }
}

#[test]
fn a_source_that_panics_is_asked_again() {
    let there = Gauge::default();
    let counted = |bad: u32| {
        let unit = there.unit();
        stream::iter(0..3).inspect(move |n| {
            let _ = &unit;
            if *n == bad {
                resume_unwind(Box::new(*n));
            }
        })
    };
    let merged = merge([counted(9), counted(1), counted(9)]);
    assert_eq!(all_of(merged), (vec![0, 0, 0, 1, 1, 2, 2, 2], 1));
    assert_eq!(there.now(), 0);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("dropped"));
    }
}

#[test]
fn an_error_comes_behind_the_panic_of_a_call_that_was_dropped_for_it() {
    let stage = || {
        pipe([1, 2]).map(Ok).try_map_concurrent(2, async |n| {
            if n == 1 {
                let _bomb = Bomb;
                pending::<()>().await;
            }
            Err::<u32, _>("failed")
        })
    };
    let outcome = (vec![Err("failed")], 1);
    assert_eq!(all_of(stage()), outcome);
    assert_eq!(all_of(merge([stage()])), outcome);
    assert_eq!(all_of(merge([stage()]).driven()), outcome);
    assert_eq!(all_of(merge([stage()]).map_concurrent(1, async |n| n)), outcome);
}

#[test]
fn one_that_panics_as_it_is_dropped_has_ended() {
    let dropped = Cell::new(0);
    let ends = |bomb: bool| {
        let bombs = bomb.then(|| Bomb);
        stream::iter(0..2).inspect(|_| dropped.set(dropped.get() + 1)).map(move |n| {
            let _ = &bombs;
            n
        })
    };
    let mut merged = merge([ends(false), ends(true), ends(false)]);
    assert_eq!(all_of(&mut merged), (vec![0, 0, 0, 1, 1, 1], 1));
    assert_eq!(merged.size_hint(), (0, Some(0)));
}
