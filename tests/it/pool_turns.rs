//! Functions that share a pool take turns, and what leaves the queue leaves nothing there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};

use flowlet::prelude::*;
use flowlet::{InPool, ThreadPool, in_pool};
use futures_lite::future::block_on;

use crate::support::block::block;
use crate::support::dice::Dice;
use crate::support::latch::Latch;
use crate::support::once::poll;

/// What began, in that order: of which function, and which of its calls.
type Begun = Arc<Mutex<Vec<(usize, usize)>>>;

type Noted = InPool<Box<dyn Fn(usize) + Send + Sync>, usize, ()>;

/// A function of a pool that notes its calls.
fn note(
    pool: &ThreadPool,
    begun: &Begun,
    function: usize,
) -> impl Fn(usize) -> Noted + Clone + use<> {
    let begun = begun.clone();
    let f: Box<dyn Fn(usize) + Send + Sync> =
        Box::new(move |call| begun.lock().unwrap().push((function, call)));
    in_pool(pool, f)
}

/// Has calls wait, so many for each function, and returns in which order they begin.
fn order_of(counts: &[usize]) -> Vec<(usize, usize)> {
    let pool = ThreadPool::new(1).unwrap();
    let latch = Latch::default();
    let blocking = block(&pool, &latch);
    let begun = Begun::default();
    let mut calls = Vec::new();
    for (function, &count) in counts.iter().enumerate() {
        let f = note(&pool, &begun, function);
        // Of one, as of its clones.
        calls.extend((0..count).map(|call| if call % 2 == 0 { f(call) } else { f.clone()(call) }));
    }
    assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
    latch.open();
    block_on(blocking);
    calls.into_iter().for_each(block_on);
    begun.lock().unwrap().clone()
}

#[test]
fn functions_take_turns_whatever_waits_for_each() {
    let order = order_of(&[64, 2, 1, 5]);
    let functions: Vec<usize> = order.iter().map(|(function, _)| *function).collect();
    assert_eq!(functions[..14], [0, 1, 2, 3, 0, 1, 3, 0, 3, 0, 3, 0, 3, 0]);
    assert!(functions[14..].iter().all(|function| *function == 0));
}

#[test]
fn calls_of_one_function_begin_in_the_order_of_their_first_polls() {
    for (function, count) in [300, 2, 70, 300].into_iter().enumerate() {
        let order = order_of(&[300, 2, 70, 300]);
        let its = order.iter().filter(|begun| begun.0 == function).map(|begun| begun.1);
        assert!(its.eq(0..count));
    }
}

/// Pipelines with limits that are far apart get the same share of a thread.
#[test]
fn pipelines_get_equal_shares_whatever_their_limits_are() {
    let pool = ThreadPool::new(1).unwrap();
    let (ends, ended) = mpsc::channel::<()>();
    let ended = Arc::new(Mutex::new(ended));
    let mut pipelines = [64, 2, 3, 500].map(|limit| {
        let ended = ended.clone();
        let call = in_pool(&pool, move |()| ended.lock().unwrap().recv().unwrap());
        (Box::pin(pipe(std::iter::repeat(())).map_concurrent(limit, call)), 0_usize)
    });
    for ended in 0..400 {
        // Whenever a call ends, each pipeline has one that waits.
        loop {
            for (pipeline, outputs) in &mut pipelines {
                *outputs += usize::from(poll(&mut pipeline.next()).is_ready());
            }
            if pipelines.iter().map(|(_, outputs)| outputs).sum::<usize>() == ended {
                break;
            }
        }
        ends.send(()).unwrap();
    }
    let outputs = pipelines.each_ref().map(|(_, outputs)| *outputs);
    assert!(outputs.iter().all(|outputs| (98..=101).contains(outputs)), "{outputs:?}");
    // What runs is let go, and nothing begins after it.
    drop(pipelines);
    ends.send(()).unwrap();
}

#[test]
fn a_function_that_comes_later_has_its_turn_after_those_that_wait() {
    let pool = ThreadPool::new(1).unwrap();
    let begun = Begun::default();
    let mut calls = Vec::new();
    let mut wait = |f: &dyn Fn(usize) -> Noted, call| {
        let mut call = f(call);
        assert!(poll(&mut call).is_pending());
        calls.push(call);
    };
    let (first, second) = (Latch::default(), Latch::default());
    let blocking = block(&pool, &first);
    let functions = [0, 1, 2].map(|function| note(&pool, &begun, function));
    let mut block_again = in_pool(&pool, {
        let second = second.clone();
        move |()| second.wait()
    })(());
    wait(&functions[0], 0);
    assert!(poll(&mut block_again).is_pending());
    wait(&functions[0], 1);
    wait(&functions[0], 2);
    first.open();
    block_on(blocking);
    // 0 has had its turn, and the second blocks: those that come now do so after the calls of 0 that wait.
    while pool.in_use() == 0 || begun.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    wait(&functions[1], 0);
    wait(&functions[2], 0);
    wait(&functions[1], 1);
    second.open();
    block_on(block_again);
    calls.into_iter().for_each(block_on);
    assert_eq!(*begun.lock().unwrap(), [(0, 0), (0, 1), (1, 0), (2, 0), (0, 2), (1, 1)]);
}

/// Calls and functions that come, go and are dropped in any order, against a plain list of lists.
#[test]
fn whatever_leaves_the_queue_the_others_keep_their_turns() {
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let pool = ThreadPool::new(1).unwrap();
        let latch = Latch::default();
        let blocking = block(&pool, &latch);
        let begun = Begun::default();
        let mut functions: Vec<_> = (0..4).map(|n| (n, note(&pool, &begun, n))).collect();
        let mut named = functions.len();
        // Those with calls that wait, in the order of their turns.
        let mut lines: Vec<(usize, VecDeque<(usize, _)>)> = Vec::new();
        for call in 0..dice.roll(200) {
            match dice.roll(8) {
                // Another function takes the place of one, whose calls may still wait.
                0 => {
                    let index = dice.roll(functions.len());
                    functions[index] = (named, note(&pool, &begun, named));
                    named += 1;
                }
                1..=3 if !lines.is_empty() => {
                    let index = dice.roll(lines.len());
                    let line = &mut lines[index].1;
                    line.remove(dice.roll(line.len()));
                    if line.is_empty() {
                        lines.remove(index);
                    }
                }
                _ => {
                    let (function, f) = &functions[dice.roll(functions.len())];
                    let mut future = f(call);
                    assert!(poll(&mut future).is_pending());
                    match lines.iter_mut().find(|line| line.0 == *function) {
                        Some(line) => line.1.push_back((call, future)),
                        None => lines.push((*function, VecDeque::from([(call, future)]))),
                    }
                }
            }
        }
        let (mut expected, mut calls) = (Vec::new(), Vec::new());
        let mut turns = VecDeque::from(lines);
        while let Some((function, mut line)) = turns.pop_front() {
            let (call, future) = line.pop_front().unwrap();
            expected.push((function, call));
            calls.push(future);
            if !line.is_empty() {
                turns.push_back((function, line));
            }
        }
        latch.open();
        block_on(blocking);
        calls.into_iter().for_each(block_on);
        assert_eq!(*begun.lock().unwrap(), expected, "seed {seed}");
    }
}
