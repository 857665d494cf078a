//! The first error ends a stage: everything else is dropped before it comes out, and it comes once.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, errors_in_turn, ordered};
use futures_lite::{future, stream};

use crate::support::gate::Gate;
use crate::support::gated::Gated;
use crate::support::gauge::{Gauge, Unit};
use crate::support::stages::{Stage, TryBoxed};
use crate::support::waker::Task;

impl Gated {
    /// A call that fails if `fails`.
    fn try_call(
        &self,
        item: usize,
        fails: bool,
    ) -> impl Future<Output = Result<(), usize>> + use<> {
        self.call(item, if fails { Err(item) } else { Ok(()) })
    }

    /// A stage over `0..12` whose calls fail for the given items.
    fn try_stage<'a, const N: usize>(
        &'a self,
        kind: Stage,
        limit: impl Into<Concurrency>,
        failing: [usize; N],
    ) -> TryBoxed<'a> {
        let source = self.source((0..12).map(Ok));
        kind.try_of(source, limit, move |item| self.try_call(item, failing.contains(&item)))
    }
}

/// Polls until there is an item.
fn next<S: Stream + Unpin>(task: &Task, stream: &mut S) -> Option<S::Item> {
    loop {
        assert!(task.is_woken(), "nothing comes, and nothing will");
        if let Poll::Ready(item) = task.poll_next(stream) {
            return item;
        }
    }
}

fn limits() -> [Concurrency; 5] {
    let semaphore = Semaphore::new(4);
    [4.into(), errors_in_turn(4), ordered(4), Semaphore::new(4).into(), ordered(&semaphore)]
}

#[test]
fn all_else_is_dropped_before_the_error_comes_out_once() {
    for kind in Stage::ALL {
        for limit in limits() {
            let (gated, task) = (Gated::default(), Task::new());
            // In every order the first one.
            let mut stage = gated.try_stage(kind, limit.clone(), [0, 2]);
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!((gated.calls.now(), gated.pulled.get()), (4, 4), "{kind:?} {limit:?}");

            gated.gates[0].open();
            assert_eq!(next(&task, &mut stage), Some(Err(0)), "{kind:?} {limit:?}");
            assert_eq!(gated.left(), (0, 0), "{kind:?} {limit:?}");

            gated.gates.iter().for_each(Gate::open);
            assert_eq!(task.settle(&mut stage), (vec![], true));
            assert_eq!(task.poll_next(&mut stage), Poll::Ready(None), "fused");
            assert_eq!(gated.pulled.get(), 4);
        }
    }
}

/// A limit of 1, and one that is never reached.
#[test]
fn whatever_the_limit() {
    for kind in Stage::ALL {
        for limit in [1.into(), usize::MAX.into(), ordered(1), ordered(usize::MAX)] {
            let (gated, task) = (Gated::default(), Task::new());
            gated.gates.iter().for_each(Gate::open);
            let mut stage = gated.try_stage(kind, limit, [3]);
            let (items, over) = task.settle(&mut stage);
            assert_eq!((items, over), (vec![Ok(0), Ok(1), Ok(2), Err(3)], true));
            assert_eq!(gated.left(), (0, 0));
        }
    }
}

#[test]
fn without_an_error_nothing_changes() {
    for kind in Stage::ALL {
        for limit in limits() {
            let (gated, task) = (Gated::default(), Task::new());
            gated.gates.iter().for_each(Gate::open);
            let mut stage = gated.try_stage(kind, limit, []);
            assert_eq!(task.settle(&mut stage), ((0..12).map(Ok).collect(), true));
            assert_eq!((gated.left(), gated.calls.peak() <= 4), ((0, 0), true));
        }
    }
}

#[test]
fn semaphores_have_their_permits_back_when_the_error_comes() {
    for kind in Stage::ALL {
        for keep_order in [false, true] {
            let (gated, task, semaphore) = (Gated::default(), Task::new(), Semaphore::new(4));
            let limit = Concurrency::from(&semaphore);
            let limit = if keep_order { ordered(limit) } else { limit };
            let mut stage = gated.try_stage(kind, limit, [0]);
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!(semaphore.in_use(), 4);
            gated.gates[0].open();
            assert_eq!(next(&task, &mut stage), Some(Err(0)));
            assert_eq!(semaphore.in_use(), 0);
        }
    }
}

/// Three outputs at once if `item` is 0, else an error when the gate is open.
fn three_or_error(item: usize, gate: &Gate) -> impl Stream<Item = Result<usize, usize>> + use<> {
    let (mut passed, mut outputs) = (gate.passed(), 0);
    stream::poll_fn(move |cx| {
        if item > 0 {
            return Pin::new(&mut passed).poll(cx).map(|()| Some(Err(item)));
        }
        outputs += 1;
        Poll::Ready((outputs <= 3).then_some(Ok(outputs)))
    })
}

/// An expansion that gave an output waits for a permit to go on.
#[test]
fn an_expansion_that_waits_for_a_permit_takes_none_after_an_error() {
    for in_turn in [false, true] {
        let (gate, task, semaphore) = (Gate::default(), Task::new(), Semaphore::new(2));
        let limit = if in_turn { errors_in_turn(&semaphore) } else { (&semaphore).into() };
        let expand = |item| three_or_error(item, &gate);
        let mut stage = Box::pin(pipe([1, 0]).map(Ok).try_flat_map_concurrent(limit, expand));
        assert_eq!(next(&task, &mut stage), Some(Ok(1)));
        let _permit = semaphore.try_acquire().expect("an output gives one back");
        assert_eq!(task.settle(&mut stage), (vec![], false));
        gate.open();
        assert_eq!(task.settle(&mut stage), (vec![Err(1)], true));
        assert_eq!(semaphore.in_use(), 1, "and that is not the stage's");
    }
}

#[test]
fn an_expansion_that_waits_for_a_permit_goes_on_before_an_error_that_is_not_its_own() {
    let (gate, task, semaphore) = (Gate::default(), Task::new(), Semaphore::new(2));
    let expand = |item| three_or_error(item, &gate);
    let items = pipe([0, 1]).map(Ok);
    let mut stage = Box::pin(items.try_flat_map_concurrent(ordered(&semaphore), expand));
    assert_eq!(next(&task, &mut stage), Some(Ok(1)));
    assert_eq!(next(&task, &mut stage), Some(Ok(2)));
    let _permit = semaphore.try_acquire().expect("an output gives one back");
    assert_eq!(task.settle(&mut stage), (vec![], false));
    // It goes on with the permit of the one that fails.
    gate.open();
    assert_eq!(task.settle(&mut stage), (vec![Ok(3), Err(1)], true));
}

/// Or others could begin before it is gone, more than the limit allows.
#[test]
fn a_call_that_an_error_drops_has_its_permit_until_then() {
    struct Running(Gauge, Semaphore, Option<Unit>);

    impl Drop for Running {
        fn drop(&mut self) {
            assert!(self.1.in_use() >= self.0.now(), "it gave its permit back");
            self.2 = None;
        }
    }

    for kind in Stage::ALL {
        let (semaphore, running, task) = (Semaphore::new(4), Gauge::default(), Task::new());
        // The error has no permit of its own.
        let items = stream::iter([Ok(0), Ok(1), Err(7)]);
        let mut stage = kind.try_of(items, &semaphore, |_| {
            let running = Running(running.clone(), semaphore.clone(), Some(running.unit()));
            async move {
                let _running = running;
                future::pending().await
            }
        });
        assert_eq!(next(&task, &mut stage), Some(Err(7)), "{kind:?}");
        assert_eq!((running.peak(), running.now(), semaphore.in_use()), (2, 0, 0));
    }
}

/// The error of the source is not given to the function, and needs no call to end.
#[test]
fn an_error_from_upstream_goes_ahead_of_calls_that_run() {
    for kind in Stage::ALL {
        for limit in [4.into(), errors_in_turn(4), Semaphore::new(4).into()] {
            let (gated, task) = (Gated::default(), Task::new());
            let items = [Ok(0), Ok(1), Err(7), Ok(2), Ok(3)];
            let source = gated.source(items.into_iter());
            let mut stage = kind.try_of(source, limit, |item| gated.try_call(item, false));
            assert_eq!(next(&task, &mut stage), Some(Err(7)), "{kind:?}");
            assert_eq!((gated.left(), gated.pulled.get()), ((0, 0), 3));
            assert_eq!(task.settle(&mut stage), (vec![], true));
        }
    }
}

#[test]
fn in_order_it_comes_after_what_was_before_it() {
    for kind in Stage::ALL {
        for limit in [ordered(4), ordered(Semaphore::new(4))] {
            let (gated, task) = (Gated::default(), Task::new());
            let items = [Ok(0), Ok(1), Err(7), Ok(2), Ok(3)];
            let source = gated.source(items.into_iter());
            let mut stage = kind.try_of(source, limit, |item| gated.try_call(item, false));
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!((gated.left(), gated.pulled.get()), ((2, 0), 3), "{kind:?}");
            gated.gates[1].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            gated.gates[0].open();
            assert_eq!(task.settle(&mut stage), (vec![Ok(0), Ok(1), Err(7)], true));
        }
    }
}

/// A failure waits for no room: neither a free place nor a permit.
#[test]
fn an_error_from_upstream_passes_a_stage_that_is_full() {
    for kind in Stage::ALL {
        for limit in [2.into(), errors_in_turn(2), Semaphore::new(2).into()] {
            for through_adaptors in [false, true] {
                let (gated, above, task) = (Gated::default(), Gated::default(), Task::new());
                let mut upstream = above.try_stage(kind, 6, [3]);
                if through_adaptors {
                    upstream = upstream.map(|item| item).fuse().boxed_local();
                }
                let mut stage =
                    kind.try_of(upstream, limit.clone(), |item| gated.try_call(item, false));
                [0, 1, 2].iter().for_each(|item| above.gates[*item].open());
                assert_eq!(task.settle(&mut stage), (vec![], false));
                assert_eq!(gated.calls.now(), 2, "it is full");

                above.gates[3].open();
                assert_eq!(next(&task, &mut stage), Some(Err(3)), "{kind:?} {limit:?}");
                assert_eq!((gated.left(), above.left()), ((0, 0), (0, 0)));
                assert_eq!(task.settle(&mut stage), (vec![], true));
            }
        }
    }
}

/// An item before it was pulled when a permit seemed free, and may wait for one for long.
#[test]
fn an_error_from_upstream_passes_an_item_that_waits_for_a_permit() {
    for kind in Stage::ALL {
        for in_turn in [false, true] {
            let (gated, above, task) = (Gated::default(), Gated::default(), Task::new());
            let (semaphore, taken) = (Semaphore::new(1), RefCell::new(None));
            let limit = if in_turn { errors_in_turn(&semaphore) } else { (&semaphore).into() };
            // Someone takes the permit while the first item is on its way.
            let upstream = above.try_stage(kind, 2, [1]).inspect(|item| {
                if *item == Ok(0) {
                    *taken.borrow_mut() = semaphore.try_acquire();
                }
            });
            let mut stage = kind.try_of(upstream, limit, |item| gated.try_call(item, false));
            above.gates[0].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!((taken.borrow().is_some(), gated.calls.peak()), (true, 0), "it waits");

            above.gates[1].open();
            assert_eq!(next(&task, &mut stage), Some(Err(1)), "{kind:?} {in_turn}");
            assert_eq!((gated.left(), above.left()), ((0, 0), (0, 0)));
            assert_eq!(task.settle(&mut stage), (vec![], true));
        }
    }
}

/// The calls of a stage go when the error passes it, not before, and not after.
#[test]
fn in_a_chain_everything_upstream_is_gone() {
    let all: [Gated; 4] = Default::default();
    let task = Task::new();
    let [first, second, third, fourth] = &all;
    let source = first.try_stage(Stage::Map, 3, [11]);
    let stream = Stage::Filter.try_of(source, 3, |item| second.try_call(item, item == 1));
    let stream = Stage::FilterMap.try_of(stream, 3, |item| third.try_call(item, false));
    let mut stream = Stage::FlatMap.try_of(stream, 3, |item| fourth.try_call(item, false));
    for item in 0..3 {
        first.gates[item].open();
    }
    second.gates[0].open();
    third.gates[0].open();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(all.each_ref().map(|gated| gated.calls.now()), [3, 2, 0, 1]);

    second.gates[1].open();
    assert_eq!(next(&task, &mut stream), Some(Err(1)));
    assert_eq!(all.each_ref().map(Gated::left), [(0, 0); 4]);
    assert_eq!(task.settle(&mut stream), (vec![], true));
}

/// Stages that know no errors hand one on like any item, when there is room.
#[test]
fn an_error_is_an_item_to_other_stages() {
    let (above, below, task) = (Gated::default(), Gated::default(), Task::new());
    let upstream = above.try_stage(Stage::Map, 4, [1]);
    let mut stage = Box::pin(upstream.map_concurrent(1, async |item| {
        if let Ok(item) = item {
            let _ = below.try_call(item, false).await;
        }
        item
    }));
    above.gates[0].open();
    assert_eq!(task.settle(&mut stage), (vec![], false));
    above.gates[1].open();
    assert_eq!(task.settle(&mut stage), (vec![], false));
    assert_eq!((above.left(), below.calls.now()), ((0, 0), 1), "known, though not taken yet");
    below.gates[0].open();
    assert_eq!(task.settle(&mut stage), (vec![Ok(0), Err(1)], true));
    assert_eq!(above.left(), (0, 0));
}

/// Finished while the consumer was busy, and then came an error.
fn finished_then_failed(limit: Concurrency) -> Vec<Result<usize, usize>> {
    let (gated, task) = (Gated::default(), Task::new());
    let mut stage = gated.try_stage(Stage::Map, limit, [2]).driven();
    assert_eq!(task.settle(&mut stage), (vec![], false));
    gated.gates[0].open();
    assert_eq!(next(&task, &mut stage), Some(Ok(0)));
    for item in [1, 3, 2] {
        gated.gates[item].open();
        future::block_on(stage.alongside(future::yield_now()));
    }
    assert_eq!(gated.calls.now(), 0, "the error has ended the others, though nobody has it yet");
    assert_eq!(gated.pulled.get(), 5);
    let (rest, over) = task.settle(&mut stage);
    assert!(over);
    rest
}

#[test]
fn outputs_that_wait_are_dropped_unless_the_error_takes_its_turn() {
    assert_eq!(finished_then_failed(4.into()), [Err(2)]);
    assert_eq!(finished_then_failed(errors_in_turn(4)), [Ok(1), Ok(3), Err(2)]);
    assert_eq!(finished_then_failed(ordered(4)), [Ok(1), Err(2)]);
    assert_eq!(finished_then_failed(errors_in_turn(ordered(4))), [Ok(1), Err(2)]);
    assert_eq!(finished_then_failed(ordered(errors_in_turn(4))), [Ok(1), Err(2)]);
}

/// In order: later calls go as soon as an error is known, earlier ones go on, and may be first.
#[test]
fn in_order_an_earlier_error_comes_out_instead() {
    for kind in Stage::ALL {
        let (gated, task) = (Gated::default(), Task::new());
        let mut stage = gated.try_stage(kind, ordered(6), [1, 3]);
        assert_eq!(task.settle(&mut stage), (vec![], false));
        gated.gates[3].open();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(gated.left(), (3, 0), "those before it go on");
        gated.gates[2].open();
        gated.gates[1].open();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(gated.left(), (1, 0));
        gated.gates[0].open();
        assert_eq!(task.settle(&mut stage), (vec![Ok(0), Err(1)], true), "{kind:?}");
        assert_eq!((gated.left(), gated.pulled.get()), ((0, 0), 6));
    }
}

/// What comes of an expansion before its error has come out, and others are dropped with it.
/// One that came out as the stage was full, of a plain stream beside a stage.
#[test]
fn no_item_is_left_over_after_an_error() {
    for kind in Stage::ALL {
        for limit in [1.into(), errors_in_turn(1), ordered(1), Semaphore::new(1).into()] {
            let (gated, above, task) = (Gated::default(), Gated::default(), Task::new());
            let (sender, plain) = async_channel::unbounded();
            let beside = stream::or(plain, above.try_stage(kind, 1, []));
            let mut stage = kind.try_of(beside, limit.clone(), |item| gated.try_call(item, true));
            above.gates[0].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            sender.try_send(Ok(1)).unwrap();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!(gated.calls.peak(), 1, "it is full");

            gated.gates.iter().for_each(Gate::open);
            assert_eq!(next(&task, &mut stage), Some(Err(0)));
            assert_eq!(task.settle(&mut stage), (vec![], true), "{kind:?} {limit:?}");
            assert_eq!((gated.left(), above.left()), ((0, 0), (0, 0)));
        }
    }
}

/// Says how much else is there when it is dropped.
struct Last<'a> {
    calls: &'a Gauge,
    outputs: &'a Gauge,
    left: &'a Cell<Option<(usize, usize)>>,
}

impl Drop for Last<'_> {
    fn drop(&mut self) {
        self.left.set(Some((self.calls.now(), self.outputs.now())));
    }
}

#[test]
fn an_error_drops_calls_and_outputs_before_what_they_came_from() {
    for limit in limits() {
        let (calls, outputs, left) = (Gauge::default(), Gauge::default(), Cell::new(None));
        let (gates, task): ([Gate; 9], _) = (Default::default(), Task::new());
        let last = Last { calls: &calls, outputs: &outputs, left: &left };
        let items = stream::iter(0..9).inspect(move |_| {
            let _ = &last;
        });
        let mut stage = Box::pin(items.map(Ok::<usize, usize>).try_map_concurrent(limit, |item| {
            let (unit, passed) = (calls.unit(), gates[item].passed());
            let outputs = &outputs;
            async move {
                let _unit = unit;
                passed.await;
                if item == 1 { Err(item) } else { Ok(outputs.unit()) }
            }
        }));
        assert!(task.settle(&mut stage).0.is_empty());
        // In order, the output of the last one waits.
        gates[3].open();
        let came = task.settle(&mut stage).0.len();
        assert_eq!((outputs.now(), left.get()), (1 - came, None));
        gates[1].open();
        while left.get().is_none() {
            assert!(task.is_woken());
            let _ = task.poll_next(&mut stage);
        }
        // In order, the first one is before the error.
        let before = usize::from(calls.now() == 1);
        assert_eq!(left.get(), Some((before, 0)));
    }
}

#[test]
fn an_expansion_fails_on_its_way() {
    let open = Gauge::default();
    let expansion = |n: usize| {
        let unit = open.unit();
        stream::iter(0..4).map(move |step| {
            let _ = &unit;
            if (n, step) == (1, 2) { Err(10 * n + step) } else { Ok(10 * n + step) }
        })
    };
    let numbers = || pipe(0..9).map(Ok::<usize, usize>);

    let mut stage = numbers().try_flat_map_concurrent(ordered(3), expansion);
    let all: Vec<_> = future::block_on((&mut stage).collect());
    assert_eq!(all, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(10), Ok(11), Err(12)]);
    assert_eq!(open.now(), 0);

    let mut stage = numbers().try_flat_map_concurrent(3, expansion);
    let all: Vec<_> = future::block_on((&mut stage).collect());
    assert_eq!(all.last(), Some(&Err(12)));
    assert_eq!(all.iter().filter(|item| item.is_err()).count(), 1);
    assert!(all.contains(&Ok(10)) && all.contains(&Ok(11)) && !all.contains(&Ok(13)));
    assert_eq!(open.now(), 0);
}

#[test]
fn an_expansion_that_does_not_open_fails() {
    let none: Vec<Result<u32, &str>> = future::block_on(
        pipe([1, 2])
            .map(Ok)
            .try_flat_map_concurrent(1, async |_| Err::<[u32; 1], _>("no"))
            .collect(),
    );
    assert_eq!(none, [Err("no")]);
}

#[test]
fn a_batch_that_is_broken_off_comes_before_the_error() {
    let (gated, task) = (Gated::default(), Task::new());
    gated.gates[..6].iter().for_each(Gate::open);
    let mut batches = gated.try_stage(Stage::Map, ordered(4), [5]).try_batched(3);
    assert_eq!(next(&task, &mut batches), Some(Ok(vec![0, 1, 2])));
    assert_eq!(next(&task, &mut batches), Some(Ok(vec![3, 4])));
    assert_eq!(gated.left(), (0, 0), "upstream is dropped before even that");
    assert_eq!(task.settle(&mut batches), (vec![Err(5)], true));
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(None));
}

#[test]
fn no_results_make_no_batches() {
    let none = || stream::empty::<Result<usize, usize>>();
    assert_eq!(none().try_batched(3).size_hint(), (0, Some(0)));
    assert_eq!(none().try_batched_by_weight(3, |n| *n).size_hint(), (0, Some(0)));
    let mut batches = stream::iter([Ok::<usize, usize>(1)]).try_batched(1);
    assert_eq!(batches.size_hint().1, Some(1));
    assert_eq!(Task::new().poll_next(&mut batches), Poll::Ready(Some(Ok(vec![1]))));
    assert_eq!(batches.size_hint(), (0, Some(0)));
}

#[test]
fn a_full_batch_and_an_empty_one() {
    let batches = |items: Vec<Result<u32, &'static str>>| {
        future::block_on(pipe(items).try_batched(2).collect::<Vec<_>>())
    };
    assert_eq!(batches(vec![]), []);
    assert_eq!(batches(vec![Err("a"), Ok(1)]), [Err("a")]);
    assert_eq!(batches(vec![Ok(1), Ok(2), Err("a"), Err("b")]), [Ok(vec![1, 2]), Err("a")]);
    assert_eq!(batches(vec![Ok(1), Ok(2), Ok(3)]), [Ok(vec![1, 2]), Ok(vec![3])]);
}

#[test]
fn a_drain_gives_the_error_when_the_stream_is_gone() {
    let gated = Gated::default();
    gated.gates.iter().for_each(Gate::open);
    let drained = gated.try_stage(Stage::Map, 3, [4]).try_drain();
    assert_eq!(future::block_on(drained), Err(4));
    assert_eq!(gated.left(), (0, 0));
    assert_eq!(future::block_on(gated.try_stage(Stage::Map, 3, []).try_drain()), Ok(()));

    // While the future is still there, that is.
    let mut drain = Box::pin(gated.try_stage(Stage::Map, 3, [4]).try_drain());
    assert_eq!(future::block_on(&mut drain), Err(4));
    assert_eq!(gated.left(), (0, 0));
}
