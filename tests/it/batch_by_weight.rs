//! Batches that are bounded by what their items weigh together.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Semaphore, ordered};
use futures_lite::{future, stream};
use futures_util::stream::select;

use crate::support::dice::Dice;
use crate::support::exec::{rest, run};
use crate::support::gate::Gate;
use crate::support::lock::{Fair, HABITS, Lock, Site, with_each_lock};
use crate::support::waker::Task;

/// What all batches of items that are their own weights come to.
fn batches(max: usize, weights: impl IntoIterator<Item = usize>) -> Vec<Vec<usize>> {
    future::block_on(pipe(weights).batched_by_weight(max, |n| *n).collect())
}

#[test]
fn the_item_that_does_not_fit_is_the_first_of_the_next_batch() {
    assert_eq!(batches(5, [2, 3, 4, 1, 1]), [vec![2, 3], vec![4, 1], vec![1]]);
    assert_eq!(batches(5, [2, 4, 3, 3]), [[2], [4], [3], [3]]);
    assert_eq!(batches(5, []), Vec::<Vec<usize>>::new());
    assert_eq!(batches(1, [1, 1]), [[1], [1]]);
}

#[test]
fn an_item_heavier_than_the_maximum_comes_alone() {
    assert_eq!(batches(5, [9]), [[9]]);
    assert_eq!(batches(5, [9, 9, 5, 6]), [[9], [9], [5], [6]]);
    assert_eq!(batches(5, [1, 9, 1, 1, 9]), [vec![1], vec![9], vec![1, 1], vec![9]]);
    // Not even what weighs nothing joins it.
    assert_eq!(batches(5, [1, 9, 0, 0, 5, 0]), [vec![1], vec![9], vec![0, 0, 5], vec![0]]);
}

#[test]
fn no_sum_is_too_large() {
    const MAX: usize = usize::MAX;
    assert_eq!(batches(MAX, [1, MAX, MAX - 1, 1]), [vec![1], vec![MAX], vec![MAX - 1, 1]]);
    assert_eq!(batches(MAX - 1, [1, MAX, MAX - 1, 1]), [[1], [MAX], [MAX - 1], [1]]);
    assert_eq!(batches(1, [MAX, 0, MAX]), [vec![MAX], vec![0], vec![MAX]]);
}

/// The rule, as said in the docs.
fn by_the_book(max: usize, weights: &[usize]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = vec![];
    for &weight in weights {
        match batches.last_mut() {
            Some(last)
                if last.iter().sum::<usize>() < max
                    && last.iter().sum::<usize>() + weight <= max =>
            {
                last.push(weight)
            }
            _ => batches.push(vec![weight]),
        }
    }
    batches
}

#[test]
fn it_goes_by_the_book() {
    let mut dice = Dice::new(7);
    for _ in 0..2000 {
        let max = 1 + dice.roll(8);
        let weights: Vec<usize> = (0..dice.roll(12)).map(|_| dice.roll(11)).collect();
        let task = Task::new();
        // Every other item is not there at once.
        let source = stream::iter(weights.clone()).then(async |n| {
            if n % 2 == 0 {
                future::yield_now().await;
            }
            n
        });
        let mut stage = Box::pin(source.batched_by_weight(max, |n| *n));
        let mut hints = vec![];
        let mut found = vec![];
        loop {
            hints.push((found.len(), stage.size_hint()));
            assert!(task.is_woken());
            match task.poll_next(&mut stage) {
                Poll::Ready(Some(batch)) => found.push(batch),
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        }
        assert_eq!(found, by_the_book(max, &weights), "{max} {weights:?}");
        for (before, (lower, upper)) in hints {
            let left = found.len() - before;
            assert!(lower <= left && upper.is_none_or(|upper| left <= upper));
        }
        assert!((0..3).all(|_| task.poll_next(&mut stage) == Poll::Ready(None)));
        assert_eq!(stage.size_hint(), (0, Some(0)));
    }
}

#[test]
fn a_batch_comes_as_soon_as_it_is_full() {
    let (sender, receiver) = async_channel::unbounded();
    let (task, weighed) = (Task::new(), Cell::new(0));
    let mut stage = Box::pin(receiver.batched_by_weight(4, |n| {
        weighed.set(weighed.get() + 1);
        *n
    }));
    for (sent, come) in [
        (vec![2], vec![]),
        (vec![2], vec![vec![2, 2]]),
        (vec![4], vec![vec![4]]),
        (vec![3, 2], vec![vec![3]]),
        // The held 2 comes before the heavy one, which does not wait for another item.
        (vec![9], vec![vec![2], vec![9]]),
        (vec![1, 9], vec![vec![1], vec![9]]),
        (vec![0], vec![]),
    ] {
        sent.into_iter().for_each(|n| sender.try_send(n).unwrap());
        assert_eq!(task.settle(&mut stage), (come, false));
    }
    sender.close();
    assert_eq!(task.settle(&mut stage), (vec![vec![0]], true));
    // Once for each.
    assert_eq!(weighed.get(), 9);
}

#[test]
fn the_item_that_is_held_is_in_the_hint() {
    let task = Task::new();
    let mut stage = pin!(pipe([2, 9, 3, 3]).batched_by_weight(4, |n| *n));
    assert_eq!(stage.size_hint(), (1, Some(4)));
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(vec![2])));
    // The 9 is full, so that there is at least one batch more.
    assert_eq!(stage.size_hint(), (2, Some(3)));
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(vec![9])));
    assert_eq!(stage.size_hint(), (1, Some(2)));
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(vec![3])));
    assert_eq!(stage.size_hint(), (1, Some(1)));
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(vec![3])));
    assert_eq!(stage.size_hint(), (0, Some(0)));
}

#[test]
fn an_error_has_what_was_held_come_first() {
    let task = Task::new();
    let items = [Ok(1), Ok(9), Err("two"), Ok(3)];
    let mut stage = pin!(pipe(items).try_batched_by_weight(4, |n| *n));
    assert_eq!(stage.size_hint(), (1, Some(4)));
    assert_eq!(task.settle(&mut stage), (vec![Ok(vec![1]), Ok(vec![9]), Err("two")], true));
    assert_eq!(stage.size_hint(), (0, Some(0)));

    let items = [Ok(1), Ok(1), Err("two")];
    let stage = pipe(items).try_batched_by_weight(4, |n| *n);
    assert_eq!(future::block_on(stage.try_collect::<_, _, Vec<_>>()), Err("two"));

    let stage = pipe([Ok::<_, ()>(1), Ok(4)]).try_batched_by_weight(4, |n| *n);
    let all: Result<Vec<_>, _> = future::block_on(stage.try_collect());
    assert_eq!(all, Ok(vec![vec![1], vec![4]]));
}

#[test]
fn a_panic_of_the_weight_takes_only_its_item() {
    let task = Task::new();
    let weight = |n: &usize| {
        assert!(*n != 2, "two");
        *n
    };
    let mut stage = Box::pin(pipe([1, 2, 3, 4]).batched_by_weight(4, weight));
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stage))).is_err());
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(vec![1, 3])));
    assert_eq!(task.settle(&mut stage), (vec![vec![4]], true));
}

/// The first call takes the lock, holds it until the gate is open, and gives 0. The others give 1 and
/// 9 at once.
fn above(lock: &Fair, gate: &Gate) -> impl Stream<Item = usize> + use<> {
    let (lock, gate) = (lock.clone(), gate.clone());
    pipe([0, 1, 9]).map_concurrent(3, move |n| {
        let (lock, gate) = (lock.clone(), gate.clone());
        async move {
            if n == 0 {
                let _guard = lock.hold().await;
                gate.passed().await;
            }
            n
        }
    })
}

#[test]
fn a_full_batch_lets_calls_above_go_on() {
    let (task, lock, gate) = (Task::new(), Fair::new(), Gate::default());
    let batches = above(&lock, &gate).batched_by_weight(4, |n| *n);
    let mut stage = Box::pin(batches.map_concurrent(1, async |batch| {
        drop(lock.clone().hold().await);
        batch
    }));
    // The call for [1] waits for the lock, and [9] is full.
    assert_eq!(task.settle(&mut stage), (vec![], false));
    gate.open();
    assert_eq!(task.settle(&mut stage), (vec![vec![1], vec![9], vec![0]], true));
}

#[test]
fn it_answers_with_every_batch() {
    let (task, lock, gate) = (Task::new(), Fair::new(), Gate::default());
    let batches = above(&lock, &gate).batched_by_weight(4, |n| *n);
    // They take turns: [1], then [7] without a word of the stage above, then [9].
    let both = select(batches, stream::once(vec![7]));
    let mut stage = Box::pin(both.map_concurrent(3, async |batch| {
        drop(lock.clone().hold().await);
        batch
    }));
    assert_eq!(task.settle(&mut stage), (vec![], false));
    gate.open();
    assert_eq!(task.settle(&mut stage), (vec![vec![1], vec![7], vec![9], vec![0]], true));
}

with_each_lock!(calls_go_on, calls_go_on_with_a_shared_semaphore);

fn all<L: Lock>(check: impl Fn(&Site<L>, usize, u64, String)) {
    for (max, habit) in [1, 3, 100].into_iter().flat_map(|max| HABITS.map(|h| (max, h))) {
        for seed in [0, 1, 29, 30] {
            check(&Site::new(&L::new(), habit), max, seed, format!("{max} {habit:?} {seed}"));
        }
    }
}

fn calls_go_on<L: Lock>() {
    for (first, second) in [(1, 1), (4, 1), (1, 4), (3, 2)] {
        all::<L>(|site, max, seed, case| {
            let batches = pipe(0..24)
                .map_concurrent(first, |n| site.call(n))
                .batched_by_weight(max, |n| (n % 5) as usize)
                .map_concurrent(second, async |batch: Vec<u32>| {
                    site.call(batch[0]).await;
                    batch
                });
            let batches: Vec<_> = run(seed, batches.collect())
                .unwrap_or_else(|stall| panic!("{stall:?}: {first} {second} {case}"));
            let mut items = batches.concat();
            items.sort_unstable();
            assert_eq!(items, Vec::from_iter(0..24));
            assert!(site.peak() <= first + second);
        });
    }
}

fn calls_go_on_with_a_shared_semaphore<L: Lock>() {
    for permits in [1, 2, 5] {
        all::<L>(|site, max, seed, case| {
            let semaphore = Semaphore::new(permits);
            let batches = pipe(0..24)
                .map_concurrent(&semaphore, |n| site.call(n))
                .batched_by_weight(max, |n| (n % 5) as usize)
                .map_concurrent(ordered(&semaphore), async |batch: Vec<u32>| {
                    site.call(batch[0]).await;
                    rest(1).await;
                    batch
                });
            let batches: Vec<_> = run(seed, batches.collect())
                .unwrap_or_else(|stall| panic!("{stall:?}: {permits} {case}"));
            let mut items = batches.concat();
            items.sort_unstable();
            assert_eq!(items, Vec::from_iter(0..24));
        });
    }
}
