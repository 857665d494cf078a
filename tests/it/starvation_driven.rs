//! The body of a loop shares a lock with the pipeline it loops over: awaited `alongside` the
//! pipeline, it never deadlocks.

use flowlet::Semaphore;
use flowlet::prelude::*;
use futures_lite::{future, stream};

use crate::support::exec::{Stall, rest, run};
use crate::support::lock::{HABITS, Habit, Lock, Site, with_each_lock};
use crate::support::open::open;
use crate::support::window::Window;

const LIMITS: [(usize, usize); 6] = [(1, 1), (1, 4), (4, 1), (2, 3), (16, 2), (3, 16)];

with_each_lock!(
    a_loop_body_alongside,
    only_alongside_helps,
    in_the_middle,
    a_body_that_is_dropped,
    two_pipelines_in_one_loop,
    a_pipeline_in_the_body,
    a_loop_in_a_call,
    after_a_choice_of_stages,
);

/// Runs every combination of limits, habits, and orders of events.
fn each(mut test: impl FnMut((usize, usize), Habit, u64)) {
    for limits in LIMITS {
        for habit in HABITS {
            for seed in [0, 1, 31] {
                test(limits, habit, seed);
            }
        }
    }
}

#[track_caller]
fn assert_all(outputs: Result<Vec<u32>, Stall>, count: u32) {
    let mut outputs = outputs.expect("the pipeline should not stall");
    outputs.sort_unstable();
    assert_eq!(outputs, Vec::from_iter(0..count));
}

fn a_loop_body_alongside<L: Lock>() {
    each(|(first, second), habit, seed| {
        let lock = L::new();
        let (a, b, body) =
            (Site::new(&lock, habit), Site::new(&lock, habit), Site::new(&lock, Habit::First));
        let window = Window::default();
        let mut numbers = window
            .source(30)
            .map_concurrent(first, |n| a.call(n))
            .map(|n| n)
            .filter_concurrent(second, async |n: &u32| b.call(*n).await == *n)
            .driven();
        let outputs = run(seed, async {
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                window.leave();
                outputs.push(numbers.alongside(body.call(n)).await);
                numbers.alongside(rest(1)).await;
            }
            outputs
        });
        assert_all(outputs, 30);
        assert!(a.peak() <= first && b.peak() <= second && body.peak() == 1);
        assert!(window.peak().unsigned_abs() <= first + second);
    });
}

/// A body that is simply awaited stalls, so what the others test is no matter of course.
fn only_alongside_helps<L: Lock>() {
    let looped = |alongside: bool| {
        let lock = L::new();
        let (a, body) = (Site::new(&lock, Habit::First), Site::new(&lock, Habit::First));
        run(0, async move {
            let mut numbers = pipe(0..30).map_concurrent(4, |n| a.call(n)).driven();
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                let call = body.call(n);
                outputs.push(if alongside { numbers.alongside(call).await } else { call.await });
            }
            outputs
        })
    };
    assert_eq!(looped(false), Err(Stall::Deadlock));
    assert_all(looped(true), 30);
}

fn in_the_middle<L: Lock>() {
    each(|(first, second), habit, seed| {
        let lock = L::new();
        let sites = [(); 3].map(|()| Site::new(&lock, habit));
        let window = Window::default();
        let pipeline = window
            .source(30)
            .driven()
            .map_concurrent(first, |n| sites[0].call(n))
            .driven()
            .driven()
            .map_concurrent(second, |n| sites[1].call(n))
            .map(|n| n)
            .driven()
            .boxed_local()
            .map_concurrent(first, |n| sites[2].call(n))
            .inspect(|_| window.leave());
        assert_all(run(seed, pipeline.collect()), 30);
        assert!(window.peak().unsigned_abs() <= 2 * first + second);
        for (site, limit) in sites.iter().zip([first, second, first]) {
            assert!(site.peak() <= limit);
        }
    });
}

/// A body that is dropped half-way takes nothing of the pipeline with it.
fn a_body_that_is_dropped<L: Lock>() {
    each(|(first, second), habit, seed| {
        let lock = L::new();
        let (a, body) = (Site::new(&lock, habit), Site::new(&lock, habit));
        let outputs = run(seed, async {
            let mut numbers = pipe(0..30)
                .map_concurrent(first, |n| a.call(n))
                .map_concurrent(second, |n| a.call(n))
                .driven();
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                for turns in 0..4 {
                    let short = async {
                        rest(turns).await;
                        n
                    };
                    // Dropped at once, or with the lock in hand, or in the queue for it.
                    numbers.alongside(future::or(short, body.call(n))).await;
                    future::or(numbers.alongside(body.call(n)), future::ready(n)).await;
                }
                outputs.push(n);
            }
            outputs
        });
        assert_all(outputs, 30);
    });
}

fn two_pipelines_in_one_loop<L: Lock>() {
    each(|(first, second), habit, seed| {
        let lock = L::new();
        let site = Site::new(&lock, habit);
        let outputs = run(seed, async {
            let pipeline = || {
                pipe(0..20)
                    .map_concurrent(first, |n| site.call(n))
                    .map_concurrent(second, |n| site.call(n))
                    .driven()
            };
            let (mut left, mut right) = (pipeline(), pipeline());
            let mut outputs = Vec::new();
            // Waiting for the next item of one is a body to the other.
            while let Some(n) = right.alongside(left.next()).await {
                let m = left.alongside(right.next()).await;
                left.alongside(right.alongside(site.call(n))).await;
                outputs.extend([n, 20 + m.expect("both have as many items")]);
            }
            outputs
        });
        assert_all(outputs, 40);
    });
}

fn a_pipeline_in_the_body<L: Lock>() {
    each(|(first, second), habit, seed| {
        let lock = L::new();
        let (outer, inner) = (Site::new(&lock, habit), Site::new(&lock, Habit::First));
        let outputs = run(seed, async {
            let mut numbers = pipe(0..15)
                .map_concurrent(first, |n| outer.call(n))
                .map_concurrent(second, |n| outer.call(n))
                .driven();
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                let body = pipe([n, n + 1, n + 2])
                    .map_concurrent(second, |n| inner.call(n))
                    .map_concurrent(first, |n| inner.call(n))
                    .fold(0, |sum, n| sum + n);
                outputs.push(numbers.alongside(body).await / 3 - 1);
            }
            outputs
        });
        assert_all(outputs, 15);
    });
}

fn a_loop_in_a_call<L: Lock>() {
    each(|(first, second), habit, seed| {
        let lock = L::new();
        let (outer, inner) = (Site::new(&lock, habit), Site::new(&lock, Habit::First));
        let looped = async |n: u32| {
            let mut numbers = pipe([n; 3]).map_concurrent(second, |n| inner.call(n)).driven();
            while let Some(m) = numbers.next().await {
                numbers.alongside(inner.call(m)).await;
            }
            outer.call(n).await
        };
        let pipeline = pipe(0..15)
            .map_concurrent(first, looped)
            .map_concurrent(second, |n| outer.call(n))
            .map_concurrent(1, looped);
        assert_all(run(seed, pipeline.collect()), 15);
    });
}

fn after_a_choice_of_stages<L: Lock>() {
    each(|(first, second), habit, seed| {
        let lock = L::new();
        let site = Site::new(&lock, habit);
        let outputs = run(seed, async {
            let left = pipe(0..15).map_concurrent(first, |n| site.call(n));
            let right = pipe(15..30).map_concurrent(second, |n| site.call(n));
            let right = right.driven().chain(stream::pending());
            let both = left.or(right).take(30);
            let mut numbers = both.flat_map_concurrent(second, |n| open(&site, n)).driven();
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                outputs.push(numbers.alongside(site.call(n)).await);
            }
            assert_eq!(outputs.len(), 60);
            outputs.sort_unstable();
            outputs.dedup();
            outputs
        });
        assert_all(outputs, 30);
    });
}

/// The body receives what the calls above send, which goes on only while they do.
#[test]
fn a_bounded_channel_to_the_body() {
    each(|(first, second), _, seed| {
        let (sender, receiver) = async_channel::bounded(1);
        let outputs = run(seed, async {
            let mut numbers = pipe(0..30)
                .map_concurrent(first, async |n| {
                    rest(n % 3).await;
                    sender.send(n).await.unwrap();
                    n
                })
                .map_concurrent(second, async |n| {
                    sender.send(n).await.unwrap();
                    n
                })
                .driven();
            let mut outputs = Vec::new();
            // While an item is awaited somebody has to make room in the channel.
            let mut received = 0;
            loop {
                let receive = async {
                    receiver.recv().await.unwrap();
                    received += 1;
                    None
                };
                match future::or(async { Some(numbers.next().await) }, receive).await {
                    Some(Some(n)) => {
                        outputs.push(n);
                        // Two are sent for each.
                        if received < 60 {
                            numbers.alongside(receiver.recv()).await.unwrap();
                            received += 1;
                        }
                    }
                    Some(None) => return outputs,
                    None => {}
                }
            }
        });
        assert_all(outputs, 30);
    });
}

/// Nothing begins before the first body or item was asked for, and no item is asked for by a body.
#[test]
fn a_body_pulls_nothing_more_than_the_limits_allow() {
    let window = Window::default();
    let semaphore = <Semaphore as Lock>::new();
    let site = Site::new(&semaphore, Habit::First);
    let driven = run(0, async {
        let mut numbers = window.source(30).map_concurrent(3, |n| site.call(n)).driven();
        assert_eq!(window.peak(), 0);
        numbers.alongside(rest(5)).await;
        assert_eq!(window.peak(), 3);

        let first = numbers.next().await;
        window.leave();
        numbers.alongside(rest(50)).await;
        assert_eq!((first, window.peak(), semaphore.in_use()), (Some(0), 3, 0));

        // The source is no stage, which would be kept from handing on: it is not asked at all.
        let mut source = window.source(30).driven();
        source.next().await;
        window.leave();
        source.alongside(rest(50)).await;
        assert_eq!(window.peak(), 4);
    });
    assert_eq!(driven, Ok(()));
}
