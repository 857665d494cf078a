//! Work that keeps a core busy, spread over all of them.
//!
//! A pipeline is one task, and so uses one core. Here the stage in the middle runs each call as a task of its own
//! (`in_task`), and the stages before and after it are one task each (`prefetch`).

use std::future;
use std::thread;
use std::time::{Duration, Instant};

use flowlet::prelude::*;
use flowlet::{in_task, ordered};
use smol::Executor;

/// Runs the tasks, with one thread per core.
static CORES: Executor<'static> = Executor::new();

/// How many bits of a block's hash must be zero.
const DIFFICULTY: u32 = 13;

struct Block {
    text: String,
    nonce: u64,
    took: Duration,
}

/// FNV-1a with a final mix, because the last bytes hardly affect the high bits.
fn hash(text: &str, nonce: u64) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.as_bytes().iter().chain(&nonce.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, fold);
    (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Finds the number that makes the hash small. Nothing is awaited: it keeps a core busy.
async fn mine(text: String) -> Block {
    let started = Instant::now();
    let nonce = (0_u64..).find(|nonce| hash(&text, *nonce).leading_zeros() >= DIFFICULTY).unwrap();
    Block { text, nonce, took: started.elapsed() }
}

fn main() {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    for _ in 0..cores {
        thread::spawn(|| smol::block_on(CORES.run(future::pending::<()>())));
    }

    let started = Instant::now();
    let blocks = pipe(0..200)
        .map(|number: u32| format!("block {number}: ").repeat(20))
        .prefetch(16, |task| CORES.spawn(task))
        .map_concurrent(ordered(2 * cores), in_task(|task| CORES.spawn(task), mine))
        .inspect(|block| assert!(hash(&block.text, block.nonce).leading_zeros() >= DIFFICULTY))
        .prefetch(16, |task| CORES.spawn(task));

    let blocks: Vec<Block> = smol::block_on(blocks.collect());
    let took = started.elapsed();
    assert!((0..200).zip(&blocks).all(|(n, block)| block.text.starts_with(&format!("block {n}:"))));

    let one_core: Duration = blocks.iter().map(|block| block.took).sum();
    println!("{} blocks in {took:.2?} on {cores} cores", blocks.len());
    println!("one core would have taken about {one_core:.2?}");
}
