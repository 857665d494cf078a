//! What a monitor has counted adds up, whatever becomes of the items. The models check it for maps and inner streams.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use flowlet::monitor::StageSnapshot;
use flowlet::prelude::*;
use flowlet::{Concurrency, Monitor, Semaphore, finishing, merge, op, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream::{self, BoxedLocal};

use crate::support::gate::Gate;
use crate::support::waker::Task;

/// A call that takes its time, refuses some items, and panics at others.
async fn keeps(n: u32) -> bool {
    for _ in 0..n % 4 {
        yield_now().await;
    }
    assert!(n % 11 != 7, "a panic of the test");
    n % 3 != 0
}

async fn check(n: u32) -> Result<bool, &'static str> {
    let keeps = keeps(n).await;
    if n == 25 { Err("failed") } else { Ok(keeps) }
}

/// A stage of each kind under a limit.
fn stages(limit: &Concurrency) -> Vec<(&'static str, BoxedLocal<Result<u32, &'static str>>)> {
    let source = || stream::iter(0..40_u32);
    let results = || source().map(Ok::<_, &'static str>);
    let limit = || limit.clone();
    let map = async |n| {
        keeps(n).await;
        n
    };
    let try_map = async |n| check(n).await.map(|_| n);
    vec![
        ("map", source().map_concurrent(limit(), map).map(Ok).boxed_local()),
        (
            "filter",
            source().filter_concurrent(limit(), async |n| keeps(*n).await).map(Ok).boxed_local(),
        ),
        (
            "filter map",
            source()
                .filter_map_concurrent(limit(), async |n| keeps(n).await.then_some(n))
                .map(Ok)
                .boxed_local(),
        ),
        (
            "inspect",
            source()
                .inspect_concurrent(limit(), async |n| {
                    keeps(*n).await;
                })
                .map(Ok)
                .boxed_local(),
        ),
        ("by key", source().map_concurrent_by_key(limit(), |n| n % 3, map).map(Ok).boxed_local()),
        (
            "by weight",
            source()
                .map_concurrent(limit(), map)
                .weighed_by(|n| *n as usize % 3)
                .map(Ok)
                .boxed_local(),
        ),
        ("map ok", results().map_ok_concurrent(limit(), try_map).boxed_local()),
        ("try map", results().try_map_concurrent(limit(), try_map).boxed_local()),
        (
            "try filter",
            results().try_filter_concurrent(limit(), async |n| check(*n).await).boxed_local(),
        ),
        (
            "an error from upstream",
            results()
                .map(|n| n.and_then(|n| if n == 17 { Err("upstream") } else { Ok(n) }))
                .try_map_concurrent(limit(), try_map)
                .boxed_local(),
        ),
    ]
}

fn adds_up(name: &str, seen: &StageSnapshot) {
    let gone = seen.yielded + seen.refused + seen.failed + seen.panicked + seen.dropped;
    assert_eq!(seen.pulled, gone + seen.running + seen.waiting, "{name}: {seen:#?}");
}

#[test]
fn items_add_up_after_each_poll_and_when_the_stage_is_gone() {
    let limits =
        [3.into(), ordered(3), finishing(5), Semaphore::new(2).into(), ordered(2).window(9)];
    for limit in limits {
        let kinds = stages(&limit).len();
        for (kind, polls) in
            (0..kinds).flat_map(|kind| (0..60).step_by(4).map(move |polls| (kind, polls)))
        {
            let monitor = Monitor::new();
            let (name, stage) = stages(&monitor.stage("stage", limit.clone())).swap_remove(kind);
            let mut stage = stage.driven();
            let task = Task::new();
            let (mut yielded, mut failed) = (0, 0);
            let seen = || {
                let seen = monitor.snapshot().stages;
                let with_runs = seen.into_iter().find(|seen| seen.runs > 0);
                with_runs.expect("the stage")
            };
            for poll in 0..polls {
                if poll % 5 == 4 {
                    let gate = Gate::default();
                    let mut alongside = Box::pin(stage.alongside(gate.passed()));
                    let _ = catch_unwind(AssertUnwindSafe(|| task.poll(&mut alongside)));
                } else {
                    let polled = catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stage)));
                    match polled {
                        Ok(Poll::Ready(Some(Ok(_)))) => yielded += 1,
                        Ok(Poll::Ready(Some(Err(_)))) if name == "map ok" => yielded += 1,
                        Ok(Poll::Ready(Some(Err(_)))) => failed += 1,
                        _ => {}
                    }
                }
                let seen = seen();
                adds_up(name, &seen);
                // One item may have been kept below.
                assert!(seen.yielded - yielded <= 1 && seen.failed >= failed, "{name}");
            }
            drop(stage);
            let seen = seen();
            adds_up(name, &seen);
            assert_eq!((seen.running, seen.waiting), (0, 0), "{name}: what was there is dropped");
        }
    }
}

#[test]
fn numbers_of_a_run_to_the_end_are_exact() {
    let monitor = Monitor::new();
    let even = async |n: &u32| {
        yield_now().await;
        n % 2 == 0
    };
    let batches = stream::iter(0..100_u32)
        .monitored(monitor.point("source"))
        .filter_concurrent(monitor.stage("check", 4), even)
        .batched(10)
        .monitored(monitor.point("batches"))
        .flat_map_concurrent(monitor.stage("unpack", 2), |batch| batch);
    assert_eq!(block_on(batches.count()), 50);
    let [source, check, batches, unpack] = &monitor.snapshot().stages[..] else { panic!("four") };
    assert_eq!((source.pulled, source.yielded, source.limit), (100, 100, None));
    assert_eq!((check.pulled, check.yielded, check.refused, check.limit), (100, 50, 50, Some(4)));
    assert_eq!((check.calls.count, check.runs), (100, 1));
    assert_eq!((batches.yielded, unpack.pulled, unpack.yielded), (5, 5, 50));
    assert_eq!((unpack.calls.count, unpack.running, unpack.waiting), (5, 0, 0));
}

#[test]
fn runs_of_a_flow_are_told_apart_and_added_up() {
    let monitor = Monitor::counting();
    let gate = Gate::default();
    let passed = gate.clone();
    let flow = op::map_concurrent(monitor.stage("wait", 3), move |n: u32| {
        let passed = passed.passed();
        async move {
            passed.await;
            n
        }
    })
    .monitored(monitor.point("end"));
    let task = Task::new();
    let mut runs: Vec<_> = (1..=4).map(|items| flow.apply(stream::iter(0..items))).collect();
    for run in &mut runs {
        assert!(task.poll_next(run).is_pending());
    }
    let running = || Vec::from_iter(monitor.runs().iter().map(|run| run.stages[0].running));
    assert_eq!(running(), [1, 2, 3, 3]);
    assert_eq!(monitor.snapshot().stages[0].running, 9);
    drop(runs.remove(1));
    assert_eq!(running(), [1, 3, 3]);
    gate.open();
    for mut run in runs {
        task.wake();
        assert!(task.settle(&mut run).1);
    }
    let [wait, end] = &monitor.snapshot().stages[..] else { panic!("two") };
    assert_eq!((wait.runs, wait.yielded, wait.dropped, end.yielded), (4, 8, 2, 8));
    assert!(monitor.runs().is_empty());
}

#[test]
fn a_limit_is_the_same_with_a_monitor_around_it() {
    let (monitor, shared) = (Monitor::new(), Semaphore::new(2));
    for (limit, same) in [
        (monitor.stage("a", 5), Concurrency::from(5)),
        (ordered(monitor.stage("b", 5)), ordered(5)),
        (monitor.stage("c", ordered(5)).window(9), ordered(5).window(9)),
        (monitor.stage("d", &shared), Concurrency::from(&shared)),
    ] {
        assert_eq!(format!("{limit:?}"), format!("{same:?}"));
    }
    shared.set_limit(7);
    assert_eq!(monitor.snapshot().stages[3].limit, Some(7));
}

#[test]
fn a_monitor_that_is_gone_is_in_nobodys_way() {
    let monitor = Monitor::new();
    let limit = monitor.stage("stage", 2);
    let stage = stream::iter(0..9).map_concurrent(limit.clone(), async |n| n);
    drop(monitor);
    let other = stream::iter(0..9).map_concurrent(limit, async |n| n);
    assert_eq!(block_on(merge([stage.boxed(), other.boxed()]).count()), 18);
}

#[test]
fn a_point_passes_on_panics_and_ends() {
    let monitor = Monitor::new();
    let source = stream::iter(0..4).inspect(|n| assert!(*n != 2, "a panic of the test"));
    let mut point = source.monitored(monitor.point("point"));
    let task = Task::new();
    assert!(task.poll_next(&mut point).is_ready() && task.poll_next(&mut point).is_ready());
    catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut point))).unwrap_err();
    assert_eq!(task.poll_next(&mut point), Poll::Ready(Some(3)));
    assert_eq!(task.poll_next(&mut point), Poll::Ready(None));
    assert_eq!(monitor.snapshot().stages[0].yielded, 3);
}
