//! Functions that spawn may be used as they are: what they return is kept, and goes with the call.

use std::future::{self};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{in_local_task, in_task, ordered};
use futures_lite::future::{Boxed, block_on, yield_now};
use tokio::runtime::{Builder, Runtime};

use crate::support::gate::Gate;
use crate::support::gauge::{Gauge, Unit};
use crate::support::once::poll;
use crate::support::panicked::{message_of, panic_of};
use crate::support::tasks::Tasks;
use crate::support::waker::Task;

fn runtimes() -> [Runtime; 2] {
    let mut several = Builder::new_multi_thread();
    [Builder::new_current_thread().build(), several.worker_threads(2).build()].map(Result::unwrap)
}

/// A call that takes a turn.
async fn double(n: usize) -> usize {
    yield_now().await;
    2 * n
}

fn doubled() -> impl Iterator<Item = usize> {
    (0..20).map(|n| 2 * n)
}

/// An executor of the test's, whose handles are counted.
struct Host {
    tasks: Tasks,
    handles: Gauge,
}

impl Host {
    fn new() -> Self {
        Self { tasks: Tasks::new(), handles: Gauge::default() }
    }

    fn spawn(&self) -> impl Fn(Boxed<()>) -> Unit + Clone + use<> {
        let (spawn, handles) = (self.tasks.spawn(), self.handles.clone());
        move |task| {
            spawn(task);
            handles.unit()
        }
    }
}

/// A handle that has the executor drop the task at once.
struct Cancels(Rc<Tasks>, usize);

impl Drop for Cancels {
    fn drop(&mut self) {
        Tasks::drop(&self.0, self.1);
    }
}

#[test]
fn the_spawn_of_tokio_is_taken_as_it_is() {
    for runtime in runtimes() {
        let items = pipe(0..20).map_concurrent(ordered(3), in_task(tokio::spawn, double));
        let items = items.prefetch(16, tokio::spawn);
        assert!(runtime.block_on(items.collect::<Vec<_>>()).into_iter().eq(doubled()));
    }
}

#[test]
fn the_spawn_of_smol_is_taken_as_it_is() {
    let items = pipe(0..20).map_concurrent(ordered(3), in_task(smol::spawn, double));
    let items = items.prefetch(16, smol::spawn);
    assert!(smol::block_on(items.collect::<Vec<_>>()).into_iter().eq(doubled()));
}

#[test]
fn the_spawn_local_of_tokio_is_taken_as_it_is() {
    let set = tokio::task::LocalSet::new();
    let call = in_local_task(tokio::task::spawn_local, async |n: Rc<usize>| {
        yield_now().await;
        Rc::new(2 * *n)
    });
    let items = pipe(0..20).map(Rc::new).map_concurrent(ordered(3), call).map(|n| *n);
    let [runtime, _] = runtimes();
    assert!(set.block_on(&runtime, items.collect::<Vec<_>>()).into_iter().eq(doubled()));
}

#[test]
fn a_closure_that_returns_nothing_is_as_good() {
    for runtime in runtimes() {
        let on_tokio = |task| {
            tokio::spawn(task);
        };
        let items = pipe(0..20).map_concurrent(ordered(3), in_task(on_tokio, double));
        let items = items.prefetch(16, on_tokio);
        assert!(runtime.block_on(items.collect::<Vec<_>>()).into_iter().eq(doubled()));
    }
    let on_smol = |task| smol::spawn(task).detach();
    let items = pipe(0..20).map_concurrent(ordered(3), in_task(on_smol, double));
    let items = items.prefetch(16, on_smol);
    assert!(block_on(items.collect::<Vec<_>>()).into_iter().eq(doubled()));

    let executor = async_executor::LocalExecutor::new();
    let call = in_local_task(|task| executor.spawn(task).detach(), double);
    let items = pipe(0..20).map_concurrent(ordered(3), call).collect::<Vec<_>>();
    assert!(block_on(executor.run(items)).into_iter().eq(doubled()));
}

#[test]
fn a_handle_is_kept_until_its_call_is_over() {
    let (host, gate) = (Host::new(), Gate::default());
    let passing = gate.clone();
    let f = in_task(host.spawn(), move |()| passing.passed());
    let mut call = f(());
    assert_eq!(host.handles.now(), 0);
    for _ in 0..3 {
        assert!(poll(&mut call).is_pending());
        host.tasks.run();
        assert_eq!(host.handles.now(), 1);
    }
    gate.open();
    host.tasks.run();
    assert_eq!((host.tasks.left(), host.handles.now()), (0, 1), "nobody has taken the output");
    assert!(poll(&mut call).is_ready());
    // The future is still there.
    assert_eq!(host.handles.now(), 0);
    drop(call);
}

#[test]
fn a_handle_is_dropped_when_its_call_panicked() {
    let host = Host::new();
    let mut call = in_task(host.spawn(), async |()| -> () { resume_unwind(Box::new(())) })(());
    assert!(poll(&mut call).is_pending());
    host.tasks.run();
    assert_eq!(host.handles.now(), 1);
    drop(panic_of(|| poll(&mut call)));
    assert_eq!(host.handles.now(), 0);

    // And when the executor dropped the task.
    let mut call = in_task(host.spawn(), async |()| ())(());
    assert!(poll(&mut call).is_pending());
    host.tasks.drop(1);
    assert!(message_of(|| poll(&mut call)).contains("the executor dropped a task"));
    assert_eq!(host.handles.now(), 0);
}

#[test]
fn a_handle_is_dropped_with_its_call() {
    let host = Host::new();
    let mut call = in_task(host.spawn(), |()| future::pending::<()>())(());
    assert!(poll(&mut call).is_pending());
    drop(call);
    assert_eq!((host.handles.peak(), host.handles.now()), (1, 0));
    assert!(host.tasks.is_woken(0), "a handle that does nothing leaves the rest to the call");
}

#[test]
fn a_stage_keeps_the_handles_of_the_calls_that_run() {
    let gates: Vec<Gate> = (0..9).map(|_| Gate::default()).collect();
    let (host, task, passing) = (Host::new(), Task::new(), gates.clone());
    let call = in_task(host.spawn(), move |n: usize| passing[n].passed());
    let mut stage = Box::pin(pipe(0..9).map_concurrent(3, call));
    assert_eq!(task.settle(&mut stage).0.len(), 0);
    for (done, gate) in gates.iter().enumerate().take(7) {
        assert_eq!(host.handles.now(), (9 - done).min(3));
        gate.open();
        host.tasks.run();
        assert_eq!(task.settle(&mut stage).0.len(), 1);
    }
    assert_eq!(host.handles.now(), 2);
    drop(stage);
    assert_eq!((host.handles.peak(), host.handles.now()), (3, 0));
}

#[test]
fn a_prefetch_keeps_its_handle_until_the_end_was_handed_out() {
    let (host, task) = (Host::new(), Task::new());
    let mut stream = pipe(0..5).prefetch(2, host.spawn());
    assert_eq!(host.handles.now(), 0);
    let mut items = 0;
    loop {
        match task.poll_next(&mut stream) {
            Poll::Ready(Some(_)) => items += 1,
            Poll::Ready(None) => break,
            Poll::Pending => {}
        }
        assert_eq!(host.handles.now(), 1);
        host.tasks.run();
    }
    assert_eq!((items, host.handles.now(), host.handles.peak()), (5, 0, 1));

    // The stream is still there. And it goes with one that is dropped.
    drop(stream);
    let mut stream = pipe(0..5).prefetch(2, host.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    host.tasks.run();
    assert_eq!(host.handles.now(), 1);
    drop(stream);
    assert_eq!(host.handles.now(), 0);
}

#[test]
fn a_panic_above_a_prefetch_leaves_its_handle() {
    let (host, task) = (Host::new(), Task::new());
    let source = pipe(0..5).map(|n| if n == 2 { resume_unwind(Box::new("two")) } else { n });
    let mut stream = source.prefetch(9, host.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    host.tasks.run();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(1)));
    assert_eq!(message_of(|| task.poll_next(&mut stream)), "two");
    assert_eq!(host.handles.now(), 1);
    host.tasks.run();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(3)));
    assert_eq!(host.handles.now(), 1);
    assert_eq!(task.settle(&mut stream), (vec![4], true));
    assert_eq!(host.handles.now(), 0);
}

#[test]
fn a_handle_that_cancels_does_so_when_the_stage_is_dropped_and_not_before() {
    let (tasks, inside, gate) = (Rc::new(Tasks::new()), Gauge::default(), Gate::default());
    let spawn = |boxed| {
        tasks.spawn()(boxed);
        Cancels(tasks.clone(), tasks.count() - 1)
    };
    let (passing, counted) = (gate.clone(), inside.clone());
    let call = in_task(spawn, move |n: usize| {
        let (unit, passed) = (counted.unit(), passing.passed());
        async move {
            let _unit = unit;
            passed.await;
            n
        }
    });
    let (task, mut stage) = (Task::new(), Box::pin(pipe(0..5).map_concurrent(3, call)));
    assert_eq!(task.settle(&mut stage), (vec![], false));
    tasks.run();
    assert_eq!((tasks.left(), inside.now()), (3, 3));
    drop(stage);
    // No turn of the executor is needed.
    assert_eq!((tasks.left(), inside.now()), (0, 0));
}

/// Dropping it cancels its task, which nobody detaches.
#[test]
fn a_task_of_smol_is_cancelled_with_the_stage_and_not_before() {
    let executor = async_executor::LocalExecutor::new();
    let (inside, gate, task) = (Gauge::default(), Gate::default(), Task::new());
    let (passing, counted) = (gate.clone(), inside.clone());
    let call = in_local_task(
        |task| executor.spawn(task),
        move |n: usize| {
            let (unit, passed) = (counted.unit(), passing.passed());
            async move {
                let _unit = unit;
                passed.await;
                n
            }
        },
    );
    let run = || while executor.try_tick() {};
    let mut stage = Box::pin(pipe(0..5).map_concurrent(3, call.clone()));
    for _ in 0..3 {
        assert_eq!(task.settle(&mut stage), (vec![], false));
        run();
        assert_eq!(inside.now(), 3);
    }
    drop(stage);
    run();
    assert_eq!((inside.now(), inside.peak(), executor.is_empty()), (0, 3, true));

    gate.open();
    let items = pipe(0..5).map_concurrent(3, call).collect::<Vec<_>>();
    assert_eq!(block_on(executor.run(items)).len(), 5);
}

#[test]
fn a_prefetch_on_smol_is_cancelled_with_the_stream_and_not_before() {
    let (held, freed) = async_channel::bounded::<()>(1);
    let source = pipe(0..).map(move |n: usize| {
        let _ = &held;
        n
    });
    let mut stream = source.prefetch(3, smol::spawn);
    let some: Vec<usize> = smol::block_on((&mut stream).take(50).collect());
    assert!(some.into_iter().eq(0..50));
    assert!(!freed.is_closed());
    drop(stream);
    // Closed once what was above is dropped.
    assert!(smol::block_on(freed.recv()).is_err());
}
