//! A panic reaches the consumer, wherever it comes from, and costs its own item only.

use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::thread;

use flowlet::prelude::*;
use flowlet::{Concurrency, Permit, Semaphore, in_thread, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::on_wake::on_wake;
use crate::support::stages::{Boxed, Stage};
use crate::support::waker::Task;

/// What the panics carry.
#[derive(Debug, PartialEq)]
struct Bang(usize);

/// Panics without a word on the terminal.
fn bang<T>(item: usize) -> T {
    resume_unwind(Box::new(Bang(item)))
}

/// Panics when it is dropped, unless that would be the second at once.
struct Bomb(usize);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            bang(self.0)
        }
    }
}

/// Where a call panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Function,
    FirstPoll,
    LaterPoll,
    Drop,
}

const PLACES: [Place; 4] = [Place::Function, Place::FirstPoll, Place::LaterPoll, Place::Drop];

/// Which of the items, of which there are 12, come to harm.
fn is_bad(item: usize) -> bool {
    [0, 4, 5, 11].contains(&item)
}

/// A call that takes some turns, or panics at some place.
fn call(place: Place, item: usize, running: &Gauge) -> impl Future<Output = ()> + use<> {
    if place == Place::Function && is_bad(item) {
        bang(item)
    }
    let unit = running.unit();
    async move {
        let _unit = unit;
        if place == Place::FirstPoll && is_bad(item) {
            bang(item)
        }
        let _bomb = (place == Place::Drop && is_bad(item)).then(|| Bomb(item));
        for turn in 0..item % 4 {
            if turn == 1 && place == Place::LaterPoll && is_bad(item) {
                bang(item)
            }
            yield_now().await;
        }
        if place == Place::LaterPoll && is_bad(item) {
            yield_now().await;
            bang(item)
        }
    }
}

/// Polls to the end, through all panics, and never without being asked to.
fn survive<S: Stream>(stream: S) -> (Vec<S::Item>, Vec<usize>) {
    let mut stream = pin!(stream);
    let task = Task::new();
    let (mut items, mut panics) = (vec![], vec![]);
    let mut asked = true;
    for _ in 0..10_000 {
        assert!(asked, "lost after {} items and {panics:?}", items.len());
        match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))) {
            Ok(Poll::Ready(Some(item))) => items.push(item),
            Ok(Poll::Ready(None)) => {
                assert_eq!(task.settle(&mut stream).0.len(), 0);
                return (items, panics);
            }
            Ok(Poll::Pending) => asked = task.is_woken(),
            Err(panic) => panics.push(panic.downcast::<Bang>().expect("that panic").0),
        }
    }
    panic!("it does not end");
}

fn limits() -> [Concurrency; 8] {
    [
        1.into(),
        2.into(),
        5.into(),
        usize::MAX.into(),
        ordered(1),
        ordered(3),
        Semaphore::new(2).into(),
        ordered(Semaphore::new(3)),
    ]
}

/// Checks what came, and gives it back in order.
fn check_outcome((mut items, mut panics): (Vec<usize>, Vec<usize>)) {
    let (bad, good): (Vec<usize>, Vec<usize>) = (0..12).partition(|item| is_bad(*item));
    items.sort_unstable();
    panics.sort_unstable();
    assert_eq!(panics, bad);
    assert_eq!(items, good);
}

#[test]
fn in_a_call() {
    for place in PLACES {
        for stage in Stage::ALL {
            for limit in limits() {
                let running = Gauge::default();
                let stream = stage.of(pipe(0..12), limit, |item| call(place, item, &running));
                check_outcome(survive(stream));
                assert_eq!(running.now(), 0);
            }
        }
    }
}

#[test]
fn in_order_the_others_keep_their_order() {
    for place in PLACES {
        for stage in Stage::ALL {
            for limit in [1, 3, 12] {
                let running = Gauge::default();
                let stream =
                    stage.of(pipe(0..12), ordered(limit), |item| call(place, item, &running));
                assert!(survive(stream).0.is_sorted());
            }
        }
    }
}

#[test]
fn limits_and_permits_are_intact() {
    for place in PLACES {
        for stage in Stage::ALL {
            for limit in [1, 3] {
                let (semaphore, running) = (Semaphore::new(limit), Gauge::default());
                let ways: [Concurrency; 4] =
                    [limit.into(), ordered(limit), semaphore.clone().into(), ordered(&semaphore)];
                for way in ways {
                    let shared = format!("{way:?}").contains("Semaphore");
                    let check = |item| {
                        assert!(!shared || semaphore.in_use() > 0);
                        call(place, item, &running)
                    };
                    // Those that are good fill the stage up again, to the limit and no more.
                    check_outcome(survive(stage.of(pipe(0..12), way, check)));
                    assert_eq!(semaphore.in_use(), 0);
                    assert!(running.peak() <= limit);
                }
            }
        }
    }
}

#[test]
fn after_panics_a_stage_still_starts_as_many_as_it_may() {
    for place in [Place::Function, Place::FirstPoll, Place::LaterPoll] {
        for stage in Stage::ALL {
            for way in [Concurrency::from(3), ordered(3), Semaphore::new(3).into()] {
                let (running, gate) = (Gauge::default(), Gate::default());
                let mut stream =
                    stage.of(pipe([0, 4, 11, 5, 1, 2, 3, 6, 7]), way.clone(), |item| {
                        let called = call(place, item, &Gauge::default());
                        let (unit, passed) = (running.unit(), gate.passed());
                        async move {
                            let _unit = unit;
                            called.await;
                            passed.await;
                        }
                    });
                let task = Task::new();
                let mut panics = 0;
                while panics < 4 {
                    match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))) {
                        Ok(polled) => assert!(polled.is_pending() && task.is_woken()),
                        Err(_) => panics += 1,
                    }
                }
                let polled = catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream)));
                assert!(polled.unwrap().is_pending());
                assert_eq!(running.now(), 3, "{place:?}, {stage:?}, {way:?}");
                gate.open();
                assert_eq!(task.settle(&mut stream).0.len(), 5);
            }
        }
    }
}

#[test]
fn in_a_predicate() {
    for limit in limits() {
        let stream = pipe(0..12).filter_concurrent(limit, async |item: &usize| {
            yield_now().await;
            !is_bad(*item) || bang(*item)
        });
        check_outcome(survive(stream));
    }
}

#[test]
fn in_an_expansion() {
    let parts = |item| [item, item];
    for limit in limits() {
        let futures = pipe(0..12).flat_map_concurrent(limit.clone(), async |item| {
            yield_now().await;
            if is_bad(item) { bang(item) } else { [item] }
        });
        check_outcome(survive(futures));

        let iterators = pipe(0..12).flat_map_concurrent(limit.clone(), |item| {
            [item].into_iter().inspect(|item| {
                if is_bad(*item) {
                    bang(*item)
                }
            })
        });
        check_outcome(survive(iterators));

        let streams = pipe(0..12).flat_map_concurrent(limit.clone(), |item| {
            stream::once(item).map(|item| if is_bad(item) { bang(item) } else { item })
        });
        check_outcome(survive(streams));

        let of_futures = pipe(0..12).flat_map_concurrent(limit.clone(), async |item| {
            yield_now().await;
            stream::once(item).map(|item| if is_bad(item) { bang(item) } else { item })
        });
        check_outcome(survive(of_futures));

        // What was handed on before the panic stays so.
        let late = pipe(0..12).flat_map_concurrent(limit, |item| {
            let mut part = 0;
            stream::poll_fn(move |_| {
                part += 1;
                match part {
                    1 | 2 => Poll::Ready(Some(item)),
                    3 if is_bad(item) => bang(item),
                    _ => Poll::Ready(None),
                }
            })
        });
        let (mut items, panics) = survive(late);
        items.sort_unstable();
        assert!(items.into_iter().eq((0..12).flat_map(parts)));
        assert_eq!(panics.len(), 4);
    }
}

#[test]
fn in_the_source() {
    for limit in limits() {
        for stage in Stage::ALL {
            let source = pipe((0..12).inspect(|item| {
                if is_bad(*item) {
                    bang(*item)
                }
            }));
            check_outcome(survive(stage.of(source, limit.clone(), async |item| {
                for _ in 0..item % 3 {
                    yield_now().await;
                }
            })));
        }
    }
}

#[test]
fn through_the_stages_below() {
    for place in PLACES {
        for limit in limits() {
            for at in 0..3 {
                let running = Gauge::default();
                let calls = |number| {
                    let running = &running;
                    move |item| {
                        let turns = (item + number) % 3;
                        let called = (number == at).then(|| call(place, item, running));
                        async move {
                            if let Some(called) = called {
                                called.await;
                            }
                            for _ in 0..turns {
                                yield_now().await;
                            }
                        }
                    }
                };
                let first = Stage::Map.of(pipe(0..12), limit.clone(), calls(0));
                let second = Stage::Filter.of(first.map(|item| item), 2, calls(1));
                let third = Stage::FlatMap.of(second, ordered(2), calls(2));
                check_outcome(survive(third));
                assert_eq!(running.now(), 0);
            }
        }
    }
}

#[test]
fn through_batches_and_driven() {
    for place in PLACES {
        let running = Gauge::default();
        let above = Stage::Map.of(pipe(0..12), 3, |item| call(place, item, &running));
        let (batches, panics) = survive(above.batched(3).driven());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2]);
        check_outcome((batches.concat(), panics));
    }
}

#[test]
fn while_the_consumer_awaits_alongside() {
    let gate = Gate::default();
    let mut numbers = pipe(0..6)
        .map_concurrent(3, |item| {
            let passed = gate.passed();
            async move {
                if item == 1 {
                    passed.await;
                    bang(item)
                }
                item
            }
        })
        .driven();
    block_on(async {
        assert_eq!(numbers.next().await, Some(0));
        gate.open();
        let alongside = AssertUnwindSafe(numbers.alongside(yield_now()));
        let panic = futures_lite::FutureExt::catch_unwind(alongside).await.unwrap_err();
        assert_eq!(*panic.downcast::<Bang>().unwrap(), Bang(1));
        let rest: Vec<usize> = numbers.collect().await;
        assert_eq!(rest, [2, 3, 4, 5]);
    });
}

#[test]
fn of_a_function_in_a_thread() {
    for limit in limits() {
        let calls = in_thread(|item| if is_bad(item) { bang(item) } else { item });
        let stream = pipe(0..12).map_concurrent(limit, calls);
        let mut stream = pin!(stream);
        let (mut items, mut panics) = (vec![], vec![]);
        block_on(async {
            loop {
                let next = AssertUnwindSafe(stream.next());
                match futures_lite::FutureExt::catch_unwind(next).await {
                    Ok(Some(item)) => items.push(item),
                    Ok(None) => break,
                    Err(panic) => panics.push(panic.downcast::<Bang>().unwrap().0),
                }
            }
        });
        check_outcome((items, panics));
    }
}

#[test]
fn a_pipeline_that_panicked_can_be_dropped() {
    for place in PLACES {
        for stage in Stage::ALL {
            for limit in limits() {
                for number in 1..=4 {
                    let (running, semaphore) = (Gauge::default(), Semaphore::new(2));
                    let above =
                        stage.of(pipe(0..12), limit.clone(), |item| call(place, item, &running));
                    let mut stream: Boxed = stage.of(above, &semaphore, async |_| ());
                    let task = Task::new();
                    let mut panics = 0;
                    while panics < number {
                        match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))) {
                            Ok(polled) => assert!(polled.is_ready() || task.is_woken(), "lost"),
                            Err(_) => panics += 1,
                        }
                    }
                    // A bomb that is still in there goes off here.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(stream)));
                    assert_eq!((running.now(), semaphore.in_use()), (0, 0));
                }
            }
        }
    }
}

#[test]
fn an_output_is_not_lost_when_a_stage_above_panics_in_the_same_turn() {
    for stage in Stage::ALL {
        for limit in [Concurrency::from(1), ordered(1), Semaphore::new(1).into()] {
            // As the second item comes out above, the call of the first is woken, and panics when
            // the stage below, which is full with the second, has the stage above go on.
            let above = pipe(0..4).map_concurrent(2, async |item| {
                if item == 0 {
                    yield_now().await;
                    bang(item)
                }
                item
            });
            let (items, panics) = survive(stage.of(above, limit, async |_| ()));
            assert_eq!((items, panics), (vec![1, 2, 3], vec![0]));
        }
    }
}

#[test]
fn a_future_that_is_polled_once_more_is_not_one_that_panicked() {
    let mut stream = pin!(pipe(0..3).map_concurrent(3, |item| {
        let mut over = false;
        poll_fn(move |cx| {
            assert!(!over, "polled after it panicked");
            over = item == 1;
            cx.waker().wake_by_ref();
            if over { bang(item) } else { Poll::Pending::<usize> }
        })
    }));
    let task = Task::new();
    for _ in 0..10 {
        let _ = catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream)));
    }
}

/// Waits for a permit with a waker that panics. It does so for good: event-listener has lost count of
/// those that wait when it is dropped after that.
fn wait_for_a_permit(semaphore: &Semaphore) {
    static WAITING: Mutex<Vec<Pin<Box<dyn Future<Output = Permit> + Send>>>> =
        Mutex::new(Vec::new());

    let mut acquire = Box::pin(semaphore.acquire());
    let waker = on_wake(|| bang(0));
    assert!(acquire.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    WAITING.lock().unwrap().push(acquire);
}

#[test]
fn of_a_waker_that_is_told_of_a_permit() {
    for in_order in [false, true] {
        let semaphore = Semaphore::new(1);
        let limit = if in_order { ordered(&semaphore) } else { Concurrency::from(&semaphore) };
        let gate = Gate::default();
        let mut stream = pin!(pipe(0..3).map_concurrent(limit, |n| {
            let passed = gate.passed();
            async move {
                passed.await;
                n
            }
        }));
        let task = Task::new();
        assert!(task.poll_next(&mut stream).is_pending());
        wait_for_a_permit(&semaphore);
        gate.open();
        catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))).unwrap_err();
        // After a panic whoever polls goes on without a wake. The output that was there is not lost.
        assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
        assert_eq!(task.settle(&mut stream), (vec![1, 2], true));
    }
}

/// The call was ready at once, so that it could have been handed on without being in flight.
#[test]
fn of_a_waker_that_is_told_of_a_permit_loses_no_output() {
    let semaphore = Semaphore::new(1);
    let mut stream = pin!(pipe(0..1).map_concurrent(&semaphore, |n| {
        wait_for_a_permit(&semaphore);
        ready(n)
    }));
    let task = Task::new();
    catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))).unwrap_err();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(None));
}

/// An expansion gives its permit back with each output.
#[test]
fn of_a_waker_that_is_told_of_a_permit_loses_no_output_of_an_expansion() {
    for turns in [0, 1, 2] {
        for in_order in [false, true] {
            let semaphore = Semaphore::new(1);
            let limit = if in_order { ordered(&semaphore) } else { Concurrency::from(&semaphore) };
            let stream = pipe(0..1).flat_map_concurrent(limit, |_| {
                stream::unfold(0, async |step| {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                    if step == 0 {
                        wait_for_a_permit(&semaphore);
                    }
                    (step < 3).then_some((step, step + 1))
                })
            });
            assert_eq!(survive(stream), (vec![0, 1, 2], vec![0]), "{turns} {in_order}");
        }
    }
}

#[test]
fn of_the_drop_of_a_call_that_is_over_costs_none_of_the_calls_that_come_after_it() {
    for limit in limits() {
        let gate = Gate::default();
        let mut stream = pin!(pipe(0..4).map_concurrent(limit.clone(), |n| {
            let (bomb, mut passed) = ((n == 0).then(|| Bomb(n)), gate.passed());
            poll_fn(move |cx| match &bomb {
                Some(_) => Poll::Ready(n),
                None => Pin::new(&mut passed).poll(cx).map(|()| n),
            })
        }));
        let task = Task::new();
        catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))).unwrap_err();
        assert!(task.poll_next(&mut stream).is_pending());
        gate.open();
        let (mut items, panics) = survive(stream);
        items.sort_unstable();
        assert_eq!((items, panics), (vec![1, 2, 3], vec![]), "{limit:?}");
    }
}

/// The call came to nothing. Its place is free all the same, or no other call would ever start.
#[test]
fn of_a_waker_that_is_told_of_a_permit_takes_no_place_for_good() {
    for in_order in [false, true] {
        let semaphore = Semaphore::new(1);
        let limit = if in_order { ordered(&semaphore) } else { Concurrency::from(&semaphore) };
        let stream = pipe(0..2).filter_map_concurrent(limit, |n| {
            if n == 0 {
                wait_for_a_permit(&semaphore);
            }
            ready((n > 0).then_some(n))
        });
        assert_eq!(survive(stream), (vec![1], vec![0]), "in order: {in_order}");
    }
}

#[test]
fn an_output_that_a_panic_left_behind_is_expected() {
    for stage in Stage::ALL {
        let semaphore = Semaphore::new(1);
        let mut stream = stage.of(pipe(0..1), &semaphore, |_| {
            wait_for_a_permit(&semaphore);
            ready(())
        });
        let task = Task::new();
        catch_unwind(AssertUnwindSafe(|| while task.poll_next(&mut stream).is_pending() {}))
            .unwrap_err();
        let (lower, upper) = stream.size_hint();
        assert_eq!(survive(stream), (vec![0], vec![]));
        assert!(lower <= 1 && upper.is_none_or(|upper| upper >= 1), "{stage:?} {lower} {upper:?}");
    }
}
