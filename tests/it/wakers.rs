//! No wake is lost, and none does harm, whenever, from wherever and however often it comes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, merge, ordered};
use futures_lite::future::block_on;

use crate::support::gate::Gate;
use crate::support::on_wake::on_wake;
use crate::support::stages::{Boxed, Stage};
use crate::support::waker::Task;
use crate::support::woken::Woken;

fn limits() -> [Concurrency; 6] {
    [1.into(), 4.into(), usize::MAX.into(), ordered(1), ordered(4), Semaphore::new(3).into()]
}

/// A call that is ready in its second poll, having `told` someone its waker in the first.
fn told(mut tell: impl FnMut(&Waker)) -> impl Future<Output = ()> {
    let mut was_told = false;
    poll_fn(move |cx| {
        if was_told {
            return Poll::Ready(());
        }
        was_told = true;
        tell(cx.waker());
        Poll::Pending
    })
}

/// Checks that all items came, each once.
fn check_all(items: Vec<usize>, ordered: bool) {
    let mut sorted = items.clone();
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..sorted.len()));
    assert!(!ordered || items == sorted);
}

#[test]
fn early_wakes_before_the_poll_has_returned() {
    for stage in Stage::ALL {
        for limit in limits() {
            let in_order = format!("{limit:?}").starts_with("ordered");
            let mut stream = stage.of(pipe(0..100), limit, |_| told(Waker::wake_by_ref));
            let (items, over) = Task::new().settle(&mut stream);
            assert!(over && items.len() == 100);
            check_all(items, in_order);
        }
    }
}

#[test]
fn early_wakes_from_another_thread() {
    for stage in Stage::ALL {
        for limit in limits() {
            let mut stream = stage.of(pipe(0..10), limit, |_| {
                told(|waker| {
                    let waker = waker.clone();
                    thread::spawn(|| waker.wake()).join().unwrap();
                })
            });
            let (items, over) = Task::new().settle(&mut stream);
            assert!(over && items.len() == 10);
        }
    }
}

#[test]
fn duplicate_wakes_are_one() {
    for stage in Stage::ALL {
        let (wakers, polls) = (RefCell::new(vec![]), Cell::new(0));
        let mut stream = stage.of(pipe(0..2), 2, |_| {
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                wakers.borrow_mut().push(cx.waker().clone());
                if polls.get() > 4 { Poll::Ready(()) } else { Poll::Pending }
            })
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        for _ in 0..5 {
            wakers.borrow().iter().for_each(Waker::wake_by_ref);
        }
        assert_eq!(task.settle(&mut stream), (vec![], false));
        assert_eq!(polls.get(), 4);
        wakers.take().into_iter().for_each(Waker::wake);
        assert_eq!(task.settle(&mut stream), (vec![0, 1], true));
        assert_eq!(polls.get(), 6);
    }
}

#[test]
fn stale_wakers_do_no_harm_to_the_call_that_has_the_slot_now() {
    for stage in Stage::ALL {
        for limit in [Concurrency::from(1), ordered(1), 3.into(), ordered(3)] {
            let (all, now) = (RefCell::new(vec![]), RefCell::new(HashMap::new()));
            let (all, now) = (&all, &now);
            let mut stream = stage.of(pipe(0..20), limit, |item| {
                let mut woken_for_good = false;
                poll_fn(move |cx| {
                    woken_for_good |= now.borrow().get(&item).is_some_and(Option::is_none);
                    if woken_for_good {
                        return Poll::Ready(());
                    }
                    all.borrow_mut().push(cx.waker().clone());
                    now.borrow_mut().insert(item, Some(cx.waker().clone()));
                    Poll::Pending
                })
            });
            let task = Task::new();
            let mut outputs = task.settle(&mut stream).0;
            for item in 0..20 {
                // All that there ever were, then the one that counts.
                all.borrow().iter().for_each(Waker::wake_by_ref);
                assert_eq!(task.settle(&mut stream), (vec![], false));
                let waker = now.borrow_mut().insert(item, None).unwrap().unwrap();
                waker.wake();
                outputs.extend(task.settle(&mut stream).0);
                assert!(outputs.iter().copied().eq(0..item + 1));
            }
            assert!(task.settle(&mut stream).1);
        }
    }
}

#[test]
fn a_stale_waker_does_not_stand_for_the_wake_of_the_call_that_has_the_slot_now() {
    for stage in Stage::ALL {
        let (stale, gate) = (RefCell::new(None), Gate::default());
        let mut stream = stage.of(pipe(0..2), 1, |item| {
            let (stale, passed) = (&stale, gate.passed());
            async move {
                if item == 0 {
                    told(|waker| {
                        waker.wake_by_ref();
                        *stale.borrow_mut() = Some(waker.clone());
                    })
                    .await;
                } else {
                    // Woken by the stale one while this very call is polled for the first time.
                    stale.borrow().as_ref().unwrap().wake_by_ref();
                    passed.await;
                }
            }
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![0], false));
        gate.open();
        assert_eq!(task.settle(&mut stream), (vec![1], true));
    }
}

#[test]
fn the_last_waker_is_the_one_to_wake() {
    for stage in Stage::ALL {
        let (sender, source) = async_channel::unbounded();
        let gates: Vec<Gate> = (0..5).map(|_| Gate::default()).collect();
        let mut stream = stage.of(source, 4, |item| gates[item].passed());
        let mut tasks = vec![Task::new()];
        assert!(tasks[0].poll_next(&mut stream).is_pending());
        for (item, gate) in gates.iter().enumerate() {
            // Once for the source, once for the call; polled by more and more tasks.
            sender.try_send(item).unwrap();
            assert!(tasks.last().unwrap().is_woken());
            for _ in 0..3 {
                tasks.push(Task::new());
                assert!(tasks.last().unwrap().poll_next(&mut stream).is_pending());
            }
            gate.open();
            let last = tasks.last().unwrap();
            assert!(last.is_woken());
            assert_eq!(last.settle(&mut stream), (vec![item], false));
        }
        drop(sender);
        assert_eq!(tasks.last().unwrap().settle(&mut stream), (vec![], true));
    }
}

/// Whoever polls puts in its waker, and the one before it is dropped. Who is woken by that comes just
/// before the poll ends.
#[test]
fn a_wake_by_the_drop_of_the_former_waker_is_not_lost() {
    struct Opens(Gate);

    impl Drop for Opens {
        fn drop(&mut self) {
            self.0.open();
        }
    }

    for stage in Stage::ALL {
        let ways: [fn(Boxed<'_>) -> Boxed<'_>; 4] = [
            |calls| calls,
            |calls| Box::pin(calls.driven()),
            |calls| Box::pin(merge([calls])),
            |calls| Box::pin(calls.map_concurrent(1, async |item| item)),
        ];
        for (way, below) in ways.into_iter().enumerate() {
            let [first, second] = [(); 2].map(|()| Gate::default());
            let mut stream = below(stage.of(pipe(0..2), 2, |item| {
                let passed = [first.passed(), second.passed()];
                async move {
                    // The first one is woken before the second poll, so that this looks at its wakes.
                    let [first, second] = passed;
                    if item == 0 {
                        first.await;
                    }
                    second.await;
                }
            }));
            let opens = Opens(second.clone());
            let former = on_wake(move || {
                let _ = &opens;
            });
            assert!(stream.poll_next(&mut Context::from_waker(&former)).is_pending());
            drop(former);
            first.open();
            let task = Task::new();
            assert!(task.poll_next(&mut stream).is_pending());
            let (mut items, over) = task.settle(&mut stream);
            items.sort_unstable();
            assert_eq!((items, over), (vec![0, 1], true), "{stage:?}, way {way}");
        }
    }
}

#[test]
fn the_last_waker_is_the_one_to_wake_for_a_permit() {
    let semaphore = Semaphore::new(1);
    for stage in Stage::ALL {
        let permit = semaphore.try_acquire();
        let mut stream = stage.of(pipe(0..1), &semaphore, async |_| ());
        let tasks = [(); 3].map(|()| Task::new());
        for task in &tasks {
            assert!(task.poll_next(&mut stream).is_pending());
        }
        drop(permit);
        assert!(tasks[2].is_woken());
        assert_eq!(tasks[2].settle(&mut stream), (vec![0], true));
    }
}

#[test]
fn the_last_waker_is_the_one_to_wake_through_two_stages() {
    for first in Stage::ALL {
        for second in Stage::ALL {
            let gates: Vec<Gate> = (0..6).map(|_| Gate::default()).collect();
            let above = first.of(pipe(0..3), 2, |item| gates[item].passed());
            let mut stream = second.of(above, 1, |item| gates[item + 3].passed());
            for item in 0..3 {
                for gate in [item, item + 3] {
                    let task = Task::new();
                    assert!(task.poll_next(&mut stream).is_pending());
                    let task = Task::new();
                    let _ = task.settle(&mut stream);
                    gates[gate].open();
                    assert!(task.is_woken());
                    let expected = if gate < 3 { vec![] } else { vec![item] };
                    assert_eq!(task.settle(&mut stream).0, expected);
                }
            }
        }
    }
}

/// A thread that keeps wakers and wakes them later, and again.
struct Slow {
    sender: Option<mpsc::Sender<Waker>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Slow {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel::<Waker>();
        let thread = thread::spawn(move || {
            let mut old: Vec<Waker> = vec![];
            for (number, waker) in receiver.into_iter().enumerate() {
                if let Some(stale) = old.get(number / 2) {
                    stale.wake_by_ref();
                }
                waker.wake_by_ref();
                old.push(waker);
            }
        });
        Self { sender: Some(sender), thread: Some(thread) }
    }

    fn call(&self) -> impl Future<Output = ()> + use<> {
        let sender = self.sender.clone().unwrap();
        told(move |waker| sender.send(waker.clone()).unwrap())
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.sender = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn slow_wakes_from_another_thread() {
    for limit in limits() {
        for stage in Stage::ALL {
            let slow = Slow::new();
            let in_order = format!("{limit:?}").starts_with("ordered");
            let stream = stage.of(pipe(0..200), limit.clone(), |_| slow.call());
            let items: Vec<usize> = block_on(stream.collect());
            assert_eq!(items.len(), 200);
            check_all(items, in_order);
        }
    }
}

#[test]
fn slow_wakes_through_two_stages() {
    for limit in limits() {
        let slow = Slow::new();
        let above = Stage::Map.of(pipe(0..200), limit.clone(), |_| slow.call());
        let below = Stage::FlatMap.of(above.map(|item| item), limit, |_| slow.call());
        let items: Vec<usize> = block_on(below.collect());
        assert_eq!(items.len(), 200);
    }
}

#[test]
fn slow_wakes_of_the_source() {
    for stage in Stage::ALL {
        let slow = Slow::new();
        let mut numbers = 0..200;
        let mut next = None;
        let source = futures_lite::stream::poll_fn(|cx| {
            let call = next.get_or_insert_with(|| Box::pin(slow.call()));
            std::task::ready!(call.as_mut().poll(cx));
            next = None;
            Poll::Ready(numbers.next())
        });
        let items: Vec<usize> = block_on(stage.of(source, 3, async |_| ()).collect());
        assert_eq!(items.len(), 200);
    }
}

/// Wakes all wakers that it was ever given, all the time, on two threads.
struct Hammer {
    wakers: Arc<Mutex<Vec<Waker>>>,
    stop: Arc<AtomicBool>,
    rounds: Arc<[AtomicUsize; 2]>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Hammer {
    fn new() -> Self {
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let (stop, rounds) = (Arc::<AtomicBool>::default(), Arc::<[AtomicUsize; 2]>::default());
        let threads = (0..2).map(|number| {
            let (wakers, stop, rounds) = (wakers.clone(), stop.clone(), rounds.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let all = wakers.lock().unwrap().clone();
                    all.iter().for_each(Waker::wake_by_ref);
                    all.into_iter().for_each(Waker::wake);
                    rounds[number].fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                }
            })
        });
        let threads = threads.collect();
        Self { wakers, stop, rounds, threads }
    }

    /// A call that takes some polls, in each of which the hammer gets its waker.
    fn call(&self, polls: usize) -> impl Future<Output = ()> + use<> {
        let wakers = self.wakers.clone();
        let mut left = polls;
        poll_fn(move |cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            let mut wakers = wakers.lock().unwrap();
            if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                wakers.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Waits until each thread is done with whatever it does now.
    fn wait(&self) {
        for rounds in self.rounds.iter() {
            let before = rounds.load(Ordering::SeqCst);
            while rounds.load(Ordering::SeqCst) < before + 2 {
                thread::yield_now();
            }
        }
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn hammered_while_polled() {
    for stage in Stage::ALL {
        for limit in [Concurrency::from(1), 8.into(), ordered(8), Semaphore::new(8).into()] {
            let hammer = Hammer::new();
            let stream = stage.of(pipe(0..200), limit, |item| hammer.call(item % 4));
            let items: Vec<usize> = block_on(stream.collect());
            check_all(items, false);
        }
    }
}

#[test]
fn hammered_while_dropped() {
    for stage in Stage::ALL {
        let hammer = Hammer::new();
        for polls in 0..20 {
            let task = Task::new();
            let mut stream = stage.of(pipe(0..100), 8, |item| hammer.call(item % 4));
            for _ in 0..polls {
                let _ = task.poll_next(&mut stream);
            }
            drop(stream);
        }
        hammer.wait();
    }
}

#[test]
fn no_waker_is_kept_beyond_the_stage_while_wakes_go_on() {
    for stage in Stage::ALL {
        let counter = Woken::new();
        {
            let hammer = Hammer::new();
            let waker = counter.waker();
            let mut stream = stage.of(pipe(0..), 8, |_| hammer.call(usize::MAX));
            for _ in 0..20 {
                let _ = stream.poll_next(&mut Context::from_waker(&waker));
            }
            drop(stream);
            hammer.wait();
            let wakes = counter.count();
            hammer.wait();
            assert_eq!(counter.count(), wakes);
        }
        assert_eq!(Arc::strong_count(&counter), 1);
    }
}

#[test]
fn no_waker_is_kept_by_a_stage_that_has_ended() {
    let gate = Gate::default();
    let mut stream = pin!(pipe(0..1).map_concurrent(1, |_| gate.passed()).driven());
    let woken = Woken::new();
    let waker = woken.waker();
    let mut cx = Context::from_waker(&waker);
    assert!(stream.as_mut().poll_next(&mut cx).is_pending());
    gate.open();
    while stream.as_mut().poll_next(&mut cx) != Poll::Ready(None) {}
    drop(waker);
    assert_eq!(Arc::strong_count(&woken), 1);
}

#[test]
fn no_waker_is_kept_by_any_stage_that_has_ended() {
    for stage in Stage::ALL {
        for limit in limits() {
            let (gate, counter) = (Gate::default(), Woken::new());
            let mut stream = stage.of(pipe(0..3), limit, |_| gate.passed());
            let waker = counter.waker();
            let mut cx = Context::from_waker(&waker);
            assert!(stream.poll_next(&mut cx).is_pending());
            gate.open();
            while stream.poll_next(&mut cx) != Poll::Ready(None) {}
            drop(waker);
            assert_eq!(Arc::strong_count(&counter), 1, "{stage:?}");
        }
    }
}

/// As it does where an executor holds a lock while it polls, and takes it to wake.
#[test]
fn a_waker_may_wait_for_a_poll_elsewhere() {
    for stage in Stage::ALL {
        for of_source in [false, true] {
            let [gate, opened, rest] = [(); 3].map(|()| Gate::default());
            opened.open();
            let (first, second) = if of_source { (&gate, &opened) } else { (&opened, &gate) };
            let source = futures_lite::stream::once_future(first.passed()).map(|()| 0);
            let mut stream = stage.of(source, 1, async |_| {
                second.passed().await;
                rest.passed().await;
            });
            let polled = Arc::new(Barrier::new(2));
            let waits = polled.clone();
            let waker = on_wake(move || {
                waits.wait();
                waits.wait();
            });
            assert!(stream.poll_next(&mut Context::from_waker(&waker)).is_pending());
            let task = Task::new();
            thread::scope(|scope| {
                scope.spawn(|| gate.open());
                polled.wait();
                assert_eq!(task.settle(&mut stream), (vec![], false));
                polled.wait();
            });
            rest.open();
            assert_eq!(task.settle(&mut stream), (vec![0], true), "{stage:?}");
        }
    }
}

#[test]
fn one_wake_for_many_calls_is_enough() {
    for stage in Stage::ALL {
        let gate = Gate::default();
        let mut stream = stage.of(pipe(0..1000), 1000, |_| gate.passed());
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        gate.open();
        assert!(task.is_woken());
        assert_eq!(task.settle(&mut stream), ((0..1000).collect(), true));
    }
}

#[test]
fn a_wake_during_an_advance_is_not_lost() {
    for stage in Stage::ALL {
        let (held, gates) = (Gate::default(), [(); 3].map(|()| Gate::default()));
        // The call above wakes its neighbour, while the stage below is full.
        let above = stage.of(pipe(0..3), 3, |item| {
            let passed = gates[item].passed();
            let next = gates.get(item + 1);
            async move {
                passed.await;
                if let Some(next) = next {
                    next.open();
                }
            }
        });
        let mut stream = pin!(above.map_concurrent(1, async |item| {
            if item == 0 {
                held.passed().await;
            }
            item
        }));
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        gates[0].open();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        held.open();
        assert_eq!(task.settle(&mut stream), (vec![0, 1, 2], true));
    }
}

#[test]
fn alongside_is_woken_by_its_future_and_by_the_pipeline() {
    let (pulled, gates) = (Cell::new(0), [(); 3].map(|()| Gate::default()));
    let inner = Gate::default();
    let mut numbers = pipe(0..3)
        .map_concurrent(2, |item| {
            let passed = gates[item].passed();
            let pulled = &pulled;
            async move {
                passed.await;
                pulled.set(pulled.get() + 1);
                item
            }
        })
        .driven();
    let task = Task::new();
    gates[0].open();
    assert_eq!(task.poll_next(&mut numbers), Poll::Ready(Some(0)));
    {
        // As a stream, so that a task can poll it.
        let mut alongside = pin!(numbers.alongside(inner.passed()));
        let mut body = futures_lite::stream::poll_fn(|cx| alongside.as_mut().poll(cx).map(Some));
        let mut body = Pin::new(&mut body);
        assert!(task.poll_next(&mut body).is_pending());
        while task.is_woken() {
            assert!(task.poll_next(&mut body).is_pending());
        }
        for (number, gate) in gates.iter().enumerate().skip(1) {
            gate.open();
            assert!(task.is_woken());
            while task.is_woken() {
                assert!(task.poll_next(&mut body).is_pending());
            }
            assert_eq!(pulled.get(), number + 1);
        }
        inner.open();
        assert!(task.is_woken());
        assert_eq!(task.poll_next(&mut body), Poll::Ready(Some(())));
    }
    assert_eq!(task.settle(&mut numbers), (vec![1, 2], true));
}
