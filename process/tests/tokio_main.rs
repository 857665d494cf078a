//! A program whose `main` is tokio's: the calls run outside of its runtime. No harness, because the test
//! is its own worker.

use flowlet_process::{Function, ProcessPool, in_process};
use tokio::runtime::{Builder, Handle};

/// As clients do that block.
const BLOCK: Function<u32, u32> = Function::new("block", |n| {
    assert!(Handle::try_current().is_err());
    Builder::new_current_thread().build().unwrap().block_on(async move { 2 * n })
});

#[tokio::main]
async fn main() {
    flowlet_process::worker(&[&BLOCK]);
    let pool = ProcessPool::builder().size(1).build();
    assert_eq!(in_process(&pool, BLOCK)(21).await.unwrap(), 42);
    pool.shutdown().await;
    println!("1 passed; 0 failed");
}
