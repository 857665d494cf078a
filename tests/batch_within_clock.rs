//! `batched_within` with a clock that the tests turn.
//!
//! The crate's own files are compiled into this test, with a clock in place of the timers of
//! `async-io`. Nothing here waits.

#![allow(dead_code, unreachable_pub, unused_imports)]

// The parts of `tests/support` take this for the crate.
extern crate self as flowlet;

#[path = "../src/concurrency.rs"]
mod concurrency;
#[path = "../src/dropped.rs"]
mod dropped;
#[path = "../src/engine/mod.rs"]
mod engine;
#[path = "../src/event.rs"]
mod event;
#[path = "../src/ext.rs"]
mod ext;
#[path = "../src/flow/mod.rs"]
mod flow;
#[path = "../src/functional.rs"]
mod functional;
#[cfg(feature = "monitor")]
#[path = "../src/monitor/mod.rs"]
mod monitor;
#[path = "../src/panics.rs"]
mod panics;
#[path = "../src/place/mod.rs"]
mod place;
#[path = "../src/semaphore/mod.rs"]
mod semaphore;
#[path = "../src/size_hint.rs"]
mod size_hint;
#[path = "../src/source.rs"]
mod source;
#[path = "../src/stage/mod.rs"]
mod stage;
#[path = "../src/sync.rs"]
mod sync;
#[path = "../src/try_ext.rs"]
mod try_ext;

mod support {
    pub(crate) mod dice;
    pub(crate) mod exec;
    pub(crate) mod gate;
    pub(crate) mod lock;
    pub(crate) mod waker;
    pub(crate) mod window;
    pub(crate) mod woken;
}

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::{Stream, StreamExt, stream};
use futures_util::stream::select;

pub use crate::concurrency::{Concurrency, errors_in_turn, finishing, ordered};
pub use crate::dropped::Dropped;
pub use crate::ext::FlowExt;
pub use crate::flow::{Flow, FlowPredicate, IntoFlow, Through};
#[cfg(feature = "monitor")]
pub use crate::monitor::Monitor;
pub use crate::semaphore::Semaphore;
pub use crate::source::{Pipe, Source, pipe, via};
pub use crate::stage::call_future::CallFuture;
pub use crate::stage::expand::Expand;
pub use crate::stage::merge::merge;
pub use crate::stage::try_expand::TryExpand;
pub use crate::stage::try_item::TryItem;
pub use crate::try_ext::TryFlowExt;

use crate::support::exec::{rest, run};
use crate::support::gate::Gate;
use crate::support::lock::{Fair, HABITS, Lock, Site, Unfair, with_each_lock};
use crate::support::waker::Task;
use crate::support::window::Window;

/// The clock, in place of `src/clock.rs`. Each thread, and so each test, has its own.
mod clock {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        static ALARMS: RefCell<Vec<(usize, Duration, Waker)>> = const { RefCell::new(Vec::new()) };
        static NAMES: Cell<usize> = const { Cell::new(0) };
    }

    #[derive(Debug, Default)]
    pub(crate) struct Countdown {
        over: Option<Duration>,
        alarm: Option<usize>,
    }

    impl Countdown {
        pub(crate) fn start(&mut self, duration: Duration) {
            self.stop();
            self.over = NOW.get().checked_add(duration);
        }

        pub(crate) fn stop(&mut self) {
            self.over = None;
            if let Some(alarm) = self.alarm.take() {
                ALARMS.with_borrow_mut(|alarms| alarms.retain(|(name, ..)| *name != alarm));
            }
        }

        pub(crate) fn is_over(&self) -> bool {
            self.over.is_some_and(|over| over <= NOW.get())
        }

        pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            if self.is_over() {
                return Poll::Ready(());
            }
            let Some(over) = self.over else { return Poll::Pending };
            let name = *self.alarm.get_or_insert_with(|| NAMES.replace(NAMES.get() + 1));
            ALARMS.with_borrow_mut(|alarms| {
                alarms.retain(|alarm| alarm.0 != name);
                alarms.push((name, over, cx.waker().clone()));
            });
            Poll::Pending
        }
    }

    impl Drop for Countdown {
        fn drop(&mut self) {
            self.stop();
        }
    }

    /// Lets time pass, and wakes those whose time has come, once.
    pub(crate) fn pass(time: Duration) {
        NOW.set(NOW.get() + time);
        let due: Vec<_> = ALARMS.with_borrow_mut(|alarms| {
            let (due, later) = alarms.drain(..).partition(|(_, over, _)| *over <= NOW.get());
            *alarms = later;
            due
        });
        due.into_iter().for_each(|(_, _, waker)| waker.wake());
    }

    /// How many wait for their time.
    pub(crate) fn alarms() -> usize {
        ALARMS.with_borrow(Vec::len)
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// As good as never.
const HOUR: Duration = Duration::from_secs(3600);

/// A stream whose items are pushed by the test.
fn channel<T>() -> (async_channel::Sender<T>, async_channel::Receiver<T>) {
    async_channel::unbounded()
}

#[test]
fn the_time_of_a_batch_starts_with_its_first_item() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    let mut batches = Box::pin(receiver.batched_within(3, SECOND * 10));
    assert_eq!(task.settle(&mut batches), (vec![], false));

    // While there is nothing, no time is running.
    assert_eq!(clock::alarms(), 0);
    clock::pass(HOUR);
    assert!(!task.is_woken());

    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND * 6);
    sender.try_send(1).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    // The second item has not started it anew.
    clock::pass(SECOND * 4 - Duration::from_nanos(1));
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(Duration::from_nanos(1));
    assert!(task.is_woken());
    assert_eq!(task.settle(&mut batches), (vec![vec![0, 1]], false));
    assert_eq!(clock::alarms(), 0);

    // Nor is anything left of it for the next one.
    clock::pass(HOUR);
    assert!(!task.is_woken());
    sender.try_send(2).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND * 9);
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND);
    assert_eq!(task.settle(&mut batches), (vec![vec![2]], false));
}

#[test]
fn a_full_batch_takes_its_time_with_it() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    let mut batches = Box::pin(receiver.batched_within(2, SECOND * 10));
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND * 9);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![vec![0, 1]], false));
    // Item 2 came nine seconds later than item 0.
    clock::pass(SECOND * 9);
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND);
    assert_eq!(task.settle(&mut batches), (vec![vec![2]], false));

    // A batch that is full at once never has any.
    sender.try_send(3).unwrap();
    sender.try_send(4).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![vec![3, 4]], false));
    assert_eq!(clock::alarms(), 0);
}

#[test]
fn a_batch_that_is_due_while_the_consumer_is_busy_comes_out_next() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    let mut batches = Box::pin(receiver.batched_within(3, SECOND));
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(HOUR);
    // What is there by then comes with it, up to the size.
    for n in 1..=3 {
        sender.try_send(n).unwrap();
    }
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![0, 1])));
    assert_eq!(task.settle(&mut batches), (vec![], false));
    // And the time of the others starts now.
    clock::pass(SECOND - Duration::from_nanos(1));
    assert!(!task.is_woken());
    clock::pass(Duration::from_nanos(1));
    assert_eq!(task.settle(&mut batches), (vec![vec![2, 3]], false));
}

#[test]
fn a_source_that_is_always_ready_does_not_hold_a_batch_back() {
    let task = Task::new();
    let numbers = stream::iter(0..1000).inspect(|_| clock::pass(SECOND));
    let mut batches = pin!(numbers.batched_within(usize::MAX, SECOND * 3));
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![0, 1, 2, 3])));
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![4, 5, 6, 7])));
}

#[test]
fn the_tail_comes_at_the_end_at_once() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    let mut batches = Box::pin(receiver.batched_within(3, HOUR));
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    assert_eq!(clock::alarms(), 1);
    sender.close();
    assert_eq!(task.settle(&mut batches), (vec![vec![0]], true));
    assert_eq!(clock::alarms(), 0);
    clock::pass(HOUR);
    assert!((0..3).all(|_| task.poll_next(&mut batches) == Poll::Ready(None)));

    // Of nothing there is no batch.
    let mut none = pin!(stream::empty::<u8>().batched_within(1, SECOND));
    assert_eq!(task.settle(&mut none), (vec![], true));
}

#[test]
fn dropped_it_waits_for_nothing() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    let mut batches = Box::pin(receiver.batched_within(3, SECOND));
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    drop(batches);
    assert_eq!(clock::alarms(), 0);
    assert!(sender.is_closed());
}

#[test]
fn a_time_that_is_too_long_has_no_end() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    clock::pass(SECOND);
    let mut batches = Box::pin(receiver.batched_within(2, Duration::MAX));
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    assert_eq!(clock::alarms(), 0);
    sender.try_send(1).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![vec![0, 1]], false));
}

#[test]
fn whoever_polls_last_is_woken() {
    let ((first, second), (sender, receiver)) = ((Task::new(), Task::new()), channel());
    let mut batches = Box::pin(receiver.batched_within(2, SECOND));
    sender.try_send(0).unwrap();
    assert_eq!(first.settle(&mut batches), (vec![], false));
    assert_eq!(second.settle(&mut batches), (vec![], false));
    clock::pass(SECOND);
    assert!(!first.is_woken());
    assert_eq!(second.settle(&mut batches), (vec![vec![0]], false));
}

#[test]
fn an_error_has_the_batch_come_first() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    let mut batches = Box::pin(receiver.try_batched_within(3, SECOND));
    sender.try_send(Ok(0)).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND);
    assert_eq!(task.settle(&mut batches), (vec![Ok(vec![0])], false));

    // Before its time, and at once.
    for item in [Ok(1), Ok(2), Err("three"), Ok(4)] {
        sender.try_send(item).unwrap();
    }
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(Ok(vec![1, 2]))));
    assert!(sender.is_closed());
    assert_eq!(clock::alarms(), 0);
    assert_eq!(batches.size_hint(), (1, Some(1)));
    assert_eq!(task.settle(&mut batches), (vec![Err("three")], true));
    assert_eq!(batches.size_hint(), (0, Some(0)));
    assert!((0..3).all(|_| task.poll_next(&mut batches) == Poll::Ready(None)));

    // Also if the time of the batch has come as well.
    let (sender, receiver) = channel();
    let mut batches = Box::pin(receiver.try_batched_within(3, SECOND));
    sender.try_send(Ok(0)).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(HOUR);
    sender.try_send(Err("one")).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![Ok(vec![0]), Err("one")], true));
}

#[test]
fn hints_know_that_items_may_be_late() {
    let (task, gate) = (Task::new(), Gate::default());
    let numbers = pipe(0..5).map_concurrent(1, |n| {
        let passed = gate.passed();
        async move {
            if n == 3 {
                passed.await;
            }
            n
        }
    });
    let mut batches = Box::pin(numbers.batched_within(2, SECOND));
    assert_eq!(batches.size_hint(), (3, Some(5)));
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![0, 1])));
    assert_eq!(batches.size_hint(), (2, Some(3)));
    assert!(task.poll_next(&mut batches).is_pending());
    // What is here comes in one.
    assert_eq!(batches.size_hint(), (2, Some(3)));
    clock::pass(SECOND);
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![2])));
    assert_eq!(batches.size_hint(), (1, Some(2)));
    gate.open();
    assert_eq!(task.settle(&mut batches), (vec![vec![3, 4]], true));
    assert_eq!(batches.size_hint(), (0, Some(0)));
}

#[test]
fn a_panic_above_takes_nothing_with_it() {
    let task = Task::new();
    let (sender, receiver) = channel();
    let numbers = receiver.inspect(|n| assert!(*n != 1, "one"));
    let mut batches = Box::pin(numbers.batched_within(3, SECOND));
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND);
    sender.try_send(1).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut batches))).is_err());
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![0])));
}

/// Two calls: the first gives its output at once, the second takes the lock and holds it until the
/// gate is open. Between them and what is below lies a batch.
fn above(lock: &Fair, gate: &Gate) -> impl Stream<Item = u32> + use<> {
    let (lock, gate) = (lock.clone(), gate.clone());
    pipe([0, 1]).map_concurrent(2, move |n| {
        let (lock, gate) = (lock.clone(), gate.clone());
        async move {
            if n == 1 {
                let _guard = lock.hold().await;
                gate.passed().await;
            }
            n
        }
    })
}

#[test]
fn a_batch_that_is_due_lets_calls_above_go_on_alongside() {
    let (task, lock, gate) = (Task::new(), Fair::new(), Gate::default());
    let mut batches = above(&lock, &gate).batched_within(5, SECOND).driven();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND);
    {
        let consumer = batches.alongside(lock.clone().hold());
        let mut consumer = pin!(stream::once_future(consumer).map(drop));
        assert_eq!(task.settle(&mut consumer).0.len(), 0);
        // Only an advance can have the call above give the lock back.
        gate.open();
        assert_eq!(task.settle(&mut consumer).0.len(), 1);
    }
    // The batch was neither lost nor closed.
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![0, 1])));
    assert_eq!(task.settle(&mut batches), (vec![], true));
}

#[test]
fn a_batch_that_is_due_takes_in_what_comes_in_an_advance() {
    let (task, lock, gate) = (Task::new(), Fair::new(), Gate::default());
    let (sender, receiver) = channel();
    let both = select(above(&lock, &gate), receiver);
    let mut batches = both.batched_within(5, SECOND).driven();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock::pass(SECOND);
    sender.try_send(7).unwrap();
    {
        let consumer = batches.alongside(lock.clone().hold());
        let mut consumer = pin!(stream::once_future(consumer).map(drop));
        assert_eq!(task.settle(&mut consumer).0.len(), 0);
        assert!(sender.is_empty());
        gate.open();
        assert_eq!(task.settle(&mut consumer).0.len(), 1);
    }
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![0, 7, 1])));
}

#[test]
fn a_batch_that_becomes_due_in_an_advance_comes_at_the_next_pull() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    let calls = receiver.map_concurrent(1, async |n: u32| n);
    let mut batches = calls.batched_within(5, SECOND).driven();
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    let consumer = Gate::default();
    {
        let consuming = batches.alongside(consumer.passed());
        let mut consuming = pin!(stream::once_future(consuming));
        assert_eq!(task.settle(&mut consuming).0.len(), 0);
        clock::pass(SECOND);
        assert!(task.is_woken());
        assert_eq!(task.settle(&mut consuming).0.len(), 0);
        consumer.open();
        assert_eq!(task.settle(&mut consuming).0.len(), 1);
    }
    assert_eq!(task.settle(&mut batches), (vec![vec![0]], false));
}

#[test]
fn a_batch_that_is_due_lets_calls_above_go_on_in_a_pause() {
    // The stage below has room when it asks for a batch, and has none when the batch is due.
    let (task, lock, gate) = (Task::new(), Fair::new(), Gate::default());
    let semaphore = Semaphore::new(1);
    let batches = above(&lock, &gate).batched_within(5, SECOND);
    let mut stored = Box::pin(batches.map_concurrent(&semaphore, async |batch: Vec<u32>| batch));
    assert_eq!(task.settle(&mut stored), (vec![], false));

    semaphore.set_limit(0);
    clock::pass(SECOND);
    assert_eq!(task.settle(&mut stored), (vec![], false));
    // The pause ends when the lock comes back.
    let mut elsewhere = Box::pin(stream::once_future(async {
        drop(lock.clone().hold().await);
        semaphore.set_limit(1);
    }));
    let other = Task::new();
    assert_eq!(other.settle(&mut elsewhere).0.len(), 0);
    gate.open();
    assert_eq!(task.settle(&mut stored), (vec![], false));
    assert_eq!(other.settle(&mut elsewhere).0.len(), 1);
    assert_eq!(task.settle(&mut stored), (vec![vec![0, 1]], true));
}

#[test]
fn a_plain_source_above_is_not_pulled_in_an_advance() {
    let (task, pulled) = (Task::new(), Rc::new(Cell::new(0)));
    let numbers = stream::iter(0..9).inspect(|n| pulled.set(n + 1));
    let batches = Box::pin(numbers).batched_within(2, SECOND).map_concurrent(1, async |batch| {
        rest(1).await;
        batch
    });
    let mut batches = pin!(batches);
    for _ in 0..5 {
        assert!(task.poll_next(&mut batches).is_pending());
        clock::pass(SECOND);
    }
    assert_eq!(pulled.get(), 2);

    // Nor after a batch whose time had come.
    let task = Task::new();
    let (sender, receiver) = channel();
    let calls = receiver.batched_within(9, SECOND).map_concurrent(1, |_| pending::<()>());
    let mut calls = pin!(calls);
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut calls), (vec![], false));
    clock::pass(SECOND);
    assert_eq!(task.settle(&mut calls), (vec![], false));
    sender.try_send(1).unwrap();
    assert!(task.poll_next(&mut calls).is_pending());
    assert_eq!(sender.len(), 1);
}

with_each_lock!(
    calls_go_on_with_limits,
    calls_go_on_with_a_shared_semaphore,
    calls_go_on_alongside,
    calls_go_on_in_a_merge,
);

/// How long a call takes.
const WORK: Duration = SECOND;

/// Sizes and durations of batches.
const BATCHES: [(usize, u32); 6] = [(1, 1), (2, 1), (2, 100), (3, 2), (100, 1), (100, 3)];

/// A call during which time passes.
async fn work<L: Lock>(site: &Site<L>, n: u32) -> u32 {
    site.call(n).await;
    clock::pass(WORK);
    n
}

fn all<L: Lock>(check: impl Fn(&Site<L>, usize, Duration, u64, String)) {
    for ((size, duration), habit) in BATCHES.into_iter().flat_map(|b| HABITS.map(|h| (b, h))) {
        for seed in [0, 1, 29, 30] {
            let site = Site::new(&L::new(), habit);
            let case = format!("{size} {duration} {habit:?} {seed}");
            check(&site, size, WORK * duration, seed, case);
        }
    }
}

fn sorted(batches: impl IntoIterator<Item = Vec<u32>>, size: usize) -> Vec<u32> {
    let mut items = vec![];
    for batch in batches {
        assert!((1..=size).contains(&batch.len()));
        items.extend(batch);
    }
    items.sort_unstable();
    items
}

fn calls_go_on_with_limits<L: Lock>() {
    for (first, second) in [(1, 1), (4, 1), (1, 4), (3, 2)] {
        all::<L>(|site, size, duration, seed, case| {
            let window = Window::default();
            let batches = window
                .source(24)
                .map_concurrent(first, |n| work(site, n))
                .batched_within(size, duration)
                .map_concurrent(second, async |batch: Vec<u32>| {
                    work(site, batch[0]).await;
                    batch
                })
                .inspect(|batch| batch.iter().for_each(|_| window.leave()));
            let batches: Vec<_> = run(seed, batches.collect())
                .unwrap_or_else(|stall| panic!("{stall:?}: {first} {second} {case}"));
            assert_eq!(sorted(batches, size), Vec::from_iter(0..24));
            let bound = first + size + second * size;
            assert!(window.peak().unsigned_abs() <= bound, "{} {case}", window.peak());
        });
    }
}

/// What is due when there is no permit waits, and what is above it takes the permit.
fn calls_go_on_with_a_shared_semaphore<L: Lock>() {
    for permits in [1, 2, 5] {
        all::<L>(|site, size, duration, seed, case| {
            let semaphore = Semaphore::new(permits);
            let batches = pipe(0..24)
                .map_concurrent(&semaphore, |n| work(site, n))
                .batched_within(size, duration)
                .map_concurrent(&semaphore, async |batch: Vec<u32>| {
                    work(site, batch[0]).await;
                    batch
                })
                .flat_map_concurrent(1, |batch| batch)
                .map_concurrent(ordered(&semaphore), |n| work(site, n))
                .batched_within(size, duration);
            let batches: Vec<_> = run(seed, batches.collect())
                .unwrap_or_else(|stall| panic!("{stall:?}: {permits} {case}"));
            assert_eq!(sorted(batches, size), Vec::from_iter(0..24));
        });
    }
}

/// The consumer takes the lock too, every other time after it gave up waiting for a batch.
fn calls_go_on_alongside<L: Lock>() {
    all::<L>(|site, size, duration, seed, case| {
        let above = pipe(0..24).map_concurrent(3, |n| work(site, n));
        let mut batches = above.batched_within(size, duration).driven();
        let consumed = run(seed, async {
            let mut consumed = vec![];
            for turn in 0.. {
                let next = async { Some(batches.next().await) };
                let patience = async {
                    if turn % 2 == 0 {
                        rest(2).await;
                    } else {
                        pending::<()>().await;
                    }
                    None
                };
                match or(next, patience).await {
                    Some(Some(batch)) => consumed.push(batch),
                    Some(None) => break,
                    None => {}
                }
                batches.alongside(work(site, 7)).await;
            }
            consumed
        });
        let consumed = consumed.unwrap_or_else(|stall| panic!("{stall:?}: {case}"));
        assert_eq!(sorted(consumed, size), Vec::from_iter(0..24));
    });
}

fn calls_go_on_in_a_merge<L: Lock>() {
    all::<L>(|site, size, duration, seed, case| {
        let branch = |numbers: std::ops::Range<u32>| {
            pipe(numbers).map_concurrent(2, |n| work(site, n)).batched_within(size, duration)
        };
        let merged = merge([Box::pin(branch(0..12)), Box::pin(branch(12..24))]);
        let batches = merged.map_concurrent(2, async |batch: Vec<u32>| {
            work(site, batch[0]).await;
            batch
        });
        let batches: Vec<_> =
            run(seed, batches.collect()).unwrap_or_else(|stall| panic!("{stall:?}: {case}"));
        assert_eq!(sorted(batches, size), Vec::from_iter(0..24));
    });
}
