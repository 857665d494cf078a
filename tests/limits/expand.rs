//! A stage that expands works off what it finds, within its limit, and ends by itself.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::future::{block_on, poll_once, yield_now};

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::waker::Task;

/// A node in a binary tree of 127 nodes, and its children.
fn node(node: u32) -> (u32, impl Iterator<Item = u32>) {
    (node, [2 * node, 2 * node + 1].into_iter().filter(|child| *child < 128))
}

async fn call(node: u32) -> u32 {
    for _ in 0..node * 5 % 4 {
        yield_now().await;
    }
    node
}

fn limits() -> [Concurrency; 6] {
    [1.into(), 4.into(), ordered(1), ordered(4), Semaphore::new(3).into(), usize::MAX.into()]
}

#[test]
fn it_visits_everything_once_within_its_limit() {
    for (limit, most) in limits().into_iter().zip([1, 4, 1, 4, 3, 64]) {
        for depth_first in [false, true] {
            let running = Gauge::default();
            let stage = pipe([1]).expand_concurrent(limit.clone(), async |n| {
                let _running = running.unit();
                node(call(n).await)
            });
            let stage = if depth_first { stage.depth_first() } else { stage };
            let mut nodes: Vec<u32> = block_on(stage.collect());
            assert!(running.peak() <= most, "{limit:?}");
            nodes.sort_unstable();
            assert_eq!(nodes, Vec::from_iter(1..128));
        }
    }
}

#[test]
fn breadth_first_is_in_the_order_of_finding_and_depth_first_goes_on_with_the_last() {
    let visit = async |n: u32| (n, node(n).1.filter(|child| *child < 8));
    let stage = || pipe([1]).expand_concurrent(1, visit);
    assert_eq!(block_on(stage().collect::<Vec<_>>()), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(block_on(stage().depth_first().collect::<Vec<_>>()), [1, 2, 4, 5, 3, 6, 7]);
}

#[test]
fn in_order_is_the_order_in_which_the_calls_began() {
    let begun = RefCell::new(Vec::new());
    let stage = pipe([1, 3]).expand_concurrent(ordered(5), |n| {
        begun.borrow_mut().push(n);
        async move { node(call(n).await) }
    });
    let nodes: Vec<u32> = block_on(stage.collect());
    assert_eq!(nodes, begun.into_inner());
}

#[test]
fn outputs_that_wait_count_and_so_the_limit_is_that_of_items_in_flight() {
    let begun = Cell::new(0);
    let source = pipe([1]).expand_concurrent(3, async |n: u32| {
        begun.set(begun.get() + 1);
        (n, [n; 4])
    });
    let mut stage = Box::pin(source.map_concurrent(1, |_| std::future::pending::<()>()));
    assert_eq!(Task::new().settle(&mut stage), (vec![], false));
    assert_eq!(begun.get(), 1 + 3, "one that was yielded, and three that wait");
}

#[test]
fn upstream_is_pulled_when_nothing_that_was_found_waits() {
    let pulled = Cell::new(0);
    let stage = pipe([3, 30])
        .inspect(|_| pulled.set(pulled.get() + 1))
        .expand_concurrent(1, async |n: u32| ((n, pulled.get()), (n % 10 > 1).then_some(n - 1)));
    let outputs: Vec<(u32, u32)> = block_on(stage.collect());
    assert_eq!(outputs, [(3, 1), (2, 1), (1, 1), (30, 2)]);
}

#[test]
fn an_upstream_that_waits_holds_nothing_back() {
    let (sender, receiver) = async_channel::unbounded();
    let mut stage = Box::pin(pipe(receiver).expand_concurrent(4, async |n| node(call(n).await)));
    let task = Task::new();
    assert_eq!(task.settle(&mut stage), (vec![], false));
    sender.try_send(1).unwrap();
    let (nodes, over) = task.settle(&mut stage);
    assert_eq!((nodes.len(), over), (127, false));
    sender.try_send(32).unwrap();
    assert_eq!(task.settle(&mut stage).0.len(), 3);
    drop(sender);
    assert_eq!(task.settle(&mut stage), (vec![], true));
}

#[test]
fn calls_upstream_go_on_while_what_was_found_is_worked_off() {
    for limit in limits() {
        let done = Cell::new(0);
        let upstream = pipe(0..3_u32).map_concurrent(3, async |n| {
            for _ in 0..n * 10 {
                yield_now().await;
            }
            done.set(done.get() + 1);
            n
        });
        // An end is not in sight.
        let mut stage = Box::pin(upstream.expand_concurrent(limit.clone(), async |n| (n, [n])));
        let task = Task::new();
        for _ in 0..200 {
            assert!(task.poll_next(&mut stage).is_ready() || task.is_woken());
        }
        assert_eq!(done.get(), 3, "{limit:?}");
    }
}

#[test]
fn a_call_that_waits_keeps_it_open_and_its_end_wakes() {
    let gate = Gate::default();
    let mut stage = pipe([1_u32]).expand_concurrent(8, async |n| {
        gate.passed().await;
        (n, (n < 3).then_some(n + 1))
    });
    let task = Task::new();
    assert_eq!(task.settle(&mut stage), (vec![], false));
    gate.open();
    assert_eq!(task.settle(&mut stage), (vec![1, 2, 3], true));
}

#[test]
fn what_panics_has_found_nothing() {
    let (mut nodes, mut panics) = (Vec::new(), 0);
    let mut stage = Box::pin(
        pipe([1])
            .expand_concurrent(3, |n| {
                assert!(n != 4, "in the function");
                async move {
                    assert!(call(n).await != 5, "in the future");
                    let (n, children) = node(n);
                    (n, children.inspect(move |_| assert!(n != 6, "in the items")))
                }
            })
            .driven(),
    );
    let task = Task::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stage))) {
            Ok(Poll::Ready(Some(n))) => nodes.push(n),
            Ok(Poll::Ready(None)) => break,
            Ok(Poll::Pending) => assert!(task.is_woken()),
            Err(_) => panics += 1,
        }
    }
    nodes.sort_unstable();
    let lost = |n: u32| (4..7).any(|bad| (0..5).any(|up| n >> up == bad));
    assert_eq!((nodes, panics), ((1..128).filter(|n| !lost(*n)).collect(), 3));
}

#[test]
fn the_first_error_drops_what_runs_and_what_waits() {
    let there = Gauge::default();
    let unit = || there.unit();
    for limit in limits() {
        let items = pipe([(1_u32, unit()), (200, unit())]).map(Ok);
        let mut stage = Box::pin(items.try_expand_concurrent(limit.clone(), async |(n, _unit)| {
            if call(n).await == 9 { Err(n) } else { Ok((n, node(n).1.map(|n| (n, unit())))) }
        }));
        let (mut errors, task) = (0, Task::new());
        while let Poll::Ready(Some(_)) | Poll::Pending = task.poll_next(&mut stage).map(|item| {
            if let Some(Err(n)) = item {
                errors += 1;
                assert_eq!((n, there.now()), (9, 0), "{limit:?}");
                assert_eq!(stage_hint(&stage), (0, Some(0)));
            }
            item
        }) {
            assert!(task.is_woken());
        }
        assert_eq!(errors, 1);
    }
}

fn stage_hint(stage: &impl Stream) -> (usize, Option<usize>) {
    stage.size_hint()
}

#[test]
fn an_error_of_upstream_ends_it() {
    let stage = pipe([Ok(1), Err("two"), Ok(3)])
        .try_expand_concurrent(1, async |n: u32| Ok((n, (n < 20).then_some(n + 10))));
    let outputs: Vec<_> = block_on(stage.collect());
    assert_eq!(outputs, [Ok(1), Ok(11), Ok(21), Err("two")]);
}

#[test]
fn an_error_of_a_stage_above_goes_before_what_was_found() {
    for limit in limits() {
        let upstream = pipe(0..2).map(Ok).try_map_concurrent(2, async |n: u32| {
            for _ in 0..n * 9 {
                yield_now().await;
            }
            if n == 1 { Err("one") } else { Ok(n) }
        });
        // An end is not in sight.
        let stage = upstream.try_expand_concurrent(limit.clone(), async |n| Ok((n, [n])));
        let outputs: Vec<_> = block_on(stage.take(1000).collect());
        assert_eq!(outputs.last(), Some(&Err("one")), "{limit:?}");
    }
}

#[test]
fn hints_are_exact_when_they_can_be() {
    let mut stage = pipe([1, 2]).expand_concurrent(1, async |n: u32| (n, (n < 2).then_some(9)));
    assert_eq!(stage.size_hint(), (2, None));
    assert_eq!(block_on(stage.next()), Some(1));
    assert_eq!(stage.size_hint(), (2, None));
    assert_eq!(block_on(stage.next()), Some(9));
    assert_eq!(block_on(stage.next()), Some(2));
    assert_eq!(block_on(stage.next()), None);
    assert_eq!(stage.size_hint(), (0, Some(0)));

    // Nothing runs and nothing waits but an output.
    let source = pipe(0..1_u32).expand_concurrent(ordered(2), async |n| (n, None));
    let mut below = Box::pin(source.map_concurrent(1, |_| std::future::pending::<()>()));
    assert!(block_on(poll_once(below.next())).is_none());
    assert_eq!(below.size_hint(), (1, Some(1)));
}

#[test]
fn no_level_is_too_deep() {
    const LAST: u32 = 100_000;
    let stage = pipe([0]).expand_concurrent(8, async |n| (n, (n < LAST).then_some(n + 1)));
    assert_eq!(block_on(stage.count()), LAST as usize + 1);
}

#[test]
fn dropping_it_drops_everything() {
    let there = Gauge::default();
    for polls in 0..60 {
        let items = pipe([(1_u32, there.unit())]);
        let mut stage = Box::pin(items.expand_concurrent(3, async |(n, _unit)| {
            (call(n).await, node(n).1.map(|n| (n, there.unit())))
        }));
        let task = Task::new();
        for _ in 0..polls {
            let _ = task.poll_next(&mut stage);
        }
        drop(stage);
        assert_eq!(there.now(), 0);
        assert!(!task.is_kept());
    }
}

#[test]
fn a_panic_as_an_error_drops_what_waits_leaves_the_error() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 {
                self.0 = false;
                resume_unwind(Box::new("dropped"));
            }
        }
    }
    let stage = pipe([(0, Bomb(false))]).map(Ok).try_expand_concurrent(1, async |(n, mut bomb)| {
        bomb.0 = false;
        if n == 1 { Err("failed") } else { Ok((n, [(1, Bomb(false)), (2, Bomb(true))])) }
    });
    let (mut stage, task) = (Box::pin(stage), Task::new());
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(Ok(0))));
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stage))).is_err());
    assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(Err("failed"))));
    assert_eq!(task.settle(&mut stage), (vec![], true));
}
