//! Outputs come in the order in which their calls completed, or with `ordered` in that of the items.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::stages::Stage;
use crate::support::waker::Task;

/// Orders of `0..n`, each different from the others, as a walk of changing step.
fn shuffled(n: usize) -> impl Iterator<Item = Vec<usize>> {
    assert_eq!(n, 11, "a prime, so that every step goes everywhere");
    (1..n).flat_map(move |step| (0..n).map(move |at| (0..n).map(|i| (at + i * step) % n).collect()))
}

fn gates(number: usize) -> Vec<Gate> {
    (0..number).map(|_| Gate::default()).collect()
}

#[test]
fn the_order_of_the_wakes_is_that_of_the_outputs() {
    for stage in Stage::ALL {
        for limit in [Concurrency::from(11), usize::MAX.into(), Semaphore::new(11).into()] {
            for order in shuffled(11) {
                let gates = gates(11);
                let mut stream = stage.of(pipe(0..11), limit.clone(), |item| gates[item].passed());
                let task = Task::new();
                assert!(task.poll_next(&mut stream).is_pending());
                // Three come one by one, the others together.
                let (single, rest) = order.split_at(3);
                for item in single {
                    gates[*item].open();
                    assert_eq!(task.settle(&mut stream), (vec![*item], false));
                }
                rest.iter().for_each(|item| gates[*item].open());
                assert_eq!(task.settle(&mut stream), (rest.to_vec(), true));
            }
        }
    }
}

#[test]
fn wakes_that_come_in_between_two_outputs_come_after_those_before() {
    for stage in Stage::ALL {
        let gates = gates(6);
        let mut stream = stage.of(pipe(0..6), 6, |item| gates[item].passed());
        let task = Task::new();
        assert!(task.poll_next(&mut stream).is_pending());
        [5, 3].iter().for_each(|item: &usize| gates[*item].open());
        assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(5)));
        [1, 4].iter().for_each(|item: &usize| gates[*item].open());
        assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(3)));
        [2, 0].iter().for_each(|item: &usize| gates[*item].open());
        assert_eq!(task.settle(&mut stream), (vec![1, 4, 2, 0], true));
    }
}

#[test]
fn the_order_of_wakes_from_other_threads() {
    for stage in Stage::ALL {
        for order in shuffled(11).step_by(7) {
            let gates = gates(11);
            let mut stream = stage.of(pipe(0..11), 11, |item| gates[item].passed());
            let task = Task::new();
            assert!(task.poll_next(&mut stream).is_pending());
            // Each thread has its turn when the one before is through.
            thread::scope(|scope| {
                let mut before: Option<mpsc::Receiver<()>> = None;
                for item in &order {
                    let (through, next) = mpsc::channel();
                    let (gate, turn) = (&gates[*item], before.replace(next));
                    scope.spawn(move || {
                        if let Some(turn) = turn {
                            turn.recv().unwrap();
                        }
                        gate.open();
                        through.send(()).unwrap();
                    });
                }
                before.unwrap().recv().unwrap();
            });
            assert_eq!(task.settle(&mut stream), (order, true));
        }
    }
}

#[test]
fn outputs_kept_for_a_full_stage_stay_in_order() {
    for stage in Stage::ALL {
        for order in shuffled(11).step_by(7) {
            let (gates, block) = (gates(11), Gate::default());
            // The first one through goes on to block the second stage.
            let first = order[0];
            let above = stage.of(pipe(0..11), 11, |item| gates[item].passed());
            let mut stream = Stage::Map.of(above, 1, |item| {
                let passed = block.passed();
                async move {
                    if item == first {
                        passed.await;
                    }
                }
            });
            let task = Task::new();
            assert_eq!(task.settle(&mut stream), (vec![], false));
            for item in &order {
                gates[*item].open();
                assert_eq!(task.settle(&mut stream), (vec![], false));
            }
            block.open();
            assert_eq!(task.settle(&mut stream), (order, true));
        }
    }
}

#[test]
fn ordered_gives_the_order_of_the_items() {
    for stage in Stage::ALL {
        for order in shuffled(11) {
            for limit in [ordered(11), ordered(usize::MAX), ordered(Semaphore::new(11))] {
                let gates = gates(11);
                let mut stream = stage.of(pipe(0..11), limit, |item| gates[item].passed());
                let task = Task::new();
                assert!(task.poll_next(&mut stream).is_pending());
                let mut outputs = vec![];
                let mut open = [false; 11];
                for item in &order {
                    gates[*item].open();
                    open[*item] = true;
                    let (more, over) = task.settle(&mut stream);
                    outputs.extend(more);
                    // As many as there are without a gap, at once.
                    let number = open.iter().take_while(|open| **open).count();
                    assert!(outputs.iter().copied().eq(0..number));
                    assert_eq!(over, number == 11);
                }
            }
        }
    }
}

#[test]
fn outputs_that_wait_for_an_earlier_one_count_against_the_limit() {
    for stage in Stage::ALL {
        let (started, gate) = (Cell::new(0), Gate::default());
        let mut stream = stage.of(pipe(0..10), ordered(4), |item| {
            started.set(started.get() + 1);
            let passed = gate.passed();
            async move {
                if item % 5 == 0 {
                    passed.await;
                }
            }
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        assert_eq!(started.get(), 4);
        gate.open();
        assert_eq!(task.settle(&mut stream), ((0..10).collect(), true));
    }
}

#[test]
fn items_that_were_refused_leave_no_gap() {
    let gates = gates(9);
    for limit in [1, 2, 4, 9] {
        let mut stream =
            pin!(pipe(0..9).filter_concurrent(ordered(limit), async |item: &usize| {
                gates[8 - *item].passed().await;
                item % 3 == 1
            }));
        let task = Task::new();
        let mut outputs = task.settle(&mut stream).0;
        for gate in &gates {
            gate.open();
            outputs.extend(task.settle(&mut stream).0);
        }
        assert_eq!(outputs, [1, 4, 7]);
    }
}

#[test]
fn a_limit_of_1_keeps_the_order() {
    for stage in Stage::ALL {
        for limit in [Concurrency::from(1), ordered(1), Semaphore::new(1).into()] {
            let gates = gates(11);
            let mut stream = stage.of(pipe(0..11), limit, |item| gates[item].passed());
            let task = Task::new();
            let mut outputs = vec![];
            for gate in gates.iter().rev() {
                assert!(outputs.is_empty());
                gate.open();
                outputs.extend(task.settle(&mut stream).0);
            }
            assert!(outputs.into_iter().eq(0..11));
        }
    }
}

#[test]
fn in_order_expansions_come_out_whole() {
    let gates = gates(4);
    let trace = RefCell::new(vec![]);
    let mut stream = pin!(pipe(0..4_usize).flat_map_concurrent(ordered(3), |item| {
        let (passed, trace) = (gates[item].passed(), &trace);
        async move {
            passed.await;
            (0..item + 1).map(move |part| {
                trace.borrow_mut().push((item, part));
                (item, part)
            })
        }
    }));
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    gates[2].open();
    gates[1].open();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    // Those that come later go on to the first output, and no further. The fourth is not open.
    assert_eq!(*trace.borrow(), [(2, 0), (1, 0)]);
    gates[3].open();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(trace.borrow().len(), 2);
    gates[0].open();
    let whole = (0..4).flat_map(|item| (0..item + 1).map(move |part| (item, part)));
    assert_eq!(task.settle(&mut stream), (whole.collect(), true));
    assert_eq!(trace.borrow().len(), 1 + 2 + 3 + 4);
}

#[test]
fn in_order_an_expansion_without_end_lets_later_ones_begin_only() {
    let made = Cell::new(0);
    let mut stream = pin!(pipe(0..).flat_map_concurrent(ordered(3), |item: usize| {
        stream::repeat(item).map(|item| {
            made.set(made.get() + 1);
            item
        })
    }));
    let task = Task::new();
    for number in 1..50 {
        assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
        assert!(made.get() <= number + 2);
    }
    assert_eq!(made.get(), 49 + 2);
}

#[test]
fn empty_expansions_leave_no_gap() {
    for limit in [Concurrency::from(1), ordered(1), ordered(2), ordered(20)] {
        let parts = |item: usize| vec![item; item % 3];
        let stream = pipe(0..9).flat_map_concurrent(limit, async |item| parts(item));
        let stream: Pin<Box<dyn Stream<Item = usize>>> = Box::pin(stream);
        assert_eq!(Task::new().settle(&mut { stream }), ((0..9).flat_map(parts).collect(), true));
    }
}

#[test]
fn two_stages_in_order_keep_it() {
    let gates = gates(11);
    for order in shuffled(11).step_by(13) {
        let above = Stage::Map.of(pipe(0..11), ordered(4), |item| gates[item].passed());
        let mut stream = Stage::Filter.of(above, ordered(3), |item| gates[10 - item].passed());
        let task = Task::new();
        let mut outputs = task.settle(&mut stream).0;
        for item in order {
            gates[item].open();
            outputs.extend(task.settle(&mut stream).0);
        }
        assert!(outputs.into_iter().eq(0..11));
    }
}

#[test]
fn a_call_that_wakes_itself_comes_after_one_that_was_woken_before() {
    for stage in Stage::ALL {
        let gates = gates(2);
        let mut stream = stage.of(pipe(0..2), 2, |item| {
            let (passed, neighbour) = (gates[item].passed(), &gates[1]);
            async move {
                passed.await;
                if item == 0 {
                    neighbour.open();
                    futures_lite::future::yield_now().await;
                }
            }
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        gates[0].open();
        assert_eq!(task.settle(&mut stream), (vec![1, 0], true), "{stage:?}");
    }
}
