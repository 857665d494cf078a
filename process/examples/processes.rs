//! Counts primes in worker processes, one a core. One of the calls aborts, as a bug in a C library
//! would have it, and only that call fails.
//!
//! Run it with `cargo run --release -p flowlet-process --example processes`.

use std::time::Instant;

use flowlet::prelude::*;
use flowlet_process::{Error, Function, ProcessPool, in_process};

const RANGE: u32 = 10_000;
const RANGES: u32 = 40;

/// The range whose call ends in an abort.
const CURSED: u32 = 13;

/// What a worker can be asked for.
const COUNT_PRIMES: Function<u32, usize> = Function::new("count primes", count_primes);

fn count_primes(range: u32) -> usize {
    if range == CURSED {
        eprintln!("out of luck");
        std::process::abort();
    }
    (range * RANGE..(range + 1) * RANGE).filter(|n| is_prime(*n)).count()
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|divisor| divisor * divisor <= n).all(|divisor| n % divisor != 0)
}

fn main() {
    // In a worker this does not return.
    flowlet_process::worker(&[&COUNT_PRIMES]);

    let all = ProcessPool::new();
    for pool in [ProcessPool::builder().size(1).build(), all] {
        let begun = Instant::now();
        let (primes, lost) = smol::block_on(count_all(&pool));
        println!(
            "{} of {RANGES} ranges hold {primes} primes, by {} processes in {:.2?}",
            RANGES - lost,
            pool.size(),
            begun.elapsed(),
        );
        let missing = (CURSED * RANGE..(CURSED + 1) * RANGE).filter(|n| is_prime(*n)).count();
        // As the books have it, there are 33,860 below 400,000.
        assert_eq!((primes + missing, lost), (33_860, 1));
    }
}

/// Returns how many primes there are in the ranges whose call went well, and how many did not.
async fn count_all(pool: &ProcessPool) -> (usize, u32) {
    // A few calls more than workers, so that there is always one waiting.
    let mut counts =
        pipe(0..RANGES).map_concurrent(pool.size() + 2, in_process(pool, COUNT_PRIMES));
    let (mut primes, mut lost) = (0, 0);
    while let Some(count) = counts.next().await {
        match count {
            Ok(count) => primes += count,
            Err(error @ Error::Died { .. }) => {
                println!("one call is lost: {error}");
                lost += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (primes, lost)
}
