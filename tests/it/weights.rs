//! A limit counts what calls weigh, if the stage says so.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::future::block_on;

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::waker::Task;

/// Every way to ask for a limit of `limit`.
fn ways(limit: usize) -> [Concurrency; 4] {
    [limit.into(), ordered(limit), Semaphore::new(limit).into(), ordered(Semaphore::new(limit))]
}

#[test]
fn the_weight_of_an_output_leaves_with_it() {
    for way in ways(4) {
        let stage =
            pipe(0..20).map_concurrent(way, async |n| n).weighed_by(|n| 1 + *n as usize % 6);
        let mut stage = Box::pin(stage);
        let (outputs, over) = Task::new().settle(&mut stage);
        assert!(over && outputs.iter().copied().eq(0..20), "{outputs:?}");
    }
}
