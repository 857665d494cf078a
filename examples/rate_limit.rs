//! So many calls a second, besides so many at once: the `governor` crate.
//!
//! The two limits are not the same. A server may be fine with 10 requests at once, and still not want
//! more than 50 a second; how many at once that takes depends on how fast it answers.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use flowlet::prelude::*;
use governor::{Quota, RateLimiter};

const REQUESTS: u32 = 30;
const A_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
const BURST: NonZeroU32 = NonZeroU32::new(5).unwrap();

async fn fetch(id: u32) -> u32 {
    id
}

fn main() {
    // Shared by all that call the server, in whatever pipelines and threads.
    let limiter = RateLimiter::direct(Quota::per_second(A_SECOND).allow_burst(BURST));

    let began = Instant::now();
    let fetched = smol::block_on(
        pipe(0..REQUESTS)
            .map_concurrent(10, async |id| {
                limiter.until_ready().await; // in the call, where each retry would wait as well
                fetch(id).await
            })
            .count(),
    );
    let time = began.elapsed();

    println!("{fetched} requests in {time:?}, {A_SECOND} a second after a burst of {BURST}");
    assert_eq!(fetched, REQUESTS as usize);
    let least = Duration::from_secs(1) * (REQUESTS - BURST.get()) / A_SECOND.get();
    assert!(time >= least, "{time:?} is less than {least:?}");
}
