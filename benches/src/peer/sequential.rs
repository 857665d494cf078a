//! The floor: a plain loop, one call after the other.

use std::future::Future;

use crate::Tally;

/// Its name in tables.
pub const NAME: &str = "plain loop";

/// Calls `f` on so many items.
pub async fn map<F, Fut>(items: u64, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
    let mut tally = Tally::default();
    for item in 0..items {
        tally.add(f(item).await);
    }
    tally
}
