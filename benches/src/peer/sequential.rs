//! The floor: a plain loop, one call after the other. Each workload has a loop of its own, as the floor is
//! counted: a loop over functions that add takes an instruction more.

use std::hint::black_box;

use crate::call::{Callable, outputs};
use crate::{Executor, Tally};

/// Its name in tables.
pub const NAME: &str = "plain loop";

/// What polls it where the workload leaves the choice.
pub const EXECUTOR: Executor = Executor::Loop;

/// Calls `f` on so many items. There is no limit but 1.
pub async fn map(items: u64, _: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    for item in 0..items {
        // Or else the compiler may know the sum without a loop.
        tally.add(black_box(f(item).await));
    }
    tally
}

/// The same, which is in the order of the items anyway.
pub async fn ordered(items: u64, _: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    for item in 0..items {
        tally.add_in_order(f(item).await);
    }
    tally
}

/// Keeps the even ones of the outputs.
pub async fn filter(items: u64, _: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    for item in 0..items {
        let output = f(item).await;
        if output % 2 == 0 {
            tally.add(output);
        }
    }
    tally
}

/// Expands each output.
pub async fn flat_map(items: u64, _: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    for item in 0..items {
        outputs(f(item).await).into_iter().for_each(|output| tally.add(output));
    }
    tally
}

/// Expands each item, and calls `f` on what that gives.
pub async fn flat_map_streams(items: u64, _: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    for item in 0..items {
        for expanded in outputs(item) {
            tally.add(f(expanded).await);
        }
    }
    tally
}

/// Calls `f` several times for each item.
pub async fn chain(items: u64, stages: usize, _: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    for item in 0..items {
        let mut output = item;
        for _ in 0..stages {
            output = f(output).await;
        }
        tally.add(output);
    }
    tally
}

/// Sums up batches of items.
pub async fn batched(items: u64, size: usize, _: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    let mut batch = Vec::with_capacity(size);
    for item in 0..items {
        batch.push(f(item).await);
        if batch.len() == size || item + 1 == items {
            tally.add(batch.drain(..).sum());
        }
    }
    tally
}
