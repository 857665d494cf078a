//! A semaphore bounds what runs, in stages and outside of them, and can be changed meanwhile.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::iter;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Barrier;
use std::task::{Context, Poll};
use std::thread;

use async_executor::LocalExecutor;
use flowlet::prelude::*;
use flowlet::{Acquire, Permit, Semaphore, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;
use futures_util::stream::select;

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::stages::{Boxed, Stage};
use crate::support::waker::Task;

/// Waits for a permit, as a stream of one.
fn acquire(semaphore: &Semaphore) -> impl Stream<Item = Permit> + Unpin {
    Box::pin(stream::once_future(semaphore.acquire()))
}

/// A call that takes a turn or two.
async fn turns(item: usize) {
    for _ in 0..1 + item % 2 {
        yield_now().await;
    }
}

#[test]
fn permits_are_counted() {
    let semaphore = Semaphore::new(2);
    assert_eq!((semaphore.limit(), semaphore.in_use()), (2, 0));
    let first = semaphore.try_acquire().unwrap();
    let second = block_on(semaphore.acquire());
    assert_eq!((semaphore.limit(), semaphore.in_use()), (2, 2));
    assert!(semaphore.try_acquire().is_none());
    assert!(semaphore.clone().try_acquire().is_none());
    drop(first);
    assert_eq!(semaphore.in_use(), 1);
    semaphore.set_limit(1);
    assert!(semaphore.try_acquire().is_none());
    drop(second);
    assert_eq!((semaphore.limit(), semaphore.in_use()), (1, 0));
}

#[test]
fn an_acquirer_waits_for_a_permit() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire();
    let (task, mut waiting) = (Task::new(), acquire(&semaphore));
    assert!(task.poll_next(&mut waiting).is_pending());
    assert!(!task.is_woken());
    drop(held);
    assert!(task.is_woken());
    let got = task.settle(&mut waiting).0;
    assert_eq!((got.len(), semaphore.in_use()), (1, 1));
}

#[test]
fn acquirers_are_woken_in_order_one_for_each_permit() {
    let semaphore = Semaphore::new(3);
    let mut held: Vec<_> = (0..3).map(|_| semaphore.try_acquire().unwrap()).collect();
    let mut waiting: Vec<_> = (0..5).map(|_| (Task::new(), acquire(&semaphore))).collect();
    for (task, stream) in &mut waiting {
        assert!(task.poll_next(stream).is_pending());
    }
    held.truncate(1);
    let woken: Vec<bool> = waiting.iter().map(|(task, _)| task.is_woken()).collect();
    assert_eq!(woken, [true, true, false, false, false]);
    let got: Vec<_> = waiting.iter_mut().flat_map(|(task, stream)| task.settle(stream).0).collect();
    assert_eq!((got.len(), semaphore.in_use()), (2, 3));
}

#[test]
fn raising_the_limit_wakes_as_many_acquirers_as_now_fit() {
    let semaphore = Semaphore::new(1);
    let _held = semaphore.try_acquire();
    let mut waiting: Vec<_> = (0..5).map(|_| (Task::new(), acquire(&semaphore))).collect();
    for (task, stream) in &mut waiting {
        assert!(task.poll_next(stream).is_pending());
    }
    semaphore.set_limit(4);
    let got: Vec<_> = waiting.iter_mut().flat_map(|(task, stream)| task.settle(stream).0).collect();
    assert_eq!((got.len(), semaphore.in_use()), (3, 4));
    semaphore.set_limit(usize::MAX);
    let more: Vec<_> =
        waiting.iter_mut().flat_map(|(task, stream)| task.settle(stream).0).collect();
    assert_eq!((more.len(), semaphore.in_use()), (2, 6));
}

#[test]
fn raising_a_limit_that_is_still_too_low_wakes_nobody() {
    let semaphore = Semaphore::new(5);
    let held: Vec<_> = (0..5).map(|_| semaphore.try_acquire().unwrap()).collect();
    semaphore.set_limit(1);
    let (task, mut waiting) = (Task::new(), acquire(&semaphore));
    assert!(task.poll_next(&mut waiting).is_pending());
    semaphore.set_limit(5);
    assert!(!task.is_woken());
    semaphore.set_limit(4);
    let mut held = held.into_iter();
    drop(held.next());
    assert!(!task.is_woken());
    drop(held.next());
    assert!(task.is_woken());
}

#[test]
fn an_acquirer_that_is_dropped_passes_its_wake_on() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire();
    let mut waiting: Vec<_> = (0..3).map(|_| (Task::new(), acquire(&semaphore))).collect();
    for (task, stream) in &mut waiting {
        assert!(task.poll_next(stream).is_pending());
    }
    drop(held);
    for _ in 0..2 {
        assert!(waiting[0].0.is_woken());
        drop(waiting.remove(0));
    }
    let (task, stream) = &mut waiting[0];
    assert_eq!(task.settle(stream).0.len(), 1);
    assert_eq!(semaphore.in_use(), 0);
}

/// Its calls come to nothing, so that it starts others in the turn in which they end.
#[test]
fn a_stage_that_never_pauses_lets_one_that_acquires_go_first() {
    for in_order in [false, true] {
        let semaphore = Semaphore::new(1);
        let limit = if in_order { ordered(&semaphore) } else { (&semaphore).into() };
        let mut stream = pin!(pipe(0..).filter_map_concurrent(limit, async |_: usize| {
            yield_now().await;
            None::<usize>
        }));
        let (stage, task, mut waiting) = (Task::new(), Task::new(), acquire(&semaphore));
        assert!(stage.poll_next(&mut stream).is_pending());
        assert!(task.poll_next(&mut waiting).is_pending());
        let mut acquired = false;
        for _ in 0..4 {
            assert!(stage.poll_next(&mut stream).is_pending());
            acquired |= task.is_woken() && task.poll_next(&mut waiting).is_ready();
        }
        assert!(acquired, "in order: {in_order}");
    }
}

#[test]
fn a_dropped_acquirer_has_taken_nothing() {
    let semaphore = Semaphore::new(1);
    let mut unpolled = semaphore.acquire();
    drop(Semaphore::acquire(&semaphore));
    let permit =
        match Pin::new(&mut unpolled).poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(permit) => permit,
            Poll::Pending => unreachable!(),
        };
    let mut pending: Acquire = semaphore.acquire();
    let polled = Pin::new(&mut pending).poll(&mut Context::from_waker(std::task::Waker::noop()));
    assert!(polled.is_pending());
    drop(pending);
    drop(permit);
    assert_eq!(semaphore.in_use(), 0);
    assert!(semaphore.try_acquire().is_some());
}

#[test]
fn a_stage_takes_a_permit_for_each_call() {
    for stage in Stage::ALL {
        let (semaphore, gates) = (Semaphore::new(3), [(); 6].map(|()| Gate::default()));
        let mut stream = stage.of(pipe(0..6), &semaphore, |item| gates[item].passed());
        let task = Task::new();
        for (item, gate) in gates.iter().enumerate() {
            assert_eq!(task.settle(&mut stream), (vec![], false));
            assert_eq!(semaphore.in_use(), 3.min(6 - item));
            gate.open();
            assert_eq!(task.settle(&mut stream), (vec![item], item == 5));
        }
        assert_eq!(semaphore.in_use(), 0);
    }
}

#[test]
fn raising_the_limit_starts_calls() {
    for stage in Stage::ALL {
        let (semaphore, gate) = (Semaphore::new(1), Gate::default());
        let mut stream = stage.of(pipe(0..10), ordered(&semaphore), |_| gate.passed());
        let task = Task::new();
        for limit in [1, 2, 5, 9] {
            semaphore.set_limit(limit);
            assert!(task.is_woken());
            assert_eq!(task.settle(&mut stream), (vec![], false));
            assert_eq!(semaphore.in_use(), limit);
        }
        gate.open();
        assert_eq!(task.settle(&mut stream), ((0..10).collect(), true));
    }
}

#[test]
fn raising_the_limit_makes_room_for_outputs_that_wait() {
    for stage in Stage::ALL {
        let (semaphore, gate, started) = (Semaphore::new(2), Gate::default(), Cell::new(0));
        let mut stream = stage.of(pipe(0..9), ordered(&semaphore), |item| {
            started.set(started.get() + 1);
            let passed = gate.passed();
            async move {
                if item == 0 {
                    passed.await;
                }
            }
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        assert_eq!(started.get(), 2);
        semaphore.set_limit(4);
        assert_eq!(task.settle(&mut stream), (vec![], false));
        assert_eq!(started.get(), 4);
        gate.open();
        assert_eq!(task.settle(&mut stream), ((0..9).collect(), true));
    }
}

#[test]
fn lowering_the_limit_lets_running_calls_finish() {
    for stage in Stage::ALL {
        let (semaphore, gates) = (Semaphore::new(5), [(); 9].map(|()| Gate::default()));
        let mut stream = stage.of(pipe(0..9), &semaphore, |item| gates[item].passed());
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        semaphore.set_limit(2);
        assert_eq!(semaphore.in_use(), 5);
        for (item, gate) in gates.iter().enumerate() {
            gate.open();
            assert_eq!(task.settle(&mut stream).0, [item]);
            let left = if item < 3 { 5 - item - 1 } else { 2.min(9 - item - 1) };
            assert_eq!(semaphore.in_use(), left);
        }
    }
}

#[test]
fn a_limit_of_0_pauses() {
    for stage in Stage::ALL {
        let (semaphore, gates) = (Semaphore::new(2), [(); 6].map(|()| Gate::default()));
        let mut stream = stage.of(pipe(0..6), &semaphore, |item| gates[item].passed());
        let (task, outside) = (Task::new(), Task::new());
        assert_eq!(task.settle(&mut stream), (vec![], false));
        semaphore.set_limit(0);
        gates[..4].iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut stream), (vec![0, 1], false));
        assert_eq!(semaphore.in_use(), 0);
        let mut waiting = acquire(&semaphore);
        assert!(outside.poll_next(&mut waiting).is_pending());
        semaphore.set_limit(2);
        let permit = outside.settle(&mut waiting).0;
        assert_eq!(permit.len(), 1);
        assert_eq!(task.settle(&mut stream), (vec![2, 3], false));
        gates.iter().for_each(Gate::open);
        drop(permit);
        let (mut outputs, over) = task.settle(&mut stream);
        outputs.sort_unstable();
        assert_eq!((outputs, over), (vec![4, 5], true));
    }
}

#[test]
fn a_pause_before_the_first_poll() {
    for stage in Stage::ALL {
        let semaphore = Semaphore::new(1);
        semaphore.set_limit(0);
        let mut stream = stage.of(pipe(0..3), &semaphore, turns);
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        semaphore.set_limit(1);
        assert_eq!(task.settle(&mut stream), (vec![0, 1, 2], true));
    }
}

/// Has three stages share one permit.
fn share_one_permit([first, second, third]: [Stage; 3]) {
    let (semaphore, running) = (Semaphore::new(1), Gauge::default());
    let call = |item| {
        let running = running.clone();
        async move {
            let _unit = running.unit();
            turns(item).await;
        }
    };
    let a = first.of(pipe(0..20), &semaphore, call);
    let b = second.of(a.map(|item| item), ordered(&semaphore), call);
    let mut c = third.of(b, &semaphore, call);
    let (items, over) = Task::new().settle(&mut c);
    assert!(over, "{first:?}, {second:?}, {third:?}: stuck after {items:?}");
    assert!(items.into_iter().eq(0..20));
    assert_eq!((running.peak(), running.now(), semaphore.in_use()), (1, 0, 0));
}

#[test]
fn stages_of_one_pipeline_share_one_permit() {
    let of_one_output = [Stage::Map, Stage::Filter, Stage::FilterMap];
    for first in of_one_output {
        for second in of_one_output {
            for third in Stage::ALL {
                share_one_permit([first, second, third]);
            }
        }
    }
}

#[test]
fn stages_below_a_flat_map_share_its_one_permit() {
    for other in Stage::ALL {
        for third in Stage::ALL {
            share_one_permit([Stage::FlatMap, other, third]);
            share_one_permit([other, Stage::FlatMap, third]);
        }
    }
}

#[test]
fn an_expansion_of_many_and_a_stage_below_share_a_semaphore() {
    for limit in [1, 2] {
        for stage in Stage::ALL {
            let semaphore = Semaphore::new(limit);
            let above = pipe(0..4).flat_map_concurrent(&semaphore, async |item| {
                turns(item).await;
                vec![item; 5]
            });
            let mut stream = stage.of(above, &semaphore, turns);
            let (items, over) = Task::new().settle(&mut stream);
            assert!(over, "limit {limit}, {stage:?} below: stuck after {items:?}");
            assert_eq!(items.len(), 20);
        }
    }
}

/// Once a stage has kept an item of the plain stream it polls nothing that is joined with that, until it
/// has a permit.
#[test]
fn a_turn_is_not_kept_by_one_that_only_a_waiting_stage_could_poll() {
    for (stage, permits) in Stage::ALL.into_iter().flat_map(|stage| [(stage, 1), (stage, 2)]) {
        let semaphore = Semaphore::new(permits);
        let mut held: Vec<_> = iter::from_fn(|| semaphore.try_acquire()).collect();
        let above = Stage::Map.of(pipe(0..20), &semaphore, async |_| ());
        let mut stream = stage.of(select(above, pipe(0..20)), &semaphore, async |_| ());
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        drop(held.pop());
        let (mut outputs, is_over) = task.settle(&mut stream);
        outputs.sort_unstable();
        assert_eq!(outputs, Vec::from_iter((0..40).map(|at| at / 2)), "{stage:?} of {permits}");
        assert!(is_over);
        drop(held);
        assert_eq!(semaphore.in_use(), 0);
    }
}

/// Runs two pipelines, each in a task of its own, and notes whose calls are started.
fn side_by_side(semaphore: &Semaphore, make: impl Fn(&Rc<RefCell<Vec<u8>>>, u8) -> Boxed<'static>) {
    let trace = Rc::new(RefCell::new(vec![]));
    let executor = LocalExecutor::new();
    let tasks = [0, 1].map(|name| executor.spawn(make(&trace, name).count()));
    block_on(executor.run(async {
        for task in tasks {
            assert_eq!(task.await, 50);
        }
    }));
    assert_eq!(semaphore.in_use(), 0);
    let trace = trace.borrow();
    assert_eq!(trace.len(), 100);
    // Until the first one is through, neither has more than a few in a row.
    let last_of = |name| trace.iter().rposition(|who| *who == name).unwrap();
    let both = &trace[..last_of(0).min(last_of(1))];
    let longest = both.chunk_by(|a, b| a == b).map(<[u8]>::len).max().unwrap();
    assert!(longest <= 4, "{longest} in a row: {trace:?}");
}

#[test]
fn pipelines_in_two_tasks_take_turns_with_one_permit() {
    for stage in Stage::ALL {
        let semaphore = Semaphore::new(1);
        side_by_side(&semaphore, |trace, name| {
            let trace = trace.clone();
            stage.of(pipe(0..50), semaphore.clone(), move |item| {
                trace.borrow_mut().push(name);
                turns(item)
            })
        });
    }
}

#[test]
fn pipelines_of_two_stages_take_turns_too() {
    let semaphore = Semaphore::new(1);
    side_by_side(&semaphore, |trace, name| {
        let trace = trace.clone();
        let above = Stage::Map.of(pipe(0..50), semaphore.clone(), turns);
        Stage::Filter.of(above, semaphore.clone(), move |item| {
            trace.borrow_mut().push(name);
            turns(item)
        })
    });
}

#[test]
fn an_acquirer_gets_its_turn_beside_a_busy_stage() {
    for stage in Stage::ALL {
        for ready in [true, false] {
            let semaphore = Semaphore::new(1);
            let executor = LocalExecutor::new();
            let acquired = Rc::new(Cell::new(0));
            let counts = acquired.clone();
            let (shared, count) = (semaphore.clone(), acquired);
            let outside = executor.spawn(async move {
                for _ in 0..20 {
                    let _permit = shared.acquire().await;
                    yield_now().await;
                    count.set(count.get() + 1);
                }
            });
            let stream = stage.of(pipe(0..200), semaphore.clone(), move |item| async move {
                if !ready {
                    turns(item).await;
                }
            });
            let busy = executor.spawn(async move {
                let mut stream = pin!(stream);
                let mut at_the_end = 0;
                while stream.next().await.is_some() {
                    at_the_end = counts.get();
                }
                at_the_end
            });
            let acquired = block_on(executor.run(async {
                outside.await;
                busy.await
            }));
            assert_eq!(acquired, 20);
            assert_eq!(semaphore.in_use(), 0);
        }
    }
}

/// It waits for a permit, behind another one. Then it yields an output, and its consumer is busy.
#[test]
fn a_stage_that_nobody_polls_keeps_no_turn_to_itself() {
    let semaphore = Semaphore::new(3);
    let gates: [Gate; 6] = Default::default();
    let mut held = semaphore.try_acquire();
    let mut silent =
        pin!(pipe(0..6).map_concurrent(&semaphore, |item: usize| gates[item].passed()));
    let (mut ahead, mut behind) = (acquire(&semaphore), acquire(&semaphore));
    let tasks = [(); 3].map(|()| Task::new());
    assert!(tasks[0].poll_next(&mut silent).is_pending());
    assert!(tasks[1].poll_next(&mut ahead).is_pending());
    gates[0].open();
    assert!(tasks[0].poll_next(&mut silent).is_ready());
    assert!(tasks[0].poll_next(&mut silent).is_pending());
    assert!(tasks[2].poll_next(&mut behind).is_pending());
    gates[1].open();
    assert!(tasks[0].poll_next(&mut silent).is_ready());
    let taken = tasks[1].poll_next(&mut ahead);
    assert!(taken.is_ready());
    assert!(!tasks[2].is_woken());
    drop(held.take());
    let taken_too = tasks[2].poll_next(&mut behind);
    assert!(taken_too.is_ready(), "the stage would be before it, and steps aside");
    // It has kept its place.
    let mut last = acquire(&semaphore);
    assert!(tasks[1].poll_next(&mut last).is_pending());
    assert!(tasks[0].poll_next(&mut silent).is_pending());
    drop(taken);
    assert!(tasks[0].is_woken() && !tasks[1].is_woken());
}

#[test]
fn a_stage_that_was_woken_and_dropped_keeps_no_news_to_itself() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire();
    let mut dropped = Stage::Map.of(pipe(0..3), &semaphore, turns);
    let mut stream = Stage::Map.of(pipe(0..3), &semaphore, turns);
    let tasks = [(); 2].map(|()| Task::new());
    assert!(tasks[0].poll_next(&mut dropped).is_pending());
    assert!(tasks[1].poll_next(&mut stream).is_pending());
    drop(permit);
    drop(dropped);
    assert_eq!(tasks[1].settle(&mut stream), (vec![0, 1, 2], true));
}

/// The last item was pulled as a permit seemed free, and its source, which has ended, took that.
#[test]
fn the_last_item_hears_of_its_permit() {
    for (stage, is_below) in
        Stage::ALL.into_iter().flat_map(|stage| [(stage, false), (stage, true)])
    {
        let (semaphore, taken) = (Semaphore::new(1), RefCell::new(None));
        let items = pipe(0..3);
        let items: Boxed<'_> =
            if is_below { Stage::Map.of(items, 1, async |_| ()) } else { Box::pin(items) };
        let source = items.inspect(|item| {
            if *item == 2 {
                *taken.borrow_mut() = semaphore.try_acquire();
            }
        });
        let mut stream = stage.of(source, &semaphore, async |_| ());
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![0, 1], false));
        let permit = taken.take();
        assert!(permit.is_some());
        drop(permit);
        assert_eq!(task.settle(&mut stream), (vec![2], true), "{stage:?}");
    }
}

#[test]
fn all_stages_hear_of_a_higher_limit() {
    for stage in Stage::ALL {
        let (semaphore, gate) = (Semaphore::new(4), Gate::default());
        let started = [(); 3].map(|()| Cell::new(0));
        let mut streams = started.each_ref().map(|started| {
            let stream = stage.of(pipe(0..9), ordered(&semaphore), |item| {
                started.set(started.get() + 1);
                let gate = (item == 0).then(|| gate.passed());
                async {
                    if let Some(gate) = gate {
                        gate.await;
                    }
                }
            });
            (Task::new(), stream)
        });
        // Each has a call that waits and three that are over, and with this limit that is as many as it may.
        for limit in [4, 3] {
            semaphore.set_limit(limit);
            for (task, stream) in &mut streams {
                assert!(task.poll_next(stream).is_pending());
                assert_eq!(task.settle(stream), (vec![], false));
            }
            assert_eq!(started.each_ref().map(Cell::get), [4, 4, 4], "{stage:?}");
        }
        semaphore.set_limit(usize::MAX);
        for (task, stream) in &mut streams {
            assert_eq!(task.settle(stream), (vec![], false));
        }
        assert_eq!(started.each_ref().map(Cell::get), [9, 9, 9]);
    }
}

#[test]
fn whoever_is_polled_early_is_served_in_its_turn() {
    let semaphore = Semaphore::new(2);
    let mut held = Vec::from_iter(iter::from_fn(|| semaphore.try_acquire()));
    let mut waiting: Vec<_> = (0..5).map(|_| (Task::new(), acquire(&semaphore))).collect();
    for (task, stream) in &mut waiting {
        assert!(task.poll_next(stream).is_pending());
    }
    for turn in 0..5 {
        drop(held.remove(0));
        assert!(semaphore.try_acquire().is_none(), "the permit is another one's");
        let woken = waiting[turn..].iter().map(|(task, _)| task.is_woken());
        assert_eq!(Vec::from_iter(woken), Vec::from_iter((turn..5).map(|place| place == turn)));
        for place in (turn..5).rev() {
            let (task, stream) = &mut waiting[place];
            match task.poll_next(stream) {
                Poll::Ready(permit) => {
                    assert_eq!(place, turn);
                    held.extend(permit);
                }
                Poll::Pending => assert_ne!(place, turn),
            }
        }
    }
}

#[test]
fn permits_are_given_back_on_other_threads() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire();
    let (task, mut waiting) = (Task::new(), acquire(&semaphore));
    assert!(task.poll_next(&mut waiting).is_pending());
    thread::scope(|scope| {
        scope.spawn(move || drop(permit));
    });
    assert!(task.is_woken());
    assert_eq!(task.settle(&mut waiting).0.len(), 1);
}

#[test]
fn two_threads_never_exceed_the_limit() {
    for limit in [1, 2, 3] {
        let (semaphore, running) = (Semaphore::new(limit), Gauge::default());
        let barrier = Barrier::new(3);
        let (semaphore, running, barrier) = (&semaphore, &running, &barrier);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    barrier.wait();
                    let calls = |item| async move {
                        let _unit = running.unit();
                        assert!(semaphore.in_use() <= limit);
                        turns(item).await;
                    };
                    let above = Stage::Map.of(pipe(0..300), semaphore, calls);
                    let stream = Stage::Filter.of(above, ordered(semaphore), calls);
                    assert_eq!(block_on(stream.count()), 300);
                });
            }
            barrier.wait();
            for _ in 0..300 {
                let _permit = block_on(semaphore.acquire());
                let _unit = running.unit();
                thread::yield_now();
            }
        });
        assert!(running.peak() <= limit);
        assert_eq!((running.now(), semaphore.in_use()), (0, 0));
    }
}

#[test]
fn changes_from_another_thread_are_heard() {
    let semaphore = Semaphore::new(1);
    thread::scope(|scope| {
        let limits = semaphore.clone();
        let changing = scope.spawn(move || {
            for limit in (0..5).cycle().take(500) {
                limits.set_limit(limit);
                thread::yield_now();
            }
            limits.set_limit(2);
        });
        let stream = Stage::Map.of(pipe(0..1000), &semaphore, turns);
        assert_eq!(block_on(stream.count()), 1000);
        changing.join().unwrap();
    });
    assert_eq!((semaphore.limit(), semaphore.in_use()), (2, 0));
}
