//! A panic that comes out of a stage while it is kept from handing on leaves no trace: who catches
//! it can poll on, and finds the calls of all stages going on as before.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use flowlet::Semaphore;
use flowlet::prelude::*;
use futures_lite::{future, stream};

use crate::support::exec::{rest, run};
use crate::support::gate::Gate;
use crate::support::lock::{HABITS, Lock, Site, with_each_lock};
use crate::support::window::Window;

with_each_lock!(a_panic_in_a_stage_above);

/// Polls again at once when its stream panics.
struct PollOn<S>(S);

impl<S: Stream + Unpin> Stream for PollOn<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        loop {
            let poll = AssertUnwindSafe(|| Pin::new(&mut self.0).poll_next(cx));
            if let Ok(polled) = catch_unwind(poll) {
                return polled;
            }
        }
    }
}

fn a_panic_in_a_stage_above<L: Lock>() {
    for limits @ [first, second, third] in [[1, 1, 1], [4, 1, 1], [2, 3, 1], [3, 2, 4], [16, 1, 2]]
    {
        for (habit, seed) in HABITS.into_iter().flat_map(|habit| [0, 1, 41].map(|s| (habit, s))) {
            let lock = L::new();
            let sites = [(); 3].map(|()| Site::new(&lock, habit));
            let window = Window::default();
            let fail = async |n: u32| {
                if n % 4 == 2 {
                    rest(n % 3).await;
                    // As a panic, without the message.
                    window.leave();
                    resume_unwind(Box::new(n));
                }
                sites[0].call(n).await
            };
            let above = window.source(60).map_concurrent(first, fail);
            let middle = above.map_concurrent(second, |n| sites[1].call(n)).boxed_local();
            let last = PollOn(middle).map_concurrent(third, |n| sites[2].call(n)).boxed_local();
            let mut outputs: Vec<u32> =
                run(seed, PollOn(last).inspect(|_| window.leave()).collect()).unwrap();
            outputs.sort_unstable();
            assert_eq!(outputs, Vec::from_iter((0..60).filter(|n| n % 4 != 2)));
            assert!(sites.iter().zip(limits).all(|(site, limit)| site.peak() <= limit));
            assert!(window.peak().unsigned_abs() <= first + second + third);
        }
    }
}

/// A stage that has not answered yet when it panics is known all the same to be one.
#[test]
fn a_panic_in_the_first_poll() {
    for seed in [0, 1, 41] {
        let semaphore = Semaphore::new(1);
        let call = async |n| {
            rest(3).await;
            n
        };
        let panicking = pipe(0..4).inspect(|n| {
            if *n == 1 {
                resume_unwind(Box::new(*n));
            }
        });
        // The second item is asked for in an advance, while the first has the only permit.
        let above = panicking.map_concurrent(1, async |n| n).map_concurrent(&semaphore, call);
        let last = above.map_concurrent(&semaphore, call).boxed_local();
        let outputs = run(seed, PollOn(last).collect::<Vec<u32>>());
        assert_eq!(outputs, Ok(vec![0, 2, 3]));
    }
}

/// Calls that were woken when their stage panicked go on while the later stage is full, and their
/// outputs wait.
#[test]
fn a_panic_while_calls_are_due() {
    let (first, second) = (Gate::default(), Gate::default());
    let finished = Cell::new(0);
    let semaphore = Semaphore::new(1);
    let call = |n: u32| {
        if n == 2 {
            resume_unwind(Box::new(n));
        }
        let (gate, finished) = (if n == 0 { &first } else { &second }, &finished);
        async move {
            gate.passed().await;
            finished.set(finished.get() + 1);
            n
        }
    };
    let later = stream::once_future(first.passed()).flat_map(|()| stream::iter(2..4));
    let above = stream::iter(0..2).chain(later).map_concurrent(3, call);
    let mut last = pin!(above.map_concurrent(&semaphore, async |n| n));
    let mut poll = || {
        let polled = || last.as_mut().poll_next(&mut Context::from_waker(Waker::noop()));
        catch_unwind(AssertUnwindSafe(polled))
    };

    assert!(poll().is_ok_and(|polled| polled.is_pending()));
    first.open();
    assert!(poll().is_err());
    let permit = semaphore.try_acquire();
    assert!(poll().is_ok_and(|polled| polled.is_pending()));
    second.open();
    assert!(poll().is_ok_and(|polled| polled.is_pending()));
    assert_eq!(finished.get(), 3, "the other calls go on");

    drop(permit);
    assert_eq!(future::block_on(last.collect::<Vec<u32>>()), [0, 1, 3]);
}
