//! `AsyncPipeline` of roughage, which is consumed where it is made.

use std::future::Future;

use futures_util::stream;
use roughage::AsyncPipeline;

use crate::Tally;
use crate::call::even;

/// Its name in tables.
pub const NAME: &str = "roughage";

async fn tally(pipeline: AsyncPipeline<'_, impl stream::Stream<Item = u64>>) -> Tally {
    let mut tally = Tally::default();
    pipeline.for_each(async |output| tally.add(output)).await;
    tally
}

/// Calls `f` on so many items.
pub async fn map<F, Fut>(items: u64, limit: usize, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
    tally(AsyncPipeline::from_iter(0..items).map_unordered(f, limit)).await
}

/// The same in the order of the items.
pub async fn ordered<F, Fut>(items: u64, limit: usize, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
    tally(AsyncPipeline::from_iter(0..items).map_concurrent(f, limit)).await
}

/// Keeps the even ones of the outputs.
pub async fn filter<F, Fut>(items: u64, limit: usize, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
    let even = move |item| even(f(item));
    tally(AsyncPipeline::from_iter(0..items).filter_map_unordered(even, limit)).await
}

/// Sends so many items through 2, 4 or 8 stages.
pub async fn chain<F, Fut>(items: u64, stages: usize, limit: usize, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
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
pub async fn two<F, Fut, G, Fut2>(items: u64, first: (usize, F), second: (usize, G)) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
    G: Fn(u64) -> Fut2 + Copy,
    Fut2: Future<Output = u64>,
{
    let pipeline = AsyncPipeline::from_iter(0..items).map_unordered(first.1, first.0);
    tally(pipeline.map_unordered(second.1, second.0)).await
}
