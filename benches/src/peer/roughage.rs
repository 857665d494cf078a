//! `AsyncPipeline` of roughage, which is consumed where it is made.

use futures_util::{StreamExt, stream};
use roughage::AsyncPipeline;

use crate::call::{Callable, even, expand};
use crate::{Executor, Tally};

/// Its name in tables.
pub const NAME: &str = "roughage";

/// What polls it where the workload leaves the choice.
pub const EXECUTOR: Executor = Executor::Loop;

async fn tally(pipeline: AsyncPipeline<'_, impl stream::Stream<Item = u64>>) -> Tally {
    let mut tally = Tally::default();
    pipeline.for_each(async |output| tally.add(output)).await;
    tally
}

/// Calls `f` on so many items.
pub async fn map(items: u64, limit: usize, f: impl Callable) -> Tally {
    tally(AsyncPipeline::from_iter(0..items).map_unordered(f, limit)).await
}

/// The same in the order of the items.
pub async fn ordered(items: u64, limit: usize, f: impl Callable) -> Tally {
    let mut tally = Tally::default();
    let pipeline = AsyncPipeline::from_iter(0..items).map_concurrent(f, limit);
    pipeline.for_each(async |output| tally.add_in_order(output)).await;
    tally
}

/// Keeps the even ones of the outputs.
pub async fn filter(items: u64, limit: usize, f: impl Callable) -> Tally {
    let even = move |item| even(f(item));
    tally(AsyncPipeline::from_iter(0..items).filter_map_unordered(even, limit)).await
}

/// Expands each output, by an adaptor of futures-util between its stages.
pub async fn flat_map(items: u64, limit: usize, f: impl Callable) -> Tally {
    let expand = move |item| expand(f(item));
    let arrays = AsyncPipeline::from_iter(0..items).map_unordered(expand, limit);
    tally(arrays.adapt_stream(|arrays| arrays.flat_map(stream::iter))).await
}

/// Sums up batches of outputs, two at once.
pub async fn batched(items: u64, size: usize, limit: usize, f: impl Callable) -> Tally {
    let outputs = AsyncPipeline::from_iter(0..items).map_unordered(f, limit);
    let batches = outputs.adapt_stream(|outputs| outputs.chunks(size));
    tally(batches.map_unordered(async |batch: Vec<u64>| batch.iter().sum(), 2)).await
}

/// Sends so many items through 2, 4 or 8 stages.
pub async fn chain(items: u64, stages: usize, limit: usize, f: impl Callable) -> Tally {
    let two = AsyncPipeline::from_iter(0..items).map_unordered(f, limit).map_unordered(f, limit);
    if stages == 2 {
        return tally(two).await;
    }
    let four = two.map_unordered(f, limit).map_unordered(f, limit);
    if stages == 4 {
        return tally(four).await;
    }
    let six = four.map_unordered(f, limit).map_unordered(f, limit);
    tally(six.map_unordered(f, limit).map_unordered(f, limit)).await
}

/// Sends so many items through two stages that differ.
pub async fn two(
    items: u64,
    first: (usize, impl Callable),
    second: (usize, impl Callable),
) -> Tally {
    let pipeline = AsyncPipeline::from_iter(0..items).map_unordered(first.1, first.0);
    tally(pipeline.map_unordered(second.1, second.0)).await
}
