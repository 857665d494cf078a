//! A pipeline that nobody has polled begins alongside the consumer's own code.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, frontier, merge, ordered};
use futures_lite::future::{poll_once, yield_now};

use crate::support::exec::{rest, run};
use crate::support::gate::Gate;
use crate::support::waker::Task;
use crate::support::window::Window;

#[test]
fn its_calls_begin_and_go_on_within_their_limits() {
    let limits: [Concurrency; 4] =
        [3.into(), ordered(3), Semaphore::new(3).into(), ordered(Semaphore::new(3))];
    for limit in limits {
        let (window, ended) = (Window::default(), Cell::new(0));
        let stage = window.source(30).map_concurrent(limit, async |n| {
            rest(3).await;
            ended.set(ended.get() + 1);
            n
        });
        let mut numbers = stage.map(|n| n).driven();
        let mut outputs = run(0, async {
            numbers.alongside(rest(20)).await;
            assert_eq!(ended.get(), 3, "their outputs wait");
            numbers.alongside(rest(20)).await;
            let mut outputs = Vec::new();
            while let Some(n) = numbers.next().await {
                window.leave();
                outputs.push(n);
            }
            outputs
        })
        .unwrap();
        outputs.sort_unstable();
        assert_eq!(outputs, Vec::from_iter(0..30));
        assert!(window.peak() <= 3);
    }
}

#[test]
fn a_body_may_wait_for_a_call() {
    for way in 0..5 {
        let gate = Gate::default();
        let stage = pipe([1]).map_concurrent(1, async |n| {
            rest(2).await;
            gate.open();
            n
        });
        let mut numbers = match way {
            0 => stage.boxed_local().driven(),
            1 => merge([stage]).boxed_local().driven(),
            2 => stage.driven().boxed_local().driven(),
            3 => stage.expand_concurrent(1, async |n| (n, [])).boxed_local().driven(),
            _ => stage.batched(2).map_concurrent(1, async |batch| batch[0]).boxed_local().driven(),
        };
        let outputs = run(0, async {
            numbers.alongside(gate.passed()).await;
            numbers.collect::<Vec<_>>().await
        });
        assert_eq!(outputs, Ok(vec![1]), "{way}");
    }
}

#[test]
fn a_call_whose_item_comes_later_begins_too() {
    let (sender, receiver) = async_channel::unbounded();
    let gate = Gate::default();
    let mut numbers = pipe(receiver)
        .map_concurrent(1, async |n: u32| {
            gate.open();
            n
        })
        .driven();
    let (task, passed) = (Task::new(), gate.passed());
    let mut body = pin!(numbers.alongside(passed));
    assert!(task.poll(&mut body).is_pending() && !task.is_woken());
    sender.try_send(7).unwrap();
    assert!(task.is_woken());
    while task.is_woken() && task.poll(&mut body).is_pending() {}
    drop(sender);
    assert_eq!(task.poll_next(&mut numbers), Poll::Ready(Some(7)));
    assert_eq!(task.settle(&mut numbers), (vec![], true));
}

#[test]
fn of_a_plain_source_one_item_is_kept() {
    let pulled = RefCell::new(Vec::new());
    let mut numbers = pipe(0..3).inspect(|n| pulled.borrow_mut().push(*n)).driven();
    run(0, async {
        numbers.alongside(rest(9)).await;
        assert_eq!(pulled.borrow().len(), 1);
        assert_eq!(numbers.next().await, Some(0));
        numbers.alongside(rest(9)).await;
        assert_eq!(pulled.borrow().len(), 1, "it is known for what it is");
        assert_eq!(numbers.collect::<Vec<_>>().await, [1, 2]);
    })
    .unwrap();
}

#[test]
fn one_without_items_ends() {
    let mut numbers = pipe(Vec::<u32>::new()).map_concurrent(1, async |n| n).driven();
    run(0, async {
        numbers.alongside(rest(3)).await;
        numbers.alongside(rest(3)).await;
        assert_eq!(numbers.next().await, None);
    })
    .unwrap();
}

#[test]
fn a_body_that_is_ready_at_once_begins_nothing() {
    let begun = Cell::new(0);
    let mut numbers = pipe(0..3).inspect(|_| begun.set(begun.get() + 1)).driven();
    run(0, numbers.alongside(async {})).unwrap();
    assert_eq!(begun.get(), 0);
}

#[test]
fn dropping_the_body_leaves_what_has_begun() {
    let mut numbers = pipe(0..3).map_concurrent(3, async |n| n).driven();
    run(0, async {
        assert!(poll_once(numbers.alongside(pending::<()>())).await.is_none());
        assert_eq!(numbers.collect::<Vec<_>>().await, [0, 1, 2]);
    })
    .unwrap();
}

#[test]
fn a_panic_comes_out_and_the_rest_goes_on() {
    for in_source in [false, true] {
        let mut numbers = pipe(0..3)
            .inspect(|n| {
                if in_source && *n == 0 {
                    resume_unwind(Box::new(()))
                }
            })
            .map_concurrent(3, async |n| if n == 0 { resume_unwind(Box::new(())) } else { n })
            .driven();
        let task = Task::new();
        let mut body = Box::pin(numbers.alongside(pending::<()>()));
        assert!(catch_unwind(AssertUnwindSafe(|| task.poll(&mut body))).is_err());
        assert!(task.poll(&mut body).is_pending());
        drop(body);
        assert_eq!(task.poll_next(&mut numbers), Poll::Ready(Some(1)));
        assert_eq!(task.settle(&mut numbers), (vec![2], true));
    }
}

#[test]
fn what_a_frontier_finds_is_worked_off_too() {
    let visited = Cell::new(0);
    let mut nodes = frontier([1])
        .map_concurrent(4, async |(n, entry)| {
            yield_now().await;
            visited.set(visited.get() + 1);
            entry.expand([2 * n, 2 * n + 1].into_iter().filter(|child| *child < 128));
        })
        .filter(|()| false)
        .driven();
    run(0, async {
        nodes.alongside(rest(600)).await;
        nodes.next().await;
        assert_eq!(visited.get(), 127);
    })
    .unwrap();
}
