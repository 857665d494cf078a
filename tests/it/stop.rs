//! A graceful stop: nothing more is pulled at the source, and the rest comes out.

use std::cell::Cell;
use std::future::{self, poll_fn};
use std::rc::Rc;
use std::task::{Poll, ready};

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::{future as lite, stream};

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::waker::Task;

/// A source of all numbers that counts what was pulled, and is itself counted.
fn numbers(pulled: &Rc<Cell<usize>>, there: &Gauge) -> impl Stream<Item = usize> + use<> {
    let (pulled, unit) = (pulled.clone(), there.unit());
    stream::iter(0..).inspect(move |_| {
        let _ = &unit;
        pulled.set(pulled.get() + 1);
    })
}

fn limits() -> [Concurrency; 4] {
    [3.into(), ordered(3), Semaphore::new(3).into(), ordered(Semaphore::new(3))]
}

#[test]
fn what_was_pulled_comes_out_and_no_more() {
    for limit in limits() {
        let (pulled, there, task) = (Rc::default(), Gauge::default(), Task::new());
        let (stop, gates) = (Gate::default(), [(); 9].map(|()| Gate::default()));
        let passed = |n: usize| {
            let passed = gates[n].passed();
            async move {
                passed.await;
                n
            }
        };
        let mut batches = numbers(&pulled, &there)
            .take_until_stopped(stop.passed())
            .map_concurrent(limit.clone(), passed)
            .batched(2);
        assert_eq!(task.settle(&mut batches), (vec![], false));
        gates[0].open();
        assert_eq!(task.settle(&mut batches), (vec![], false));
        assert_eq!((pulled.get(), there.now()), (4, 1));

        // Heard at once, though the stage is full.
        stop.open();
        assert_eq!(task.settle(&mut batches), (vec![], false));
        assert_eq!(there.now(), 0, "the source is gone");
        gates[1].open();
        assert_eq!(task.settle(&mut batches), (vec![vec![0, 1]], false), "{limit:?}");
        assert_eq!((pulled.get(), there.now()), (4, 0), "the source is gone");
        gates[2].open();
        gates[3].open();
        assert_eq!(task.settle(&mut batches), (vec![vec![2, 3]], true));
        assert_eq!(pulled.get(), 4);
    }
}

#[test]
fn a_partial_batch_is_flushed() {
    let (stop, task) = (Gate::default(), Task::new());
    let mut batches =
        stream::iter(0..3).chain(stream::pending()).take_until_stopped(stop.passed()).batched(2);
    assert_eq!(task.settle(&mut batches), (vec![vec![0, 1]], false));
    stop.open();
    assert!(task.is_woken(), "though the source is pending");
    assert_eq!(task.settle(&mut batches), (vec![vec![2]], true));
}

#[test]
fn so_does_one_that_comes_before_the_first_poll() {
    let (pulled, there) = (Rc::default(), Gauge::default());
    let mut stopped = numbers(&pulled, &there).take_until_stopped(future::ready(()));
    assert_eq!(stopped.size_hint(), (0, None));
    assert_eq!(lite::block_on(stopped.next()), None);
    assert_eq!(stopped.size_hint(), (0, Some(0)));
    assert_eq!((pulled.get(), there.now(), there.peak()), (0, 0, 1));
}

/// Either is dropped when the other is over, and neither is polled after its end.
#[test]
fn source_and_stop_go_together() {
    let there = Gauge::default();
    let unit = there.unit();
    let stop = async move {
        let _unit = unit;
        future::pending::<()>().await
    };
    let mut items = stream::iter([1]).take_until_stopped(Box::pin(stop));
    assert_eq!(items.size_hint(), (0, Some(1)));
    assert_eq!(lite::block_on(items.next()), Some(1));
    assert_eq!(there.now(), 1);
    assert_eq!(lite::block_on(items.next()), None);
    assert_eq!(there.now(), 0);
    assert_eq!(lite::block_on(items.next()), None);

    let mut polls = 0;
    let once = poll_fn(|_| {
        polls += 1;
        assert_eq!(polls, 1, "it was ready");
        Poll::Ready(())
    });
    let mut items = stream::repeat(1).take_until_stopped(once);
    assert_eq!(lite::block_on(items.next()), None);
    assert_eq!(lite::block_on(items.next()), None);
}

/// The stop is looked at before the source, in each poll.
#[test]
fn the_stop_comes_first() {
    let (stop, asked) = (Cell::new(false), Cell::new(0));
    let source = stream::poll_fn(|_| {
        asked.set(asked.get() + 1);
        stop.set(true);
        Poll::Ready(Some(asked.get()))
    });
    let stopped = poll_fn(|_| if stop.get() { Poll::Ready(()) } else { Poll::Pending });
    let items: Vec<u32> = lite::block_on(source.take_until_stopped(stopped).collect());
    assert_eq!((items, asked.get()), (vec![1], 1));
}

/// A pipeline that is dropped at every point of its run, before and after the stop.
#[test]
fn drop_at_every_await_point() {
    let run = |polls: usize| {
        let (pulled, there) = (Rc::<Cell<usize>>::default(), Gauge::default());
        let mut left = polls;
        let call = |n: usize| {
            let unit = there.unit();
            async move {
                let _unit = unit;
                for _ in 0..n % 4 {
                    lite::yield_now().await;
                }
                if n < 99 { Ok(n) } else { Err(n) }
            }
        };
        let pulled_enough = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if pulled.get() >= 20 { Poll::Ready(()) } else { Poll::Pending }
        });
        let stages = numbers(&pulled, &there)
            .take_until_stopped(pulled_enough)
            .map(Ok)
            .try_map_concurrent(4, call)
            .try_filter_concurrent(ordered(3), async |n: &usize| call(*n).await.map(|n| n % 2 == 0))
            .try_batched(3)
            .try_flat_map_concurrent(2, async |batch: Vec<usize>| {
                call(batch[0]).await?;
                Ok(batch)
            });
        let mut all = Box::pin(stages.try_collect::<_, _, Vec<usize>>());
        let out = lite::block_on(poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Ready(Some(ready!(all.as_mut().poll(cx))))
        }));
        drop(all);
        assert_eq!(there.now(), 0, "after {polls} polls");
        out
    };
    let mut polls = 0;
    let out = loop {
        match run(polls) {
            None => polls += 1,
            Some(out) => break out,
        }
    };
    assert!(polls > 5, "{polls}");
    let mut numbers = out.unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter((0..20).step_by(2)));
}
