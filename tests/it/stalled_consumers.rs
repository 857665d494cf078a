//! Consumers that stop polling, such as response bodies that their clients do not read, and the semaphore that
//! all of them share: behind a `prefetch` they keep no permit.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, in_task, ordered};
use futures_lite::future::yield_now;
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gauge::{Gauge, Unit};
use crate::support::once;
use crate::support::panicked::message_of;
use crate::support::tasks::Tasks;
use crate::support::waker::Task;

/// More than any semaphore here has permits.
const CONSUMERS: usize = 6;

/// More than anyone keeps.
const ITEMS: usize = 60;

/// Permits, and items that may wait for a consumer.
const LIMITS: [(usize, usize); 5] = [(1, 1), (1, 4), (3, 1), (3, 5), (5, 2)];

type Bodies = stream::Boxed<Unit>;

/// What all requests share.
#[derive(Clone)]
struct Backend {
    semaphore: Semaphore,
    /// Opened when it answers.
    gate: Gate,
    /// What was pulled and is not dropped.
    items: Gauge,
    /// Calls that run.
    calls: Gauge,
}

impl Backend {
    fn new(permits: usize) -> Self {
        let semaphore = Semaphore::new(permits);
        Self { semaphore, gate: Gate::default(), items: Gauge::default(), calls: Gauge::default() }
    }

    fn source(&self) -> impl Stream<Item = Unit> + Send + use<> {
        let items = self.items.clone();
        pipe(0..ITEMS).map(move |_| items.unit())
    }

    /// A call that waits for the gate, and then takes a few turns.
    fn call(&self) -> impl Future<Output = ()> + Send + use<> {
        let (passed, running) = (self.gate.passed(), self.calls.unit());
        async move {
            passed.await;
            for _ in 0..3 {
                yield_now().await;
            }
            drop(running);
        }
    }
}

fn calls(backend: Backend, limit: Concurrency) -> Bodies {
    let calls = backend.source().map_concurrent(limit, move |item| {
        let called = backend.call();
        async move {
            called.await;
            item
        }
    });
    calls.boxed()
}

/// Inner streams that wait as calls do, and stay open with more to yield.
fn inner_streams(backend: Backend, limit: Concurrency) -> Bodies {
    let inner = pipe(0..ITEMS / 3).flat_map_concurrent(limit, move |_| {
        let (items, called) = (backend.items.clone(), backend.call());
        let first = stream::once_future(called).map(|()| 0);
        first.chain(stream::iter(1..3)).map(move |_| items.unit())
    });
    inner.boxed()
}

/// Pipelines that yield `ITEMS` under the backend's semaphore.
const KINDS: [fn(Backend, Semaphore) -> Bodies; 8] = [
    |backend, semaphore| calls(backend, semaphore.into()),
    |backend, semaphore| calls(backend, ordered(semaphore)),
    |backend, semaphore| calls(backend, Concurrency::new(semaphore).window(9)),
    |backend, semaphore| {
        let mut keys = 0..;
        let key = move |_: &Unit| keys.next();
        let calls = backend.source().map_concurrent_by_key(semaphore, key, move |item| {
            let called = backend.call();
            async move {
                called.await;
                item
            }
        });
        calls.boxed()
    },
    |backend, semaphore| inner_streams(backend, semaphore.into()),
    |backend, semaphore| inner_streams(backend, ordered(semaphore)),
    // They run ahead of what is yielded.
    |backend, semaphore| inner_streams(backend, ordered(semaphore).window(9)),
    // Two stages, and an adaptor between them.
    |backend, semaphore| {
        let (source, first, second) = (backend.source(), backend.clone(), backend);
        let calls = source
            .inspect_concurrent(semaphore.clone(), async move |_: &Unit| first.call().await)
            .map(|item| item)
            .inspect_concurrent(semaphore, async move |_: &Unit| second.call().await);
        calls.boxed()
    },
];

/// Has so many consumers poll once, and never again.
fn stall<S: Stream + Unpin>(consumers: impl IntoIterator<Item = S>) -> Vec<S> {
    let mut consumers: Vec<S> = consumers.into_iter().collect();
    for consumer in &mut consumers {
        let _ = Task::new().poll_next(consumer);
    }
    consumers
}

#[test]
fn in_tasks_of_their_own_they_keep_no_permit() {
    for (permits, room) in LIMITS {
        for kind in KINDS {
            let (backend, tasks) = (Backend::new(permits), Tasks::new());
            let body =
                || kind(backend.clone(), backend.semaphore.clone()).prefetch(room, tasks.spawn());
            let mut stalled = stall((0..CONSUMERS).map(|_| body()));
            tasks.run();
            assert_eq!((backend.semaphore.in_use(), backend.calls.now()), (permits, permits));

            // The calls end, those that had to wait have their turn, and end as well.
            backend.gate.open();
            tasks.run();
            assert_eq!((backend.semaphore.in_use(), backend.calls.now()), (0, 0));
            assert!(once::poll(&mut backend.semaphore.acquire_many(permits)).is_ready());

            // Nobody is in anyone's way, and nothing is lost.
            for _ in 0..3 {
                assert_eq!(yielded(&tasks, &mut body()), ITEMS);
                assert_eq!(backend.semaphore.in_use(), 0);
            }
            assert_eq!(yielded(&tasks, &mut stalled[CONSUMERS - 1]), ITEMS);
            for consumer in &mut stalled[..CONSUMERS - 1] {
                assert_eq!(yielded(&tasks, consumer), ITEMS);
            }
        }
    }
}

/// Takes all that comes, while the tasks run, and returns how many that were.
fn yielded(tasks: &Tasks, body: &mut (impl Stream + Unpin)) -> usize {
    let task = Task::new();
    let mut count = 0;
    loop {
        let (items, ended) = task.settle(body);
        count += items.len();
        if ended {
            return count;
        }
        tasks.run();
        assert!(task.is_woken(), "stalled after {count}");
    }
}

/// What waits for a consumer: as much as the stage and the `prefetch` may keep, and not more.
#[test]
fn as_many_outputs_wait_as_there_may_be() {
    for (permits, room) in LIMITS {
        for window in [None, Some(1), Some(4), Some(9)] {
            let (backend, tasks) = (Backend::new(permits), Tasks::new());
            let stalled = stall((0..CONSUMERS).map(|_| {
                let limit = Concurrency::new(&backend.semaphore);
                let limit = window.map_or(limit.clone(), |window| limit.window(window));
                calls(backend.clone(), limit).prefetch(room, tasks.spawn())
            }));
            backend.gate.open();
            tasks.run();
            assert_eq!(backend.semaphore.in_use(), 0);
            assert_eq!(backend.items.now(), CONSUMERS * (window.unwrap_or(permits) + room));
            drop(stalled);
            tasks.run();
            assert_eq!((backend.items.now(), tasks.left()), (0, 0));
        }
    }
}

/// The limit that is documented.
#[test]
fn without_a_task_they_keep_the_permits_of_their_calls() {
    for (permits, _) in LIMITS {
        for kind in KINDS {
            let backend = Backend::new(permits);
            let body = || kind(backend.clone(), backend.semaphore.clone());
            let mut stalled = stall((0..CONSUMERS).map(|_| body()));
            backend.gate.open();
            assert_eq!((backend.semaphore.in_use(), backend.calls.now()), (permits, permits));
            let (mut other, task) = (body(), Task::new());
            assert_eq!(task.settle(&mut other).0.len(), 0);

            // They leave, and each lets the next have its turn.
            stalled.clear();
            let (outputs, ended) = task.settle(&mut other);
            assert_eq!((outputs.len(), ended), (ITEMS, true));
        }
    }
}

/// Calls that are tasks end by themselves. Their permits are the stage's to give back.
#[test]
fn calls_in_tasks_keep_their_permits_as_well() {
    for (permits, room) in LIMITS {
        for own_task in [false, true] {
            let (backend, tasks) = (Backend::new(permits), Tasks::new());
            let stalled = stall((0..CONSUMERS).map(|_| {
                let (semaphore, calls) = (backend.semaphore.clone(), backend.clone());
                let in_tasks = in_task(tasks.spawn(), move |_| calls.call());
                let pipeline = backend.source().map_concurrent(semaphore, in_tasks);
                if own_task {
                    pipeline.prefetch(room, tasks.spawn()).boxed()
                } else {
                    pipeline.boxed()
                }
            }));
            tasks.run();
            backend.gate.open();
            tasks.run();
            assert_eq!(backend.calls.now(), 0);
            assert_eq!(backend.semaphore.in_use(), if own_task { 0 } else { permits });
            drop(stalled);
            tasks.run();
            assert_eq!((tasks.left(), backend.semaphore.in_use()), (0, 0));
        }
    }
}

/// A client leaves while its calls run, or before they do.
#[test]
fn those_that_leave_give_all_back_in_the_next_turn_of_their_tasks() {
    for (permits, room) in LIMITS {
        for kind in KINDS {
            let (backend, tasks) = (Backend::new(permits), Tasks::new());
            let body =
                || kind(backend.clone(), backend.semaphore.clone()).prefetch(room, tasks.spawn());
            let mut stalled = stall((0..CONSUMERS).map(|_| body()));
            tasks.run();
            let mut other = body();
            assert!(Task::new().poll_next(&mut other).is_pending());
            while stalled.pop().is_some() {
                tasks.run();
                assert_eq!(backend.semaphore.in_use(), permits);
            }
            assert_eq!((tasks.left(), backend.calls.now()), (1, permits));
            drop(other);
            tasks.run();
            assert_eq!((tasks.left(), backend.semaphore.in_use()), (0, 0));
            assert_eq!((backend.calls.now(), backend.items.now()), (0, 0));
        }
    }
}

/// An error waits for its consumer. What it ends does not.
#[test]
fn after_an_error_they_keep_no_permit() {
    for (permits, room) in LIMITS {
        let (backend, tasks) = (Backend::new(permits), Tasks::new());
        let body = || {
            let (semaphore, backend) = (backend.semaphore.clone(), backend.clone());
            let calls = pipe(0..ITEMS).map(Ok).try_map_concurrent(semaphore, move |n| {
                // Those behind the one that fails never end.
                let called = (n > room + 1).then(|| backend.call());
                async move {
                    if let Some(called) = called {
                        called.await;
                    }
                    yield_now().await;
                    if n == room + 1 { Err(n) } else { Ok(n) }
                }
            });
            calls.prefetch(room, tasks.spawn())
        };
        let stalled = stall((0..CONSUMERS).map(|_| body()));
        tasks.run();
        assert_eq!((backend.semaphore.in_use(), backend.calls.now()), (0, 0));
        assert_eq!(backend.calls.peak() > 0, permits > 1);
        for mut consumer in stalled {
            let mut outputs = vec![];
            let ended = loop {
                match Task::new().poll_next(&mut consumer) {
                    Poll::Ready(Some(output)) => outputs.push(output),
                    Poll::Ready(None) => break outputs.pop(),
                    Poll::Pending => tasks.run(),
                }
            };
            assert_eq!(ended, Some(Err(room + 1)));
            assert!(outputs.iter().all(Result::is_ok));
        }
    }
}

/// Panics wait for the consumer as well, and the other calls go on.
#[test]
fn after_panics_they_keep_no_permit() {
    for (permits, room) in LIMITS {
        let (backend, tasks) = (Backend::new(permits), Tasks::new());
        let body = || {
            let (semaphore, backend) = (backend.semaphore.clone(), backend.clone());
            let calls = pipe(0..ITEMS).map_concurrent(semaphore, move |n| {
                let called = backend.call();
                async move {
                    called.await;
                    if n % 2 == 1 {
                        resume_unwind(Box::new("odd"));
                    }
                    n
                }
            });
            calls.prefetch(room, tasks.spawn())
        };
        let mut stalled = stall((0..CONSUMERS).map(|_| body()));
        tasks.run();
        backend.gate.open();
        tasks.run();
        assert_eq!((backend.semaphore.in_use(), backend.calls.now()), (0, 0));
        let mut other = pipe(0..9).map_concurrent(&backend.semaphore, async |n| n);
        assert_eq!(yielded(&tasks, &mut other), 9);
        let consumer = &mut stalled[0];
        let said = message_of(|| {
            loop {
                let _ = Task::new().poll_next(consumer);
                tasks.run();
            }
        });
        assert_eq!(said, "odd");
    }
}

/// The limit that is documented: there is no end to panics, so they hold up all else when 16 wait.
#[test]
fn more_panics_than_may_wait_hold_up_the_calls() {
    let (backend, tasks) = (Backend::new(3), Tasks::new());
    let (semaphore, calls) = (backend.semaphore.clone(), backend.clone());
    let pipeline = pipe(0..ITEMS).map_concurrent(semaphore, move |n| {
        let called = (n < 2).then(|| calls.call());
        async move {
            match called {
                Some(called) => called.await,
                None => resume_unwind(Box::new("call")),
            }
        }
    });
    let mut stalled = pipeline.prefetch(1, tasks.spawn());
    assert!(Task::new().poll_next(&mut stalled).is_pending());
    tasks.run();
    backend.gate.open();
    tasks.run();
    assert!(backend.semaphore.in_use() >= 2);

    // It goes on when they come out.
    let (mut panics, mut outputs) = (0, 0);
    loop {
        match catch_unwind(AssertUnwindSafe(|| Task::new().poll_next(&mut stalled))) {
            Ok(Poll::Ready(Some(()))) => outputs += 1,
            Ok(Poll::Ready(None)) => break,
            Ok(Poll::Pending) => tasks.run(),
            Err(_) => panics += 1,
        }
    }
    assert_eq!((panics, outputs, backend.semaphore.in_use()), (ITEMS - 2, 2, 0));
}
