//! Limits calls per second, in addition to calls at once, with the crate `governor`.
//!
//! The two limits are different. A server may accept 10 requests at once, but not more than 50 per second. How many
//! calls at once that takes depends on how fast it answers.

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
    // Shared by everything that calls the server, in any pipeline and thread.
    let limiter = RateLimiter::direct(Quota::per_second(A_SECOND).allow_burst(BURST));

    let began = Instant::now();
    let fetched = smol::block_on(
        pipe(0..REQUESTS)
            .map_concurrent(10, async |id| {
                limiter.until_ready().await; // inside the call, so that each retry would wait too
                fetch(id).await
            })
            .count(),
    );
    let time = began.elapsed();

    println!("{fetched} requests in {time:?}, {A_SECOND} per second after a burst of {BURST}");
    assert_eq!(fetched, REQUESTS as usize);
    let least = Duration::from_secs(1) * (REQUESTS - BURST.get()) / A_SECOND.get();
    assert!(time >= least, "{time:?} is less than {least:?}");
}
