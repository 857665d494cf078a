//! Batches whose time is told by a function of the user's.

use std::cell::{Cell, RefCell};
use std::future::{self, Future};
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use flowlet::prelude::*;
use futures_lite::stream;

use crate::support::gate::{Gate, Passed};
use crate::support::gauge::{Gauge, Unit};
use crate::support::panicked::message_of;
use crate::support::waker::Task;

const SECOND: Duration = Duration::from_secs(1);

/// Makes futures that sleep until the test says otherwise.
#[derive(Clone, Default)]
struct Clock {
    /// What each was asked for, and how it is woken.
    begun: Rc<RefCell<Vec<(Duration, Gate)>>>,
    sleeping: Gauge,
    /// How many of the next calls panic.
    panics: Rc<Cell<usize>>,
}

/// Must not be polled again when it was ready.
struct Sleep {
    passed: Passed,
    over: bool,
    _unit: Unit,
}

impl Future for Sleep {
    type Output = &'static str;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'static str> {
        assert!(!self.over, "polled after it was ready");
        let polled = Pin::new(&mut self.passed).poll(cx);
        self.over = polled.is_ready();
        polled.map(|()| "whatever")
    }
}

impl Clock {
    fn sleep(&self) -> impl FnMut(Duration) -> Sleep + use<> {
        let clock = self.clone();
        move |duration| {
            if clock.panics.get() > 0 {
                clock.panics.set(clock.panics.get() - 1);
                resume_unwind(Box::new("no timer"));
            }
            let gate = Gate::default();
            let passed = gate.passed();
            clock.begun.borrow_mut().push((duration, gate));
            Sleep { passed, over: false, _unit: clock.sleeping.unit() }
        }
    }

    fn begun(&self) -> usize {
        self.begun.borrow().len()
    }

    /// Has the time come of the last that began.
    fn ring(&self) {
        let gate = self.begun.borrow().last().unwrap().1.clone();
        gate.open();
    }

    /// How many were made, and how many are there.
    fn counts(&self) -> (usize, usize) {
        (self.begun(), self.sleeping.now())
    }
}

/// A stream whose items are pushed by the test.
fn channel<T>() -> (async_channel::Sender<T>, Pin<Box<async_channel::Receiver<T>>>) {
    let (sender, receiver) = async_channel::unbounded();
    (sender, Box::pin(receiver))
}

/// An item each 100 ms.
fn fifty() -> impl Stream<Item = usize> {
    stream::iter(0..50).then(async |n| {
        tokio::time::sleep(SECOND / 10).await;
        n
    })
}

/// As many as `chunks_timeout` of `tokio_stream` has in each.
const CHUNKS: [usize; 5] = [11, 11, 11, 11, 6];

#[tokio::test(start_paused = true)]
async fn a_paused_clock_makes_the_batches_of_its_time() {
    let batches = fifty().batched_within(1000, SECOND).sleep(tokio::time::sleep);
    let batches: Vec<Vec<usize>> = batches.collect().await;
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), CHUNKS);
    assert!(batches.concat().into_iter().eq(0..50));
    assert_eq!(tokio::time::Instant::now().elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn and_those_of_results_too() {
    let results = || fifty().map(Ok::<_, &str>);
    let batches = results().try_batched_within(1000, SECOND).sleep(tokio::time::sleep);
    let batches: Vec<Vec<usize>> = batches.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), CHUNKS);

    let failing = results().map(|item| item.and_then(|n| if n == 25 { Err("25") } else { Ok(n) }));
    let batches: Vec<_> =
        failing.try_batched_within(1000, SECOND).sleep(tokio::time::sleep).collect().await;
    assert_eq!(batches.iter().flatten().map(Vec::len).collect::<Vec<_>>(), [11, 11, 3]);
    assert_eq!((batches.len(), batches.last()), (4, Some(&Err("25"))));
}

#[test]
fn it_sleeps_once_a_batch_from_its_first_item_on() {
    let (task, clock, (sender, receiver)) = (Task::new(), Clock::default(), channel());
    let mut batches = receiver.batched_within(4, SECOND).sleep(clock.sleep());
    assert_eq!(task.settle(&mut batches), (vec![], false));
    assert_eq!(clock.counts(), (0, 0));
    for batch in 1..=3 {
        for item in 0..3 {
            sender.try_send(item).unwrap();
            assert_eq!(task.settle(&mut batches), (vec![], false));
            assert_eq!(clock.counts(), (batch, 1));
        }
        clock.ring();
        assert!(task.is_woken());
        assert_eq!(task.settle(&mut batches), (vec![vec![0, 1, 2]], false));
        assert_eq!(clock.counts(), (batch, 0));
    }
    assert!(clock.begun.borrow().iter().all(|(duration, _)| *duration == SECOND));
    assert_eq!(clock.sleeping.peak(), 1);
}

#[test]
fn a_sleep_ends_with_its_batch() {
    let (task, clock, (sender, receiver)) = (Task::new(), Clock::default(), channel());
    let mut batches = receiver.batched_within(2, SECOND).sleep(clock.sleep());
    for item in 0..5 {
        sender.try_send(item).unwrap();
        let full = if item % 2 == 1 { vec![vec![item - 1, item]] } else { vec![] };
        assert_eq!(task.settle(&mut batches), (full, false));
        assert_eq!(clock.counts(), (item / 2 + 1, 1 - item % 2));
    }
    // At the end, as when it is full.
    sender.close();
    assert_eq!(task.settle(&mut batches), (vec![vec![4]], true));
    assert_eq!(clock.counts(), (3, 0));

    // What is full with its first item needs none.
    let mut batches = pipe(0..5).batched_within(1, SECOND).sleep(clock.sleep());
    assert_eq!(task.settle(&mut batches).0.len(), 5);
    assert_eq!(clock.counts(), (3, 0));
}

#[test]
fn dropped_it_drops_the_sleep_and_upstream() {
    let (task, clock, (sender, receiver)) = (Task::new(), Clock::default(), channel());
    let items = Gauge::default();
    let mut batches = receiver.batched_within(4, SECOND).sleep(clock.sleep());
    sender.try_send(items.unit()).unwrap();
    assert_eq!(task.settle(&mut batches).0.len(), 0);
    assert_eq!((clock.counts(), items.now()), ((1, 1), 1));
    drop(batches);
    assert_eq!((clock.counts(), items.now(), sender.is_closed()), ((1, 0), 0, true));
}

/// Nobody takes the batch for a while, during which the stage is polled again and again.
#[test]
fn a_sleep_that_is_over_is_not_polled_again() {
    let (task, clock, (sender, receiver)) = (Task::new(), Clock::default(), channel());
    let calls = receiver.map_concurrent(3, async |n: usize| n);
    let mut batches = calls.batched_within(9, SECOND).sleep(clock.sleep()).driven();
    sender.try_send(0).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    let busy = Gate::default();
    {
        let mut consuming = pin!(stream::once_future(batches.alongside(busy.passed())));
        assert_eq!(task.settle(&mut consuming).0.len(), 0);
        clock.ring();
        for item in 1..4 {
            assert_eq!(task.settle(&mut consuming).0.len(), 0);
            sender.try_send(item).unwrap();
        }
        assert_eq!(task.settle(&mut consuming).0.len(), 0);
        busy.open();
        assert_eq!(task.settle(&mut consuming).0.len(), 1);
    }
    // The others were kept above, and begin a batch of their own.
    assert_eq!(task.settle(&mut batches), (vec![vec![0, 1]], false));
    assert_eq!(clock.counts(), (2, 1));
}

/// By the number of polls, which stands for the time: no number of items explains the batches.
#[test]
fn a_source_that_is_always_ready_gets_its_batches_by_time() {
    for polls in [1, 2, 7, 100] {
        let mut batches =
            pin!(stream::repeat(7).take(10_000).batched_within(usize::MAX, SECOND).sleep(|_| {
                let mut left = polls + 1;
                future::poll_fn(move |_| {
                    left -= 1;
                    if left == 0 { Poll::Ready(()) } else { Poll::Pending }
                })
            }));
        for _ in 0..3 {
            let batch = futures_lite::future::block_on(batches.next()).unwrap();
            assert_eq!(batch.len(), polls + 1);
        }
    }
}

/// As tokio's, which is ready only after the executor had its turn.
#[test]
fn a_source_that_is_always_ready_lets_the_timer_have_its_turn() {
    const MANY: usize = 1_000_000;
    let (task, clock, pulled) = (Task::new(), Clock::default(), Cell::new(0));
    let numbers = stream::iter(0..MANY).inspect(|_| pulled.set(pulled.get() + 1));
    let mut batches = numbers.batched_within(usize::MAX, SECOND).sleep(clock.sleep());
    assert!(task.poll_next(&mut batches).is_pending(), "pulled {} in one poll", pulled.get());
    assert!(task.is_woken());
    let first = pulled.get();
    clock.ring();
    let polled = task.poll_next(&mut batches);
    assert!(matches!(polled, Poll::Ready(Some(batch)) if batch.len() >= first));
}

#[test]
fn a_panic_of_the_function_loses_no_item_and_the_next_item_begins_anew() {
    let (task, clock, (sender, receiver)) = (Task::new(), Clock::default(), channel());
    let mut batches = receiver.batched_within(9, SECOND).sleep(clock.sleep());
    clock.panics.set(2);
    for item in 0..2 {
        sender.try_send(item).unwrap();
        assert_eq!(message_of(|| task.poll_next(&mut batches)), "no timer");
        assert_eq!(clock.counts(), (0, 0));
        assert!(task.poll_next(&mut batches).is_pending());
    }
    sender.try_send(2).unwrap();
    assert!(task.poll_next(&mut batches).is_pending());
    assert_eq!(clock.counts(), (1, 1));
    clock.ring();
    assert_eq!(task.settle(&mut batches), (vec![vec![0, 1, 2]], false));

    // With no other item, the end has it come out.
    clock.panics.set(1);
    sender.try_send(3).unwrap();
    assert_eq!(message_of(|| task.poll_next(&mut batches)), "no timer");
    sender.close();
    assert!(matches!(task.poll_next(&mut batches), Poll::Ready(Some(batch)) if batch == [3]));
}

#[test]
fn a_sleep_that_panics_loses_no_item() {
    let (task, (sender, receiver)) = (Task::new(), channel());
    let mut batches = receiver
        .batched_within(3, SECOND)
        .sleep(|_| future::poll_fn(|_| -> Poll<()> { resume_unwind(Box::new("no time")) }));
    for item in 0..2 {
        sender.try_send(item).unwrap();
        assert_eq!(message_of(|| task.poll_next(&mut batches)), "no time");
    }
    sender.try_send(2).unwrap();
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(vec![0, 1, 2])));
}

#[test]
fn a_sleep_that_panicked_is_dropped_and_the_next_item_begins_anew() {
    let (task, clock, (sender, receiver)) = (Task::new(), Clock::default(), channel());
    let (bad, mut sleep) = (Cell::new(true), clock.sleep());
    let mut batches = receiver.batched_within(9, SECOND).sleep(|duration| {
        let (sleep, panics) = (sleep(duration), bad.take());
        async move {
            assert!(!panics, "no time");
            sleep.await
        }
    });
    sender.try_send(0).unwrap();
    assert_eq!(message_of(|| task.poll_next(&mut batches)), "no time");
    // As a call that panicked: the stream can be polled on.
    assert!(task.poll_next(&mut batches).is_pending());
    sender.try_send(1).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    assert_eq!(clock.counts(), (2, 1));
    clock.ring();
    assert_eq!(task.settle(&mut batches), (vec![vec![0, 1]], false));
}

#[test]
fn an_error_has_the_batch_and_its_sleep_end() {
    let (task, clock, (sender, receiver)) = (Task::new(), Clock::default(), channel());
    let mut batches = receiver.try_batched_within(4, SECOND).sleep(clock.sleep());
    sender.try_send(Ok(0)).unwrap();
    assert_eq!(task.settle(&mut batches), (vec![], false));
    clock.ring();
    assert_eq!(task.settle(&mut batches), (vec![Ok(vec![0])], false));
    for item in [Ok(1), Ok(2), Err("three"), Ok(4)] {
        sender.try_send(item).unwrap();
    }
    assert_eq!(task.poll_next(&mut batches), Poll::Ready(Some(Ok(vec![1, 2]))));
    assert_eq!((clock.counts(), sender.is_closed()), ((2, 0), true));
    assert_eq!(task.settle(&mut batches), (vec![Err("three")], true));
}

#[test]
fn whoever_polls_last_is_woken() {
    let (tasks, clock) = ([(); 3].map(|()| Task::new()), Clock::default());
    let (sender, receiver) = channel();
    let mut batches = receiver.batched_within(4, SECOND).sleep(clock.sleep());
    sender.try_send(0).unwrap();
    for task in &tasks {
        assert_eq!(task.settle(&mut batches), (vec![], false));
    }
    clock.ring();
    assert_eq!(tasks[2].settle(&mut batches), (vec![vec![0]], false));
}

#[test]
fn batches_of_a_stage_are_bounded_and_debug_asks_for_nothing() {
    let batches = pipe(0..9).batched_within(4, SECOND).sleep(|_| future::pending::<()>());
    assert_eq!(batches.size_hint(), (3, Some(9)));
    assert!(
        format!("{batches:?}").starts_with("BatchedWithin { size: 4, duration: 1s, waiting: 0")
    );
    assert_eq!(futures_lite::future::block_on(batches.count()), 3);
}
