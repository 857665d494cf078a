//! A limit counts what calls weigh, if the stage says so.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::pin::{Pin, pin};
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gated::Gated;
use crate::support::panicked::message_of;
use crate::support::waker::Task;

/// Every way to ask for a limit of `limit`.
fn ways(limit: usize) -> [Concurrency; 4] {
    [limit.into(), ordered(limit), Semaphore::new(limit).into(), ordered(Semaphore::new(limit))]
}

/// A stage of calls that weigh as much as `weights` says.
fn weighed<'a>(
    gated: &'a Gated,
    limit: Concurrency,
    weights: &'a [usize],
) -> Pin<Box<dyn Stream<Item = usize> + 'a>> {
    let source = gated.source(0..weights.len());
    Box::pin(source.map_concurrent(limit, |n| gated.call(n, n)).weighed_by(|n| weights[*n]))
}

#[test]
fn the_weight_of_an_output_leaves_with_it() {
    for way in ways(4) {
        let stage =
            pipe(0..20).map_concurrent(way, async |n| n).weighed_by(|n| 1 + *n as usize % 6);
        let mut stage = pin!(stage);
        let (outputs, over) = Task::new().settle(&mut stage);
        assert!(over && outputs.iter().copied().eq(0..20), "{outputs:?}");
    }
}

#[test]
fn calls_that_run_weigh_no_more_than_the_limit() {
    let weights = [3, 2, 2, 1, 4, 1, 5, 2];
    for (way, limit) in ways(5).into_iter().enumerate() {
        let gated = Gated::default();
        let mut stage = weighed(&gated, limit, &weights);
        let task = Task::new();
        let mut outputs = Vec::new();
        // By the number of those that are over, how many have begun.
        for (open, begun) in [2, 4, 4, 5, 6, 6, 7, 8].into_iter().enumerate() {
            let (came, _) = task.settle(&mut stage);
            outputs.extend(came);
            assert_eq!(gated.begun.borrow().len(), begun, "way {way}, {open} are over");
            // The next of them waits, to be weighed, if there could be room for it.
            let room = weights[open..begun].iter().sum::<usize>() < 5;
            let pulled = usize::min(begun + usize::from(room), 8);
            assert_eq!(gated.pulled.get(), pulled, "way {way}, {open} are over");
            gated.gates[open].open();
        }
        outputs.extend(task.settle(&mut stage).0);
        assert_eq!(outputs, Vec::from_iter(0..8));
    }
}

#[test]
fn what_is_heavier_than_the_limit_runs_alone() {
    let weights = [1, 9, 1, 1, usize::MAX, usize::MAX, 2, 1];
    for limit in ways(3) {
        let gated = Gated::default();
        let mut stage = weighed(&gated, limit, &weights);
        let task = Task::new();
        for (open, running) in [(0, 1), (1, 1), (2, 2), (3, 1), (4, 1), (5, 1), (6, 2), (7, 1)] {
            task.settle(&mut stage);
            assert_eq!(gated.calls.now(), running, "before {open} is over");
            gated.gates[open].open();
        }
        assert!(task.settle(&mut stage).1);
    }
}

#[test]
fn outputs_that_wait_weigh_as_much_as_their_calls() {
    let weights = [2, 1, 1, 2, 1, 1, 4, 1];
    for limit in [4.into(), (&Semaphore::new(4)).into()] {
        let limit: Concurrency = limit;
        // Behind the first, and while the consumer is busy.
        let gated = Gated::default();
        gated.gates[1..].iter().for_each(Gate::open);
        let mut stage = weighed(&gated, ordered(limit.clone()), &weights);
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!((gated.begun.borrow().len(), gated.pulled.get()), (3, 3));
        gated.gates[0].open();
        assert_eq!(task.settle(&mut stage), (Vec::from_iter(0..8), true));

        let gated = Gated::default();
        gated.gates.iter().for_each(Gate::open);
        let mut stage = weighed(&gated, limit, &weights).driven();
        let task = Task::new();
        for (output, begun) in [4, 5, 6, 6, 6, 7, 8, 8].into_iter().enumerate() {
            assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(output)));
            for _ in 0..9 {
                let _ = task.poll(&mut pin!(stage.alongside(pending::<()>())));
            }
            // What was yielded weighs nothing: 1 to 3 weigh 4, then 2 to 4, then 3 to 5, and so on.
            assert_eq!(gated.begun.borrow().len(), begun, "after {output}");
        }
    }
}

#[test]
fn a_window_is_a_weight() {
    let weights = [2, 3, 3, 2, 2, 1, 1, 1];
    for limit in [5.into(), (&Semaphore::new(5)).into()] {
        let limit: Concurrency = limit;
        let gated = Gated::default();
        let mut stage = weighed(&gated, ordered(limit.window(10)), &weights);
        let task = Task::new();
        task.settle(&mut stage);
        assert_eq!(*gated.begun.borrow(), [0, 1]);
        gated.gates[1].open();
        task.settle(&mut stage);
        assert_eq!(*gated.begun.borrow(), [0, 1, 2]);
        gated.gates[2].open();
        task.settle(&mut stage);
        // Together they weigh 10.
        assert_eq!((gated.begun.borrow().len(), gated.pulled.get()), (4, 4));
        gated.gates.iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut stage), (Vec::from_iter(0..8), true));
    }
}

#[test]
fn what_weighs_nothing_is_not_bounded() {
    for limit in ways(1) {
        let gated = Gated::default();
        let mut stage = weighed(&gated, limit, &[0; 12]);
        let task = Task::new();
        task.settle(&mut stage);
        assert_eq!(gated.calls.now(), 12);
        gated.gates.iter().for_each(Gate::open);
        assert!(task.settle(&mut stage).1);
    }
}

/// Checks that a stage weighs each item once, before its call, and keeps to its limit of 4.
macro_rules! weighs {
    ($($name:ident: |$source:ident, $limit:ident, $call:ident| $stage:expr;)+) => {
        mod each_stage_weighs {
            use super::*;

            $(
                #[test]
                fn $name() {
                    for limit in ways(4) {
                        let gated = Gated::default();
                        let weighed = RefCell::new(Vec::new());
                        let weight = |n: &usize| {
                            assert!(!gated.begun.borrow().contains(n));
                            weighed.borrow_mut().push(*n);
                            1 + *n % 3
                        };
                        let gated = &gated;
                        let $call = |n: usize| {
                            assert!(weighed.borrow().contains(&n));
                            gated.call(n, n)
                        };
                        let ($source, $limit) = (gated.source(0..9), limit);
                        let mut stage = pin!($stage.weighed_by(weight));
                        let task = Task::new();
                        let _ = task.settle(&mut stage);
                        assert_eq!(*gated.begun.borrow(), [0, 1]);
                        assert_eq!(*weighed.borrow(), [0, 1, 2]);
                        gated.gates.iter().for_each(Gate::open);
                        assert!(task.settle(&mut stage).1);
                        assert_eq!(*weighed.borrow(), Vec::from_iter(0..9));
                        assert_eq!(gated.calls.peak(), 2);
                    }
                }
            )+
        }
    };
}

weighs! {
    map: |s, limit, call| s.map_concurrent(limit, call);
    inspect: |s, limit, call| s.inspect_concurrent(limit, async |n: &usize| {
        call(*n).await;
    });
    filter: |s, limit, call| s.filter_concurrent(limit, async |n: &usize| call(*n).await % 2 == 0);
    filter_map: |s, limit, call| s.filter_map_concurrent(limit, async |n| Some(call(n).await));
    flat_map: |s, limit, call| s.flat_map_concurrent(limit, async |n| [call(n).await; 3]);
    flat_map_of_streams: |s, limit, call| {
        s.flat_map_concurrent(limit, |n| stream::once_future(call(n)))
    };
    by_key: |s, limit, call| s.map_concurrent_by_key(limit, |n| *n, call);
    map_ok: |s, limit, call| {
        s.map(Ok::<_, ()>).map_ok_concurrent(limit, async |n| Ok(call(n).await))
    };
    try_map: |s, limit, call| {
        s.map(Ok::<_, ()>).try_map_concurrent(limit, async |n| Ok(call(n).await))
    };
    try_inspect: |s, limit, call| {
        s.map(Ok::<_, ()>).try_inspect_concurrent(limit, async |n: &usize| {
            call(*n).await;
            Ok(())
        })
    };
    try_filter: |s, limit, call| {
        let keep = async |n: &usize| Ok(call(*n).await % 2 == 0);
        s.map(Ok::<_, ()>).try_filter_concurrent(limit, keep)
    };
    try_filter_map: |s, limit, call| {
        s.map(Ok::<_, ()>).try_filter_map_concurrent(limit, async |n| Ok(Some(call(n).await)))
    };
    try_flat_map: |s, limit, call| {
        s.map(Ok::<_, ()>).try_flat_map_concurrent(limit, async |n| Ok([call(n).await; 3]))
    };
    try_by_key: |s, limit, call| {
        let call = async |n| Ok(call(n).await);
        s.map(Ok::<_, ()>).try_map_concurrent_by_key(limit, |n| *n, call)
    };
}

#[test]
fn an_item_that_failed_weighs_nothing() {
    for limit in ways(2) {
        let gated = Gated::default();
        let items = [Ok(0), Err(()), Ok(2), Err(()), Ok(4)];
        let weight = |n: &usize| if *n == 0 { 1 } else { 2 };
        let stage = gated.source(items.into_iter());
        let stage = stage.map_ok_concurrent(limit, |n| gated.call(n, Ok::<_, ()>(n)));
        let mut stage = pin!(stage.weighed_by(weight));
        let task = Task::new();
        let mut outputs = task.settle(&mut stage).0;
        assert_eq!(*gated.begun.borrow(), [0]);
        gated.gates.iter().for_each(Gate::open);
        let (rest, over) = task.settle(&mut stage);
        outputs.extend(rest);
        outputs.sort_unstable();
        assert!(over && outputs == [Ok(0), Ok(2), Ok(4), Err(()), Err(())], "{outputs:?}");
    }
}

#[test]
fn stages_that_share_a_semaphore_share_what_they_weigh() {
    let semaphore = Semaphore::new(6);
    let gates: [[Gate; 8]; 3] = Default::default();
    let running = Cell::new(0);
    let of = |stage: usize| {
        let (gates, running) = (&gates, &running);
        move |n: usize| {
            let passed = gates[stage][n].passed();
            async move {
                running.set(running.get() + n % 4);
                passed.await;
                running.set(running.get() - n % 4);
                n
            }
        }
    };
    let limit = |window| ordered(&semaphore).window(window);
    let stage = pipe(0..8)
        .map_concurrent(limit(20), of(0))
        .weighed_by(|n| n % 4)
        .map_concurrent(limit(9), of(1))
        .weighed_by(|n| n % 4)
        .map_concurrent(&semaphore, of(2))
        .weighed_by(|n| n % 4);
    let mut stage = pin!(stage);
    let task = Task::new();
    let mut outputs = Vec::new();
    for open in 0..24 {
        outputs.extend(task.settle(&mut stage).0);
        assert!(semaphore.in_use() <= 6 && semaphore.in_use() == running.get());
        gates[open % 3][open / 3].open();
    }
    outputs.extend(task.settle(&mut stage).0);
    outputs.sort_unstable();
    assert_eq!((outputs, semaphore.in_use()), (Vec::from_iter(0..8), 0));
}

#[test]
fn a_weight_that_cannot_be_told_loses_its_item_alone() {
    for limit in ways(3) {
        let gated = Gated::default();
        let stage = gated.source(0..9).map_concurrent(limit, |n| gated.call(n, n));
        let mut stage = pin!(stage.weighed_by(|n| {
            assert!(![0, 4, 5, 8].contains(n), "no weight");
            1 + n % 2
        }));
        gated.gates.iter().for_each(Gate::open);
        let task = Task::new();
        let (mut outputs, mut panics, mut over) = (Vec::new(), 0, false);
        while !over {
            let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                task.poll_next(&mut stage)
            }));
            match polled {
                Ok(Poll::Ready(Some(n))) => outputs.push(n),
                Ok(Poll::Ready(None)) => over = true,
                Ok(Poll::Pending) => assert!(task.is_woken(), "stuck after {outputs:?}"),
                Err(_) => panics += 1,
            }
        }
        assert_eq!((outputs, panics), (vec![1, 2, 3, 6, 7], 4));
    }
}

#[test]
fn a_stage_that_holds_items_is_not_weighed_any_more() {
    let gated = Gated::default();
    let mut stage = gated.source(0..9).map_concurrent(3, |n| gated.call(n, n));
    assert!(Task::new().poll_next(&mut stage).is_pending());
    let message = message_of(|| drop(stage.weighed_by(|_| 1)));
    assert_eq!(message, "a stage must be set up before it is polled");
    assert_eq!(gated.left(), (0, 0));
}

#[test]
fn size_hints_are_exact_with_the_item_that_waits() {
    let weights = [2, 1, 3, 1, 2, 9, 1, 1, 1];
    for limit in ways(3) {
        let gated = Gated::default();
        let mut stage = weighed(&gated, limit, &weights);
        let task = Task::new();
        let mut left = 9;
        for gate in &gated.gates {
            left -= task.settle(&mut stage).0.len();
            // The source does not say how much is left of it.
            assert_eq!(stage.size_hint().0, gated.pulled.get() - (9 - left));
            gate.open();
        }
    }
    // This one does.
    let gated = Gated::default();
    let stage = pipe(0..9).map_concurrent(ordered(3), |n| gated.call(n, n));
    let mut stage = pin!(stage.weighed_by(|n| weights[*n]));
    let (task, mut left) = (Task::new(), 9);
    for gate in &gated.gates {
        left -= task.settle(&mut stage).0.len();
        assert_eq!(stage.size_hint(), (left, Some(left)));
        gate.open();
    }
}

/// Inner streams leave their permits to others between outputs. One that is heavy is not passed for ever.
#[test]
fn a_heavy_inner_stream_has_its_turn_among_light_ones() {
    for window in [4, 10, 100] {
        for limit in [Concurrency::new(Semaphore::new(4)), ordered(Semaphore::new(4))] {
            let inner = |n: u32| {
                let ready = stream::iter(0..if n == 0 { 10 } else { 3 });
                ready.map_concurrent(1, move |_| async move {
                    futures_lite::future::yield_now().await;
                    n
                })
            };
            let stage = pipe(0..).flat_map_concurrent(limit.window(window), inner);
            let mut stage = pin!(stage.weighed_by(|n| if *n == 0 { 4 } else { 1 }));
            let task = Task::new();
            let (mut polls, mut heavy, mut others) = (0, 0, 0);
            while heavy < 10 {
                polls += 1;
                assert!(polls < 2000 && task.is_woken(), "{heavy} of 10 came, {others} others");
                match task.poll_next(&mut stage) {
                    Poll::Ready(Some(0)) => heavy += 1,
                    Poll::Ready(_) => others += 1,
                    Poll::Pending => {}
                }
            }
        }
    }
}

/// Two that may each have all the permits there could be.
#[test]
fn what_weighs_as_much_as_can_be_is_no_sum() {
    for window in [None, Some(9)] {
        for limit in ways(4) {
            let limit = window.map_or(limit.clone(), |window| limit.window(window));
            let inner = |n: usize| stream::iter([n; 3]);
            let stage = pipe(0..4).flat_map_concurrent(limit, inner).weighed_by(|_| usize::MAX);
            let mut stage = pin!(stage);
            let (mut outputs, over) = Task::new().settle(&mut stage);
            outputs.sort_unstable();
            assert!(over && outputs == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], "{outputs:?}");
        }
    }
}
