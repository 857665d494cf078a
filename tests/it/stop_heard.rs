//! A stop, an end and an error are heard while a pipeline stands still: paused, without permits, or asked for no more
//! than an advance.

use std::cell::Cell;
use std::rc::Rc;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, merge, op, ordered};
use futures_lite::stream::{self, BoxedLocal};

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::waker::Task;

/// A pipeline of numbers, which is paused by the semaphore.
type Numbers = BoxedLocal<usize>;

async fn same(n: usize) -> usize {
    n
}

/// A semaphore that allows nothing for now.
fn paused() -> Semaphore {
    let limit = Semaphore::new(4);
    limit.set_limit(0);
    limit
}

/// What a paused stage may be, on top of a source.
#[allow(clippy::type_complexity)]
fn stages() -> Vec<(&'static str, Box<dyn Fn(Numbers, &Semaphore) -> Numbers>)> {
    fn stage<S: Stream<Item = usize> + 'static>(
        name: &'static str,
        make: impl Fn(Numbers, &Semaphore) -> S + 'static,
    ) -> (&'static str, Box<dyn Fn(Numbers, &Semaphore) -> Numbers>) {
        (name, Box::new(move |source, limit| make(source, limit).boxed_local()))
    }
    vec![
        stage("a map", |source, limit| source.map_concurrent(limit, same)),
        stage("in order", |source, limit| source.map_concurrent(ordered(limit), same)),
        stage("in a window", |source, limit| {
            source.map_concurrent(Concurrency::new(limit).window(9), same)
        }),
        stage("by weight", |source, limit| {
            source.map_concurrent(limit, same).weighed_by(|n| 1 + n % 3)
        }),
        stage("by key", |source, limit| source.map_concurrent_by_key(limit, |n| n % 3, same)),
        stage("a filter", |source, limit| source.filter_map_concurrent(limit, async |n| Some(n))),
        stage("inner streams", |source, limit| source.flat_map_concurrent(limit, |n| [n])),
        stage("inner streams in a window", |source, limit| {
            source.flat_map_concurrent(Concurrency::new(limit).window(9), |n| [n])
        }),
        stage("a growing source", |source, limit| {
            source.expand_concurrent(limit, async |n| (n, vec![]))
        }),
        stage("results", |source, limit| {
            let results = source.map(Ok::<_, ()>).try_map_concurrent(limit, async |n| Ok(n));
            results.map(|n| n.unwrap())
        }),
        stage("two stages", |source, limit| {
            source.map_concurrent(limit, same).map_concurrent(limit, same)
        }),
        stage("below a stage", |source, limit| {
            source.map_concurrent(3, same).map_concurrent(limit, same)
        }),
        stage("above a stage", |source, limit| {
            source.map_concurrent(limit, same).map_concurrent(3, same)
        }),
        stage("below batches", |source, limit| {
            source.batched(3).map_concurrent(limit, async |batch| batch.len())
        }),
        stage("below adaptors", |source, limit| {
            source.filter(|_| true).map(|n| n).fuse().take(99).map_concurrent(limit, same)
        }),
        stage("driven", |source, limit| source.driven().map_concurrent(limit, same).driven()),
        stage("merged below", |source, limit| {
            merge([source, stream::empty().boxed_local()]).map_concurrent(limit, same)
        }),
        stage("merged above", |source, limit| {
            let branch = source.map_concurrent(limit, same).boxed_local();
            merge([branch, stream::empty().boxed_local()])
        }),
    ]
}

/// A source of all numbers, and how many were pulled.
fn numbers() -> (impl Stream<Item = usize>, Rc<Cell<usize>>) {
    let pulled = Rc::new(Cell::new(0));
    let count = pulled.clone();
    (stream::iter(0..).inspect(move |_| count.set(count.get() + 1)), pulled)
}

#[test]
fn a_stop_is_heard_in_a_pause_from_the_beginning() {
    for (name, stage) in stages() {
        let ((source, pulled), stop, task) = (numbers(), Gate::default(), Task::new());
        let source = source.take_until_stopped(stop.passed()).boxed_local();
        let mut numbers = stage(source, &paused());
        assert_eq!(task.settle(&mut numbers), (vec![], false), "{name}");
        stop.open();
        assert!(task.is_woken(), "{name}");
        if name == "below a stage" {
            continue; // What the other stage holds is in flight.
        }
        assert_eq!(task.settle(&mut numbers), (vec![], true), "{name}");
        assert_eq!(pulled.get(), 0, "{name}: nothing is in the way of a stop");
    }
}

#[test]
fn a_stop_is_heard_in_a_pause_after_some_outputs() {
    for (name, stage) in stages() {
        let ((source, _), stop, task) = (numbers(), Gate::default(), Task::new());
        let limit = Semaphore::new(4);
        // The source is dry after some, so that nothing is in flight.
        let dry = source.take(6).chain(stream::pending());
        let mut numbers = stage(dry.take_until_stopped(stop.passed()).boxed_local(), &limit);
        let (outputs, _) = task.settle(&mut numbers);
        assert!(!outputs.is_empty(), "{name}");
        limit.set_limit(0);
        assert_eq!(task.settle(&mut numbers), (vec![], false), "{name}");
        stop.open();
        assert_eq!(task.settle(&mut numbers), (vec![], true), "{name}");
    }
}

#[test]
fn a_pause_between_outputs_pulls_nothing_that_can_be_stopped() {
    for (name, stage) in stages() {
        let ((source, pulled), stop, task) = (numbers(), Gate::default(), Task::new());
        let limit = Semaphore::new(4);
        let mut numbers = stage(source.take_until_stopped(stop.passed()).boxed_local(), &limit);
        for _ in 0..3 {
            while task.poll_next(&mut numbers).is_pending() {}
        }
        limit.set_limit(0);
        // The stage on top may go on for ever, but for what it needs of the other one.
        let (_, ended) = task.settle(&mut numbers);
        assert!(!ended, "{name}");
        let before = pulled.get();
        task.wake();
        assert_eq!(task.settle(&mut numbers).0, [], "{name}");
        assert_eq!(pulled.get(), before, "{name}");
        stop.open();
        let (_, ended) = task.settle(&mut numbers);
        limit.set_limit(4);
        let (_, resumed) = task.settle(&mut numbers);
        assert!(ended || resumed, "{name}");
        assert_eq!(pulled.get(), before, "{name}: nothing more is pulled");
    }
}

#[test]
fn the_end_of_a_source_is_heard_in_a_pause() {
    for (name, stage) in stages() {
        let task = Task::new();
        let mut none = stage(stream::empty().boxed_local(), &paused());
        assert_eq!(task.settle(&mut none), (vec![], true), "{name}");

        let (sender, receiver) = async_channel::unbounded();
        let mut queue = stage(receiver.boxed_local(), &paused());
        let task = Task::new();
        assert_eq!(task.settle(&mut queue), (vec![], false), "{name}");
        drop::<async_channel::Sender<usize>>(sender);
        assert!(task.is_woken(), "{name}");
        assert_eq!(task.settle(&mut queue), (vec![], true), "{name}");
    }
}

#[test]
fn a_pause_pulls_one_item_at_most_which_is_not_lost() {
    for (name, stage) in stages() {
        let ((source, pulled), task, limit) = (numbers(), Task::new(), paused());
        let counted = pulled.clone();
        let mut numbers = stage(source.take(40).boxed_local(), &limit);
        assert_eq!(task.settle(&mut numbers), (vec![], false), "{name}");
        let most = match name {
            "below a stage" | "merged below" => 4,
            "below batches" => 3,
            _ => 1,
        };
        assert!(counted.get() <= most, "{name}: {}", counted.get());
        limit.set_limit(4);
        let (mut outputs, ended) = task.settle(&mut numbers);
        outputs.sort();
        assert!(ended, "{name}");
        match name {
            "below batches" => assert_eq!(outputs.iter().sum::<usize>(), 40),
            _ => assert_eq!(outputs, Vec::from_iter(0..40), "{name}"),
        }
    }
}

#[test]
fn an_error_is_heard_in_a_pause() {
    let (sender, receiver) = async_channel::unbounded();
    let task = Task::new();
    let mut results = receiver.boxed().try_map_concurrent(paused(), async |n: u8| Ok(n));
    assert_eq!(task.settle(&mut results), (vec![], false));
    sender.try_send(Err("broken")).unwrap();
    assert_eq!(task.settle(&mut results), (vec![Err("broken")], true));
}

/// While others have all permits one item at most is in hand, and what comes behind it is heard.
#[test]
fn both_are_heard_while_all_permits_are_elsewhere() {
    for (name, stage) in stages() {
        let limit = Semaphore::new(4);
        let permits = limit.try_acquire_many(4).unwrap();
        let task = Task::new();
        let mut none = stage(stream::empty().boxed_local(), &limit);
        assert_eq!(task.settle(&mut none), (vec![], true), "{name}");

        let (stop, there, task) = (Gate::default(), Gauge::default(), Task::new());
        let unit = there.unit();
        let source = stream::iter(0..).inspect(move |_| {
            let _ = &unit;
        });
        let mut numbers = stage(source.take_until_stopped(stop.passed()).boxed_local(), &limit);
        assert_eq!(task.settle(&mut numbers), (vec![], false), "{name}");
        stop.open();
        assert!(!task.settle(&mut numbers).1, "{name}: what is in hand waits for a permit");
        assert_eq!(there.now(), 0, "{name}: the source is gone");
        drop(permits);
        let (outputs, ended) = task.settle(&mut numbers);
        assert!(ended && outputs.len() <= 8, "{name}: {outputs:?}");
    }
}

#[test]
fn a_stop_is_heard_while_the_consumer_is_busy() {
    for limit in [Concurrency::from(3), ordered(3), Semaphore::new(3).into()] {
        let ((source, pulled), stop, task) = (numbers(), Gate::default(), Task::new());
        let there = Gauge::default();
        let unit = there.unit();
        let source = source.inspect(move |_| {
            let _ = &unit;
        });
        let stopped = source.take_until_stopped(stop.passed());
        let mut numbers = stopped.map_concurrent(limit, same).driven();
        assert!(task.poll_next(&mut numbers).is_ready());
        let busy = Gate::default();
        let mut alongside = Box::pin(numbers.alongside(busy.passed()));
        assert!(task.poll(&mut alongside).is_pending());
        let before = pulled.get();
        stop.open();
        while task.is_woken() {
            assert!(task.poll(&mut alongside).is_pending());
        }
        assert_eq!((there.now(), pulled.get()), (0, before), "the source is gone");
        drop(alongside);
        task.wake();
        assert_eq!(task.settle(&mut numbers).0.len() + 1, before);
    }
}

#[test]
fn a_stop_is_heard_through_a_full_stage() {
    let ((source, pulled), stop, task) = (numbers(), Gate::default(), Task::new());
    let (first, second) = (Gate::default(), Gate::default());
    let there = Gauge::default();
    let unit = there.unit();
    let source = source.inspect(move |_| {
        let _ = &unit;
    });
    let mut numbers = source
        .take_until_stopped(stop.passed())
        .map_concurrent(5, |n| {
            let passed = first.passed();
            async move {
                passed.await;
                n
            }
        })
        .batched(2)
        .map_concurrent(1, |batch| {
            let passed = second.passed();
            async move {
                passed.await;
                batch.len()
            }
        });
    first.open();
    assert_eq!(task.settle(&mut numbers), (vec![], false));
    let before = pulled.get();
    stop.open();
    assert_eq!(task.settle(&mut numbers), (vec![], false));
    assert_eq!((there.now(), pulled.get()), (0, before), "the source is gone");
    second.open();
    let (sizes, ended) = task.settle(&mut numbers);
    assert_eq!((sizes.iter().sum::<usize>(), ended), (before, true));
}

/// The stage above the stop goes on with its calls, up to the stop.
#[test]
fn calls_above_a_stop_go_on_while_a_stage_below_is_full() {
    for driven in [false, true] {
        let (stop, task) = (Gate::default(), Task::new());
        let gates = [(); 6].map(|()| Gate::default());
        let (calls, busy) = (Gauge::default(), Gate::default());
        let stage = stream::iter(0..6).map_concurrent(4, |n: usize| {
            let (unit, passed) = (calls.unit(), gates[n].passed());
            async move {
                passed.await;
                drop(unit);
                n
            }
        });
        let stage = match driven {
            true => stage.driven().boxed_local(),
            false => stage.boxed_local(),
        };
        let mut numbers = stage.take_until_stopped(stop.passed()).map_concurrent(1, |n| {
            let passed = busy.passed();
            async move {
                passed.await;
                n
            }
        });
        gates[0].open();
        assert_eq!(task.settle(&mut numbers), (vec![], false));
        assert_eq!(calls.now(), 4);
        for gate in &gates[1..4] {
            gate.open();
        }
        assert_eq!(task.settle(&mut numbers), (vec![], false));
        assert_eq!(calls.now(), 1, "three of four went on to their end");
        // What is above the stop is dropped by it.
        stop.open();
        assert_eq!(task.settle(&mut numbers), (vec![], false));
        assert_eq!(calls.now(), 0);
        busy.open();
        assert_eq!(task.settle(&mut numbers), (vec![0], true));
    }
}

#[test]
fn a_pipeline_above_a_stop_begins_alongside() {
    let (stop, begun, busy) = (Gate::default(), Cell::new(0), Gate::default());
    let mut numbers = stream::iter(0..9)
        .map_concurrent(4, async |n: usize| begun.set(begun.get() + n - n + 1))
        .take_until_stopped(stop.passed())
        .driven();
    let task = Task::new();
    let mut alongside = Box::pin(numbers.alongside(busy.passed()));
    assert!(task.poll(&mut alongside).is_pending());
    assert_eq!(begun.get(), 4);
}

/// One that is ready is heard by a loop that never waits.
#[test]
fn a_loop_over_a_stop_gives_way() {
    let task = Task::new();
    let mut numbers = stream::iter(0..).take_until_stopped(std::future::pending::<()>());
    let outputs = (0..).find(|_| task.poll_next(&mut numbers).is_pending()).unwrap();
    assert_eq!((outputs, task.is_woken()), (128, true));
}

#[test]
fn flows_are_stopped_in_a_pause() {
    let stop = Gate::default();
    let stopped = stop.clone();
    let flow = op::take_until_stopped(move || stopped.passed())
        .map_concurrent(paused(), same)
        .named("paused")
        .batched(3);
    let task = Task::new();
    let mut batches = flow.apply(stream::iter(0..));
    assert_eq!(task.settle(&mut batches), (vec![], false));
    stop.open();
    assert_eq!(task.settle(&mut batches), (vec![], true));
}

#[test]
fn many_stops_of_merged_sources_are_heard_one_by_one() {
    let limit = paused();
    let stops = [(); 6].map(|()| Gate::default());
    let there = Gauge::default();
    let sources = stops.clone().map(|stop| {
        let unit = there.unit();
        stream::iter(0..)
            .inspect(move |_| {
                let _ = &unit;
            })
            .take_until_stopped(stop.passed())
    });
    let mut numbers = merge(sources).map_concurrent(&limit, same);
    let task = Task::new();
    assert_eq!(task.settle(&mut numbers), (vec![], false));
    for (at, stop) in stops.iter().enumerate() {
        assert_eq!(there.now(), 6 - at);
        stop.open();
        assert_eq!(task.settle(&mut numbers), (vec![], at == 5));
    }
    assert_eq!(there.now(), 0);
}
