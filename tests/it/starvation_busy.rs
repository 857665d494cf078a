//! Calls that are always ready to be polled, more of them than a stage polls in one turn, keep
//! neither new calls from being started nor the stages above from going on.

use std::cell::Cell;

use flowlet::prelude::*;
use flowlet::{Concurrency, ordered};
use futures_lite::future::yield_now;

use crate::support::exec::{rest, run};

const MANY: u32 = 1000;

fn limits() -> [Concurrency; 3] {
    let limit = MANY as usize;
    [limit.into(), ordered(limit), flowlet::Semaphore::new(limit).into()]
}

/// All wait for the last one to be started.
#[test]
fn busy_calls_do_not_keep_new_ones_from_being_started() {
    for limit in limits() {
        let started = Cell::new(0);
        let pipeline = pipe(0..MANY).map_concurrent(limit, async |_| {
            started.set(started.get() + 1);
            while started.get() < MANY {
                yield_now().await;
            }
        });
        assert_eq!(run(0, pipeline.count()), Ok(MANY as usize));
    }
}

/// All wait for a call of the stage above, which is full or not.
#[test]
fn busy_calls_do_not_keep_the_stage_above_from_going_on() {
    for limit in limits() {
        for last in [MANY / 2, MANY + 2] {
            let done = Cell::new(false);
            let above = async |n| {
                for _ in 0..3 {
                    yield_now().await;
                }
                done.set(done.get() || n == last);
            };
            let busy = async |()| {
                while !done.get() {
                    yield_now().await;
                }
            };
            let pipeline = pipe(0..MANY + 10)
                .map_concurrent(4, above)
                .map_concurrent(limit.clone(), busy)
                .map_concurrent(2, async |()| rest(1).await);
            assert_eq!(run(0, pipeline.count()), Ok(MANY as usize + 10));
        }
    }
}
