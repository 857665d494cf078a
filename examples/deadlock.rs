//! Two steps whose calls share a lock: they deadlock with `buffer_unordered`, but not with flowlet.
//!
//! A full `buffer_unordered` does not poll the one upstream of it, whose calls then stall, even the call that holds the
//! lock, or is next in line for it.

use std::time::Duration;

use flowlet::FlowExt;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::timeout;

/// Far more time than all calls together take.
const DEADLINE: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let lock = Mutex::new(()); // for example, a connection
    let step = async |n: u32| {
        let _guard = lock.lock().await;
        yield_now().await; // for example, a query
        n
    };

    let theirs = stream::iter(0..100).map(step).buffer_unordered(2).map(step).buffer_unordered(2);
    match timeout(DEADLINE, theirs.count()).await {
        Ok(count) => panic!("{count} items were yielded, although this is known to deadlock"),
        Err(_) => println!("buffer_unordered: no output for {DEADLINE:?}"),
    }

    let ours = stream::iter(0..100).map_concurrent(2, step).map_concurrent(2, step);
    let count = timeout(DEADLINE, ours.count()).await.expect("it ends");
    println!("map_concurrent: {count} items");
    assert_eq!(count, 100);
}
