//! `ConcurrentStream` of futures-concurrency, which is consumed where it is made. (Of its consumers
//! only `for_each` keeps the limit: `collect` and `try_for_each` after `map` do not.)

use std::cell::Cell;
use std::future::Future;
use std::num::NonZeroUsize;

use futures_concurrency::prelude::*;
use futures_lite::stream;

use crate::Tally;

/// Its name in tables.
pub const NAME: &str = "futures-concurrency";

/// Calls `f` on so many items.
pub async fn map<F, Fut>(items: u64, limit: usize, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
    let tally = Cell::new(Tally::default());
    stream::iter(0..items)
        .co()
        .limit(NonZeroUsize::new(limit))
        .map(f)
        .for_each(async |output| {
            let mut sum = tally.get();
            sum.add(output);
            tally.set(sum);
        })
        .await;
    tally.get()
}
