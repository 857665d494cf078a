//! What one writes by hand on tokio: a task a call, in a `JoinSet` that is kept full. In the order of
//! the items: a queue of `JoinHandle`s. Several stages: a task each, with a `JoinSet` of its own, and
//! channels between them.

use std::collections::VecDeque;
use std::mem;

use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::{JoinHandle, JoinSet};

use crate::call::{Callable, even, expand, outputs};
use crate::{Executor, Tally};

/// Its name in tables.
pub const NAME: &str = "JoinSet";

/// What polls it where the workload leaves the choice.
pub const EXECUTOR: Executor = Executor::Tasks;

/// Calls `f` on so many items, and has `add` count what comes out.
async fn counted<F, Fut>(
    items: u64,
    limit: usize,
    f: F,
    add: impl Fn(&mut Tally, Fut::Output),
) -> Tally
where
    F: Fn(u64) -> Fut,
    Fut: Future<Output: Send + 'static> + Send + 'static,
{
    let mut tally = Tally::default();
    let mut calls = JoinSet::new();
    for item in 0..items {
        if calls.len() == limit {
            add(&mut tally, joined(&mut calls).await.expect("there are calls"));
        }
        calls.spawn(f(item));
    }
    while let Some(output) = joined(&mut calls).await {
        add(&mut tally, output);
    }
    tally
}

async fn joined<T: 'static>(calls: &mut JoinSet<T>) -> Option<T> {
    Some(calls.join_next().await?.expect("no call panics"))
}

/// Calls `f` on so many items.
pub async fn map(items: u64, limit: usize, f: impl Callable) -> Tally {
    counted(items, limit, f, Tally::add).await
}

/// The same in the order of the items.
pub async fn ordered(items: u64, limit: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    let mut calls: VecDeque<JoinHandle<u64>> = VecDeque::new();
    for item in 0..items {
        if calls.len() == limit {
            let first = calls.pop_front().expect("there are calls");
            tally.add_in_order(first.await.expect("no call panics"));
        }
        calls.push_back(tokio::spawn(f(item)));
    }
    for call in calls {
        tally.add_in_order(call.await.expect("no call panics"));
    }
    tally
}

/// Keeps the even ones of the outputs.
pub async fn filter(items: u64, limit: usize, f: impl Callable) -> Tally {
    counted(items, limit, move |item| even(f(item)), Tally::add_all).await
}

/// Expands each output.
pub async fn flat_map(items: u64, limit: usize, f: impl Callable) -> Tally {
    counted(items, limit, move |item| expand(f(item)), Tally::add_all).await
}

/// Expands each item, and calls `f` on what that gives: the tasks send it as it comes.
pub async fn flat_map_streams(items: u64, limit: usize, f: impl Callable) -> Tally {
    let (sender, receiver) = channel(limit);
    tokio::spawn(async move {
        let expand = move |item| {
            let sender = sender.clone();
            async move {
                for expanded in outputs(item) {
                    if sender.send(f(expanded).await).await.is_err() {
                        break;
                    }
                }
            }
        };
        counted(items, limit, expand, |_, ()| ()).await;
    });
    received(receiver).await
}

/// Sends so many items through two stages that differ.
pub async fn two(
    items: u64,
    first: (usize, impl Callable),
    second: (usize, impl Callable),
) -> Tally {
    let between = stage(source(items, first.0), first.0, first.1);
    received(stage(between, second.0, second.1)).await
}

/// Sends so many items through stages that are alike.
pub async fn chain(items: u64, stages: usize, limit: usize, f: impl Callable) -> Tally {
    let source = source(items, limit);
    received((0..stages).fold(source, |above, _| stage(above, limit, f))).await
}

/// Sums up batches of outputs, two at once.
pub async fn batched(items: u64, size: usize, limit: usize, f: impl Callable) -> Tally {
    let (sender, batches) = channel(1);
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(size);
        let mut outputs = stage(source(items, limit), limit, f);
        while let Some(output) = outputs.recv().await {
            batch.push(output);
            if batch.len() == size {
                let full = mem::replace(&mut batch, Vec::with_capacity(size));
                if sender.send(full).await.is_err() {
                    return;
                }
            }
        }
        if !batch.is_empty() {
            // Nobody receives if the consumer has gone.
            let _ = sender.send(batch).await;
        }
    });
    received(stage(batches, 2, async |batch: Vec<u64>| batch.iter().sum())).await
}

async fn received(mut outputs: Receiver<u64>) -> Tally {
    let mut tally = Tally::default();
    while let Some(output) = outputs.recv().await {
        tally.add(output);
    }
    tally
}

fn source(items: u64, limit: usize) -> Receiver<u64> {
    let (sender, receiver) = channel(limit);
    tokio::spawn(async move {
        for item in 0..items {
            if sender.send(item).await.is_err() {
                break;
            }
        }
    });
    receiver
}

fn stage<T, F, Fut>(mut above: Receiver<T>, limit: usize, f: F) -> Receiver<u64>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    let (sender, receiver) = channel(limit);
    tokio::spawn(async move {
        let mut calls = JoinSet::new();
        let mut open = true;
        loop {
            tokio::select! {
                item = above.recv(), if open && calls.len() < limit => match item {
                    Some(item) => { calls.spawn(f(item)); }
                    None => open = false,
                },
                Some(output) = calls.join_next() => {
                    if sender.send(output.expect("no call panics")).await.is_err() {
                        break;
                    }
                }
                else => break,
            }
        }
    });
    receiver
}
