//! Panics and errors at once: everything is dropped, each poll gives one of them, and no error and
//! no panic is lost.

use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, errors_in_turn, ordered};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gauge::{Gauge, Unit};

/// What the panics carry: who panicked.
#[derive(Debug, PartialEq, Clone, Copy)]
struct Bang(&'static str);

/// Panics when it is dropped, unless that would be the second at once.
struct Bomb {
    name: &'static str,
    _unit: Unit,
}

impl Bomb {
    fn new(name: &'static str, there: &Gauge) -> Self {
        Self { name, _unit: there.unit() }
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            // As a panic, without a word on the terminal.
            resume_unwind(Box::new(Bang(self.name)));
        }
    }
}

/// One poll: what it gave, or who panicked.
fn poll<S: Stream + Unpin>(stream: &mut S) -> Result<Poll<Option<S::Item>>, Bang> {
    let mut cx = Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| stream.poll_next(&mut cx)))
        .map_err(|panic| *panic.downcast().expect("it is of this file"))
}

fn limits() -> [Concurrency; 5] {
    [8.into(), errors_in_turn(8), ordered(8), Semaphore::new(8).into(), ordered(Semaphore::new(8))]
}

/// Waits for ever, with something in hand.
async fn wait_with<T>(in_hand: T) -> Result<(), &'static str> {
    let _in_hand = in_hand;
    future::pending().await
}

#[test]
fn calls_that_panic_as_they_are_cancelled() {
    for limit in limits() {
        let (there, gate) = (Gauge::default(), Gate::default());
        let call = |n: u32| {
            let (there, passed) = (there.clone(), gate.passed());
            async move {
                match n {
                    0 => {
                        passed.await;
                        Err("error")
                    }
                    // Two that panic, and more after them.
                    2 | 3 => wait_with(Bomb::new("call", &there)).await,
                    _ => wait_with(there.unit()).await,
                }
            }
        };
        let mut stage = Box::pin(pipe(0..6).map(Ok).try_map_concurrent(limit.clone(), call));
        assert_eq!(poll(&mut stage), Ok(Poll::Pending));
        assert_eq!(there.now(), 5);
        gate.open();
        assert_eq!(poll(&mut stage), Err(Bang("call")), "{limit:?}");
        assert_eq!(there.now(), 0, "all the same");
        assert_eq!(poll(&mut stage), Ok(Poll::Ready(Some(Err("error")))));
        assert_eq!(poll(&mut stage), Ok(Poll::Ready(None)));
    }
}

#[test]
fn a_source_that_panics_as_it_is_dropped() {
    for limit in limits() {
        let there = Gauge::default();
        let bomb = Bomb::new("source", &there);
        let source = stream::iter(0..6).map(move |n| {
            let _ = &bomb;
            Ok(n)
        });
        let call = async |_: u32| -> Result<u32, &str> { Err("error") };
        let mut stage = Box::pin(source.try_map_concurrent(limit, call).try_batched(2));
        assert_eq!(poll(&mut stage), Err(Bang("source")));
        assert_eq!(there.now(), 0);
        assert_eq!(poll(&mut stage), Ok(Poll::Ready(Some(Err("error")))));
        assert_eq!(poll(&mut stage), Ok(Poll::Ready(None)));
    }
}

/// The same for what is no stage of its own.
#[test]
fn batches_and_drains_keep_the_error_over_a_panic() {
    let there = Gauge::default();
    let source = || {
        let bomb = Bomb::new("source", &there);
        stream::iter([Ok(1), Err("error")]).map(move |item| {
            let _ = &bomb;
            item
        })
    };
    let mut batches = source().try_batched(2);
    assert_eq!(poll(&mut batches), Err(Bang("source")));
    assert_eq!(poll(&mut batches), Ok(Poll::Ready(Some(Ok(vec![1])))));
    assert_eq!(poll(&mut batches), Ok(Poll::Ready(Some(Err("error")))));
    assert_eq!(poll(&mut batches), Ok(Poll::Ready(None)));

    let mut drain = source().try_drain();
    let mut poll = || {
        let mut cx = Context::from_waker(Waker::noop());
        catch_unwind(AssertUnwindSafe(|| Pin::new(&mut drain).poll(&mut cx)))
    };
    assert!(poll().is_err());
    assert!(matches!(poll(), Ok(Poll::Ready(Err("error")))));
}

/// A panic is no error: the others go on, and the error comes later.
#[test]
fn a_call_that_panics_while_an_error_waits_for_its_turn() {
    let (there, gates) = (Gauge::default(), [(); 4].map(|()| Gate::default()));
    let call = |n: usize| {
        let (unit, passed) = (there.unit(), gates[n].passed());
        async move {
            let _unit = unit;
            passed.await;
            match n {
                1 => resume_unwind(Box::new(Bang("call"))),
                2 => Err("error"),
                n => Ok(n),
            }
        }
    };
    let mut stage = pipe(0..4).map(Ok).try_map_concurrent(ordered(4), call);
    assert_eq!(poll(&mut stage), Ok(Poll::Pending));
    gates[2].open();
    assert_eq!(poll(&mut stage), Ok(Poll::Pending));
    assert_eq!(there.now(), 2, "those before the error");
    gates[1].open();
    assert_eq!(poll(&mut stage), Err(Bang("call")));
    assert_eq!(there.now(), 1);
    gates[0].open();
    assert_eq!(poll(&mut stage), Ok(Poll::Ready(Some(Ok(0)))));
    assert_eq!(poll(&mut stage), Ok(Poll::Ready(Some(Err("error")))));
    assert_eq!(poll(&mut stage), Ok(Poll::Ready(None)));
}

/// Errors and outputs that are dropped because of another error, and panic.
#[test]
fn errors_and_outputs_that_panic_as_they_are_dropped() {
    struct Error(u32, Option<Bomb>);

    let (there, gates) = (Gauge::default(), [(); 6].map(|()| Gate::default()));
    let call = |n: usize| {
        let (there, passed) = (there.clone(), gates[n].passed());
        async move {
            passed.await;
            match n {
                1 => Err(Error(1, None)),
                3 => Ok(Some(Bomb::new("output", &there))),
                4 => Err(Error(4, Some(Bomb::new("error", &there)))),
                _ => Ok(None),
            }
        }
    };
    let mut stage = pipe(0..6).map(Ok).try_map_concurrent(ordered(6), call);
    let mut poll = || poll(&mut stage);
    assert!(matches!(poll(), Ok(Poll::Pending)));
    for n in [4, 3] {
        gates[n].open();
        assert!(matches!(poll(), Ok(Poll::Pending)));
    }
    assert_eq!(there.now(), 2);
    // In order it comes before both of them.
    gates[1].open();
    assert!(matches!(poll(), Err(Bang("output"))), "the first of them");
    assert_eq!(there.now(), 0);
    gates[0].open();
    assert!(matches!(poll(), Ok(Poll::Ready(Some(Ok(None))))));
    assert!(matches!(poll(), Ok(Poll::Ready(Some(Err(Error(1, None)))))));
    assert!(matches!(poll(), Ok(Poll::Ready(None))));
}

/// Outputs that wait in completion order, items that wait for a permit, and one that was kept.
#[test]
fn items_that_panic_as_they_are_dropped() {
    let (there, gates) = (Gauge::default(), [(); 3].map(|()| Gate::default()));
    let semaphore = Semaphore::new(3);
    let call = |(n, bomb): (usize, Option<Bomb>)| {
        let passed = gates[n].passed();
        async move {
            passed.await;
            if n == 2 { Err("error") } else { Ok(bomb) }
        }
    };
    let items = [(0, false), (1, true), (2, false)];
    let items = items.map(|(n, bomb)| Ok((n, bomb.then(|| Bomb::new("item", &there)))));
    let mut stage = pipe(items).try_map_concurrent(&semaphore, call).driven();
    assert!(matches!(poll(&mut stage), Ok(Poll::Pending)));
    gates[0].open();
    assert!(matches!(poll(&mut stage), Ok(Poll::Ready(Some(Ok(None))))));
    let mut alongside = || {
        let mut cx = Context::from_waker(Waker::noop());
        let mut alongside = stage.alongside(future::pending::<()>());
        catch_unwind(AssertUnwindSafe(|| Pin::new(&mut alongside).poll(&mut cx).is_pending()))
    };
    gates[1].open();
    assert!(alongside().unwrap());
    assert_eq!(there.now(), 1);
    gates[2].open();
    assert!(alongside().is_err());
    assert_eq!((there.now(), semaphore.in_use()), (0, 0));
    assert!(matches!(poll(&mut stage), Ok(Poll::Ready(Some(Err("error"))))));
    assert!(matches!(poll(&mut stage), Ok(Poll::Ready(None))));
}

/// One panic in a poll at most, however many calls panic in however many stages, then the error.
#[test]
fn calls_of_several_stages_that_panic_as_they_are_cancelled() {
    let (there, gate) = (Gauge::default(), Gate::default());
    let waits = |n: u32| {
        let (there, passed) = (there.clone(), (n < 2).then(|| gate.passed()));
        async move {
            let _bomb = passed.is_none().then(|| Bomb::new("call", &there));
            match passed {
                Some(passed) => passed.await,
                None => future::pending().await,
            }
            if n == 0 { Ok(n) } else { Err("error") }
        }
    };
    // The items below 2 go on to the second stage, and the second of them fails there.
    let first = pipe([0, 1, 2, 3])
        .map(Ok)
        .try_map_concurrent(4, async |n| if n < 2 { Ok(n) } else { waits(n).await });
    let more = first.flat_map(|item| stream::iter([item, Ok(7)]));
    let mut stages = Box::pin(more.try_map_concurrent(ordered(4), waits));
    assert_eq!(poll(&mut stages), Ok(Poll::Pending));
    assert_eq!((there.now(), there.peak()), (4, 4), "two in each stage");
    gate.open();
    assert_eq!(poll(&mut stages), Ok(Poll::Ready(Some(Ok(0)))));
    assert_eq!(poll(&mut stages), Err(Bang("call")));
    assert_eq!(there.now(), 1, "the one before the error goes on");
    assert_eq!(poll(&mut stages), Ok(Poll::Pending));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(stages))).is_err());
    assert_eq!(there.now(), 0);
}
