//! Calls that run as tasks of an executor.

use std::cell::{Cell, RefCell};
use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::Poll;
use std::thread;

use flowlet::prelude::*;
use flowlet::{Flow, in_local_task, in_task, ordered};
use futures_lite::FutureExt;
use futures_lite::future::{Boxed, BoxedLocal, block_on, yield_now};

use crate::support::gate::Gate;
use crate::support::gauge::{Gauge, Unit};
use crate::support::hosts::{Host, TwoThreads, on_every_host};
use crate::support::on_wake::on_wake;
use crate::support::once::{poll, poll_with};
use crate::support::panicked::message_of;
use crate::support::tasks::Tasks;
use crate::support::waker::Task;
use crate::support::woken::Woken;

fn boom(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// Panics when it is dropped, once it is armed, if it does not panic already.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            boom(self.0);
        }
    }
}

/// A call that is to pass a gate, with all that is to be seen of it.
#[derive(Clone, Default)]
struct Site {
    gate: Gate,
    polls: Arc<AtomicUsize>,
    inputs: Gauge,
    outputs: Gauge,
}

impl Site {
    fn call(&self, input: Unit) -> impl Future<Output = Unit> + Send + use<> {
        let site = self.clone();
        let mut passed = Box::pin(async move {
            site.gate.passed().await;
            drop(input);
            site.outputs.unit()
        });
        let polls = self.polls.clone();
        future::poll_fn(move |cx| {
            polls.fetch_add(1, Ordering::SeqCst);
            passed.as_mut().poll(cx)
        })
    }

    fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }
}

/// A site, and one call of it on an executor of the test's.
fn one_call() -> (Site, Tasks, impl Future<Output = Unit> + Unpin) {
    let (site, tasks) = (Site::default(), Tasks::new());
    let f = in_task(tasks.spawn(), {
        let site = site.clone();
        move |input| site.call(input)
    });
    let call = f(site.inputs.unit());
    (site, tasks, call)
}

#[test]
fn nothing_is_spawned_before_the_first_poll() {
    let (site, tasks, mut call) = one_call();
    assert_eq!(tasks.count(), 0);
    assert!(poll(&mut call).is_pending());
    assert!(poll(&mut call).is_pending());
    assert_eq!((tasks.count(), site.polls()), (1, 0));

    let (site, tasks, call) = one_call();
    drop(call);
    assert_eq!((tasks.count(), site.inputs.now()), (0, 0));
}

#[test]
fn the_function_is_called_in_the_task() {
    let called = Arc::new(AtomicUsize::new(0));
    let tasks = Tasks::new();
    let f = in_task(tasks.spawn(), {
        let called = called.clone();
        move |()| future::ready(called.fetch_add(1, Ordering::SeqCst))
    });
    let mut call = f(());
    assert!(poll(&mut call).is_pending());
    assert_eq!(called.load(Ordering::SeqCst), 0);
    tasks.run();
    assert_eq!(called.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut call), Poll::Ready(0));
}

#[test]
fn a_call_goes_on_while_nobody_polls_it() {
    let (site, tasks, mut call) = one_call();
    let flag = Woken::new();
    assert!(poll_with(&mut call, &flag.waker()).is_pending());
    tasks.run();
    assert_eq!(site.polls(), 1);
    assert!(!flag.take());
    site.gate.open();
    tasks.run();
    assert_eq!((site.polls(), site.inputs.now(), site.outputs.now()), (2, 0, 1));
    assert!(flag.take());
    assert!(matches!(poll(&mut call), Poll::Ready(_)));
    assert_eq!((site.outputs.now(), tasks.left()), (0, 0));
}

#[test]
fn a_call_that_is_dropped_is_woken_and_dropped_without_being_polled_again() {
    let (site, tasks, mut call) = one_call();
    assert!(poll(&mut call).is_pending());
    tasks.run();
    assert!(!tasks.is_woken(0));
    drop(call);
    assert!(tasks.is_woken(0));
    // It could go on by now, but must not.
    site.gate.open();
    assert_eq!(site.inputs.now(), 1);
    assert!(tasks.poll(0).is_ready());
    assert_eq!((site.polls(), site.inputs.now(), site.outputs.peak()), (1, 0, 0));
}

#[test]
fn a_call_that_is_dropped_before_it_began_never_does() {
    let (site, tasks, mut call) = one_call();
    assert!(poll(&mut call).is_pending());
    drop(call);
    assert!(tasks.poll(0).is_ready());
    assert_eq!((site.polls(), site.inputs.now()), (0, 0));
}

#[test]
fn an_output_that_nobody_takes_is_dropped() {
    let (site, tasks, mut call) = one_call();
    site.gate.open();
    assert!(poll(&mut call).is_pending());
    tasks.run();
    assert_eq!(site.outputs.now(), 1);
    drop(call);
    assert_eq!(site.outputs.now(), 0);
}

/// Calls that drop their own handle while they are polled, as another thread may.
#[test]
fn a_call_that_is_dropped_while_it_is_polled_goes_on_until_it_awaits_or_is_over() {
    for over in [false, true] {
        let (inside, outputs, polls) = (Gauge::default(), Gauge::default(), Gauge::default());
        let tasks = Tasks::new();
        let handle: Arc<Mutex<Option<Boxed<Unit>>>> = Arc::default();
        let f = in_task(tasks.spawn(), {
            let (handle, inside, outputs) = (handle.clone(), inside.clone(), outputs.clone());
            let polls = polls.clone();
            move |()| {
                let (handle, outputs) = (handle.clone(), outputs.clone());
                let (unit, polls) = (inside.unit(), polls.clone());
                async move {
                    let _unit = unit;
                    let cancelled = handle.lock().unwrap().take();
                    drop(cancelled);
                    if !over {
                        yield_now().await;
                        std::mem::forget(polls.unit());
                    }
                    outputs.unit()
                }
            }
        });
        *handle.lock().unwrap() = Some(f(()).boxed());
        assert!(poll(handle.lock().unwrap().as_mut().unwrap()).is_pending());
        assert_eq!(tasks.poll(0).is_ready(), over);
        // The output was made, and is gone.
        assert_eq!((outputs.peak(), outputs.now()), (usize::from(over), 0));
        if !over {
            assert_eq!(inside.now(), 1);
            assert!(tasks.poll(0).is_ready());
        }
        assert_eq!((inside.now(), polls.now(), outputs.now()), (0, 0, 0));
    }
}

/// Everything that was in the call is free by the time its consumer is woken.
#[test]
fn the_call_is_dropped_before_its_output_can_be_seen() {
    for panics in [false, true] {
        let inside = Gauge::default();
        let tasks = Tasks::new();
        let f = in_task(tasks.spawn(), {
            let inside = inside.clone();
            move |()| {
                let unit = inside.unit();
                future::poll_fn(move |_| {
                    let _ = &unit;
                    if panics { boom("panicked") } else { Poll::Ready(()) }
                })
            }
        });
        let (look, seen) = mpsc::channel();
        let waker = on_wake(move || look.send(inside.now()).unwrap());
        let mut call = f(());
        assert!(poll_with(&mut call, &waker).is_pending());
        tasks.run();
        assert_eq!(Vec::from_iter(seen.try_iter()), [0]);
    }
}

#[test]
fn the_last_wakers_count() {
    let (site, tasks, mut call) = one_call();
    let flags = [(); 3].map(|()| Woken::new());
    for flag in &flags {
        assert!(poll_with(&mut call, &flag.waker()).is_pending());
        assert!(tasks.poll_with(0, &flag.waker()).is_pending());
    }
    // The first of the two is the gate's, which was given all of them.
    site.gate.open();
    assert!(flags.each_ref().map(|flag| flag.take()).iter().all(|woken| *woken));
    assert!(tasks.poll(0).is_ready());
    assert_eq!(flags.each_ref().map(|flag| flag.take()), [false, false, true]);

    let (_site, tasks, mut call) = one_call();
    assert!(poll(&mut call).is_pending());
    for flag in &flags {
        assert!(tasks.poll_with(0, &flag.waker()).is_pending());
    }
    drop(call);
    assert_eq!(flags.each_ref().map(|flag| flag.take()), [false, false, true]);
}

#[test]
fn no_waker_outlives_its_end() {
    // The consumer's, once it is gone.
    let (_site, tasks, mut call) = one_call();
    let flag = Woken::new();
    assert!(poll_with(&mut call, &flag.waker()).is_pending());
    drop(call);
    assert_eq!((Arc::strong_count(&flag), tasks.left()), (1, 1));

    // The task's, once it is over.
    let (site, tasks, mut call) = one_call();
    site.gate.open();
    assert!(poll(&mut call).is_pending());
    assert!(tasks.poll_with(0, &flag.waker()).is_ready());
    assert_eq!(Arc::strong_count(&flag), 1);
    assert!(poll(&mut call).is_ready());
}

#[test]
fn a_call_that_was_ready_is_not_polled_again() {
    let (site, tasks, mut call) = one_call();
    site.gate.open();
    assert!(poll(&mut call).is_pending());
    tasks.run();
    assert!(poll(&mut call).is_ready());
    assert_eq!(message_of(|| poll(&mut call)), "`InTask` polled after it was ready");
}

/// Where a call can panic.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Function,
    FirstPoll,
    LaterPoll,
    DropWhenOver,
}

impl Place {
    const ALL: [Self; 4] = [Self::Function, Self::FirstPoll, Self::LaterPoll, Self::DropWhenOver];

    fn call(self) -> impl Future<Output = Bomb> + Send + use<> {
        if self == Self::Function {
            boom("function");
        }
        let bomb = (self == Self::DropWhenOver).then(|| Bomb("drop"));
        let mut polled = false;
        future::poll_fn(move |cx| {
            let _ = &bomb;
            if self == Self::FirstPoll || polled {
                boom("poll");
            }
            polled = true;
            if self == Self::DropWhenOver {
                // It is dropped in the task, and may as well panic.
                return Poll::Ready(Bomb("output"));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn text(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::FirstPoll | Self::LaterPoll => "poll",
            Self::DropWhenOver => "drop",
        }
    }
}

#[test]
fn panics_come_out_and_the_executor_never_sees_them() {
    for place in Place::ALL {
        let tasks = Tasks::new();
        let f = in_task(tasks.spawn(), |place: Place| place.call());
        let flag = Woken::new();
        let mut call = f(place);
        assert!(poll_with(&mut call, &flag.waker()).is_pending());
        tasks.run();
        assert!(flag.take());
        assert_eq!(tasks.left(), 0);
        assert_eq!(message_of(|| poll(&mut call).is_ready()), place.text());
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut call).is_ready())).is_err());

        // Nobody is there to get it.
        let mut call = f(place);
        assert!(poll(&mut call).is_pending());
        tasks.run();
        drop(call);
    }
}

#[test]
fn a_payload_of_any_type_comes_out() {
    struct Payload(usize);
    let tasks = Tasks::new();
    let f = in_task(tasks.spawn(), async |item| -> () { resume_unwind(Box::new(Payload(item))) });
    let mut call = f(7);
    assert!(poll(&mut call).is_pending());
    tasks.run();
    let panic = catch_unwind(AssertUnwindSafe(|| poll(&mut call))).unwrap_err();
    assert_eq!(panic.downcast::<Payload>().ok().unwrap().0, 7);
}

/// What is dropped in the executor's hands may panic: in the next turn of a call that was dropped,
/// in one that is polled just then, and when the executor drops the task.
#[test]
fn panics_in_drops_stay_from_the_executor() {
    let bomb = |bomb: Bomb| async move {
        let _bomb = bomb;
        future::pending::<()>().await;
    };
    for (begun, shut_down) in [(false, false), (false, true), (true, false), (true, true)] {
        let tasks = Tasks::new();
        let mut call = in_task(tasks.spawn(), bomb)(Bomb("input"));
        assert!(poll(&mut call).is_pending());
        if begun {
            tasks.run();
        }
        if shut_down {
            tasks.drop(0);
            assert_eq!(message_of(|| poll(&mut call)), "input");
        } else {
            drop(call);
            assert!(tasks.poll(0).is_ready());
        }
    }

    // The output of a call that was dropped meanwhile.
    let tasks = Tasks::new();
    let handle: Arc<Mutex<Option<Boxed<Bomb>>>> = Arc::default();
    let f = in_task(tasks.spawn(), {
        let handle = handle.clone();
        move |()| {
            let handle = handle.clone();
            async move {
                let cancelled = handle.lock().unwrap().take();
                drop(cancelled);
                Bomb("output")
            }
        }
    });
    *handle.lock().unwrap() = Some(f(()).boxed());
    assert!(poll(handle.lock().unwrap().as_mut().unwrap()).is_pending());
    assert!(tasks.poll(0).is_ready());
}

const DROPPED: &str = "the executor dropped a task before it was over";

#[test]
fn a_task_that_the_executor_drops_is_a_panic() {
    for begun in [false, true] {
        let (site, tasks, mut call) = one_call();
        let flag = Woken::new();
        assert!(poll_with(&mut call, &flag.waker()).is_pending());
        if begun {
            tasks.run();
        }
        tasks.drop(0);
        assert!(flag.take());
        assert_eq!(site.inputs.now(), 0);
        assert_eq!(message_of(|| poll(&mut call)), DROPPED);
    }
}

#[test]
fn a_task_that_is_over_may_be_kept_or_dropped() {
    let kept = Arc::new(Mutex::new(None));
    let f = in_task(
        {
            let kept = kept.clone();
            move |task| *kept.lock().unwrap() = Some(task)
        },
        async |item: usize| item,
    );
    let mut call = f(7);
    assert!(poll(&mut call).is_pending());
    let mut task = kept.lock().unwrap().take().unwrap();
    for _ in 0..3 {
        assert!(poll(&mut task).is_ready());
    }
    assert_eq!(poll(&mut call), Poll::Ready(7));
    drop(task);
}

#[test]
fn a_spawn_that_drops_the_task_is_a_panic() {
    let inputs = Gauge::default();
    let mut call = in_task(drop, async |unit: Unit| unit)(inputs.unit());
    assert_eq!(message_of(|| poll(&mut call).is_ready()), DROPPED);
    assert_eq!(inputs.now(), 0);
}

#[test]
fn a_panic_of_spawn_comes_out() {
    let inputs = Gauge::default();
    let f = in_task(|_| boom("no runtime"), async |unit: Unit| unit);
    let mut call = f(inputs.unit());
    assert_eq!(message_of(|| poll(&mut call).is_ready()), "no runtime");
    assert_eq!(inputs.now(), 0);
    assert_eq!(message_of(|| poll(&mut call).is_ready()), DROPPED);

    // What tokio says outside of a runtime.
    let f = in_task(
        |task| {
            tokio::spawn(task);
        },
        async |item: usize| item,
    );
    assert!(message_of(|| poll(&mut f(1))).contains("no reactor running"));
}

#[test]
fn a_spawn_may_run_the_task_at_once() {
    let mut call = in_task(block_on, async |item: usize| item)(7);
    assert_eq!(poll(&mut call), Poll::Ready(7));
}

#[test]
fn a_stage_bounds_its_tasks() {
    let gates: Vec<Gate> = (0..9).map(|_| Gate::default()).collect();
    let tasks = Tasks::new();
    let passing = gates.clone();
    let call = in_task(tasks.spawn(), move |item: usize| {
        let gate = passing[item].clone();
        async move {
            gate.passed().await;
            item
        }
    });
    let task = Task::new();
    let mut stream = pin!(pipe(0..9).map_concurrent(ordered(3), call));
    assert_eq!(task.settle(&mut stream), (vec![], false));
    let mut items = vec![];
    for (done, gate) in gates.iter().enumerate() {
        assert_eq!((tasks.count(), tasks.left()), ((done + 3).min(9), (9 - done).min(3)));
        tasks.run();
        assert!(!task.is_woken());
        gate.open();
        tasks.run();
        items.extend(task.settle(&mut stream).0);
    }
    assert_eq!(items, Vec::from_iter(0..9));
}

#[test]
fn in_the_other_stages_and_in_a_flow() {
    let tasks = Tasks::new();
    let spawn = tasks.spawn();
    let flow: Flow<usize> = Flow::new(move |items| {
        let odd = in_task(spawn.clone(), async |item| item % 2 == 1);
        let larger = in_task(spawn.clone(), async |item: usize| (item > 1).then_some(item));
        let twice = in_task(spawn.clone(), async |item: usize| [item; 2]);
        items
            .filter_concurrent(ordered(2), async move |item: &usize| odd(*item).await)
            .filter_map_concurrent(ordered(2), larger)
            .flat_map_concurrent(ordered(2), twice)
    });
    for _ in 0..2 {
        let (task, mut stream) = (Task::new(), pipe(0..8).through(&flow));
        let mut items = vec![];
        while task.is_woken() {
            let (more, ended) = task.settle(&mut stream);
            items.extend(more);
            tasks.run();
            if ended {
                break;
            }
        }
        assert_eq!(items, [3, 3, 5, 5, 7, 7]);
    }
}

/// What comes of a pipeline, panics included, if it is dropped after so many steps.
fn step_by_step(steps: usize) -> bool {
    let (items, calls) = (Gauge::default(), Gauge::default());
    let tasks = Tasks::new();
    let inside = calls.clone();
    let call = in_task(tasks.spawn(), move |(number, unit): (usize, Unit)| {
        let inside = inside.clone();
        async move {
            let _inside = inside.unit();
            for _ in 0..number % 3 {
                yield_now().await;
            }
            if number % 5 == 4 {
                boom("four");
            }
            unit
        }
    });
    let source = pipe(0..12).map({
        let items = items.clone();
        move |number| (number, items.unit())
    });
    let mut stream = Box::pin(source.map_concurrent(3, call.clone()).map_concurrent(2, |unit| {
        let call = call.clone();
        async move { call((1, unit)).await }
    }));
    let task = Task::new();
    let mut outputs = 0;
    let mut ended = false;
    for step in 0..steps {
        // Now the consumer, now one task.
        if step % 2 == 0 {
            match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))) {
                Ok(Poll::Ready(Some(_))) => outputs += 1,
                Ok(Poll::Ready(None)) => {
                    assert_eq!(outputs, 10);
                    ended = true;
                    break;
                }
                Ok(Poll::Pending) | Err(_) => {}
            }
        } else if let Some(index) = (0..tasks.count()).rev().find(|&index| tasks.is_due(index)) {
            let _ = tasks.poll(index);
        }
    }
    drop(stream);
    tasks.run();
    assert_eq!((items.now(), calls.now(), tasks.left()), (0, 0, 0), "after {steps} steps");
    ended
}

#[test]
fn dropped_at_any_point_a_pipeline_leaves_nothing() {
    let steps = (0..1000).find(|steps| step_by_step(*steps));
    assert!(steps.is_some_and(|steps| steps > 40), "{steps:?}");
}

/// The loop shares a lock with the calls, which are not driven alongside.
#[test]
fn calls_go_on_while_the_body_of_a_loop_awaits() {
    let executor = async_executor::LocalExecutor::new();
    let lock = Arc::new(tokio::sync::Mutex::new(()));
    let call = in_task(|task| executor.spawn(task).detach(), {
        let lock = lock.clone();
        move |item: usize| {
            let lock = lock.clone();
            async move {
                let _guard = lock.lock().await;
                yield_now().await;
                item
            }
        }
    });
    let items = block_on(executor.run(async {
        let mut stream = pin!(pipe(0..30).map_concurrent(4, call));
        let mut items = vec![];
        while let Some(item) = stream.next().await {
            let _guard = lock.lock().await;
            yield_now().await;
            items.push(item);
        }
        items
    }));
    assert_eq!(items.len(), 30);
}

#[test]
fn what_is_not_send_stays_on_its_thread() {
    let tasks: Tasks<BoxedLocal<()>> = Tasks::new();
    let seen = Rc::new(RefCell::new(vec![]));
    let f = in_local_task(tasks.spawn(), {
        let seen = seen.clone();
        move |text: Rc<str>| {
            let seen = seen.clone();
            async move {
                yield_now().await;
                seen.borrow_mut().push(text.clone());
                text
            }
        }
    });
    let mut call = f(Rc::from("one"));
    assert!(poll(&mut call).is_pending());
    tasks.run();
    assert_eq!(poll(&mut call), Poll::Ready(Rc::from("one")));
    assert_eq!(*seen.borrow(), [Rc::from("one")]);

    let mut call = f(Rc::from("two"));
    assert!(poll(&mut call).is_pending());
    drop(call);
    tasks.run();
    assert_eq!((seen.borrow().len(), tasks.left()), (1, 0));

    let mut call = in_local_task(tasks.spawn(), async |()| -> () { boom("local") })(());
    assert!(poll(&mut call).is_pending());
    tasks.run();
    assert_eq!(message_of(|| poll(&mut call)), "local");

    let mut call = in_local_task(drop::<BoxedLocal<()>>, async |item: Rc<u8>| item)(Rc::new(1));
    assert_eq!(message_of(|| poll(&mut call)), DROPPED);
}

/// Calls with data that is `!Send`, on an executor of one thread.
async fn local_sum(spawn: impl Fn(BoxedLocal<()>)) -> usize {
    let most = Rc::new(Cell::new(0));
    let call = in_local_task(spawn, {
        let most = most.clone();
        move |item: Rc<usize>| {
            let most = most.clone();
            async move {
                yield_now().await;
                most.set(most.get().max(*item));
                item
            }
        }
    });
    let sum = pipe(0..20).map(Rc::new).map_concurrent(4, call).fold(0, |sum, n| sum + *n).await;
    assert_eq!(most.get(), 19);
    sum
}

#[test]
fn in_a_local_set() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let set = tokio::task::LocalSet::new();
    let sum = set.block_on(
        &runtime,
        local_sum(|task| {
            tokio::task::spawn_local(task);
        }),
    );
    assert_eq!(sum, 190);
}

#[test]
fn on_a_local_executor() {
    let executor = async_executor::LocalExecutor::new();
    let sum = block_on(executor.run(local_sum(|task| executor.spawn(task).detach())));
    assert_eq!(sum, 190);
}

on_every_host!(
    calls_run_as_tasks,
    calls_of_all_lengths,
    panics_reach_the_consumer,
    dropping_the_pipeline_cancels_the_calls,
);

fn calls_run_as_tasks<H: Host>() {
    let items: Vec<usize> = H::block_on(
        pipe(0..100)
            .map_concurrent(ordered(7), in_task(H::spawn, async |item: usize| item + 1))
            .collect(),
    );
    assert_eq!(items, Vec::from_iter(1..101));
}

fn calls_of_all_lengths<H: Host>() {
    let running = Gauge::default();
    let counted = running.clone();
    let call = in_task(H::spawn, move |item: usize| {
        let unit = counted.unit();
        async move {
            let _unit = unit;
            for _ in 0..item % 5 {
                yield_now().await;
            }
            item
        }
    });
    let sum = H::block_on(pipe(0..300).map_concurrent(5, call).fold(0, |sum, item| sum + item));
    assert_eq!(sum, (0..300).sum::<usize>());
    assert!(running.peak() <= 5);
    assert_eq!(running.now(), 0);
}

fn panics_reach_the_consumer<H: Host>() {
    let call = in_task(H::spawn, async |item: usize| {
        if item % 10 == 3 {
            boom("three");
        }
        item
    });
    let (items, panics) = H::block_on(async {
        let mut stream = pin!(pipe(0..40).map_concurrent(3, call));
        let (mut items, mut panics) = (0, 0);
        loop {
            match AssertUnwindSafe(stream.next()).catch_unwind().await {
                Ok(Some(_)) => items += 1,
                Ok(None) => break (items, panics),
                Err(panic) => {
                    assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "three");
                    panics += 1;
                }
            }
        }
    });
    assert_eq!((items, panics), (36, 4));
}

fn dropping_the_pipeline_cancels_the_calls<H: Host>() {
    let (begin, begun) = async_channel::unbounded();
    let (held, freed) = async_channel::bounded::<()>(1);
    let call = in_task(H::spawn, move |_: usize| {
        let (begin, held) = (begin.clone(), held.clone());
        async move {
            begin.send(()).await.unwrap();
            future::pending::<()>().await;
            drop(held);
        }
    });
    H::block_on(async {
        let mut stream = Box::pin(pipe(0..).map_concurrent(3, call));
        let next = async {
            let _ = stream.next().await;
        };
        let all_begun = async {
            for _ in 0..3 {
                begun.recv().await.unwrap();
            }
        };
        next.or(all_begun).await;
        drop(stream);
        // Closed once the last of the calls is dropped.
        assert!(freed.recv().await.is_err());
    });
}

#[test]
fn tasks_run_at_once_on_several_threads() {
    // None of them ends before the other has begun.
    let barrier = Arc::new(Barrier::new(2));
    let call = in_task(TwoThreads::spawn, move |item: usize| {
        let barrier = barrier.clone();
        async move {
            barrier.wait();
            item
        }
    });
    let sum = block_on(pipe(0..20).map_concurrent(2, call).fold(0, |sum, item| sum + item));
    assert_eq!(sum, 190);
}

/// The consumer waits elsewhere.
#[test]
fn a_runtime_that_is_shut_down_is_a_panic() {
    for threads in [0, 2] {
        let mut runtime = match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime.build().unwrap();
        let handle = runtime.handle().clone();
        let (begin, begun) = mpsc::channel();
        let consumer = thread::spawn(move || {
            let spawn = move |task| {
                handle.spawn(task);
                begin.send(()).unwrap();
            };
            block_on(in_task(spawn, |()| future::pending::<()>())(()));
        });
        begun.recv().unwrap();
        drop(runtime);
        let panic = consumer.join().unwrap_err();
        assert_eq!(*panic.downcast_ref::<&str>().unwrap(), DROPPED);
    }

    for begun in [false, true] {
        let executor = Arc::new(async_executor::Executor::new());
        let weak = Arc::downgrade(&executor);
        let spawn = move |task| weak.upgrade().unwrap().spawn(task).detach();
        let mut call = in_task(spawn, |()| future::pending::<()>())(());
        assert!(poll(&mut call).is_pending());
        assert_eq!(begun && executor.try_tick(), begun);
        drop(executor);
        assert_eq!(message_of(|| poll(&mut call)), DROPPED);
    }
}

/// Calls that are dropped, that end and that begin at the same time, on threads.
#[test]
fn races_lose_nothing() {
    let (inputs, outputs) = (Gauge::default(), Gauge::default());
    let made = outputs.clone();
    let call = in_task(TwoThreads::spawn, move |unit: Unit| {
        let made = made.clone();
        async move {
            yield_now().await;
            drop(unit);
            made.unit()
        }
    });
    for round in 0..500 {
        let mut calls: Vec<_> = (0..8).map(|_| call(inputs.unit())).collect();
        // Some may be over by then, and their outputs dropped.
        calls.retain_mut(|call| poll(call).is_pending());
        for _ in 0..round % 7 {
            thread::yield_now();
        }
        // Half of the others are dropped wherever they are, half are awaited.
        for call in calls.drain(..calls.len() / 2) {
            drop(call);
        }
        for call in calls {
            drop(block_on(call));
        }
    }
    while inputs.now() + outputs.now() > 0 {
        thread::yield_now();
    }
}
