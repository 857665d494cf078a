//! A stage starts calls as soon as it may, hands on outputs as soon as they are there, and polls
//! what was woken, once a turn, so that nothing keeps anything else from going on.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::{Future, pending, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::future::yield_now;
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::stages::Stage;
use crate::support::waker::Task;

fn gates(number: usize) -> Vec<Gate> {
    (0..number).map(|_| Gate::default()).collect()
}

/// Counts how often `future` is polled.
async fn counted<F: Future>(polls: &Cell<usize>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.set(polls.get() + 1);
        future.as_mut().poll(cx)
    })
    .await
}

/// Never ends, and asks for the next poll in each.
fn busy() -> impl Future<Output = ()> {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn nothing_happens_before_the_first_poll() {
    for stage in Stage::ALL {
        let untouched = stream::poll_fn(|_| panic!("polled"));
        drop(stage.of(untouched, 3, async |_| ()));
    }
}

#[test]
fn each_poll_starts_calls_up_to_the_limit() {
    for stage in Stage::ALL {
        let (running, gates) = (Gauge::default(), gates(50));
        let mut stream = stage.of(pipe(0..50), 10, |item| {
            let (unit, passed) = (running.unit(), gates[item].passed());
            async move {
                passed.await;
                drop(unit);
            }
        });
        let task = Task::new();
        assert!(task.poll_next(&mut stream).is_pending());
        assert_eq!(running.now(), 10);
        gates[..4].iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut stream), ((0..4).collect(), false));
        assert_eq!(running.now(), 10);
        gates.iter().for_each(Gate::open);
        // New calls are ready at once, and take turns with the others.
        let (mut rest, over) = task.settle(&mut stream);
        rest.sort_unstable();
        assert_eq!((rest, over), ((4..50).collect(), true));
        assert_eq!(running.peak(), 10);
    }
}

#[test]
fn without_a_bound_everything_is_started() {
    for stage in Stage::ALL {
        let (running, gate) = (Gauge::default(), Gate::default());
        let mut stream = stage.of(pipe(0..3000), usize::MAX, |_| {
            let (unit, passed) = (running.unit(), gate.passed());
            async move {
                passed.await;
                drop(unit);
            }
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        assert_eq!((running.now(), running.peak()), (3000, 3000));
        gate.open();
        assert_eq!(task.settle(&mut stream), ((0..3000).collect(), true));
    }
}

#[test]
fn a_slow_source_holds_no_output_back() {
    for stage in Stage::ALL {
        let (sender, source) = async_channel::unbounded();
        let mut stream = stage.of(source, 10, async |_| ());
        let task = Task::new();
        for item in 0..5 {
            assert_eq!(task.settle(&mut stream), (vec![], false));
            sender.try_send(item).unwrap();
            assert_eq!(task.settle(&mut stream), (vec![item], false));
        }
        drop(sender);
        assert_eq!(task.settle(&mut stream), (vec![], true));
    }
}

#[test]
fn an_output_is_handed_on_while_the_source_and_other_calls_are_silent() {
    for stage in Stage::ALL {
        let (sender, source) = async_channel::unbounded();
        let gates = gates(3);
        (0..3).for_each(|item| sender.try_send(item).unwrap());
        let mut stream = stage.of(source, 3, |item| gates[item].passed());
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        gates[1].open();
        assert_eq!(task.settle(&mut stream), (vec![1], false));
    }
}

#[test]
fn only_calls_that_were_woken_are_polled_and_each_once_a_turn() {
    for stage in Stage::ALL {
        let polls: Vec<Cell<usize>> = (0..20).map(Cell::new).collect();
        polls.iter().for_each(|polls| polls.set(0));
        let gates = gates(20);
        let mut stream = stage.of(pipe(0..20), 20, |item| {
            let passed = gates[item].passed();
            counted(&polls[item], async {
                passed.await;
                pending().await
            })
        });
        let task = Task::new();
        let counts = || polls.iter().map(Cell::get).collect::<Vec<_>>();
        let mut expected = vec![1; 20];
        assert_eq!(task.settle(&mut stream), (vec![], false));
        assert_eq!(counts(), expected);
        for gate in [7, 0, 19] {
            gates[gate].open();
            assert_eq!(task.settle(&mut stream), (vec![], false));
            // The second poll of the stage is one that nobody asked for.
            assert!(task.poll_next(&mut stream).is_pending());
            expected[gate] = 2;
            assert_eq!(counts(), expected);
        }
    }
}

#[test]
fn a_call_that_wakes_itself_is_polled_once_a_turn_and_the_task_is_woken_for_it() {
    for stage in Stage::ALL {
        let polls = Cell::new(0);
        let mut stream = stage.of(pipe(0..2), 5, |item| {
            counted(&polls, async move {
                if item == 0 {
                    busy().await;
                }
                pending().await
            })
        });
        let task = Task::new();
        assert!(task.poll_next(&mut stream).is_pending());
        assert_eq!(polls.get(), 2);
        for turn in 3..10 {
            assert!(task.is_woken());
            assert!(task.poll_next(&mut stream).is_pending());
            assert_eq!(polls.get(), turn);
        }
    }
}

#[test]
fn a_call_that_yields_a_number_of_times_takes_that_many_turns() {
    let polls = Cell::new(0);
    let mut stream = Stage::Map.of(pipe(0..1), 1, |_| {
        counted(&polls, async {
            for _ in 0..5 {
                futures_lite::future::yield_now().await;
            }
        })
    });
    let task = Task::new();
    for turn in 1..=5 {
        assert!(task.poll_next(&mut stream).is_pending());
        assert_eq!(polls.get(), turn);
    }
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
}

#[test]
fn a_busy_call_does_not_starve_the_others() {
    for stage in Stage::ALL {
        let gates = gates(4);
        let mut stream = stage.of(pipe(0..4), 4, |item| {
            let passed = gates[item].passed();
            async move {
                if item == 0 {
                    busy().await;
                }
                passed.await;
            }
        });
        let task = Task::new();
        assert!(task.poll_next(&mut stream).is_pending());
        for item in [2, 1, 3] {
            gates[item].open();
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(item)));
        }
        assert!(task.poll_next(&mut stream).is_pending());
        assert!(task.is_woken());
    }
}

#[test]
fn a_busy_call_does_not_starve_new_ones() {
    for stage in Stage::ALL {
        let mut stream = stage.of(pipe(0..), 2, async |item| {
            if item == 0 {
                busy().await;
            }
        });
        let task = Task::new();
        for item in 1..100 {
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(item)));
        }
    }
}

#[test]
fn a_source_that_is_always_ready_does_not_starve_a_woken_call() {
    for stage in Stage::ALL {
        let gate = Gate::default();
        let mut stream = stage.of(pipe(0..), 3, |item| {
            let passed = gate.passed();
            async move {
                if item == 0 {
                    passed.await;
                }
            }
        });
        let task = Task::new();
        for item in 1..100 {
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(item)));
        }
        gate.open();
        let next: Vec<_> = (0..4).map(|_| task.poll_next(&mut stream)).collect();
        assert!(next.contains(&Poll::Ready(Some(0))), "{next:?}");
    }
}

/// Neither the source, which always has an item, nor many calls that were woken at once.
#[test]
fn new_calls_and_those_that_were_woken_take_turns() {
    for stage in Stage::ALL {
        let gate = Gate::default();
        let mut stream = stage.of(pipe(0..), 100, |item| {
            let passed = gate.passed();
            async move {
                if item < 8 {
                    passed.await;
                }
            }
        });
        let task = Task::new();
        assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(8)));
        gate.open();
        let mut are_new: Vec<bool> = Vec::new();
        while are_new.iter().filter(|is_new| !**is_new).count() < 8 {
            match task.poll_next(&mut stream) {
                Poll::Ready(item) => are_new.push(item.unwrap() > 8),
                Poll::Pending => panic!("there is always an output"),
            }
        }
        let longest = are_new.chunk_by(|a, b| a == b).map(<[bool]>::len).max();
        assert!(longest <= Some(3), "{stage:?}: {longest:?} in a row of {are_new:?}");
    }
}

#[test]
fn items_that_come_to_nothing_leave_the_executor_a_chance() {
    let mut stream = pin!(pipe(0..).filter_concurrent(2, async |_: &usize| false));
    let task = Task::new();
    for _ in 0..3 {
        assert!(task.poll_next(&mut stream).is_pending());
        assert!(task.is_woken());
    }
}

#[test]
fn expansions_without_end_take_turns() {
    let mut stream = pin!(pipe(0..).flat_map_concurrent(4, stream::repeat));
    let task = Task::new();
    let mut outputs = vec![];
    for _ in 0..400 {
        match task.poll_next(&mut stream) {
            Poll::Ready(output) => outputs.extend(output),
            // It gives way, now and then.
            Poll::Pending => assert!(task.is_woken(), "there is always an output"),
        }
    }
    // Once all are open.
    for some in outputs[40..].windows(4) {
        assert!((0..4).all(|item| some.contains(&item)), "{some:?}");
    }
}

#[test]
fn expansion_that_was_woken_waits_for_one_output_at_most() {
    for outputs_before in 1..20 {
        let gate = Gate::default();
        let mut stream = pin!(pipe(0..2).flat_map_concurrent(2, |item| {
            let passed = gate.passed();
            stream::once_future(async move {
                if item == 1 {
                    passed.await;
                }
            })
            .flat_map(move |()| stream::repeat(item))
        }));
        let task = Task::new();
        for _ in 0..outputs_before {
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
        }
        gate.open();
        // Before or after one more output of the other.
        let next: Vec<_> = (0..2).map(|_| task.poll_next(&mut stream)).collect();
        assert!(next.contains(&Poll::Ready(Some(1))), "{outputs_before}: {next:?}");
    }
}

#[test]
fn item_that_comes_waits_for_one_output_of_an_expansion_at_most() {
    for outputs_before in 1..20 {
        let (items, opened) = (async_channel::unbounded(), Cell::new(0));
        items.0.try_send(0).unwrap();
        let mut stream = pin!(items.1.flat_map_concurrent(2, |item| {
            opened.set(opened.get() + 1);
            stream::repeat(item)
        }));
        let task = Task::new();
        for _ in 0..outputs_before {
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
        }
        items.0.try_send(1).unwrap();
        // Before or after one more output.
        assert!(task.poll_next(&mut stream).is_ready());
        assert!(task.poll_next(&mut stream).is_ready());
        assert_eq!(opened.get(), 2, "{outputs_before}");
    }
}

#[test]
fn expansions_without_end_do_not_keep_further_ones_from_opening() {
    for limit in [Concurrency::from(100), Concurrency::from(&Semaphore::new(100))] {
        let opened = Cell::new(0);
        let mut stream = pin!(pipe(0..).flat_map_concurrent(limit, |item| {
            opened.set(opened.get() + 1);
            stream::repeat(item)
        }));
        let task = Task::new();
        for _ in 0..225 {
            // One that waits for a permit goes first.
            assert!(task.poll_next(&mut stream).is_ready() || task.is_woken());
        }
        assert_eq!(opened.get(), 100);
    }
}

#[test]
fn expansions_that_open_do_not_keep_those_without_end_from_going_on() {
    let mut stream = pin!(pipe(0..).flat_map_concurrent(100, stream::repeat));
    let task = Task::new();
    let came: Vec<_> = (0..16).map(|_| task.poll_next(&mut stream)).collect();
    let new: HashSet<_> = came.iter().map(|polled| format!("{polled:?}")).collect();
    assert_eq!(new.len(), 8 + 1, "every other output is of one that is open: {came:?}");
}

/// Three expansions are open, and one of them is woken before each poll. Returns how many were opened in
/// the end, and how many calls of the stage above were over, of which one was woken if it `waits_above`.
fn woken_in_every_turn(waits_above: bool) -> (usize, usize) {
    let gate = Gate::default();
    let channels: Vec<_> = (0..4).map(|_| async_channel::unbounded()).collect();
    let (items, opened, above) = (async_channel::unbounded(), Cell::new(0), Cell::new(0));
    let upstream = items.1.map_concurrent(10, |n: usize| {
        let (passed, above) = (gate.passed(), &above);
        async move {
            if waits_above && n == 3 {
                passed.await;
            }
            above.set(above.get() + 1);
            n
        }
    });
    let mut stream = pin!(upstream.flat_map_concurrent(10, |n| {
        opened.set(opened.get() + 1);
        channels[n].1.clone()
    }));
    let task = Task::new();
    (0..3).for_each(|n| items.0.try_send(n).unwrap());
    assert_eq!(task.settle(&mut stream), (vec![], false));
    items.0.try_send(3).unwrap();
    if waits_above {
        assert_eq!(task.settle(&mut stream), (vec![], false));
        gate.open();
    }
    channels[0].0.try_send(0).unwrap();
    for turn in 0..10 {
        assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(turn % 3)));
        let next = (turn + 1) % 3;
        channels[next].0.try_send(next).unwrap();
    }
    (opened.get(), above.get())
}

#[test]
fn wakes_in_every_turn_do_not_keep_further_expansions_from_opening() {
    assert_eq!(woken_in_every_turn(false), (4, 4));
}

#[test]
fn wakes_in_every_turn_do_not_keep_the_stages_above_from_going_on() {
    assert_eq!(woken_in_every_turn(true), (4, 4));
}

/// One expansion always has outputs, and with each wakes another one that has none.
#[test]
fn expansions_that_wake_others_do_not_keep_further_ones_from_opening() {
    for limit in [Concurrency::from(10), ordered(10)] {
        let (wakes, items) = (async_channel::unbounded(), async_channel::unbounded());
        let opened = Cell::new(0);
        let mut stream = pin!(items.1.flat_map_concurrent(limit, |n| {
            opened.set(opened.get() + 1);
            let (sender, receiver) = (wakes.0.clone(), wakes.1.clone());
            match n {
                0 => stream::repeat(0).inspect(move |_| sender.try_send(()).unwrap()).boxed_local(),
                _ => receiver.filter_map(|()| None).boxed_local(),
            }
        }));
        let task = Task::new();
        (0..2).for_each(|n| items.0.try_send(n).unwrap());
        for _ in 0..10 {
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
        }
        assert_eq!(opened.get(), 2);
        items.0.try_send(2).unwrap();
        for _ in 0..10 {
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
        }
        assert_eq!(opened.get(), 3);
    }
}

#[test]
fn expansion_that_wakes_itself_waits_for_one_output_at_most() {
    let items = async_channel::unbounded();
    let mut stream = pin!(items.1.flat_map_concurrent(10, |n| {
        let yields = async move {
            if n == 1 {
                yield_now().await;
            }
        };
        stream::once_future(yields).flat_map(move |()| stream::repeat(n))
    }));
    let task = Task::new();
    items.0.try_send(0).unwrap();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    items.0.try_send(1).unwrap();
    let came: Vec<_> = (0..3).map(|_| task.poll_next(&mut stream)).collect();
    assert!(came.contains(&Poll::Ready(Some(1))), "{came:?}");
}

/// In an advance each open expansion goes on until it has one output waiting.
#[test]
fn outputs_that_wait_come_before_those_of_open_expansions() {
    let (items, opened) = (async_channel::unbounded(), Cell::new(0));
    let send = |numbers: Range<usize>| numbers.for_each(|n| items.0.try_send(n).unwrap());
    let stream = items.1.clone().flat_map_concurrent(20, |item| {
        opened.set(opened.get() + 1);
        stream::repeat(item)
    });
    let mut stream = stream.driven();
    let task = Task::new();
    send(0..5);
    assert!(task.poll_next(&mut stream).is_ready());
    {
        let mut alongside = pin!(stream.alongside(pending::<()>()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(alongside.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(opened.get(), 5);
    send(5..8);
    let mut came: Vec<_> = (0..5).map(|_| task.poll_next(&mut stream)).collect();
    came.sort();
    came.dedup();
    assert_eq!(came.len(), 5, "each has one before any has two");
    assert_eq!(opened.get(), 8, "and none keeps others from opening");
}

#[test]
fn expansions_without_end_do_not_keep_the_stages_above_from_going_on() {
    for limit in [1, 3] {
        let (gate, polls) = (Gate::default(), Cell::new(0));
        let above = pipe(0..10).map_concurrent(5, |item| {
            let passed = gate.passed();
            counted(&polls, async move {
                if item == 4 {
                    passed.await;
                }
                item
            })
        });
        let mut stream = pin!(above.flat_map_concurrent(limit, stream::repeat));
        let task = Task::new();
        for _ in 0..20 {
            assert!(task.poll_next(&mut stream).is_ready());
        }
        // The open expansions, and a full stage above; one of its calls waits.
        assert_eq!(polls.get(), limit + 5);
        gate.open();
        assert!(task.poll_next(&mut stream).is_ready());
        assert_eq!(polls.get(), limit + 6);
    }
}

#[test]
fn in_order_too_later_calls_are_polled_while_the_first_is_silent() {
    let trace = RefCell::new(vec![]);
    let gates = gates(3);
    let mut stream = Stage::Map.of(pipe(0..3), ordered(3), |item| {
        let (passed, trace) = (gates[item].passed(), &trace);
        async move {
            passed.await;
            trace.borrow_mut().push(item);
        }
    });
    let task = Task::new();
    for item in [2, 1] {
        assert_eq!(task.settle(&mut stream), (vec![], false));
        gates[item].open();
    }
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(*trace.borrow(), [2, 1]);
    gates[0].open();
    assert_eq!(task.settle(&mut stream), (vec![0, 1, 2], true));
}

#[test]
fn expansions_that_always_have_outputs_are_each_heard_soon() {
    for open in [2, 3] {
        let mut stream = pin!(pipe(0..).flat_map_concurrent(open, stream::repeat));
        let task = Task::new();
        let mut outputs = vec![];
        for _ in 0..500 {
            if let Poll::Ready(output) = task.poll_next(&mut stream) {
                outputs.extend(output);
            }
            assert!(task.is_woken());
        }
        assert!(outputs.len() > 300);
        // Once all are open.
        for some in outputs[100..].windows(32) {
            assert!((0..open).all(|item| some.contains(&item)), "{some:?}");
        }
    }
}

#[test]
fn a_call_that_is_ready_at_once_has_the_stages_above_go_on() {
    for stage in Stage::ALL {
        for limit in [Concurrency::from(1), ordered(1), Semaphore::new(1).into()] {
            let started = Cell::new(0);
            let above = Stage::Map.of(pipe(0..10), 1, async |_| started.set(started.get() + 1));
            let mut stream = stage.of(above, limit.clone(), async |_| ()).driven();
            let task = Task::new();
            for item in 0..9 {
                while task.poll_next(&mut stream) != Poll::Ready(Some(item)) {
                    assert!(task.is_woken());
                }
                // It runs while the consumer is busy with this item.
                let mut busy = pin!(stream.alongside(pending::<()>()));
                let mut cx = Context::from_waker(Waker::noop());
                for _ in 0..10 {
                    assert!(busy.as_mut().poll(&mut cx).is_pending());
                }
                assert!(started.get() >= item + 2, "{stage:?} {limit:?}");
            }
        }
    }
}

#[test]
fn busy_calls_have_no_source_polled() {
    for stage in Stage::ALL {
        let polls = Cell::new(0);
        let source = stream::iter(0..1).chain(stream::poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::Pending
        }));
        let mut stream = stage.of(source, 3, |_| busy());
        let task = Task::new();
        for _ in 0..100 {
            assert_eq!(task.poll_next(&mut stream), Poll::Pending);
            assert!(task.is_woken());
        }
        assert!((1..=3).contains(&polls.get()), "it was not woken: {}", polls.get());
    }
}
