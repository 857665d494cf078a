//! What a pipeline had not finished can be had back, whatever held it and however it ended.

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use flowlet::prelude::*;
use flowlet::{Guarded, Remainder, Semaphore, frontier, in_task, ordered};
use futures_lite::future::block_on;
use futures_lite::stream::{self, BoxedLocal};

use crate::support::gate::Gate;
use crate::support::waker::Task;

type Job = Guarded<usize>;

/// How many jobs there are.
const JOBS: usize = 40;

/// Pipelines that get so far, and then hold jobs in many places. What comes out was not begun.
#[allow(clippy::type_complexity)]
fn pipelines() -> Vec<(&'static str, Box<dyn Fn(BoxedLocal<Job>) -> BoxedLocal<Vec<Job>>>)> {
    async fn same(job: Job) -> Job {
        job
    }
    fn one(job: Job) -> Vec<Job> {
        vec![job]
    }
    vec![
        ("a source", Box::new(|jobs| jobs.map(one).boxed_local())),
        ("a stage", Box::new(|jobs| jobs.map_concurrent(4, same).map(one).boxed_local())),
        (
            "calls that hang",
            Box::new(|jobs| {
                let hang = async |job: Job| if *job % 3 == 0 { job } else { pending().await };
                jobs.map_concurrent(8, hang).map(one).boxed_local()
            }),
        ),
        (
            "in order",
            Box::new(|jobs| {
                let hang = async |job: Job| if *job != 3 { job } else { pending().await };
                jobs.map_concurrent(ordered(8), hang).map(one).boxed_local()
            }),
        ),
        ("batches", Box::new(|jobs| jobs.batched(7).boxed_local())),
        (
            "batches by weight",
            Box::new(|jobs| jobs.batched_by_weight(9, |job| **job).boxed_local()),
        ),
        (
            "a pause",
            Box::new(|jobs| {
                let paused = Semaphore::new(3);
                paused.set_limit(0);
                jobs.map_concurrent(paused, same).map(one).boxed_local()
            }),
        ),
        (
            "by key",
            Box::new(|jobs| {
                let hang = async |job: Job| if *job < 9 { job } else { pending().await };
                jobs.map_concurrent_by_key(3, |job| **job % 2, hang).map(one).boxed_local()
            }),
        ),
        (
            "several stages",
            Box::new(|jobs| {
                jobs.map_concurrent(5, same)
                    .batched(3)
                    .map_concurrent(
                        2,
                        async |batch: Vec<Job>| {
                            if *batch[0] > 9 { pending().await } else { batch }
                        },
                    )
                    .driven()
                    .boxed_local()
            }),
        ),
    ]
}

#[test]
fn each_job_is_done_or_left_wherever_a_pipeline_is_dropped() {
    for (name, pipeline) in pipelines() {
        for polls in 0..JOBS {
            let (left, task) = (Remainder::new(), Task::new());
            let guard = left.clone();
            let pulled = Rc::new(Cell::new(0));
            let count = pulled.clone();
            let jobs = stream::iter(0..JOBS).map(move |job| {
                count.set(job + 1);
                guard.guard(job)
            });
            let mut pipeline = pipeline(jobs.boxed_local());
            let mut done = Vec::new();
            for _ in 0..polls {
                if let std::task::Poll::Ready(Some(jobs)) = task.poll_next(&mut pipeline) {
                    done.extend(jobs.into_iter().map(Guarded::take));
                }
            }
            drop(pipeline);
            let rest = left.take();
            assert!(rest.is_sorted(), "{name}: in the order in which they came");
            let mut all = [done, rest].concat();
            all.sort();
            assert_eq!(all, Vec::from_iter(0..pulled.get()), "{name} after {polls} polls");
            assert!(left.is_empty());
        }
    }
}

/// A call that takes its job out at the end gives it back if it is cut off.
#[test]
fn a_stop_with_a_deadline_leaves_what_was_not_done() {
    let (left, stop, deadline) = (Remainder::new(), Gate::default(), Gate::default());
    let gates = [(); 6].map(|()| Gate::default());
    let (task, done) = (Task::new(), Cell::new(0));
    let mut dropped = None;
    let mut pipeline = stream::iter(0..)
        .map(|job| left.guard(job))
        .take_until_stopped(stop.passed())
        .map_concurrent(4, |job: Job| {
            let passed = gates[*job].passed();
            async move {
                passed.await;
                job
            }
        })
        .batched(2)
        .map(|batch| batch.into_iter().for_each(|job| done.set(done.get() + job.take())))
        .take_until_stopped(deadline.passed())
        .on_stop(|what| dropped = Some(what));
    assert_eq!(task.settle(&mut pipeline), (vec![], false));
    gates[1].open();
    assert_eq!(task.settle(&mut pipeline), (vec![], false));
    stop.open();
    assert_eq!(task.settle(&mut pipeline), (vec![], false));
    gates[2].open();
    assert_eq!(task.settle(&mut pipeline), (vec![()], false));
    gates[4].open();
    assert_eq!(task.settle(&mut pipeline), (vec![], false));
    deadline.open();
    assert_eq!(task.settle(&mut pipeline), (vec![], true));
    drop(pipeline);
    assert_eq!((done.get(), left.take()), (1 + 2, vec![0, 3, 4]));
    let dropped = dropped.unwrap();
    assert_eq!((dropped.calls, dropped.items, dropped.outputs), (2, 1, 0));
}

#[test]
fn errors_and_panics_leave_it_too() {
    let left = Remainder::new();
    let jobs = || stream::iter(0..9).map(|job| left.guard(job));
    let fail = async |job: Job| if *job == 3 { Err::<(), _>("three") } else { pending().await };
    let result: Result<Vec<()>, &str> =
        block_on(jobs().map(Ok).try_map_concurrent(5, fail).try_collect());
    assert_eq!(result, Err("three"));
    assert_eq!(left.take(), [0, 1, 2, 3]);

    let panics = async |job: Job| if *job == 3 { panic!("three") } else { pending::<()>().await };
    let drain = jobs().map_concurrent(5, panics).drain();
    catch_unwind(AssertUnwindSafe(|| block_on(drain))).unwrap_err();
    assert_eq!(left.take(), [0, 1, 2, 3]);
}

#[test]
fn what_a_task_holds_comes_back_when_the_task_is_gone() {
    let left = Remainder::new();
    let guard = left.clone();
    block_on(async {
        let executor = smol::Executor::new();
        let mut jobs = stream::iter(0..30)
            .map(move |job| guard.guard(job))
            .map_concurrent(4, in_task(|task| executor.spawn(task), async |job: Job| job))
            .batched(3);
        let first = executor.run(jobs.next()).await.unwrap();
        let done = Vec::from_iter(first.into_iter().map(Guarded::take));
        drop(jobs);
        drop(executor);
        let rest = left.take();
        assert!(rest.len() <= 8, "{rest:?}");
        let mut all = [done, rest].concat();
        all.sort();
        assert_eq!(all, Vec::from_iter(0..all.len()));
    });
}

#[test]
fn a_frontier_can_be_left_and_taken_up_again() {
    let left = Remainder::new();
    let visit = |pages: Vec<u32>, most: usize| {
        let guard = left.clone();
        let visited = frontier(pages.into_iter().map(|page| left.guard(page)))
            .map_concurrent(3, async |(page, entry): (Guarded<u32>, flowlet::Entry<_>)| {
                (page, entry)
            })
            .map(move |(page, entry)| {
                let page = page.take();
                let next = [2 * page, 2 * page + 1].into_iter().filter(|page| *page < 32);
                entry.expand(next.map(|page| guard.guard(page)));
                page
            });
        block_on(visited.take(most).collect::<Vec<_>>())
    };
    let mut all = visit(vec![1], 7);
    let rest = left.take();
    assert!(!rest.is_empty());
    all.extend(visit(rest, usize::MAX));
    all.sort();
    assert_eq!(all, Vec::from_iter(1..32));
    assert!(left.is_empty());
}

#[test]
fn guards_are_as_their_items() {
    let left = Remainder::<Vec<u8>>::default();
    let mut item = left.guard(vec![1]);
    item.push(2);
    assert_eq!((item.len(), format!("{item:?}")), (2, "Guarded([1, 2])".to_owned()));
    assert_eq!(format!("{left:?}"), "Remainder { len: 0, .. }");
    drop(item);
    assert_eq!((left.len(), left.clone().take()), (1, vec![vec![1, 2]]));
    // Also where a call never began.
    let never = async |item: Guarded<Vec<u8>>| drop(item.take());
    let call = never(left.guard(vec![3]));
    drop(call);
    assert_eq!(left.take(), [[3]]);
}
