//! Calls above a `prefetch` share a lock with those below it, and with the consumer: the task goes on
//! with them, also while it has no room, so nothing ever deadlocks.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use async_executor::Executor;
use flowlet::prelude::*;
use flowlet::{Flow, in_task, ordered};
use futures_lite::future::{Boxed, FutureExt};
use futures_util::stream::select;

use crate::support::exec::{Stall, rest, run};
use crate::support::lock::{Fair, HABITS, Habit, Lock, Site, with_each_lock};
use crate::support::open::open;
use crate::support::window::Window;

const LIMITS: [(usize, usize, usize); 7] =
    [(1, 1, 1), (1, 1, 4), (4, 1, 1), (4, 2, 1), (2, 5, 3), (16, 1, 2), (3, 2, 16)];

with_each_lock!(
    between_stages,
    a_loop_body,
    several_in_a_row,
    with_calls_in_tasks,
    in_calls,
    joined_with_a_stage,
    a_stage_that_is_advanced_from_below,
    calls_that_panic,
);

/// Runs every combination of limits, habits, and orders of events.
fn each(mut test: impl FnMut(&Tasks, (usize, usize, usize), Habit, u64)) {
    for limits in LIMITS {
        for habit in HABITS {
            for seed in [0, 1, 43] {
                test(&Tasks::default(), limits, habit, seed);
            }
        }
    }
}

/// Everything runs on one thread, so that a deadlock is seen.
#[derive(Clone, Default)]
struct Tasks(Arc<Executor<'static>>);

impl Tasks {
    fn spawn(&self) -> impl Fn(Boxed<()>) + Clone + Send + Sync + use<> {
        let executor = Arc::downgrade(&self.0);
        move |task| executor.upgrade().unwrap().spawn(task).detach()
    }

    /// Runs `root`, and the tasks meanwhile.
    fn run<F: Future>(&self, seed: u64, root: F) -> Result<F::Output, Stall> {
        let ran = run(seed, self.0.run(root));
        while self.0.try_tick() {}
        if ran.is_ok() {
            assert!(self.0.is_empty(), "a task was left");
        }
        ran
    }
}

#[track_caller]
fn assert_all(outputs: Result<Vec<u32>, Stall>, count: u32) {
    let mut outputs = outputs.expect("the pipeline should not stall");
    outputs.sort_unstable();
    assert_eq!(outputs, Vec::from_iter(0..count));
}

fn site<L: Lock>(lock: &L, habit: Habit) -> Arc<Site<L>> {
    Arc::new(Site::new(lock, habit))
}

fn between_stages<L: Lock>() {
    each(|tasks, (first, room, second), habit, seed| {
        let lock = L::new();
        let (a, b) = (site(&lock, habit), site(&lock, habit));
        let (above, below) = (a.clone(), b.clone());
        let window = Window::default();
        let pipeline = window
            .source(30)
            .map_concurrent(first, move |n| above.call(n))
            .map(|n| n)
            .prefetch(room, tasks.spawn())
            .map(|n| n)
            .map_concurrent(ordered(second), move |n| below.call(n))
            .inspect(|_| window.leave());
        assert_all(tasks.run(seed, pipeline.collect()), 30);
        assert!(a.peak() <= first && b.peak() <= second);
        assert!(window.peak().unsigned_abs() <= first + room + second);
    });
}

/// Nothing is awaited `alongside`: the task is not held up by what its consumer does.
fn a_loop_body<L: Lock>() {
    each(|tasks, (first, room, second), habit, seed| {
        let lock = L::new();
        let (a, body) = (site(&lock, habit), site(&lock, Habit::First));
        let (above, also) = (a.clone(), a.clone());
        let window = Window::default();
        let mut numbers = window
            .source(30)
            .map_concurrent(first, move |n| above.call(n))
            .filter_concurrent(second, async move |n: &u32| also.call(*n).await == *n)
            .prefetch(room, tasks.spawn());
        let outputs = tasks.run(seed, async {
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                window.leave();
                outputs.push(body.call(n).await);
                rest(1).await;
            }
            outputs
        });
        assert_all(outputs, 30);
        assert!(window.peak().unsigned_abs() <= first + room + second);
    });
}

fn several_in_a_row<L: Lock>() {
    each(|tasks, (first, room, second), habit, seed| {
        let lock = L::new();
        let [a, b, c] = [(); 3].map(|()| site(&lock, habit));
        let window = Window::default();
        let pipeline = window
            .source(30)
            .prefetch(room, tasks.spawn())
            .map_concurrent(first, move |n| a.call(n))
            .prefetch(room, tasks.spawn())
            .prefetch(room, tasks.spawn())
            .map_concurrent(second, move |n| b.call(n))
            .boxed()
            .driven()
            .prefetch(room, tasks.spawn())
            .batched(2)
            .flat_map_concurrent(1, |batch| batch)
            .map_concurrent(first, move |n| c.call(n));
        assert_all(tasks.run(seed, pipeline.collect()), 30);
    });
}

fn with_calls_in_tasks<L: Lock>() {
    each(|tasks, (first, room, second), habit, seed| {
        let lock = L::new();
        let [a, b, body] = [(); 3].map(|()| site(&lock, habit));
        let (above, below) = (a.clone(), b.clone());
        let mut numbers = pipe(0..30)
            .map_concurrent(first, in_task(tasks.spawn(), move |n| above.call(n)))
            .prefetch(room, tasks.spawn())
            .map_concurrent(second, in_task(tasks.spawn(), move |n| below.call(n)));
        let outputs = tasks.run(seed, async {
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                outputs.push(body.call(n).await);
            }
            outputs
        });
        assert_all(outputs, 30);
        assert!(a.peak() <= first && b.peak() <= second);
    });
}

fn in_calls<L: Lock>() {
    each(|tasks, (first, room, second), habit, seed| {
        let lock = L::new();
        let (outer, inner) = (site(&lock, habit), site(&lock, Habit::First));
        let spawn = tasks.spawn();
        let looped = |n: u32| {
            let (above, inner, spawn) = (inner.clone(), inner.clone(), spawn.clone());
            async move {
                let numbers = pipe([n; 3]).map_concurrent(second, move |n| above.call(n));
                let mut numbers = numbers.prefetch(room, spawn);
                while let Some(m) = numbers.next().await {
                    inner.call(m).await;
                }
                n
            }
        };
        let pipeline = pipe(0..15)
            .map_concurrent(first, &looped)
            .map_concurrent(second, |n| outer.call(n))
            .map_concurrent(1, &looped);
        assert_all(tasks.run(seed, pipeline.collect()), 15);
    });
}

/// The stage below advances what `select` makes of both.
fn joined_with_a_stage<L: Lock>() {
    each(|tasks, (first, room, second), habit, seed| {
        let lock = L::new();
        let [a, b, c] = [(); 3].map(|()| site(&lock, habit));
        let window = Window::default();
        let left = window.source(15).map_concurrent(first, move |n| a.call(n));
        let left = left.prefetch(room, tasks.spawn());
        let right = window.source(15).map_concurrent(second, |n| b.call(n)).map(|n| n + 15);
        let pipeline =
            select(left, right).map_concurrent(second, |n| c.call(n)).inspect(|_| window.leave());
        assert_all(tasks.run(seed, pipeline.collect()), 30);
        assert!(window.peak().unsigned_abs() <= first + room + 2 * second);
    });
}

fn a_stage_that_is_advanced_from_below<L: Lock>() {
    each(|tasks, (first, room, second), habit, seed| {
        let lock = L::new();
        let [a, b, c, body] = [(); 4].map(|()| site(&lock, habit));
        let (spawn, above) = (tasks.spawn(), a.clone());
        let flow: Flow<u32> = Flow::new(move |numbers| {
            let above = above.clone();
            numbers
                .flat_map_concurrent(first, move |n| open(&above, n))
                .prefetch(room, spawn.clone())
        });
        let mut numbers = pipe(0..15)
            .through(flow)
            .map_concurrent(second, move |n| b.call(n))
            .map_concurrent(first, move |n| c.call(n))
            .driven();
        let outputs = tasks.run(seed, async {
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                outputs.push(numbers.alongside(body.call(n)).await);
            }
            assert_eq!(outputs.len(), 30);
            outputs.sort_unstable();
            outputs.dedup();
            outputs
        });
        assert_all(outputs, 15);
        assert!(a.peak() <= first);
    });
}

/// A panic that waits for the consumer, who waits for the lock, holds up no other call.
fn calls_that_panic<L: Lock>() {
    each(|tasks, (first, room, second), habit, seed| {
        let lock = L::new();
        let (a, body) = (site(&lock, habit), site(&lock, Habit::First));
        let above = move |n| {
            let call = a.call(n);
            async move {
                // Some with the lock, some before they have it.
                if n % 8 == 5 {
                    resume_unwind(Box::new(n));
                }
                call.await;
                if n % 4 == 2 {
                    resume_unwind(Box::new(n));
                }
                n
            }
        };
        let mut numbers = pipe(0..40)
            .map_concurrent(first, above)
            .map_concurrent(second, async |n| n)
            .prefetch(room, tasks.spawn());
        let outputs = tasks.run(seed, async {
            let mut outputs = Vec::new();
            loop {
                match AssertUnwindSafe(numbers.next()).catch_unwind().await {
                    Ok(Some(n)) => outputs.push(body.call(n).await),
                    Ok(None) => break outputs,
                    Err(panic) => outputs.push(*panic.downcast::<u32>().unwrap()),
                }
            }
        });
        assert_all(outputs, 40);
    });
}

/// A task that only pulls and waits for room stalls, so what the others test is no matter of course.
#[test]
fn pulling_alone_is_not_enough() {
    let looped = |ours: bool| {
        let tasks = Tasks::default();
        let lock = Fair::new();
        let (a, body) = (site(&lock, Habit::First), site(&lock, Habit::First));
        let numbers = pipe(0..30).map_concurrent(4, move |n| a.call(n));
        let mut numbers = if ours {
            numbers.prefetch(1, tasks.spawn()).boxed()
        } else {
            let (sender, receiver) = async_channel::bounded(1);
            tasks.spawn()(Box::pin(async move {
                let mut numbers = std::pin::pin!(numbers);
                while let Some(n) = numbers.next().await {
                    sender.send(n).await.unwrap();
                }
            }));
            receiver.boxed()
        };
        tasks.run(0, async {
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                outputs.push(body.call(n).await);
            }
            outputs
        })
    };
    assert_eq!(looped(false), Err(Stall::Deadlock));
    assert_all(looped(true), 30);
}
