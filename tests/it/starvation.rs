//! Calls that were started go on while a later stage is full: a lock that is shared by calls of
//! several stages never deadlocks, whatever lies between the stages.

use flowlet::prelude::*;
use flowlet::{Flow, Semaphore, ordered};
use futures_lite::{future, stream};
use futures_util::stream::select;

use crate::support::dice::Dice;
use crate::support::exec::{rest, run};
use crate::support::lock::{HABITS, Habit, Lock, Site, with_each_lock};
use crate::support::shape::Shape;
use crate::support::stages::Stage;
use crate::support::window::Window;

const LIMITS: [(usize, usize); 6] = [(1, 1), (1, 4), (4, 1), (2, 3), (16, 2), (3, 16)];

/// The orders in which the world fires its events.
const SEEDS: [u64; 3] = [0, 1, 29];

with_each_lock!(
    directly_after_one_another,
    every_kind_after_every_kind,
    through_adaptors,
    several_in_a_row,
    with_shared_semaphores,
    through_batches,
    through_select_and_or,
    in_flows,
    whole_pipelines_in_calls,
    two_pipelines_in_one_task,
    any_shape,
);

/// Nothing but the two stages, neither boxed nor counted by a [`Shape`].
fn directly_after_one_another<L: Lock>() {
    for (first, second) in LIMITS {
        for (habit, seed) in HABITS.into_iter().flat_map(|habit| SEEDS.map(|seed| (habit, seed))) {
            let lock = L::new();
            let (a, b) = (Site::new(&lock, habit), Site::new(&lock, habit));
            let window = Window::default();
            let pipeline = window
                .source(40)
                .map_concurrent(first, |n| a.call(n))
                .map_concurrent(ordered(second), |n| b.call(n))
                .inspect(|_| window.leave());
            let mut outputs: Vec<u32> = run(seed, pipeline.collect())
                .unwrap_or_else(|stall| panic!("{stall:?}: {first} {second} {habit:?} {seed}"));
            outputs.sort_unstable();
            assert_eq!(outputs, Vec::from_iter(0..40));
            assert!(a.peak() <= first && b.peak() <= second);
            assert!(window.peak().unsigned_abs() <= first + second);
        }
    }
}

fn every_kind_after_every_kind<L: Lock>() {
    for (first, second) in LIMITS {
        for (a, b) in Stage::ALL.into_iter().flat_map(|a| Stage::ALL.map(|b| (a, b))) {
            for habit in HABITS {
                let shape = || Shape::<L>::new(20);
                shape().stage(a, first, habit).stage(b, second, habit).check(0);
                shape().stage(a, first, habit).in_order(b, second, habit).check(1);
                shape().in_order(a, first, habit).stage(b, second, habit).check(2);
                shape().in_order(a, first, habit).in_order(b, second, habit).check(3);
            }
        }
    }
}

/// Puts one of the adaptors at the end of `shape` that change nothing and are not asynchronous.
fn adapt<L: Lock>(shape: Shape<L>, adaptor: usize) -> Shape<L> {
    let count = shape.len();
    match adaptor {
        0 => shape.via("map", 0, |s| s.map(|n| n)),
        1 => shape.via("filter", 0, |s| s.filter(|_| true)),
        2 => shape.via("fuse", 0, |s| s.fuse()),
        3 => shape.via("inspect", 0, |s| s.inspect(|_| ())),
        4 => shape.via("take", 0, |s| s.take(10_000)),
        5 => shape.via("boxed", 0, |s| s.boxed()),
        6 => shape.via("zip", 0, |s| s.zip(stream::repeat(())).map(|(n, ())| n)),
        7 => shape.via("zipped", 0, |s| stream::repeat(()).zip(s).map(|((), n)| n)),
        8 => shape.via("or", 0, |s| s.or(stream::pending()).take(count)),
        9 => shape.via("select", 0, |s| select(s, stream::empty())),
        10 => shape.via("race", 0, |s| stream::pending().race(s).take(count)),
        11 => shape.via("driven", 1, |s| s.driven()),
        12 => shape.via("chain", 0, |s| stream::empty().chain(pipe(s)).chain(stream::empty())),
        13 => shape.via("identity", 0, |s| s.through(Flow::identity())),
        14 => shape.via("enumerate", 0, |s| s.skip(0).enumerate().map(|(_, n)| n)),
        15 => shape.via("scan", 0, |s| s.scan((), |(), n| Some(n)).take_while(|_| true)),
        16 => shape.via("peekable", 0, |s| futures_util::StreamExt::peekable(s).step_by(1)),
        _ => shape.via("util", 0, |s| {
            use futures_util::StreamExt;
            StreamExt::fuse(StreamExt::map(StreamExt::zip(s, stream::repeat(())), |(n, ())| n))
        }),
    }
}

const ADAPTORS: usize = 18;

fn through_adaptors<L: Lock>() {
    for (first, second) in LIMITS {
        for (adaptor, habit) in (0..ADAPTORS).flat_map(|adaptor| HABITS.map(|h| (adaptor, h))) {
            let above = Shape::<L>::new(30).stage(Stage::Map, first, habit);
            adapt(above, adaptor).stage(Stage::Map, second, habit).check(adaptor as u64);
        }
    }
}

fn several_in_a_row<L: Lock>() {
    let rows: [&[usize]; 8] = [
        &[1, 1, 1],
        &[4, 1, 4],
        &[2, 3, 1],
        &[16, 1, 2],
        &[1, 1, 1, 1],
        &[4, 3, 2, 1],
        &[1, 2, 3, 4],
        &[16, 1, 1, 3],
    ];
    for (row, habit) in rows.into_iter().flat_map(|row| HABITS.map(|habit| (row, habit))) {
        for seed in SEEDS {
            let add = |shape: Shape<L>, &limit| shape.stage(Stage::Map, limit, habit);
            row.iter().fold(Shape::new(30), add).check(seed);
            // Every kind in turn, adaptors in between, every other stage in order.
            let mixed = row.iter().enumerate().fold(Shape::<L>::new(20), |shape, (i, &limit)| {
                let (kind, shape) = (Stage::ALL[(i + limit) % 5], adapt(shape, i + limit));
                if i % 2 == 0 {
                    shape.in_order(kind, limit, habit)
                } else {
                    shape.stage(kind, limit, habit)
                }
            });
            mixed.check(seed);
        }
    }
}

/// The semaphore is what limits the stages; the lock is something else.
fn with_shared_semaphores<L: Lock>() {
    for permits in [1, 2, 5] {
        for (habit, seed) in HABITS.into_iter().flat_map(|habit| SEEDS.map(|seed| (habit, seed))) {
            let semaphore = Semaphore::new(permits);
            let shape = || Shape::<L>::new(30);
            shape()
                .sharing(Stage::Map, &semaphore, habit)
                .sharing(Stage::Map, &semaphore, habit)
                .check(seed);
            shape()
                .sharing(Stage::Filter, &semaphore, habit)
                .sharing_in_order(Stage::FilterMap, &semaphore, habit)
                .via("map", 0, |s| s.map(|n| n))
                .sharing(Stage::FlatMap, &semaphore, habit)
                .check(seed);
            shape()
                .sharing_in_order(Stage::Map, &semaphore, habit)
                .stage(Stage::Map, 2, habit)
                .sharing(Stage::Map, &semaphore, habit)
                .in_order(Stage::Map, 1, habit)
                .check(seed);
            assert_eq!(semaphore.in_use(), 0);
        }
    }
}

fn through_batches<L: Lock>() {
    for (first, second) in LIMITS {
        for (habit, size) in HABITS.into_iter().flat_map(|habit| [1, 3].map(|size| (habit, size))) {
            let lock = L::new();
            let sites = [(); 3].map(|()| Site::new(&lock, habit));
            let window = Window::default();
            let pipeline = window
                .source(32)
                .map_concurrent(first, |n| sites[0].call(n))
                .batched(size)
                .map_concurrent(second, async |batch: Vec<u32>| {
                    sites[1].call(batch[0]).await;
                    batch
                })
                .flat_map_concurrent(1, |batch| batch)
                .map_concurrent(second, |n| sites[2].call(n))
                .inspect(|_| window.leave());
            let mut outputs: Vec<u32> = run(0, pipeline.collect()).unwrap();
            outputs.sort_unstable();
            assert_eq!(outputs, Vec::from_iter(0..32));
            assert!(window.peak().unsigned_abs() < first + size + (second + 1) * size + second);
        }
    }
}

fn through_select_and_or<L: Lock>() {
    for (first, second) in LIMITS {
        for (habit, seed) in HABITS.into_iter().flat_map(|habit| SEEDS.map(|seed| (habit, seed))) {
            for way in 0..4 {
                let lock = L::new();
                let sites = [(); 4].map(|()| Site::new(&lock, habit));
                let [a, b, c, d] = sites.clone();
                let left = pipe(0..20).map_concurrent(first, move |n| a.call(n));
                let right = pipe(20..40).map_concurrent(second, move |n| b.call(n));
                let both = match way {
                    // An `or` ends with its second stream, and a `race` never.
                    0 => left.or(right.chain(stream::pending())).take(40).boxed(),
                    1 => left.race(right).take(40).boxed(),
                    2 => select(left, right).boxed(),
                    _ => select(right.map_concurrent(1, move |n| d.call(n)), left).boxed(),
                };
                let pipeline = both.map_concurrent(second, |n| c.call(n));
                let mut outputs: Vec<u32> = run(seed, pipeline.collect())
                    .unwrap_or_else(|stall| panic!("{stall:?}: {way} {first} {second} {habit:?}"));
                outputs.sort_unstable();
                assert_eq!(outputs, Vec::from_iter(0..40));
                let limits = [first, second, second, 1];
                assert!(sites.iter().zip(limits).all(|(site, limit)| site.peak() <= limit));
            }
        }
    }
}

fn in_flows<L: Lock>() {
    for ((first, second), habit) in LIMITS.into_iter().flat_map(|l| HABITS.map(|h| (l, h))) {
        let lock = L::new();
        let stage = |limit| {
            let site = Site::new(&lock, habit);
            Flow::new(move |s| {
                let site = site.clone();
                s.map_concurrent(limit, move |n| site.call(n))
            })
        };
        let two = Site::new(&lock, habit);
        let within: Flow<u32> = Flow::new(move |s| {
            let (a, b) = (two.clone(), two.clone());
            s.map_concurrent(first, move |n| a.call(n)).map_concurrent(second, move |n| b.call(n))
        });
        let across = stage(first).then(stage(second)).then(Flow::identity()).then(stage(1));
        let flows = [within.clone(), across.clone(), within.clone().then(across)];
        for flow in flows {
            let outputs = flow.apply(pipe(0..30)).through(&flow).collect();
            let mut outputs: Vec<u32> = run(0, outputs).unwrap();
            outputs.sort_unstable();
            assert_eq!(outputs, Vec::from_iter(0..30));
        }
    }
}

/// Calls of both stages run pipelines whose stages share the lock with the outer ones.
fn whole_pipelines_in_calls<L: Lock>() {
    for (first, second) in LIMITS {
        for ((a, b), habit) in LIMITS.into_iter().flat_map(|limits| HABITS.map(|h| (limits, h))) {
            let lock = L::new();
            let outer = Site::new(&lock, habit);
            let inner = Site::new(&lock, Habit::First);
            let nested = async |n: u32| {
                outer.call(n).await;
                let sum = pipe([n, n + 1, n + 2])
                    .map_concurrent(a, |n| inner.call(n))
                    .map(|n| n)
                    .map_concurrent(b, |n| inner.call(n))
                    .fold(0, |sum, n| sum + n);
                assert_eq!(sum.await, 3 * n + 3);
                n
            };
            let both = pipe(0..12)
                .map_concurrent(first, nested)
                .map_concurrent(second, |n| outer.call(n))
                .map_concurrent(first, nested);
            let mut outputs: Vec<u32> = run(0, both.collect()).unwrap();
            outputs.sort_unstable();
            assert_eq!(outputs, Vec::from_iter(0..12));
        }
    }
}

fn two_pipelines_in_one_task<L: Lock>() {
    for ((first, second), habit) in LIMITS.into_iter().flat_map(|l| HABITS.map(|h| (l, h))) {
        let lock = L::new();
        let site = Site::new(&lock, habit);
        let pipeline = || {
            pipe(0..30)
                .map_concurrent(first, |n| site.call(n))
                .map_concurrent(second, |n| site.call(n))
                .fold(0, |sum, n| sum + n)
        };
        assert_eq!(run(5, future::zip(pipeline(), pipeline())), Ok((435, 435)));
    }
}

/// A permit of the second stage comes free in the very turn in which it looks for one.
#[test]
fn calls_above_take_the_permits_of_a_stage() {
    for (first, permits) in LIMITS {
        for (seed, turns) in SEEDS.into_iter().flat_map(|seed| [0, 1, 2].map(|t| (seed, t))) {
            let semaphore = Semaphore::new(permits);
            let hold = async |n: u32| {
                let permit = semaphore.acquire().await;
                rest(turns).await;
                drop(permit);
                n
            };
            let pipeline = pipe(0..30).map_concurrent(first, hold).map_concurrent(
                ordered(&semaphore),
                async |n| {
                    rest(turns).await;
                    n
                },
            );
            let mut outputs: Vec<u32> = run(seed, pipeline.collect())
                .unwrap_or_else(|stall| panic!("{stall:?}: {first} {permits} {turns}"));
            outputs.sort_unstable();
            assert_eq!(outputs, Vec::from_iter(0..30));
        }
    }
}

/// Shapes that nobody thought of.
fn any_shape<L: Lock>() {
    for seed in 2..400 {
        let mut dice = Dice::new(seed);
        let mut semaphore = Semaphore::new(1 + dice.roll(3));
        let mut shape = Shape::<L>::new(1 + dice.roll(24) as u32);
        for _ in 0..2 + dice.roll(3) {
            let kind = Stage::ALL[dice.roll(5)];
            let limit = [1, 1, 2, 3, 5, 16][dice.roll(6)];
            let habit = HABITS[dice.roll(3)];
            shape = match dice.roll(6) {
                0 => shape.sharing(kind, &semaphore, habit),
                1 => shape.sharing_in_order(kind, &semaphore, habit),
                2 | 3 => shape.in_order(kind, limit, habit),
                _ => shape.stage(kind, limit, habit),
            };
            if kind.expands() {
                // An open expansion keeps its permit until later stages have taken its outputs.
                semaphore = Semaphore::new(semaphore.limit());
            }
            for _ in 0..dice.roll(3) {
                shape = adapt(shape, dice.roll(ADAPTORS));
            }
        }
        shape.check(seed);
    }
}

/// The calls of one stage wait for what later calls of the stage above send them.
#[test]
fn a_bounded_channel_between_stages() {
    for (first, second) in LIMITS {
        for (seed, turns) in SEEDS.into_iter().flat_map(|seed| [0, 1, 2].map(|t| (seed, t))) {
            let (sender, receiver) = async_channel::bounded(1);
            let pipeline = pipe(0..30)
                .map_concurrent(first, async |n| {
                    rest(turns).await;
                    if n > 0 {
                        sender.send(n).await.unwrap();
                    }
                    rest(turns).await;
                    n
                })
                .enumerate()
                .map_concurrent(second, async |(i, n)| {
                    if i < 29 {
                        receiver.recv().await.unwrap();
                    }
                    rest(turns).await;
                    n
                });
            let mut outputs: Vec<u32> = run(seed, pipeline.collect())
                .unwrap_or_else(|stall| panic!("{stall:?}: {first} {second} {turns}"));
            outputs.sort_unstable();
            assert_eq!(outputs, Vec::from_iter(0..30));
        }
    }
}
