//! A deadline for calls that block: the number of threads stays limited, and stuck calls make no others late.
//!
//! A late call is dropped, but its thread cannot be stopped: it works until the function returns. So the thread keeps a
//! permit until then, which comes with the function's input. The deadline of a call starts when the call has a permit,
//! not while it waits for a thread that a stuck call occupies.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use flowlet::prelude::*;
use flowlet::{Permit, Semaphore, ThreadPool, in_pool, in_thread};
use futures_lite::future;
use smol::channel::{Receiver, bounded};
use tokio::sync::Notify;

const THREADS: usize = 3;

/// Here the program decides when the time is up, so that no slow machine makes a call late.
static TIME_IS_UP: Notify = Notify::const_new();

#[derive(Debug, PartialEq)]
struct Late(usize);

/// A server that gets stuck on its first requests, until it is repaired.
struct Server {
    now: AtomicUsize,
    peak: AtomicUsize,
    repaired: Receiver<()>,
}

impl Server {
    /// Blocks the thread that calls it.
    fn ask(&self, id: usize) -> usize {
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.peak.fetch_max(now, SeqCst);
        if id < THREADS {
            if now == THREADS {
                TIME_IS_UP.notify_waiters();
            }
            let _closed = self.repaired.recv_blocking();
        }
        self.now.fetch_sub(1, SeqCst);
        id
    }
}

async fn run<Fut>(server: &Server, ask: impl Fn((usize, Permit)) -> Fut)
where
    Fut: Future<Output = usize>,
{
    let threads = Semaphore::new(THREADS);
    let ask_in_time = async |id| {
        let permit = threads.acquire().await; // the deadline has not started yet
        let deadline = TIME_IS_UP.notified(); // or `Timer::after(DEADLINE)`
        let answer = async { Ok(ask((id, permit)).await) };
        let late = async {
            deadline.await;
            Err(Late(id))
        };
        future::or(answer, late).await
    };

    let mut answers = pin!(pipe(0..20).map_concurrent(8, ask_in_time));
    let (mut answered, mut late) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(id) => answered.push(id),
            Err(Late(id)) => late.push(id),
        }
        if late.len() == THREADS && answered.is_empty() {
            // All calls that began are late and were dropped. Their threads are still busy, so nothing new begins.
            println!("late: {late:?}; {} threads are stuck", threads.in_use());
            server.repaired.close();
        }
    }
    late.sort_unstable();
    assert_eq!(late, [0, 1, 2]);
    answered.sort_unstable();
    assert!(answered.into_iter().eq(THREADS..20), "those that waited for a thread were in time");
    assert_eq!(server.peak.load(SeqCst), THREADS);
}

fn main() -> std::io::Result<()> {
    let pool = ThreadPool::new(THREADS)?;
    for in_a_pool in [false, true] {
        let (_broken, repaired) = bounded(1);
        let server = Arc::new(Server { now: 0.into(), peak: 0.into(), repaired });
        let asked = server.clone();
        // The permit is released when the function returns, or when a call is dropped that has not begun.
        let ask = move |(id, _permit): (usize, Permit)| asked.ask(id);
        if in_a_pool {
            smol::block_on(run(&server, in_pool(&pool, ask)));
        } else {
            smol::block_on(run(&server, in_thread(ask)));
        }
    }
    println!("all others were answered in time, by {THREADS} threads");
    Ok(())
}
