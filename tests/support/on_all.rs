//! Something that is done on each thread of a pool.

use std::sync::Barrier;

use flowlet::prelude::*;
use flowlet::{ThreadPool, in_pool};
use futures_lite::future::block_on;

/// Runs as many calls at once as the pool has threads, each on a thread of its own.
pub(crate) fn on_all<U: Send + 'static>(
    pool: &ThreadPool,
    f: impl Fn() -> U + Send + Sync + 'static,
) -> Vec<U> {
    let size = pool.size();
    let barrier = Barrier::new(size);
    let meet = in_pool(pool, move |_| {
        barrier.wait();
        f()
    });
    block_on(pipe(0..size).map_concurrent(size, meet).collect())
}
