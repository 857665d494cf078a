//! `finishing`: after an error nothing starts, running calls end, their outputs come out, and then the error.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, errors_in_turn, finishing, ordered};
use futures_core::FusedStream;
use futures_lite::{future, stream};

use crate::support::gate::Gate;
use crate::support::gated::Gated;
use crate::support::gauge::Gauge;
use crate::support::stages::{Stage, TryBoxed};
use crate::support::waker::Task;

type Out = Result<usize, usize>;

/// A stage over `0..12` whose calls fail for the given items.
fn failing<'a, const N: usize>(
    gated: &'a Gated,
    kind: Stage,
    limit: impl Into<Concurrency>,
    failing: [usize; N],
) -> TryBoxed<'a> {
    let source = gated.source((0..12).map(Ok));
    kind.try_of(source, limit, move |item| {
        gated.call(item, if failing.contains(&item) { Err(item) } else { Ok(()) })
    })
}

/// Every way to ask for four calls that finish, in completion order and in input order.
fn limits() -> [(Concurrency, bool); 10] {
    let semaphore = || Semaphore::new(4);
    [
        (finishing(4), false),
        (finishing(errors_in_turn(4)), false),
        (errors_in_turn(finishing(4)), false),
        (finishing(semaphore()), false),
        (finishing(4).window(4), false),
        (finishing(ordered(4)), true),
        (ordered(finishing(4)), true),
        (ordered(errors_in_turn(finishing(4))), true),
        (finishing(ordered(semaphore())), true),
        (ordered(finishing(4)).window(4), true),
    ]
}

/// What comes when gates are opened one after the other, and whether it ends.
fn open<S: Stream + Unpin>(
    task: &Task,
    stage: &mut S,
    gated: &Gated,
    order: &[usize],
) -> (Vec<S::Item>, bool) {
    let mut came = task.settle(stage);
    for item in order {
        assert!(!came.1, "it has ended before {item}");
        gated.gates[*item].open();
        let (more, over) = task.settle(stage);
        came.0.extend(more);
        came.1 = over;
    }
    came
}

#[test]
fn calls_that_run_end_and_come_out_before_the_error() {
    for kind in Stage::ALL {
        for (limit, in_order) in limits() {
            let (gated, task) = (Gated::default(), Task::new());
            let mut stage = failing(&gated, kind, limit.clone(), [1]);
            assert_eq!(open(&task, &mut stage, &gated, &[1]), (vec![], false));
            assert_eq!(gated.left(), (3, 0), "{kind:?} {limit:?}: upstream is gone, calls are not");

            let expected = if in_order { [0, 2, 3] } else { [3, 0, 2] };
            let expected = expected.map(Ok).into_iter().chain([Err(1)]).collect();
            let came = open(&task, &mut stage, &gated, &[3, 0, 2]);
            assert_eq!(came, (expected, true), "{kind:?} {limit:?}");
            assert_eq!(*gated.begun.borrow(), [0, 1, 2, 3], "nothing more has begun");
            assert_eq!((gated.left(), gated.pulled.get()), ((0, 0), 4));
            assert_eq!(task.poll_next(&mut stage), Poll::Ready(None), "fused");
        }
    }
}

#[test]
fn an_error_from_upstream_waits_for_calls_that_run() {
    for kind in Stage::ALL {
        for (limit, in_order) in limits() {
            let (gated, task) = (Gated::default(), Task::new());
            let source = gated.source([Ok(0), Ok(1), Ok(2), Err(7), Ok(3)].into_iter());
            let mut stage = kind.try_of(source, limit.clone(), |item| gated.call(item, Ok(())));
            assert_eq!(task.settle(&mut stage), (vec![], false), "{kind:?} {limit:?}");
            assert_eq!((gated.left(), gated.pulled.get()), ((3, 0), 4), "{kind:?} {limit:?}");
            let expected = if in_order { [0, 1, 2] } else { [2, 0, 1] };
            let expected = expected.map(Ok).into_iter().chain([Err(7)]).collect();
            assert_eq!(open(&task, &mut stage, &gated, &[2, 0, 1]), (expected, true));
        }
    }
}

#[test]
fn where_nothing_runs_the_error_comes_at_once() {
    for kind in Stage::ALL {
        for (limit, _) in limits() {
            let (gated, task) = (Gated::default(), Task::new());
            let source = gated.source([Err(7), Ok(0)].into_iter());
            let mut stage = kind.try_of(source, limit, |item| gated.call(item, Ok(())));
            assert_eq!(task.settle(&mut stage), (vec![Err(7)], true));
            assert_eq!((gated.left(), gated.pulled.get()), ((0, 0), 1));
        }
    }
}

#[test]
fn without_an_error_nothing_changes() {
    for kind in Stage::ALL {
        for (limit, _) in limits() {
            let (gated, task) = (Gated::default(), Task::new());
            gated.gates.iter().for_each(Gate::open);
            let mut stage = failing(&gated, kind, limit, []);
            assert_eq!(task.settle(&mut stage), ((0..12).map(Ok).collect(), true));
        }
    }
}

/// It is an item to a stage that knows no errors, and so are the errors of calls.
#[test]
fn in_stages_that_know_no_errors_nothing_changes() {
    let outcomes = || [Ok(0), Err(1), Ok(2), Err(3), Ok(4)];
    for (limit, _) in limits() {
        let same: Vec<Out> = future::block_on(
            pipe(outcomes()).map_concurrent(limit.clone(), async |item| item).collect(),
        );
        assert_eq!(same, outcomes());
        let call = async |item| if item == 2 { Err(item) } else { Ok(item) };
        let passed: Vec<Out> =
            future::block_on(pipe(outcomes()).map_ok_concurrent(limit, call).collect());
        assert_eq!(passed, [Ok(0), Err(1), Err(2), Err(3), Ok(4)]);
    }
}

/// In the order in which they happened, also in input order.
#[test]
fn errors_behind_the_first_are_not_lost() {
    for kind in Stage::ALL {
        for (limit, _) in limits() {
            let gated = Gated::default();
            let task = Task::new();
            let mut stage = failing(&gated, kind, limit.clone(), [0, 1, 3]);
            let came = open(&task, &mut stage, &gated, &[3, 0, 1, 2]);
            assert_eq!(came, (vec![Ok(2), Err(3), Err(0), Err(1)], true), "{kind:?} {limit:?}");

            // In one poll, and who stops at the first does not see the others.
            let later = |stage: TryBoxed<'_>| future::block_on(stage.try_drain());
            gated.begun.borrow_mut().clear();
            assert_eq!(later(failing(&gated, kind, limit.clone(), [0, 1, 3])), Err(0));
            let stage = failing(&gated, kind, limit, [0, 1, 3]);
            let mut later = Box::pin(stage.try_map_concurrent(4, async |item| Ok(item)));
            let (came, over) = Task::new().settle(&mut later);
            assert_eq!((came.last(), over), (Some(&Err(0)), true));
            assert_eq!(came.iter().filter(|item| item.is_err()).count(), 1);
        }
    }
}

/// What was finished while the consumer was busy, before the error and after it.
#[test]
fn outputs_that_wait_come_out() {
    for kind in Stage::ALL {
        for (limit, in_order) in limits() {
            let (gated, task) = (Gated::default(), Task::new());
            let mut stage = failing(&gated, kind, limit, [2]).driven();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            for item in [3, 2, 1, 0] {
                gated.gates[item].open();
                future::block_on(stage.alongside(future::yield_now()));
            }
            assert_eq!(gated.left(), (0, 0), "{kind:?}: all have ended, though nobody has them");
            let expected = if in_order { [0, 1, 3] } else { [3, 1, 0] };
            let expected = expected.map(Ok).into_iter().chain([Err(2)]).collect();
            assert_eq!(task.settle(&mut stage), (expected, true));
        }
    }
}

#[test]
fn an_error_passes_a_stage_that_is_full() {
    for kind in Stage::ALL {
        for limit in [finishing(2), finishing(ordered(2)), finishing(Semaphore::new(2))] {
            for through_adaptors in [false, true] {
                let (gated, above, task) = (Gated::default(), Gated::default(), Task::new());
                let mut upstream = failing(&above, kind, 6, [3]);
                if through_adaptors {
                    upstream = upstream.map(|item| item).fuse().boxed_local();
                }
                let mut stage =
                    kind.try_of(upstream, limit.clone(), |item| gated.call(item, Ok(())));
                [0, 1, 2].iter().for_each(|item| above.gates[*item].open());
                assert_eq!(task.settle(&mut stage), (vec![], false));
                assert_eq!(gated.calls.now(), 2, "it is full");

                above.gates[3].open();
                assert_eq!(task.settle(&mut stage), (vec![], false));
                assert_eq!((gated.left(), above.left()), ((2, 0), (0, 0)), "{kind:?} {limit:?}");
                let came = open(&task, &mut stage, &gated, &[0, 1]);
                assert_eq!(came, (vec![Ok(0), Ok(1), Err(3)], true));
                assert_eq!(gated.begun.borrow().len(), 2);
            }
        }
    }
}

/// An item that has no permit never began, and neither did one that does not fit.
#[test]
fn items_that_wait_never_start() {
    for keep_order in [false, true] {
        for (weight, kind) in [(1, "no permit"), (9, "it does not fit")] {
            let (gated, above, task) = (Gated::default(), Gated::default(), Task::new());
            let (semaphore, dropped) = (Semaphore::new(3), Gauge::default());
            let limit = finishing(&semaphore);
            let limit = if keep_order { ordered(limit) } else { limit };
            let upstream = failing(&above, Stage::Map, 6, [4])
                .map(|item| item.map(|item| (item, dropped.unit())));
            let mut stage = Box::pin(
                upstream
                    .try_map_concurrent(limit, |(item, unit)| {
                        let call = gated.call(item, Ok(item));
                        async move {
                            let _unit = unit;
                            call.await
                        }
                    })
                    .weighed_by(move |(item, _)| if *item == 2 { weight } else { 1 }),
            );
            [0, 1].iter().for_each(|item| above.gates[*item].open());
            assert_eq!(task.settle(&mut stage), (vec![], false));
            let taken = semaphore.try_acquire().expect("there is one more");
            above.gates[2].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!((dropped.now(), gated.calls.now()), (3, 2), "{kind}");

            above.gates[4].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!((dropped.now(), above.left()), (2, (0, 0)), "{kind}");
            drop(taken);
            let came = open(&task, &mut stage, &gated, &[1, 0]);
            let expected = if keep_order { [0, 1] } else { [1, 0] };
            assert_eq!(came, (vec![Ok(expected[0]), Ok(expected[1]), Err(4)], true), "{kind}");
            assert_eq!(*gated.begun.borrow(), [0, 1]);
            assert_eq!((semaphore.in_use(), semaphore.try_acquire_many(3).is_some()), (0, true));
        }
    }
}

#[test]
fn a_stage_that_is_paused_has_its_calls_end() {
    for kind in Stage::ALL {
        let (gated, task, semaphore) = (Gated::default(), Task::new(), Semaphore::new(3));
        let mut stage = failing(&gated, kind, finishing(&semaphore), [1]);
        assert_eq!(task.settle(&mut stage), (vec![], false));
        semaphore.set_limit(0);
        let mut came = open(&task, &mut stage, &gated, &[1, 2, 0]);
        if matches!(kind, Stage::FlatMap | Stage::FlatMapStream) {
            // Inner streams need permits to go on after an output, be it to their end.
            assert_eq!(came, (vec![Ok(2), Ok(0)], false));
            semaphore.set_limit(1);
            let (rest, over) = task.settle(&mut stage);
            came = ([came.0, rest].concat(), over);
        }
        assert_eq!(came, (vec![Ok(2), Ok(0), Err(1)], true), "{kind:?}");
        assert_eq!(semaphore.in_use(), 0);
    }
}

#[test]
fn items_that_wait_for_their_key_never_start() {
    struct Key<'a>(usize, &'a Cell<usize>);
    impl std::hash::Hash for Key<'_> {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    impl PartialEq for Key<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Key<'_> {}
    impl Drop for Key<'_> {
        fn drop(&mut self) {
            self.1.set(self.1.get() - 1);
        }
    }

    for (limit, in_order) in limits() {
        let (gated, task, keys) = (Gated::default(), Task::new(), Cell::new(0));
        // 0, 3, 6, 9 are of one key, and so on.
        let source = gated.source((0..12).map(Ok));
        let key = |item: &usize| {
            keys.set(keys.get() + 1);
            Key(item % 3, &keys)
        };
        let call = |item| gated.call(item, if item == 4 { Err(item) } else { Ok(item) });
        let limit = limit.window(12);
        let mut stage = Box::pin(source.try_map_concurrent_by_key(limit.clone(), key, call));
        assert_eq!(task.settle(&mut stage), (vec![], false));
        let came = open(&task, &mut stage, &gated, &[1]);
        assert_eq!(*gated.begun.borrow(), [0, 1, 2, 4], "one call of a key at a time");
        let expected = if in_order { vec![] } else { vec![Ok(1)] };
        assert_eq!(came, (expected, false), "{limit:?}");

        assert_eq!(open(&task, &mut stage, &gated, &[4]), (vec![], false));
        assert_eq!(keys.get(), 2, "those of the calls that run");
        let expected =
            if in_order { vec![Ok(0), Ok(1), Ok(2), Err(4)] } else { vec![Ok(2), Ok(0), Err(4)] };
        assert_eq!(open(&task, &mut stage, &gated, &[2, 0]), (expected, true), "{limit:?}");
        assert_eq!(*gated.begun.borrow(), [0, 1, 2, 4]);
        assert_eq!((keys.get(), gated.left()), (0, (0, 0)));
    }
}

#[test]
fn what_was_found_and_has_not_begun_never_begins() {
    for (limit, in_order) in limits() {
        let (gated, task, there) = (Gated::default(), Task::new(), Gauge::default());
        let found = |item: usize| Vec::from_iter((4..8).map(|more| (item + more, there.unit())));
        let source = gated.source((0..4).map(|item| Ok((item, there.unit()))));
        let mut stage = Box::pin(source.try_expand_concurrent(limit.clone(), |(item, unit)| {
            let call = gated.call(item, if item == 1 { Err(item) } else { Ok(item) });
            async move {
                let _unit = unit;
                call.await.map(|item| (item, found(item)))
            }
        }));
        let came = open(&task, &mut stage, &gated, &[0]);
        assert_eq!(came, (vec![Ok(0)], false));
        assert_eq!(*gated.begun.borrow(), [0, 1, 2, 3, 4]);
        let came = open(&task, &mut stage, &gated, &[1]);
        assert_eq!(came, (vec![], false), "{limit:?}");
        assert_eq!((there.now(), gated.left()), (3, (3, 0)), "what was found is gone");

        let came = open(&task, &mut stage, &gated, &[4, 2, 3]);
        let expected = if in_order { [2, 3, 4] } else { [4, 2, 3] };
        assert_eq!(came, (expected.map(Ok).into_iter().chain([Err(1)]).collect(), true));
        assert_eq!(gated.begun.borrow().len(), 5);
        assert_eq!(there.now(), 0);
    }
}

/// Five outputs, of which the third waits for a gate, or is an error.
fn five(item: usize, gate: &Gate, fails: bool) -> impl Stream<Item = Out> + use<> {
    let (mut passed, mut step) = (gate.passed(), 0);
    stream::poll_fn(move |cx| {
        if step == 2 && Pin::new(&mut passed).poll(cx).is_pending() {
            return Poll::Pending;
        }
        step += 1;
        let output = 10 * item + step;
        Poll::Ready((step <= 5).then_some(if fails && step == 3 {
            Err(output)
        } else {
            Ok(output)
        }))
    })
}

/// With a window they run ahead. With few permits they wait for those between their outputs.
#[test]
fn open_inner_streams_go_on_to_their_ends() {
    let semaphore = Semaphore::new(1);
    for limit in [
        finishing(3),
        finishing(ordered(3)),
        finishing(3).window(7),
        finishing(ordered(3)).window(7),
        finishing(Semaphore::new(3)),
        finishing(ordered(Semaphore::new(3))),
        finishing(&semaphore).window(3),
        ordered(finishing(&semaphore).window(4)),
        finishing(Semaphore::new(2)).window(40),
    ] {
        for busy in [false, true] {
            for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0]] {
                let (gates, task) = ([(); 3].map(|()| Gate::default()), Task::new());
                let opened = RefCell::new(Vec::new());
                let source = stream::iter(0..9).map(Ok);
                let mut stage = source
                    .try_flat_map_concurrent(limit.clone(), |item| {
                        opened.borrow_mut().push(item);
                        five(item, &gates[item % 3], item % 3 == 1)
                    })
                    .driven();
                let mut came = task.settle(&mut stage).0;
                for gate in order {
                    gates[gate].open();
                    for _ in 0..if busy { 30 } else { 0 } {
                        let _ = task.poll(&mut pin!(stage.alongside(pending::<()>())));
                    }
                    came.extend(task.settle(&mut stage).0);
                }
                task.wake();
                let (rest, over) = task.settle(&mut stage);
                came.extend(rest);
                assert!(over, "{limit:?}");

                let case = format!("{limit:?} {busy} {order:?}: {came:?}");
                let first = came.iter().position(Result::is_err).expect("an error");
                assert_eq!(came[first], Err(13), "{case}");
                assert!(came[first..].iter().all(Result::is_err), "{case}");
                for item in opened.borrow().iter() {
                    let steps = if item % 3 == 1 { 2 } else { 5 };
                    let of = |output: &&Out| output.is_ok_and(|output| output / 10 == *item);
                    let outputs = Vec::from_iter(came.iter().filter(of).copied());
                    let all = Vec::from_iter((1..=steps).map(|step| Ok(10 * item + step)));
                    assert_eq!(outputs, all, "{case}");
                }
                if format!("{limit:?}").contains("ordered") {
                    assert!(came[..first].iter().map(|output| output.unwrap()).is_sorted());
                }
            }
        }
    }
    assert_eq!(semaphore.in_use(), 0);
}

/// One that shares its permits with others, who have them in between.
#[test]
fn paused_inner_streams_wait_for_permits() {
    let (gate, task, semaphore) = (Gate::default(), Task::new(), Semaphore::new(3));
    let items = stream::iter(0..3).map(Ok);
    let open_gate = Gate::default();
    open_gate.open();
    let mut stage = Box::pin(items.try_flat_map_concurrent(finishing(&semaphore), |item| {
        five(item, if item == 0 { &gate } else { &open_gate }, item == 0)
    }));
    let next = |stage: &mut Pin<Box<_>>| loop {
        if let Poll::Ready(item) = task.poll_next(stage) {
            return item;
        }
    };
    let mut came = Vec::from_iter((0..3).map(|_| next(&mut stage)));
    // Someone else has what they left.
    let taken = Vec::from_iter(std::iter::from_fn(|| semaphore.try_acquire()));
    assert!(taken.len() > 1);
    gate.open();
    let (more, over) = task.settle(&mut stage);
    came.extend(more.into_iter().map(Some));
    assert!(!over, "they wait: {came:?}");
    drop(taken);
    let (rest, over) = task.settle(&mut stage);
    came.extend(rest.into_iter().map(Some));
    assert_eq!((over, came.len(), came.last()), (true, 13, Some(&Some(Err(3)))));
    assert_eq!(semaphore.in_use(), 0);
}

#[test]
fn heavy_calls_end_too() {
    for (limit, in_order) in limits() {
        let (gated, task) = (Gated::default(), Task::new());
        let source = gated.source((0..12).map(Ok));
        let call = |item| gated.call(item, if item == 1 { Err(item) } else { Ok(item) });
        let mut stage = Box::pin(
            source
                .try_map_concurrent(limit.clone(), call)
                .weighed_by(|item| [1, 2, 1, 4, 9][*item % 5]),
        );
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(*gated.begun.borrow(), [0, 1, 2]);
        let came = open(&task, &mut stage, &gated, &[1, 2, 0]);
        let expected = if in_order { [0, 2] } else { [2, 0] };
        assert_eq!(came, (vec![Ok(expected[0]), Ok(expected[1]), Err(1)], true), "{limit:?}");
        assert_eq!(gated.begun.borrow().len(), 3);
    }
}

#[test]
fn a_pipeline_that_is_dropped_meanwhile_leaves_nothing() {
    for (limit, _) in limits() {
        let (gated, task, there) = (Gated::default(), Task::new(), Gauge::default());
        let source = gated.source((0..12).map(Ok));
        let mut stage = source
            .try_map_concurrent(limit, |item| {
                let (call, unit) = (gated.call(item, ()), there.unit());
                async move {
                    call.await;
                    if item == 1 { Err(unit) } else { Ok(unit) }
                }
            })
            .driven();
        assert!(task.poll_next(&mut stage).is_pending());
        for item in [1, 2] {
            gated.gates[item].open();
            future::block_on(stage.alongside(future::yield_now()));
        }
        assert_eq!(
            (gated.left(), there.now()),
            ((2, 0), 4),
            "two run, an output and an error wait"
        );
        drop(stage);
        assert_eq!((gated.left(), there.now()), ((0, 0), 0));
        assert!(!task.is_kept());
    }
}

/// The error waits above as long as calls run there, and then goes ahead of those below.
#[test]
fn in_a_chain_stages_upstream_are_gone_and_a_later_one_is_told_last() {
    let all: [Gated; 3] = Default::default();
    let task = Task::new();
    let [first, second, third] = &all;
    let source = failing(first, Stage::Map, 3, []);
    let stream = Stage::Filter.try_of(source, finishing(3), |item| {
        second.call(item, if item == 1 { Err(item) } else { Ok(()) })
    });
    let mut stream = Stage::Map.try_of(stream, 1, |item| third.call(item, Ok(())));
    (0..3).for_each(|item| first.gates[item].open());
    second.gates[0].open();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(all.each_ref().map(|gated| gated.calls.now()), [3, 2, 1]);

    second.gates[1].open();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(all.each_ref().map(Gated::left), [(0, 0), (1, 0), (1, 0)]);
    // Its output waits for room below, and the error behind it.
    second.gates[2].open();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(all.each_ref().map(|gated| gated.calls.now()), [0, 0, 1]);
    third.gates[0].open();
    assert_eq!(task.settle(&mut stream), (vec![Ok(0), Err(1)], true));
    assert_eq!(*third.begun.borrow(), [0, 2], "it is no later stage that finishes");
    assert_eq!(all.each_ref().map(Gated::left), [(0, 0); 3]);
}

/// As the documentation says.
#[test]
fn an_error_of_a_later_stage_breaks_calls_off() {
    let [first, second]: [Gated; 2] = Default::default();
    let task = Task::new();
    let stream = failing(&first, Stage::Map, finishing(3), []);
    let mut stream = Stage::Map.try_of(stream, 3, |item| second.call(item, Err(item)));
    first.gates[0].open();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!((first.calls.now(), second.calls.now()), (3, 1));
    second.gates[0].open();
    assert_eq!(task.settle(&mut stream), (vec![Err(0)], true));
    assert_eq!((first.left(), second.left()), ((0, 0), (0, 0)));
}

#[test]
fn both_of_two_stages_may_finish() {
    let [first, second]: [Gated; 2] = Default::default();
    let task = Task::new();
    let stream = failing(&first, Stage::Map, finishing(4), [1, 2]);
    let mut stream = Stage::Map.try_of(stream, finishing(4), |item| {
        second.call(item, if item == 3 { Err(item) } else { Ok(()) })
    });
    // 0 and 3 get to the second stage, and 1 and 2 fail in the first.
    assert_eq!(open(&task, &mut stream, &first, &[0, 3, 1]), (vec![], false));
    assert_eq!(first.calls.now(), 3, "2, and those that began behind it");
    let left = *first.begun.borrow().iter().max().expect("calls");
    for item in 4..=left {
        first.gates[item].open();
    }
    first.gates[2].open();
    let (came, over) = task.settle(&mut stream);
    assert_eq!((came, over), (vec![], false));
    assert_eq!(first.left(), (0, 0));
    second.gates.iter().for_each(Gate::open);
    let (came, over) = task.settle(&mut stream);
    assert!(over);
    let errors = Vec::from_iter(came.iter().filter_map(|item| item.err()));
    assert!(errors.contains(&1) && !errors.contains(&2), "the second error is dropped: {came:?}");
    assert_eq!(came.len(), second.begun.borrow().len() + 1, "{came:?}");
}

/// What the panics carry.
struct Bang;

fn bang() -> ! {
    // As a panic, without a word on the terminal.
    resume_unwind(Box::new(Bang))
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            bang();
        }
    }
}

/// What comes, with `None` for each poll that panics.
fn settle_all<S: Stream + Unpin>(task: &Task, stage: &mut S) -> (Vec<Option<S::Item>>, bool) {
    let mut came = Vec::new();
    while task.is_woken() {
        match catch_unwind(AssertUnwindSafe(|| task.poll_next(stage))) {
            Ok(Poll::Ready(Some(item))) => came.push(Some(item)),
            Ok(Poll::Ready(None)) => return (came, true),
            Ok(Poll::Pending) => {}
            Err(panic) => {
                assert!(panic.is::<Bang>());
                came.push(None);
                task.wake();
            }
        }
    }
    (came, false)
}

#[test]
fn a_call_that_panics_after_the_error_is_one_panic_and_the_rest_goes_on() {
    for (limit, _) in limits() {
        let (gated, task) = (Gated::default(), Task::new());
        let source = gated.source((0..12).map(Ok));
        let mut stage = Box::pin(source.try_map_concurrent(limit.clone(), |item| {
            let call = gated.call(item, ());
            async move {
                call.await;
                match item {
                    1 => Err(item),
                    2 => bang(),
                    _ => Ok(item),
                }
            }
        }));
        assert_eq!(settle_all(&task, &mut stage), (vec![], false));
        gated.gates[1].open();
        assert_eq!(settle_all(&task, &mut stage), (vec![], false));
        gated.gates[2].open();
        assert_eq!(settle_all(&task, &mut stage), (vec![None], false), "{limit:?}");
        [0, 3].iter().for_each(|item| gated.gates[*item].open());
        let expected = vec![Some(Ok(0)), Some(Ok(3)), Some(Err(1))];
        assert_eq!(settle_all(&task, &mut stage), (expected, true));
        assert_eq!(gated.left(), (0, 0));

        // The last one that runs.
        let task = Task::new();
        let gate = Gate::default();
        let mut stage =
            Box::pin(pipe([0, 1]).map(Ok::<usize, usize>).try_map_concurrent(limit, |item| {
                let passed = gate.passed();
                async move {
                    if item == 0 {
                        return Err::<usize, _>(item);
                    }
                    passed.await;
                    bang()
                }
            }));
        let _ = settle_all(&task, &mut stage);
        gate.open();
        let (came, over) = settle_all(&task, &mut stage);
        assert!(over && came.iter().all(|item| matches!(item, None | Some(Err(0)))));
    }
}

#[test]
fn what_panics_as_it_is_dropped_loses_nothing() {
    for (limit, in_order) in limits() {
        // The source.
        let (gated, task, bomb) = (Gated::default(), Task::new(), Bomb);
        let source = stream::iter(0..12).map(move |item| {
            let _ = &bomb;
            Ok(item)
        });
        let call = |item| gated.call(item, if item == 1 { Err(item) } else { Ok(item) });
        let mut stage = Box::pin(source.try_map_concurrent(limit.clone(), call));
        assert_eq!(settle_all(&task, &mut stage), (vec![], false));
        gated.gates[1].open();
        assert_eq!(settle_all(&task, &mut stage), (vec![None], false), "{limit:?}");
        [3, 2, 0].iter().for_each(|item| gated.gates[*item].open());
        let expected = if in_order { [0, 2, 3] } else { [3, 2, 0] };
        let expected = expected.into_iter().map(Ok).chain([Err(1)]).map(Some).collect();
        assert_eq!(settle_all(&task, &mut stage), (expected, true));

        // An item that waits for its key.
        let (gated, task) = (Gated::default(), Task::new());
        let items = [(0, 0), (1, 1), (2, 0), (3, 3)];
        let items = items.map(|(item, key)| Ok((item, key, (item == 2).then(|| Bomb))));
        let call = |(item, _, bomb): (usize, usize, Option<Bomb>)| {
            assert!(bomb.is_none(), "it never starts");
            gated.call(item, if item == 1 { Err(item) } else { Ok(item) })
        };
        let mut stage =
            Box::pin(pipe(items).try_map_concurrent_by_key(limit.clone(), |item| item.1, call));
        assert_eq!(settle_all(&task, &mut stage), (vec![], false));
        gated.gates[1].open();
        assert_eq!(settle_all(&task, &mut stage), (vec![None], false), "{limit:?}");
        [3, 0].iter().for_each(|item| gated.gates[*item].open());
        let expected = if in_order { [0, 3] } else { [3, 0] };
        let expected = expected.into_iter().map(Ok).chain([Err(1)]).map(Some).collect();
        assert_eq!(settle_all(&task, &mut stage), (expected, true));

        // The inner stream that failed.
        let (gated, task) = (Gated::default(), Task::new());
        let mut stage = Box::pin(pipe([0, 1, 2]).map(Ok).try_flat_map_concurrent(limit, |item| {
            let bomb = (item == 1).then(|| Bomb);
            let call = gated.call(item, if item == 1 { Err(item) } else { Ok(item) });
            let one = stream::once_future(call).chain(stream::iter([Ok(9)]));
            one.map(move |output| {
                let _ = &bomb;
                output
            })
        }));
        assert_eq!(settle_all(&task, &mut stage), (vec![], false));
        gated.gates[1].open();
        assert_eq!(settle_all(&task, &mut stage), (vec![None], false));
        gated.gates[0].open();
        assert_eq!(settle_all(&task, &mut stage), (vec![Some(Ok(0)), Some(Ok(9))], false));
        gated.gates[2].open();
        let expected = [Ok(2), Ok(9), Err(1)].map(Some).to_vec();
        assert_eq!(settle_all(&task, &mut stage), (expected, true));
    }
}

#[test]
fn what_it_says_of_itself_stays_true() {
    for (limit, _) in limits() {
        let (gated, task) = (Gated::default(), Task::new());
        let source = gated.source((0..12).map(Ok));
        let call = |item| gated.call(item, if item < 2 { Err(item) } else { Ok(item) });
        let mut stage = source.try_map_concurrent(limit, call);
        assert_eq!(task.settle(&mut stage), (vec![], false));
        for (rest, open) in [(4, 1), (4, 0), (4, 2), (3, 3)] {
            gated.gates[open].open();
            let (came, over) = match open {
                3 => (vec![], false),
                _ => task.settle(&mut stage),
            };
            let rest = rest - came.len();
            let (lower, upper) = stage.size_hint();
            assert!(lower <= rest && upper.is_none_or(|upper| upper >= rest));
            assert!(!over && !stage.is_terminated());
            let shown = format!("{:?}", stage.size_hint());
            assert!(lower > 0, "{shown}");
        }
        assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(Ok(3))));
        for (rest, error) in [(2, 1), (1, 0)] {
            assert_eq!(stage.size_hint(), (rest, Some(rest)), "the errors wait");
            assert!(!stage.is_terminated());
            assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(Err(error))));
        }
        assert!(stage.is_terminated());
        assert_eq!(stage.size_hint(), (0, Some(0)));
        assert_eq!(task.poll_next(&mut stage), Poll::Ready(None));
    }
}

#[test]
fn limits_are_shown_as_they_are_written() {
    let shown = |limit: Concurrency| format!("{limit:?}");
    assert_eq!(shown(finishing(20)), "finishing(20)");
    assert_eq!(shown(finishing(ordered(20))), "finishing(ordered(20))");
    assert_eq!(shown(finishing(4).window(9)), "finishing(4).window(9)");
    assert_eq!(
        shown(finishing(errors_in_turn(ordered(4).window(9)))),
        "finishing(errors_in_turn(ordered(4))).window(9)"
    );
    assert_eq!(shown(Concurrency::new(4).window(9)), "Concurrency::new(4).window(9)");
}
