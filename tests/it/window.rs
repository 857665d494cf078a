//! A window bounds what is between pulled and yielded, apart from the calls that run.

use std::cell::{Cell, RefCell};

use allocation_counter::measure;
use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::waker::Task;

/// The failure of a call far behind is not taken for one of an earlier call that waits.
#[test]
fn an_error_waits_for_its_turn_however_far_behind_it_is() {
    for limit in [ordered(20), ordered(4).window(20)] {
        for failing in 2..12 {
            let gates: Vec<Gate> = (0..20).map(|_| Gate::default()).collect();
            let mut stage =
                pipe(0..20).map(Ok::<_, usize>).try_map_concurrent(limit.clone(), |n| {
                    let passed = gates[n].passed();
                    async move {
                        passed.await;
                        if n == failing { Err(n) } else { Ok(n) }
                    }
                });
            let task = Task::new();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            gates[1].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            gates[failing].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            gates.iter().for_each(Gate::open);
            let (outputs, over) = task.settle(&mut stage);
            assert!(over, "{failing}");
            let expected = (0..failing).map(Ok).chain([Err(failing)]);
            assert!(outputs.iter().copied().eq(expected), "{failing}: {outputs:?}");
        }
    }
}

/// Inner streams that are blocked again and again leave nothing behind.
#[test]
fn streams_that_are_blocked_often_need_no_memory() {
    let semaphore = Semaphore::new(3);
    let limits: [Concurrency; 3] = [
        Concurrency::new(3).window(3),
        Concurrency::new(3).window(5),
        Concurrency::new(&semaphore).window(3),
    ];
    for limit in limits {
        let mut stage = pipe(0..3).flat_map_concurrent(limit, |n: u32| stream::repeat(n)).driven();
        let mut run = |outputs: usize| {
            block_on(async {
                for _ in 0..outputs {
                    assert!(stage.next().await.is_some());
                    stage.alongside(yield_now()).await;
                }
            })
        };
        run(1000);
        let counted = measure(|| run(10_000));
        assert_eq!(counted.bytes_current, 0, "{counted:?}");
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
}
