//! Stops gracefully: nothing more is pulled, running calls get some time to finish, then the rest is dropped. The
//! program reports how much that is, and returns unfinished jobs to the queue.
//!
//! `cargo run --example graceful_stop`

use std::future::pending;
use std::time::Duration;

use flowlet::prelude::*;
use flowlet::{Dropped, Guarded, Remainder};
use smol::Timer;

/// How long calls may take after the stop.
const GRACE_PERIOD: Duration = Duration::from_millis(50);

fn main() {
    smol::block_on(async {
        // A service would close the channel when it is told to stop: on a SIGTERM, or a Ctrl-C.
        let (terminate, stop) = async_channel::bounded::<()>(1);
        let stopped = stop.clone();
        let stop = async move { stop.recv().await };
        let deadline = async move {
            let _ = stopped.recv().await;
            Timer::after(GRACE_PERIOD).await;
        };

        let (queue, jobs) = async_channel::unbounded();
        for job in 1..=100 {
            queue.send(job).await.unwrap();
        }

        // A job that is dropped before it was taken out of its guard ends up here.
        let left = Remainder::new();
        let mut dropped = Dropped::default();
        let handle = async |job: Guarded<u32>| {
            match *job {
                20 => {
                    terminate.close();
                }
                18 => pending().await, // this one hangs
                _ => {
                    Timer::after(Duration::from_millis(1)).await;
                }
            }
            job
        };
        let mut done = Vec::new();
        jobs.clone()
            .take_until_stopped(stop)
            .map(|job| left.guard(job))
            .map_concurrent(8, handle)
            .batched(5)
            .map(|batch| done.extend(batch.into_iter().map(Guarded::take)))
            .take_until_stopped(deadline)
            .on_stop(|what| dropped = what)
            .drain()
            .await;

        let left = left.take();
        println!("{} done; dropped {dropped}; to be retried: {left:?}", done.len());
        for job in &left {
            queue.send(*job).await.unwrap();
        }

        assert_eq!(dropped.calls, 1, "the one that hangs");
        assert!(left.contains(&18));
        assert_eq!(done.len() + jobs.len(), 100, "no job is lost");
    });
}
