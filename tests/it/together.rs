//! Stages that share a semaphore, a poll or an adaptor with others leave them their part.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use flowlet::prelude::*;
use flowlet::{Permit, Semaphore, merge, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

use crate::support::dice::Dice;
use crate::support::gate::Gate;
use crate::support::stages::{Boxed, Stage};
use crate::support::waker::Task;

/// Calls that wait, and are let go by the test.
#[derive(Clone, Default)]
struct Waiting(Rc<RefCell<Vec<Gate>>>);

impl Waiting {
    fn call(&self) -> impl Future<Output = ()> + use<> {
        let gate = Gate::default();
        self.0.borrow_mut().push(gate.clone());
        gate.passed()
    }

    /// Lets one call go, the oldest or the newest. Returns whether there was one.
    fn answer(&self, newest: bool) -> bool {
        let mut gates = self.0.borrow_mut();
        let index =
            if newest { gates.len().checked_sub(1) } else { (!gates.is_empty()).then_some(0) };
        let gate = index.map(|index| gates.remove(index));
        drop(gates);
        gate.inspect(Gate::open).is_some()
    }
}

/// Polls woken tasks in any order until none is woken, which must not take for ever.
fn rest(tasks: &mut [(Task, Boxed<'_>)], dice: &mut Dice) {
    for _ in 0..2_000 {
        let woken: Vec<usize> = (0..tasks.len()).filter(|task| tasks[*task].0.is_woken()).collect();
        if woken.is_empty() {
            return;
        }
        let (task, stream) = &mut tasks[woken[dice.roll(woken.len())]];
        if let Poll::Ready(None) = task.poll_next(stream) {
            *stream = Box::pin(stream::pending());
        }
    }
    panic!("they wake each other for ever");
}

#[test]
fn those_that_wait_for_a_permit_come_to_rest() {
    for stage in Stage::ALL {
        for (number, limit, seed) in [2, 3, 4, 6]
            .into_iter()
            .flat_map(|n| [1, 2].map(|l| (n, l)))
            .flat_map(|(n, l)| (0..20).map(move |seed| (n, l, seed)))
        {
            let (waiting, semaphore) = (Waiting::default(), Semaphore::new(limit));
            let mut dice = Dice::new(seed);
            let pipeline = |_| {
                let waiting = waiting.clone();
                let stream = stage.of(pipe(0..20), &semaphore, move |_| waiting.call());
                (Task::new(), stream)
            };
            let mut tasks: Vec<_> = (0..number).map(pipeline).collect();
            for _ in 0..30 {
                rest(&mut tasks, &mut dice);
                while waiting.answer(false) {}
            }
        }
    }
}

/// Expansions that paused, and a permit that changes hands.
#[test]
fn so_do_expansions_that_paused() {
    let semaphore = Semaphore::new(1);
    let pipeline = |_| {
        let mut stream: Boxed<'_> = Box::pin(pipe([0]).flat_map_concurrent(&semaphore, |_| 0..9));
        let task = Task::new();
        while task.poll_next(&mut stream).is_pending() {}
        (task, stream)
    };
    let (mut tasks, mut dice): (Vec<_>, _) = ((0..3).map(pipeline).collect(), Dice::new(7));
    let first = semaphore.try_acquire();
    rest(&mut tasks, &mut dice);
    drop(first);
    let _second = semaphore.try_acquire();
    rest(&mut tasks, &mut dice);
}

/// A flat map gives its permit back when it hands on, and not to itself.
#[test]
fn an_expansion_leaves_the_permit_to_the_stage_below() {
    for (limit, newest) in [1, 2, 3, 4, 8].into_iter().flat_map(|l| [(l, false), (l, true)]) {
        let (api, waiting) = (Semaphore::new(limit), Waiting::default());
        let (above, below) = (waiting.clone(), waiting.clone());
        let parts = pipe(0..10).flat_map_concurrent(&api, move |n: u32| {
            let waiting = above.clone();
            stream::unfold(0, move |step| {
                let called = waiting.call();
                async move {
                    called.await;
                    (step < 3).then_some((n, step + 1))
                }
            })
        });
        let details = parts.flat_map(|n| stream::iter([n; 3])).map_concurrent(&api, move |n| {
            let called = below.call();
            async move {
                called.await;
                n
            }
        });
        let (task, mut details, mut count) = (Task::new(), Box::pin(details), 0);
        loop {
            let (items, over) = task.settle(&mut details);
            count += items.len();
            if over || !waiting.answer(newest) {
                break;
            }
        }
        assert_eq!((count, api.in_use()), (90, 0), "with a limit of {limit}");
    }
}

#[test]
fn expansions_take_turns_with_those_that_acquire() {
    let semaphore = Semaphore::new(1);
    let steps = || {
        stream::unfold(0, |n| async move {
            yield_now().await;
            (n < 50).then_some((n, n + 1))
        })
    };
    let trace = RefCell::new(Vec::new());
    let run = async |name: u32| {
        let mut outputs = Box::pin(pipe([0]).flat_map_concurrent(&semaphore, |_| steps()));
        while outputs.next().await.is_some() {
            trace.borrow_mut().push(name);
        }
    };
    let acquire = async {
        for _ in 0..20 {
            drop(semaphore.acquire().await);
            trace.borrow_mut().push(2);
            yield_now().await;
        }
    };
    block_on(futures_lite::future::zip(futures_lite::future::zip(run(0), run(1)), acquire));
    let trace = trace.into_inner();
    let longest = trace.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
    let until_acquired = trace.iter().filter(|name| **name == 2).count();
    assert_eq!((trace.len(), until_acquired), (120, 20));
    assert!(longest <= Some(4), "{longest:?} in a row: {trace:?}");
}

/// Whoever else has permits, and however many there are.
#[test]
fn expansions_that_share_a_semaphore_take_turns() {
    for in_use in 0..3 {
        let semaphore = Semaphore::new(3);
        let _others: Vec<_> = (0..in_use).map(|_| semaphore.try_acquire()).collect();
        let outputs = pipe(0..).flat_map_concurrent(&semaphore, stream::repeat);
        let outputs: Vec<usize> = block_on(outputs.take(400).collect());
        // Once all are open.
        for some in outputs[100..].windows(32) {
            assert!((0..3).all(|name| some.contains(&name)), "{in_use} in use: {some:?}");
        }
    }
}

/// One that gave an output waits for its turn, and there are more that are busy than have a turn in
/// one poll.
#[test]
fn busy_expansions_leave_one_that_paused_its_part() {
    let semaphore = Semaphore::new(300);
    let mut outputs = Box::pin(pipe(0..300).flat_map_concurrent(&semaphore, |n| {
        stream::poll_fn(move |cx| {
            if n == 7 {
                return Poll::Ready(Some(n));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }));
    let task = Task::new();
    let mut came = || (0..1_000).filter(|_| task.poll_next(&mut outputs).is_ready()).count();
    // Not all are open in the beginning.
    let _ = came();
    let came = came();
    assert!(came >= 50, "{came} in a thousand polls");
}

/// All stages of a pipeline have one budget for a poll, however selective they are.
#[test]
fn turns_do_not_multiply() {
    for depth in 1..=5 {
        let started = Rc::new(Cell::new(0));
        let count = started.clone();
        let mut stages: Boxed<'_> =
            Box::pin(pipe(0..).inspect(move |_| count.set(count.get() + 1)));
        for level in 0..depth {
            let mut calls = 0;
            let keep_some = move |n| {
                calls += 1;
                let keep = level + 1 < depth && calls % 100 == 0;
                async move { keep.then_some(n) }
            };
            stages = match level % 3 {
                0 => Box::pin(stages.filter_map_concurrent(4, keep_some)),
                1 => Box::pin(merge([stages.filter_map_concurrent(4, keep_some)])),
                _ => Box::pin(stages.filter_map_concurrent(4, keep_some).driven()),
            };
        }
        // Nor does an adaptor that asks again and again.
        let mut stages = Box::pin(stages.filter(|_| false).map_concurrent(4, async |n| n));
        let task = Task::new();
        for poll in 1..4 {
            assert_eq!(task.poll_next(&mut stages), Poll::Pending);
            assert!(task.is_woken(), "there is more to do");
            assert!((1..=poll * 600).contains(&started.get()), "{depth}: {}", started.get());
        }
    }
}

/// However deep: calls that are always busy leave the stages above their part.
#[test]
fn busy_calls_leave_the_stages_above_their_part() {
    let busy = async |n: usize| {
        if n % 2 == 0 {
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .await;
        }
        n
    };
    let mut stages: Boxed<'_> = Box::pin(pipe(0..20_000));
    for _ in 0..12 {
        // Even numbers stay for ever, in the first stage that gets them.
        stages = Box::pin(stages.map_concurrent(2_000, busy).map(|n| n + 1).filter(|n| *n != 0));
        stages = Box::pin(stages.map(|n| if n % 16 == 0 { n } else { n - 1 }));
    }
    let first = block_on(stages.next());
    assert!(first.is_some());
}

/// Nor do they keep a new item out, when all of them are there; nor one whose calls wait.
#[test]
fn busy_calls_in_each_of_many_stages_let_new_items_through() {
    const STAGES: usize = 12;
    const WAITS: usize = STAGES + 1;
    let (sender, items) = async_channel::unbounded();
    let staying = Rc::new(Cell::new(0));
    let mut stages: Boxed<'_> = Box::pin(items);
    for stage in 0..STAGES {
        let staying = staying.clone();
        stages = Box::pin(stages.map_concurrent(100, move |n| {
            let stays = n == stage;
            staying.set(staying.get() + usize::from(stays));
            let mut waits = n == WAITS;
            std::future::poll_fn(move |cx| {
                if !stays && !std::mem::take(&mut waits) {
                    return Poll::Ready(n);
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        }));
    }
    // In the last stage first, so that they all get there.
    (0..STAGES).rev().for_each(|stage| (0..70).for_each(|_| sender.try_send(stage).unwrap()));
    let task = Task::new();
    for _ in 0..20_000 {
        assert_eq!(task.poll_next(&mut stages), Poll::Pending);
        if staying.get() == 70 * STAGES {
            break;
        }
    }
    assert_eq!(staying.get(), 70 * STAGES, "they did not all get there");
    for item in [STAGES, WAITS] {
        sender.try_send(item).unwrap();
        assert!((0..5_000).any(|_| task.poll_next(&mut stages) == Poll::Ready(Some(item))));
    }
}

/// Returns how many polls of calls one poll of a pipeline makes, in which each stage has a call that is
/// always busy. `add` adds a stage whose calls are made by the function that it gets.
fn polls_of_busy_calls(
    stages: usize,
    full: bool,
    add: impl for<'a> Fn(Boxed<'a>, usize, Rc<dyn Fn(usize) -> LocalCall + 'a>) -> Boxed<'a>,
) -> usize {
    let (sender, items) = async_channel::unbounded();
    let (polls, staying) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut pipeline: Boxed<'_> = Box::pin(items);
    for stage in 0..stages {
        let (polls, staying) = (polls.clone(), staying.clone());
        let call = move |n| -> LocalCall {
            let (polls, stays) = (polls.clone(), n == stage);
            staying.set(staying.get() + usize::from(stays));
            Box::pin(std::future::poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                if !stays {
                    return Poll::Ready(n);
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }))
        };
        pipeline = add(pipeline, if full { 1 } else { 4 }, Rc::new(call));
    }
    let task = Task::new();
    // In the last stage first, so that they all get there.
    for stage in (0..stages).rev() {
        sender.try_send(stage).unwrap();
        (0..10).for_each(|_| assert_eq!(task.poll_next(&mut pipeline), Poll::Pending));
    }
    assert_eq!(staying.get(), stages, "they did not all get there");
    polls.set(0);
    assert_eq!(task.poll_next(&mut pipeline), Poll::Pending);
    polls.get()
}

type LocalCall = std::pin::Pin<Box<dyn Future<Output = usize>>>;

/// The work of a poll grows with the number of stages, and is not doubled by each.
#[test]
fn calls_that_are_always_busy_in_each_of_many_stages_are_polled_a_few_times_in_a_poll() {
    const STAGES: usize = 16;
    for full in [false, true] {
        let maps = polls_of_busy_calls(STAGES, full, |above, limit, call| {
            Box::pin(above.map_concurrent(limit, move |n| call(n)))
        });
        let filters = polls_of_busy_calls(STAGES, full, |above, limit, call| {
            Box::pin(above.filter_map_concurrent(ordered(limit), move |n| {
                let call = call(n);
                async move { Some(call.await) }
            }))
        });
        let flat_maps = polls_of_busy_calls(STAGES, full, |above, limit, call| {
            Box::pin(above.flat_map_concurrent(limit, move |n| {
                let call = call(n);
                async move { [call.await] }
            }))
        });
        for polls in [maps, filters, flat_maps] {
            assert!(polls <= 100 * STAGES, "{maps}, {filters} and {flat_maps} in one poll: {full}");
        }
    }
}

/// A stage beside a plain stream is not taken for one, whatever the plain one gives.
#[test]
fn a_stage_behind_a_plain_stream_goes_on() {
    for limit in [1, 2, 3] {
        let (lock, gate) = (async_lock::Mutex::new(()), Gate::default());
        let (sender, plain) = async_channel::unbounded();
        let above = pipe([100]).map_concurrent(1, |n| {
            let (lock, passed) = (&lock, gate.passed());
            async move {
                let _guard = lock.lock().await;
                passed.await;
                n
            }
        });
        let mut both = Box::pin(stream::or(plain, above).map_concurrent(limit, async |n| {
            let _guard = lock.lock().await;
            n
        }));
        let task = Task::new();
        assert_eq!(task.settle(&mut both), (vec![], false));
        (0..limit).for_each(|n| sender.try_send(n).unwrap());
        assert_eq!(task.settle(&mut both), (vec![], false), "it is full, the lock is taken");
        gate.open();
        drop(sender);
        let (mut numbers, over) = task.settle(&mut both);
        numbers.sort_unstable();
        assert_eq!((numbers, over), ((0..limit).chain([100]).collect(), true));
    }
}

/// And what comes after it is not pulled past the bound.
#[test]
fn a_plain_stream_behind_a_stage_that_has_ended_is_not_pulled() {
    let pulled = Cell::new(0);
    let plain = stream::iter(0..9).inspect(|_| pulled.set(pulled.get() + 1));
    let stage = pipe(0..3).map_concurrent(2, async |n| n);
    let waiting = Waiting::default();
    let mut last = Box::pin(stage.chain(plain).map_concurrent(1, |n| {
        let called = waiting.call();
        async move {
            called.await;
            n
        }
    }));
    let task = Task::new();
    for taken in 0..12_usize {
        assert!(task.settle(&mut last).0.len() <= 1);
        // The one in the stage below, and none ahead of it, but for the one that came when the stage
        // above was asked and ended.
        let below = (taken + 1).saturating_sub(3);
        assert_eq!(pulled.get(), below.max(usize::from(taken == 2)), "after {taken}");
        waiting.answer(false);
    }
}

/// Gives what it has, later or at once, and panics when it is dropped.
struct Call {
    permit: Option<Permit>,
    turns: usize,
}

impl Future for Call {
    type Output = Option<Permit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Permit>> {
        if self.turns > 0 {
            self.turns -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.permit.take())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        resume_unwind(Box::new("drop"))
    }
}

#[test]
fn the_output_of_a_call_whose_drop_panics_is_dropped() {
    for turns in [0, 1] {
        let semaphore = Semaphore::new(1);
        let call = |permit| Call { permit, turns };
        let mut stage = Box::pin(pipe([semaphore.try_acquire()]).map_concurrent(2, call));
        let task = Task::new();
        let poll = |_: &u32| {
            let polled = || drop(task.poll_next(&mut stage));
            catch_unwind(AssertUnwindSafe(polled)).is_err()
        };
        assert_eq!((0..5).filter(poll).count(), 1);
        drop(stage);
        assert_eq!(semaphore.in_use(), 0);
    }
}
