//! A poll of a pipeline comes to an end, so that other tasks get a turn, and goes on in the next one.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, merge, ordered};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::tasks::Tasks;
use crate::support::waker::Task;

/// Several times what a poll is to do.
const MUCH: usize = 1_000;

/// What there is to do at once, in tests of one poll.
const MORE: usize = 10 * MUCH;

type Boxed<'a> = Pin<Box<dyn Stream<Item = usize> + 'a>>;

/// Counts what is done, and puts an end to a poll that has none.
#[derive(Clone, Default)]
struct Work(Arc<AtomicUsize>);

impl Work {
    fn done(&self) {
        let done = 1 + self.0.fetch_add(1, Ordering::Relaxed);
        assert!(done <= MORE, "the poll does not return");
    }

    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }

    fn count<S: Stream>(&self, stream: S) -> impl Stream<Item = S::Item> + use<S> {
        let work = self.clone();
        stream.inspect(move |_| work.done())
    }
}

/// Polls a pipeline that always has something to do, and never an item.
#[track_caller]
fn check_polls<S: Stream>(stream: S, work: &Work) {
    let (mut stream, task, mut all) = (pin!(stream), Task::new(), 0);
    for _ in 0..20 {
        assert!(task.poll_next(&mut stream).is_pending());
        assert!(task.is_woken(), "there is more to do");
        let done = work.take();
        assert!(done <= MUCH, "{done} in one poll");
        all += done;
    }
    assert!(all >= 20, "no more than {all} in 20 polls");
}

/// Everything that asks a stage, directly or not.
fn each_below<'a>(make: impl Fn() -> Boxed<'a>, mut check: impl FnMut(&str, Boxed<'a>)) {
    check("stage", Box::pin(make().map_concurrent(1, async |n| n)));
    check("ordered", Box::pin(make().map_concurrent(ordered(2), async |n| n)));
    check("semaphore", Box::pin(make().map_concurrent(Semaphore::new(2), async |n| n)));
    check("driven", Box::pin(make().driven()));
    check("merge", Box::pin(merge([make()])));
    check("batches", Box::pin(make().batched(1).map(|batch| batch[0]).driven()));
    check("merges", Box::pin(merge([merge([make()]).driven(), merge([]).driven()])));
    check(
        "stages",
        Box::pin(make().driven().map_concurrent(2, async |n| n).filter(|_| true).driven()),
    );
}

/// Whatever is left to be done when the poll ends, nothing else will wake the task for it.
#[test]
fn a_selective_adaptor_is_asked_again_in_the_next_poll() {
    let rare = |n: &usize| n % 500 == 499;
    let sources: [fn() -> Boxed<'static>; 4] = [
        || Box::pin(pipe(0..1_000).map_concurrent(1, async |n| n)),
        || Box::pin(pipe(0..1_000).map_concurrent(4, async |n| n).driven()),
        || Box::pin(merge([pipe(0..1_000).filter_concurrent(1, async |_: &usize| true)])),
        || Box::pin(pipe(0..1).flat_map_concurrent(1, |_| 0..1_000)),
    ];
    for source in sources {
        each_below(
            || Box::pin(source().filter(rare)),
            |name, mut stream| {
                assert_eq!(Task::new().settle(&mut stream), (vec![499, 999], true), "{name}");
            },
        );
    }
}

#[test]
fn a_selective_adaptor_behind_a_prefetch_is_asked_again_in_the_next_poll() {
    let tasks = Tasks::new();
    let make = || -> Boxed<'static> {
        Box::pin(pipe(0..1_000).prefetch(MORE, tasks.spawn()).filter(|n| n % 500 == 499))
    };
    each_below(make, |name, mut stream| {
        let task = Task::new();
        assert!(task.poll_next(&mut stream).is_pending());
        tasks.run();
        assert_eq!(task.settle(&mut stream), (vec![499, 999], true), "{name}");
    });
}

#[test]
fn calls_that_are_refused_below_count() {
    let work = Work::default();
    let make = || -> Boxed<'_> {
        Box::pin(work.count(pipe(0..).map_concurrent(2, async |n| n)).filter(|_| false))
    };
    each_below(make, |_, stream| check_polls(stream, &work));
}

#[test]
fn calls_above_a_driven_stream_that_are_refused_below_count() {
    let work = Work::default();
    let make = || -> Boxed<'_> {
        let driven = pipe(0..).map_concurrent(2, async |n| n).driven();
        Box::pin(work.count(driven).filter(|_| false))
    };
    each_below(make, |_, stream| check_polls(stream, &work));
}

fn check_expansions(limit: impl Fn() -> Concurrency) {
    let work = Work::default();
    let make = || -> Boxed<'_> {
        let outputs = pipe(0..).flat_map_concurrent(limit(), stream::repeat);
        Box::pin(work.count(outputs).filter(|_| false))
    };
    each_below(make, |_, stream| check_polls(stream, &work));
}

#[test]
fn outputs_of_expansions_count() {
    check_expansions(|| 1.into());
    check_expansions(|| 3.into());
    check_expansions(|| ordered(2));
}

#[test]
fn outputs_of_expansions_that_share_a_semaphore_count() {
    check_expansions(|| Semaphore::new(3).into());
    check_expansions(|| ordered(Semaphore::new(3)));
}

#[test]
fn outputs_of_expansions_that_end_count() {
    let work = Work::default();
    let make = || -> Boxed<'_> {
        let outputs = pipe(0..).flat_map_concurrent(3, |n: usize| 0..n % 20);
        Box::pin(work.count(outputs).filter(|_| false))
    };
    each_below(make, |_, stream| check_polls(stream, &work));
}

#[test]
fn work_in_a_merged_stream_counts() {
    let work = Work::default();
    let make = || -> Boxed<'_> {
        let branch = || work.count(pipe(0..).map_concurrent(2, async |n| n));
        Box::pin(merge([branch(), branch(), branch()]).filter(|_| false))
    };
    each_below(make, |_, stream| check_polls(stream, &work));
}

/// The pipelines are polled with wakers of the combinator's.
#[test]
fn pipelines_in_a_plain_combinator_leave_the_budget_alone() {
    let work = Work::default();
    let make = || -> Boxed<'_> {
        let inner = async |n| {
            pipe([n]).map_concurrent(1, async |n| n).map_concurrent(1, async |n| n).count().await
        };
        let outer = pipe(0..).map_concurrent(2, async |n| n).map(inner);
        Box::pin(work.count(futures_util::StreamExt::buffer_unordered(outer, 2)).filter(|_| false))
    };
    each_below(make, |_, stream| check_polls(stream, &work));
}

/// The same for pipelines in calls.
#[test]
fn pipelines_in_calls_leave_the_budget_alone() {
    let work = Work::default();
    let make = || -> Boxed<'_> {
        let inner = async |n| {
            pipe([n]).map_concurrent(1, async |n| n).map_concurrent(1, async |n| n).count().await
        };
        Box::pin(work.count(pipe(0..).map_concurrent(2, inner)).filter(|_| false))
    };
    each_below(make, |_, stream| check_polls(stream, &work));
}

/// Calls that were all woken at once, and come to nothing.
#[test]
fn a_poll_goes_on_with_so_many_calls_at_most() {
    let limits: [Concurrency; 4] =
        [MORE.into(), ordered(MORE), Semaphore::new(MORE).into(), usize::MAX.into()];
    for limit in limits {
        let (gate, polled) = (Gate::default(), Cell::new(0));
        let mut stream = pin!(pipe(0..MORE).filter_map_concurrent(limit, |_| {
            let (passed, polled) = (gate.passed(), &polled);
            async move {
                passed.await;
                polled.set(polled.get() + 1);
                None::<usize>
            }
        }));
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        gate.open();
        loop {
            polled.set(0);
            let over = task.poll_next(&mut stream).is_ready();
            assert!(polled.get() <= MUCH, "{} in one poll", polled.get());
            if over {
                break;
            }
            assert!(task.is_woken());
        }
    }
}

/// New calls never end, and must not leave each poll to them but for one call.
#[test]
fn new_calls_leave_those_that_were_woken_half_of_each_poll() {
    let limits: [Concurrency; 3] = [MORE.into(), ordered(MORE), Semaphore::new(MORE).into()];
    for limit in limits {
        let (gate, done) = (Gate::default(), Cell::new(0));
        let mut stream = pin!(pipe(0..).filter_map_concurrent(limit, |n| {
            let (passed, done) = ((n < MUCH).then(|| gate.passed()), &done);
            async move {
                if let Some(passed) = passed {
                    passed.await;
                    done.set(done.get() + 1);
                }
                None::<usize>
            }
        }));
        let task = Task::new();
        (0..20).for_each(|_| assert!(task.poll_next(&mut stream).is_pending()));
        gate.open();
        (0..50).for_each(|_| assert!(task.poll_next(&mut stream).is_pending()));
        assert_eq!(done.get(), MUCH);
    }
}

/// The same where each has an output, which is refused below.
#[test]
fn calls_that_were_woken_and_are_refused_below_count() {
    for limit in [Concurrency::from(MORE), ordered(MORE), Semaphore::new(MORE).into()] {
        let (gate, work) = (Gate::default(), Work::default());
        let calls = pipe(0..MORE).map_concurrent(limit, |n| {
            let passed = gate.passed();
            async move {
                passed.await;
                n
            }
        });
        let refused = work.count(calls).filter(|_| false);
        let mut stream = pin!(refused.map_concurrent(1, async |n| n));
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        gate.open();
        while task.poll_next(&mut stream).is_pending() {
            assert!(task.is_woken());
            let done = work.take();
            assert!(done <= MUCH, "{done} in one poll");
        }
        let done = work.take();
        assert!(done <= MUCH, "{done} in one poll");
    }
}

#[test]
fn a_merged_stream_of_many_that_are_busy_leaves_others_their_part() {
    let work = Work::default();
    let busy = || {
        let work = work.clone();
        stream::poll_fn(move |cx| {
            work.done();
            cx.waker().wake_by_ref();
            Poll::<Option<usize>>::Pending
        })
    };
    check_polls(merge((0..MORE).map(|_| busy())), &work);
    check_polls(merge((0..MORE).map(|_| busy())).map_concurrent(2, async |n| n), &work);
}

#[test]
fn items_of_a_prefetch_count() {
    let (work, tasks) = (Work::default(), Tasks::new());
    let make = || -> Boxed<'_> {
        Box::pin(work.count(pipe(0..MORE).prefetch(MORE, tasks.spawn())).filter(|_| false))
    };
    each_below(make, |name, mut stream| {
        let task = Task::new();
        assert!(task.poll_next(&mut stream).is_pending());
        tasks.run();
        for _ in 0..5 {
            assert_eq!(task.poll_next(&mut stream), Poll::Pending);
            assert!(task.is_woken(), "{name}");
            let done = work.take();
            assert!((1..=MUCH).contains(&done), "{name}: {done} in one poll");
        }
    });
}
