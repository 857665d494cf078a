//! What one writes by hand on smol: for each stage as many workers as calls in flight, between two
//! channels. In the order of the items: a channel of places, each a channel for one output.

use async_channel::{Receiver, Sender, bounded};
use async_executor::{Executor as Smol, LocalExecutor};
use futures_util::StreamExt;

use crate::call::{Callable, even, expand, outputs};
use crate::{Executor, Tally, tally, tally_in_order};

/// Its name in tables.
pub const NAME: &str = "workers on async-channel";

/// What polls it where the workload leaves the choice.
pub const EXECUTOR: Executor = Executor::Loop;

/// Calls `f` on so many items.
pub async fn map(items: u64, limit: usize, f: impl Callable) -> Tally {
    chain(items, 1, limit, f).await
}

/// The same in the order of the items.
pub async fn ordered(items: u64, limit: usize, f: impl Callable) -> Tally {
    let executor = LocalExecutor::new();
    let (sender, above) = bounded::<(u64, Sender<u64>)>(1);
    let (places, outputs) = bounded(limit);
    let feed = async move {
        for item in 0..items {
            let (output, place) = bounded(1);
            if places.send(place).await.is_err() || sender.send((item, output)).await.is_err() {
                break;
            }
        }
    };
    executor.spawn(feed).detach();
    for _ in 0..limit {
        let above = above.clone();
        let work = async move {
            while let Ok((item, output)) = above.recv().await {
                output.send(f(item).await).await.expect("its place waits");
            }
        };
        executor.spawn(work).detach();
    }
    let outputs =
        outputs.then(async |place: Receiver<u64>| place.recv().await.expect("a worker has it"));
    executor.run(tally_in_order(outputs)).await
}

/// Keeps the even ones of the outputs.
pub async fn filter(items: u64, limit: usize, f: impl Callable) -> Tally {
    sent(items, limit, async move |item, sender| send_all(sender, even(f(item)).await).await).await
}

/// Expands each output.
pub async fn flat_map(items: u64, limit: usize, f: impl Callable) -> Tally {
    sent(items, limit, async move |item, sender| send_all(sender, expand(f(item)).await).await)
        .await
}

/// Expands each item, and calls `f` on what that gives.
pub async fn flat_map_streams(items: u64, limit: usize, f: impl Callable) -> Tally {
    let each = async move |item, sender: &Sender<u64>| {
        for expanded in outputs(item) {
            if !send(sender, f(expanded).await).await {
                return false;
            }
        }
        true
    };
    sent(items, limit, each).await
}

/// Has workers send what they like of each item, and tell whether to go on.
async fn sent(
    items: u64,
    limit: usize,
    f: impl AsyncFn(u64, &Sender<u64>) -> bool + Copy,
) -> Tally {
    let executor = LocalExecutor::new();
    let above = source(&executor, items);
    let (sender, outputs) = bounded(limit);
    for _ in 0..limit {
        let (above, sender) = (above.clone(), sender.clone());
        let work = async move {
            while let Ok(item) = above.recv().await {
                if !f(item, &sender).await {
                    break;
                }
            }
        };
        executor.spawn(work).detach();
    }
    // The channels close when the workers have gone.
    drop((above, sender));
    executor.run(tally(outputs)).await
}

/// Sends so many items through two stages that differ.
pub async fn two(
    items: u64,
    first: (usize, impl Callable),
    second: (usize, impl Callable),
) -> Tally {
    let executor = LocalExecutor::new();
    let between = stage(&executor, source(&executor, items), first.0, first.1);
    let outputs = stage(&executor, between, second.0, second.1);
    executor.run(tally(outputs)).await
}

/// Sends so many items through stages that are alike.
pub async fn chain(items: u64, stages: usize, limit: usize, f: impl Callable) -> Tally {
    let executor = LocalExecutor::new();
    let source = source(&executor, items);
    let outputs = (0..stages).fold(source, |above, _| stage(&executor, above, limit, f));
    executor.run(tally(outputs)).await
}

/// Sums up batches of outputs, two at once.
pub async fn batched(items: u64, size: usize, limit: usize, f: impl Callable) -> Tally {
    let executor = LocalExecutor::new();
    let outputs = stage(&executor, source(&executor, items), limit, f);
    let (sender, batches) = bounded(1);
    let batch = async move {
        let mut batch = Vec::with_capacity(size);
        while let Ok(output) = outputs.recv().await {
            batch.push(output);
            if batch.len() == size {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(size));
                send(&sender, full).await;
            }
        }
        if !batch.is_empty() {
            send(&sender, batch).await;
        }
    };
    executor.spawn(batch).detach();
    let sums = stage(&executor, batches, 2, async |batch: Vec<u64>| batch.iter().sum());
    executor.run(tally(sums)).await
}

fn source(executor: &LocalExecutor<'_>, items: u64) -> Receiver<u64> {
    let (sender, receiver) = bounded(1);
    executor.spawn(async move { send_all(&sender, 0..items).await }).detach();
    receiver
}

/// Sends, and tells whether anybody receives.
async fn send<T>(sender: &Sender<T>, value: T) -> bool {
    sender.send(value).await.is_ok()
}

/// Sends one after the other while anybody receives, and tells whether somebody does.
async fn send_all(sender: &Sender<u64>, values: impl IntoIterator<Item = u64>) -> bool {
    for value in values {
        if !send(sender, value).await {
            return false;
        }
    }
    true
}

/// Workers that send one output an item.
fn stage<'a, T: 'a, F, Fut>(
    executor: &LocalExecutor<'a>,
    above: Receiver<T>,
    limit: usize,
    f: F,
) -> Receiver<u64>
where
    F: Fn(T) -> Fut + Copy + 'a,
    Fut: Future<Output = u64> + 'a,
{
    let (sender, receiver) = bounded(limit);
    for _ in 0..limit {
        executor.spawn(work(above.clone(), f, sender.clone())).detach();
    }
    receiver
}

async fn work<T, F, Fut>(above: Receiver<T>, f: F, sender: Sender<u64>)
where
    F: Fn(T) -> Fut,
    Fut: Future<Output = u64>,
{
    while let Ok(item) = above.recv().await {
        if !send(&sender, f(item).await).await {
            break;
        }
    }
}

/// Workers as tasks of an executor that other threads run.
pub async fn spawned(
    executor: &'static Smol<'static>,
    items: u64,
    limit: usize,
    f: impl Callable,
) -> Tally {
    let (source, above) = bounded(1);
    let (sender, outputs) = bounded(limit);
    for _ in 0..limit {
        executor.spawn(work(above.clone(), f, sender.clone())).detach();
    }
    drop(sender);
    executor.spawn(async move { send_all(&source, 0..items).await }).detach();
    tally(outputs).await
}
