use flowlet::prelude::*;
use tokio::sync::Semaphore;

fn main() {
    let _ = pipe([1, 2]).map_concurrent(8_u32, async |n| n);
    let _ = pipe([1, 2]).map_concurrent(&Semaphore::new(8), async |n| n);
}

// says: the trait bound `Concurrency: From<u32>` is not satisfied
// says: the trait bound `Concurrency: From<&tokio::sync::Semaphore>` is not satisfied
