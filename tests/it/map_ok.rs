//! A stage that calls its function for values, and lets errors pass.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Flow, Semaphore, functional, op, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gated::Gated;
use crate::support::waker::Task;

type Item = Result<usize, char>;
type Boxed<'a> = Pin<Box<dyn Stream<Item = Item> + 'a>>;

impl Gated {
    fn ok_call(&self, item: usize) -> impl Future<Output = Item> + use<> {
        self.call(item, Ok(10 * item))
    }

    fn ok_stage<'a, const N: usize>(
        &'a self,
        items: [Item; N],
        limit: impl Into<Concurrency>,
    ) -> Boxed<'a> {
        let source = self.source(items.into_iter());
        Box::pin(source.map_ok_concurrent(limit, |item| self.ok_call(item)))
    }
}

fn limits() -> [Concurrency; 8] {
    [
        1.into(),
        3.into(),
        usize::MAX.into(),
        ordered(1),
        ordered(3),
        Semaphore::new(1).into(),
        Semaphore::new(3).into(),
        ordered(Semaphore::new(3)),
    ]
}

/// Every third is an error, and the first is.
fn mixed(count: usize) -> impl Stream<Item = Item> + Clone {
    pipe(0..count).map(|n| if n % 3 == 0 { Err('s') } else { Ok(n) })
}

#[test]
fn errors_pass_while_calls_wait() {
    for limit in [Concurrency::from(4), Semaphore::new(4).into()] {
        let (gated, task) = (Gated::default(), Task::new());
        let items = [Ok(0), Err('a'), Ok(1), Err('b'), Err('c'), Ok(2), Err('d')];
        let mut stage = gated.ok_stage(items, limit);
        let errors = vec![Err('a'), Err('b'), Err('c'), Err('d')];
        assert_eq!(task.settle(&mut stage), (errors, false));
        assert_eq!(gated.calls.now(), 3);
        for item in [2, 0, 1] {
            gated.gates[item].open();
            assert_eq!(task.settle(&mut stage), (vec![Ok(10 * item)], item == 1));
        }
    }
}

#[test]
fn in_order_an_error_keeps_its_place() {
    for limit in [ordered(7), ordered(Semaphore::new(7))] {
        let (gated, task) = (Gated::default(), Task::new());
        let items = [Err('a'), Ok(0), Err('b'), Ok(1), Err('c'), Err('d'), Ok(2)];
        let mut stage = gated.ok_stage(items, limit);
        assert_eq!(task.settle(&mut stage), (vec![Err('a')], false));
        gated.gates[1].open();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        gated.gates[0].open();
        let items = vec![Ok(0), Err('b'), Ok(10), Err('c'), Err('d')];
        assert_eq!(task.settle(&mut stage), (items, false));
        gated.gates[2].open();
        assert_eq!(task.settle(&mut stage), (vec![Ok(20)], true));
    }
}

#[test]
fn the_function_is_called_for_values_alone_in_their_order() {
    for limit in limits() {
        let called = RefCell::new(vec![]);
        let stage = mixed(30).map_ok_concurrent(limit, |n| {
            called.borrow_mut().push(n);
            async move {
                for _ in 0..n % 4 {
                    yield_now().await;
                }
                Ok(n)
            }
        });
        assert_eq!(block_on(stage.count()), 30);
        assert!(called.into_inner().into_iter().eq((0..30).filter(|n| n % 3 != 0)));
    }
}

#[test]
fn errors_take_no_place_for_good() {
    for limit in limits() {
        let (gated, task) = (Gated::default(), Task::new());
        gated.gates.iter().for_each(Gate::open);
        let items = stream::iter([Ok(1)])
            .chain(stream::repeat(Err('e')).take(100))
            .chain(stream::iter([Ok(2), Err('f'), Ok(3)]));
        let mut stage = Box::pin(items.map_ok_concurrent(limit, |item| gated.ok_call(item)));
        let (items, ended) = task.settle(&mut stage);
        assert_eq!((items.len(), ended), (104, true));
        let values = items.into_iter().filter_map(Result::ok);
        assert!(values.eq([10, 20, 30]));
    }
}

#[test]
fn an_error_of_the_function_is_an_output() {
    for limit in limits() {
        let fails = async |n: usize| if n % 2 == 0 { Err('f') } else { Ok(n) };
        let mut all: Vec<Item> = block_on(mixed(12).map_ok_concurrent(limit, fails).collect());
        all.sort_unstable();
        let [ok, f, s] = [[1, 5, 7, 11].map(Ok), [Err('f'); 4], [Err('s'); 4]];
        assert_eq!(all, [ok, f, s].concat());
    }
}

#[test]
fn an_error_takes_no_permit() {
    let (gated, task, semaphore) = (Gated::default(), Task::new(), Semaphore::new(3));
    let items = [Ok(0), Err('a'), Err('b'), Err('c'), Err('d'), Ok(1)];
    let mut stage = gated.ok_stage(items, ordered(&semaphore));
    assert_eq!(task.settle(&mut stage).0, []);
    assert_eq!(semaphore.in_use(), 1, "two errors wait for their turn");
    gated.gates[0].open();
    assert_eq!(task.settle(&mut stage).0.len(), 5);
    assert_eq!(semaphore.in_use(), 1);
    drop(stage);
    assert_eq!(semaphore.in_use(), 0);
}

/// There is none from the first item on.
#[test]
fn an_error_needs_no_permit_to_pass() {
    let (task, semaphore, mut taken) = (Task::new(), Semaphore::new(1), vec![]);
    let items =
        pipe([Err('a'), Err('b'), Ok(1)]).inspect(|_| taken.extend(semaphore.try_acquire()));
    let mut stage = Box::pin(items.map_ok_concurrent(&semaphore, async |n: usize| Ok(n)));
    assert_eq!(task.settle(&mut stage), (vec![Err('a'), Err('b')], false));
    drop(stage);
    assert_eq!((taken.len(), semaphore.in_use()), (1, 1));
}

#[test]
fn of_exact_hints_it_makes_exact_ones() {
    for limit in limits() {
        let (task, items) = (Task::new(), Vec::from_iter(block_on(mixed(20).collect::<Vec<_>>())));
        let mut stage = Box::pin(pipe(items).map_ok_concurrent(limit, async |n| {
            for _ in 0..n % 4 {
                yield_now().await;
            }
            Ok(n)
        }));
        let mut left = 20;
        loop {
            assert_eq!(stage.size_hint(), (left, Some(left)));
            match task.poll_next(&mut stage) {
                Poll::Ready(Some(_)) => left -= 1,
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        }
        assert_eq!(left, 0);
    }
}

#[test]
fn a_panic_comes_out_and_the_rest_goes_on() {
    for limit in limits() {
        // In the function, in the first poll, in a later one.
        let mut stage = Box::pin(mixed(30).map_ok_concurrent(limit, |n| {
            if n % 10 == 1 {
                resume_unwind(Box::new("function"));
            }
            async move {
                for turn in 0..n % 4 {
                    if n % 10 == 2 + turn {
                        resume_unwind(Box::new("future"));
                    }
                    yield_now().await;
                }
                Ok(n)
            }
        }));
        let (task, mut items, mut panics) = (Task::new(), vec![], vec![]);
        loop {
            match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stage))) {
                Ok(Poll::Ready(Some(item))) => items.push(item),
                Ok(Poll::Ready(None)) => break,
                Ok(Poll::Pending) => assert!(task.is_woken()),
                Err(panic) => panics.push(*panic.downcast::<&str>().unwrap()),
            }
        }
        assert_eq!(items.iter().filter(|item| item.is_err()).count(), 10);
        assert_eq!(panics.iter().filter(|text| **text == "function").count(), 2);
        assert_eq!((items.len() + panics.len(), panics.len() > 3), (30, true));
    }
}

#[test]
fn dropped_it_drops_its_calls_and_its_source() {
    let (gated, task) = (Gated::default(), Task::new());
    let mut stage = gated.ok_stage([Ok(0), Err('a'), Ok(1), Ok(2), Ok(3), Ok(4)], 3);
    assert_eq!(task.settle(&mut stage), (vec![Err('a')], false));
    assert_eq!((gated.calls.now(), gated.sources.now()), (3, 1));
    drop(stage);
    assert_eq!((gated.calls.now(), gated.sources.now()), (0, 0));
    assert_eq!((gated.calls.peak(), gated.begun.take()), (3, vec![0, 1, 2]));
}

#[test]
fn while_a_later_stage_is_full_its_calls_go_on() {
    let (above, below, task) = (Gated::default(), Gated::default(), Task::new());
    let items = [Ok(0), Err('a'), Ok(1), Ok(2), Err('b'), Ok(3), Ok(4), Ok(5)];
    let stage = above.ok_stage(items, 4).map(|item| item.map(|n| n / 10));
    let mut stage = Box::pin(stage.map_ok_concurrent(1, |item| below.ok_call(item)));
    above.gates[0].open();
    assert_eq!(task.settle(&mut stage), (vec![], false));
    // Four are in flight above, and two of them are errors.
    assert_eq!((above.calls.now(), below.calls.now()), (2, 1));
    for (item, left) in [(2, 1), (1, 0)] {
        above.gates[item].open();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!((above.calls.now(), below.calls.now()), (left, 1));
    }
    [&above, &below].iter().for_each(|gated| gated.gates.iter().for_each(Gate::open));
    let (items, ended) = task.settle(&mut stage);
    assert_eq!((items.len(), ended), (8, true));
}

#[test]
fn in_a_flow_an_op_and_a_function_it_is_the_same() {
    async fn double(n: usize) -> Item {
        if n == 5 { Err('f') } else { Ok(2 * n) }
    }
    let expected: Vec<Item> = block_on(mixed(9).map_ok_concurrent(ordered(3), double).collect());
    assert_eq!(expected[..6], [Err('s'), Ok(2), Ok(4), Err('s'), Ok(8), Err('f')]);
    let flow = Flow::<Item>::identity().map_ok_concurrent(ordered(3), double);
    let op = op::map_ok_concurrent(ordered(3), double);
    let function = functional::map_ok_concurrent(ordered(3), double);
    for _ in 0..2 {
        assert_eq!(block_on(mixed(9).through(&flow).collect::<Vec<_>>()), expected);
        assert_eq!(block_on((pipe(mixed(9)) | &op).collect::<Vec<_>>()), expected);
        assert_eq!(block_on(function(mixed(9)).collect::<Vec<_>>()), expected);
    }
}
