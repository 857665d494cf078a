//! What one writes by hand on tokio: a task a call, in a `JoinSet` that is kept full.

use std::future::Future;

use tokio::task::JoinSet;

use crate::Tally;

/// Its name in tables.
pub const NAME: &str = "JoinSet";

/// Calls `f` on so many items.
pub async fn map<F, Fut>(items: u64, limit: usize, f: F) -> Tally
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64> + Send + 'static,
{
    let mut tally = Tally::default();
    let mut calls = JoinSet::new();
    for item in 0..items {
        if calls.len() == limit {
            tally.add(joined(&mut calls).await.expect("there are calls"));
        }
        calls.spawn(f(item));
    }
    while let Some(output) = joined(&mut calls).await {
        tally.add(output);
    }
    tally
}

async fn joined(calls: &mut JoinSet<u64>) -> Option<u64> {
    Some(calls.join_next().await?.expect("no call panics"))
}
