//! What one writes by hand on smol: as many workers as calls in flight, between two channels.

use std::future::Future;

use async_channel::{Receiver, Sender, bounded};
use async_executor::{Executor, LocalExecutor};

use crate::{Tally, tally};

/// Its name in tables.
pub const NAME: &str = "workers on async-channel";

/// Calls `f` on so many items.
pub async fn map<F, Fut>(items: u64, limit: usize, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
    let executor = LocalExecutor::new();
    let outputs = stage(&executor, source(&executor, items), limit, f);
    executor.run(tally(outputs)).await
}

/// Sends so many items through two stages that differ.
pub async fn two<F, Fut, G, Fut2>(items: u64, first: (usize, F), second: (usize, G)) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
    G: Fn(u64) -> Fut2 + Copy,
    Fut2: Future<Output = u64>,
{
    let executor = LocalExecutor::new();
    let between = stage(&executor, source(&executor, items), first.0, first.1);
    let outputs = stage(&executor, between, second.0, second.1);
    executor.run(tally(outputs)).await
}

/// Sends so many items through stages that are alike.
pub async fn chain<F, Fut>(items: u64, stages: usize, limit: usize, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
    let executor = LocalExecutor::new();
    let source = source(&executor, items);
    let outputs = (0..stages).fold(source, |above, _| stage(&executor, above, limit, f));
    executor.run(tally(outputs)).await
}

fn source(executor: &LocalExecutor<'_>, items: u64) -> Receiver<u64> {
    let (sender, receiver) = bounded(1);
    executor.spawn(feed(items, sender)).detach();
    receiver
}

async fn feed(items: u64, sender: Sender<u64>) {
    for item in 0..items {
        if sender.send(item).await.is_err() {
            break;
        }
    }
}

fn stage<'a, F, Fut>(
    executor: &LocalExecutor<'a>,
    above: Receiver<u64>,
    limit: usize,
    f: F,
) -> Receiver<u64>
where
    F: Fn(u64) -> Fut + Copy + 'a,
    Fut: Future<Output = u64> + 'a,
{
    let (sender, receiver) = bounded(limit);
    for _ in 0..limit {
        executor.spawn(work(above.clone(), f, sender.clone())).detach();
    }
    receiver
}

async fn work<F, Fut>(above: Receiver<u64>, f: F, sender: Sender<u64>)
where
    F: Fn(u64) -> Fut,
    Fut: Future<Output = u64>,
{
    while let Ok(item) = above.recv().await {
        if sender.send(f(item).await).await.is_err() {
            break;
        }
    }
}

/// The same as tasks of an executor that other threads run.
pub async fn spawned<F, Fut>(
    executor: &'static Executor<'static>,
    items: u64,
    limit: usize,
    f: F,
) -> Tally
where
    F: Fn(u64) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    let (source, above) = bounded(1);
    let (sender, outputs) = bounded(limit);
    for _ in 0..limit {
        executor.spawn(work(above.clone(), f, sender.clone())).detach();
    }
    drop(sender);
    executor.spawn(feed(items, source)).detach();
    tally(outputs).await
}
