//! After its end a stage stays ended, and it says how much is still to come.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::stages::{Boxed, Stage};
use crate::support::waker::Task;

/// A source that goes on after its end, and is silent before every other item.
struct Hostile {
    items: VecDeque<Option<usize>>,
    silent: bool,
    hint: fn(usize) -> (usize, Option<usize>),
}

impl Hostile {
    fn new(items: usize, hint: fn(usize) -> (usize, Option<usize>)) -> Self {
        let items = (0..items).map(Some).chain([None, Some(99), None, Some(98)]);
        Self { items: items.collect(), silent: false, hint }
    }
}

impl Stream for Hostile {
    type Item = usize;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.silent = !self.silent;
        if self.silent && self.items.len() % 2 == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.items.pop_front().expect("the end was passed three times"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.hint)(self.items.iter().take_while(|item| item.is_some()).count())
    }
}

type Hint = fn(usize) -> (usize, Option<usize>);

const EXACT: Hint = |left| (left, Some(left));

/// All true, and more or less good.
const HINTS: [Hint; 5] = [
    EXACT,
    |_| (0, None),
    |left| (left / 2, Some(left * 2 + 1)),
    |left| (left, None),
    |_| (0, Some(usize::MAX)),
];

fn limits() -> [Concurrency; 7] {
    [
        1.into(),
        3.into(),
        usize::MAX.into(),
        ordered(1),
        ordered(3),
        Semaphore::new(1).into(),
        ordered(Semaphore::new(3)),
    ]
}

/// Polls to the end and beyond it, and compares each hint with what came after.
fn check<S: Stream>(stream: S) -> Vec<S::Item> {
    let mut stream = pin!(stream);
    let task = Task::new();
    let mut hints = vec![];
    let mut items = vec![];
    loop {
        hints.push((items.len(), stream.size_hint()));
        assert!(task.is_woken(), "lost");
        match task.poll_next(&mut stream) {
            Poll::Ready(Some(item)) => items.push(item),
            Poll::Ready(None) => break,
            Poll::Pending => {}
        }
    }
    for (before, (lower, upper)) in hints {
        let left = items.len() - before;
        assert!(lower <= left, "at least {lower} should come, but {left} did");
        assert!(upper.is_none_or(|upper| left <= upper), "at most {upper:?}, but {left} came");
    }
    for _ in 0..4 {
        assert_eq!(stream.size_hint(), (0, Some(0)));
        assert!(matches!(task.poll_next(&mut stream), Poll::Ready(None)));
    }
    assert_eq!(task.settle(&mut stream).0.len(), 0);
    items
}

/// A call that takes some turns.
async fn turns(item: usize) {
    for _ in 0..item % 3 {
        futures_lite::future::yield_now().await;
    }
}

/// What is ready in the poll of this number.
#[cfg(feature = "time")]
async fn turns_of(polls: usize) {
    for _ in 1..polls {
        futures_lite::future::yield_now().await;
    }
}

#[test]
fn every_stage_is_fused_and_its_hints_are_right() {
    for hint in HINTS {
        for limit in limits() {
            for number in [0, 1, 2, 7, 20] {
                let source = || Hostile::new(number, hint);
                for stage in Stage::ALL {
                    let mut items = check(stage.of(source(), limit.clone(), turns));
                    items.sort_unstable();
                    assert!(items.into_iter().eq(0..number));

                    // And a second one, which has the first go on while it is full.
                    let above = stage.of(source(), limit.clone(), turns);
                    let items = check(stage.of(above, 2, |item| turns(item + 1)));
                    assert_eq!(items.len(), number);
                }
                let odd = source().filter_concurrent(limit.clone(), async |item: &usize| {
                    turns(*item).await;
                    item % 2 == 1
                });
                assert_eq!(check(odd).len(), number / 2);
                let parts = source().flat_map_concurrent(limit.clone(), async |item| {
                    turns(item).await;
                    vec![item; item % 4]
                });
                assert_eq!(check(parts).len(), (0..number).map(|item| item % 4).sum::<usize>());
                let streams = source().flat_map_concurrent(limit.clone(), |item| {
                    stream::iter(vec![item; item % 4]).filter(|item| item % 2 == 0)
                });
                check(streams);
            }
        }
        for number in [0, 1, 2, 7, 20] {
            for size in [1, 2, 3, 7, usize::MAX] {
                let batches = check(Hostile::new(number, hint).batched(size));
                assert!(batches.concat().into_iter().eq(0..number));
                let batches = check(Hostile::new(number, hint).batched_by_weight(size, |n| *n));
                assert!(batches.concat().into_iter().eq(0..number));
                #[cfg(feature = "time")]
                for polls in [1, 2, 5] {
                    let sleep = |_| turns_of(polls);
                    let hour = std::time::Duration::from_secs(3600);
                    let within = Hostile::new(number, hint).batched_within(size, hour);
                    let batches = check(within.sleep(sleep));
                    assert!(batches.concat().into_iter().eq(0..number));
                }
            }
            assert_eq!(check(Hostile::new(number, hint).driven()).len(), number);
            assert_eq!(
                check(pipe(Hostile::new(number, hint)).batched(2).driven()).len(),
                number.div_ceil(2)
            );
        }
    }
}

/// With an error somewhere, and without one.
#[test]
fn so_is_every_stage_of_results() {
    for hint in HINTS {
        for limit in limits() {
            for (number, bad) in [(0, 0), (1, 0), (1, 1), (7, 3), (20, 19), (20, 20)] {
                let source = || Hostile::new(number, hint).map(Ok);
                let call = async |item| {
                    turns(item).await;
                    if item == bad { Err(item) } else { Ok(()) }
                };
                for stage in Stage::ALL {
                    let items = check(stage.try_of(source(), limit.clone(), call));
                    let error = items.iter().position(Result::is_err);
                    assert_eq!(error, (bad < number).then(|| items.len() - 1));

                    let above = stage.try_of(source(), limit.clone(), call);
                    check(stage.try_of(above, 2, async |item| {
                        turns(item + 1).await;
                        Ok(())
                    }));
                }
                let odd = source().try_filter_concurrent(limit.clone(), async |item: &usize| {
                    call(*item).await.map(|()| item % 2 == 1)
                });
                check(odd);
                let parts = source().try_flat_map_concurrent(limit.clone(), async |item| {
                    call(item).await.map(|()| vec![item; item % 4])
                });
                check(parts);
                // An error ends nothing here.
                let failing =
                    source().map(|item| item.and_then(|n| if n % 3 == 1 { Err(n) } else { item }));
                let items = check(failing.map_ok_concurrent(limit.clone(), call));
                assert_eq!(items.len(), number);
                for size in [1, 2, 3, usize::MAX] {
                    let failing = || {
                        source().map(|item| item.and_then(|n| if n == bad { Err(n) } else { item }))
                    };
                    for batches in [
                        check(failing().try_batched(size)),
                        check(failing().try_batched_by_weight(size, |n| *n)),
                    ] {
                        let numbers = batches.into_iter().flatten().flatten();
                        assert!(numbers.eq(0..bad.min(number)));
                    }
                }
            }
        }
    }
}

#[test]
fn after_its_end_a_stage_asks_for_nothing() {
    for stage in Stage::ALL {
        let ended = Cell::new(false);
        let source = stream::poll_fn(|_| {
            assert!(!ended.replace(true), "polled after its end");
            Poll::Ready(None)
        });
        let mut stream = stage.of(source, 3, turns);
        let task = Task::new();
        for _ in 0..3 {
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(None));
        }
    }
}

#[test]
fn of_exact_hints_the_map_makes_exact_ones() {
    for limit in limits() {
        let mut stream = Stage::Map.of(Hostile::new(20, EXACT), limit, turns);
        let task = Task::new();
        let mut left = 20;
        loop {
            assert_eq!(stream.size_hint(), (left, Some(left)));
            match task.poll_next(&mut stream) {
                Poll::Ready(Some(_)) => left -= 1,
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        }
        assert_eq!(left, 0);
    }
}

#[test]
fn of_exact_hints_batches_and_driven_make_exact_ones() {
    let mut batched = pin!(Hostile::new(20, EXACT).batched(3));
    let mut driven = Hostile::new(20, EXACT).driven();
    let task = Task::new();
    let (mut batches, mut left) = (7, 20);
    while left > 0 {
        assert_eq!(batched.size_hint(), (batches, Some(batches)));
        assert_eq!(driven.size_hint(), (left, Some(left)));
        batches -= usize::from(task.poll_next(&mut batched).is_ready() && batches > 0);
        left -= usize::from(task.poll_next(&mut driven).is_ready());
    }
    assert_eq!(batches, 0);
}

#[test]
fn a_filter_counts_what_is_not_decided() {
    // Decided while they wait for the consumer, who is held up, the first call, or both.
    let gates: Vec<Gate> = (0..10).map(|_| Gate::default()).collect();
    let filter = |limit: Concurrency| {
        pipe(0..10).filter_map_concurrent(limit, |item: usize| {
            let passed = gates[item].passed();
            async move {
                passed.await;
                (item % 2 == 1).then_some(item)
            }
        })
    };
    let mut stream = pin!(filter(5.into()));
    let task = Task::new();
    assert_eq!(stream.size_hint(), (0, Some(10)));
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(stream.size_hint(), (0, Some(10)));
    gates[0].open();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(stream.size_hint(), (0, Some(9)));
    gates[1].open();
    gates[3].open();
    gates[5].open();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(1)));
    assert_eq!(stream.size_hint(), (0, Some(8)));
}

#[test]
fn an_output_that_waits_for_an_earlier_one_is_sure_to_come() {
    let gate = Gate::default();
    let mut stream = pin!(pipe(0..5).filter_concurrent(ordered(4), async |item: &usize| {
        if *item == 0 {
            gate.passed().await;
        }
        true
    }));
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(stream.size_hint(), (3, Some(5)));
    gate.open();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(stream.size_hint().1, Some(4));
}

#[test]
fn open_expansions_count() {
    let mut stream = pin!(pipe(1..4).flat_map_concurrent(3, |item| vec![item; item]));
    let task = Task::new();
    assert_eq!(stream.size_hint(), (0, None));
    let mut left = 6;
    loop {
        match task.poll_next(&mut stream) {
            Poll::Ready(Some(_)) => left -= 1,
            Poll::Ready(None) => break,
            Poll::Pending => unreachable!(),
        }
        let (lower, upper) = stream.size_hint();
        assert!(lower <= left && upper.is_none_or(|upper| upper == left));
        if left < 3 {
            assert_eq!((lower, upper), (left, Some(left)));
        }
    }
}

#[test]
fn huge_hints_do_not_overflow() {
    let huge: [Hint; 4] = [
        |_| (usize::MAX, None),
        |_| (usize::MAX, Some(usize::MAX)),
        |_| (usize::MAX - 1, Some(usize::MAX - 1)),
        |_| (0, Some(usize::MAX)),
    ];
    for hint in huge {
        let source = || Hostile::new(20, hint);
        let streams: [Boxed; 6] = [
            Stage::Map.of(source(), 3, turns),
            Stage::Filter.of(source(), ordered(3), turns),
            Stage::FilterMap.of(source(), 3, turns),
            Stage::FlatMap.of(source(), 3, turns),
            Box::pin(source().batched(2).map(|batch| batch.len())),
            Box::pin(source().driven()),
        ];
        for (mut stream, part) in streams.into_iter().zip([1.0, 0.0, 0.0, 0.0, 0.5, 1.0]) {
            let task = Task::new();
            for _ in 0..8 {
                let (lower, upper) = stream.size_hint();
                assert!(upper.is_none_or(|upper| lower <= upper));
                assert!(lower as f64 >= hint(0).0 as f64 * part);
                let _ = task.poll_next(&mut stream);
            }
        }
        // The sum of expansions.
        let endless = |_| stream::poll_fn(|_| Poll::Pending::<Option<usize>>);
        let mut stream = pin!(source().flat_map_concurrent(9, endless));
        assert!(Task::new().poll_next(&mut stream).is_pending());
        let repeated =
            stream::iter(0..3).flat_map_concurrent(3, |item| stream::repeat(item).take(usize::MAX));
        let mut repeated = pin!(repeated);
        for _ in 0..8 {
            assert!(Task::new().poll_next(&mut repeated).is_ready());
            let (lower, upper) = repeated.size_hint();
            assert!(upper.is_none_or(|upper| lower <= upper));
        }
    }
}

#[test]
fn in_order_what_was_refused_is_not_expected() {
    let gates: Vec<Gate> = (0..4).map(|_| Gate::default()).collect();
    let mut stream = pin!(pipe(0..4).filter_concurrent(ordered(4), async |item: &usize| {
        gates[*item].passed().await;
        item % 2 == 0
    }));
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    for (item, hint) in [(3, (0, Some(3))), (2, (1, Some(3))), (1, (1, Some(2)))] {
        gates[item].open();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        assert_eq!(stream.size_hint(), hint, "{item}");
    }
}

#[test]
fn in_order_what_panicked_is_not_expected() {
    let gate = Gate::default();
    let mut stream = pin!(pipe(0..3).map_concurrent(ordered(3), async |item: usize| {
        match item {
            0 => gate.passed().await,
            1 => {
                futures_lite::future::yield_now().await;
                resume_unwind(Box::new(()))
            }
            _ => (),
        }
        item
    }));
    let task = Task::new();
    assert!(task.poll_next(&mut stream).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))).is_err());
    assert_eq!(stream.size_hint(), (2, Some(2)));
    assert!(task.poll_next(&mut stream).is_pending());
    assert_eq!(stream.size_hint(), (2, Some(2)));
    gate.open();
    assert_eq!(task.settle(&mut stream), (vec![0, 2], true));
}
