//! Dropping a pipeline, wherever it stands, leaves nothing behind.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};
use futures_lite::future::yield_now;

use crate::support::gate::Gate;
use crate::support::gauge::{Gauge, Unit};
use crate::support::stages::{Boxed, Stage};
use crate::support::waker::Task;
use crate::support::woken::Woken;

/// What a pipeline consists of while it runs.
struct Parts {
    sources: Gauge,
    items: Gauge,
    calls: Gauge,
    semaphore: Semaphore,
    gate: Gate,
}

impl Parts {
    fn new() -> Self {
        Self {
            sources: Gauge::default(),
            items: Gauge::default(),
            calls: Gauge::default(),
            semaphore: Semaphore::new(2),
            gate: Gate::default(),
        }
    }

    /// A call that takes some turns, and now and then a gate.
    fn call<T>(&self, turns: usize, output: T) -> impl Future<Output = T> + use<T> {
        let (unit, passed) = (self.calls.unit(), self.gate.passed());
        async move {
            let _unit = unit;
            for turn in 0..turns {
                yield_now().await;
                if turn == 2 {
                    passed.await;
                    break;
                }
            }
            output
        }
    }

    /// A pipeline of all stages.
    fn pipeline(&self) -> impl Stream<Item = Vec<Rc<Unit>>> + Unpin {
        let unit = self.sources.unit();
        let items = (0..12).map(move |number| {
            let _source = &unit;
            (number, Rc::new(self.items.unit()))
        });
        let stream = pipe(items)
            .map_concurrent(3, |(number, item)| self.call(number % 4, (number, item)))
            .filter_concurrent(ordered(2), async |(number, _): &(usize, Rc<Unit>)| {
                self.call(number % 3, number % 5 != 0).await
            })
            .filter_map_concurrent(&self.semaphore, |(number, item)| {
                self.call(number % 2, Some((number, item)))
            })
            .driven()
            .flat_map_concurrent(ordered(&self.semaphore), |(number, item)| {
                self.call(number % 3, vec![item; number % 3])
            })
            .batched(3)
            .map_concurrent(2, |batch| self.call(1, batch));
        Box::pin(stream).driven()
    }
}

#[test]
fn at_every_await_point() {
    for open in [true, false] {
        for polls in 0.. {
            let (parts, waker) = (Parts::new(), Woken::new());
            if open {
                parts.gate.open();
            }
            let mut stream = parts.pipeline();
            let mut over = false;
            {
                let waker = waker.waker();
                for _ in 0..polls {
                    let polled = stream.poll_next(&mut Context::from_waker(&waker));
                    over |= matches!(polled, Poll::Ready(None));
                }
            }
            drop(stream);
            let left = [&parts.sources, &parts.items, &parts.calls].map(Gauge::now);
            assert_eq!(left, [0, 0, 0], "after {polls} polls");
            assert!(parts.calls.peak() <= 3 + 2 + 2 + 2 + 2);
            assert_eq!(parts.semaphore.in_use(), 0);
            assert_eq!(Arc::strong_count(&waker), 1);
            // The wakers of the calls may live on. Nobody hears them.
            parts.gate.open();
            assert_eq!(Arc::strong_count(&waker), 1);
            if over || polls > 300 {
                assert_eq!(over, open);
                assert!(polls > 5, "that was no pipeline, only {polls} polls");
                break;
            }
        }
    }
}

#[test]
fn at_every_item() {
    for handed_on in 0..4 {
        let parts = Parts::new();
        parts.gate.open();
        let mut stream = parts.pipeline();
        let task = Task::new();
        let mut batches = vec![];
        while batches.len() < handed_on {
            if let Poll::Ready(batch) = task.poll_next(&mut stream) {
                batches.extend(batch);
            }
            assert!(task.is_woken());
        }
        drop(stream);
        assert_eq!((parts.sources.now(), parts.calls.now()), (0, 0));
        assert_eq!(parts.semaphore.in_use(), 0);
        // What was handed on is the consumer's.
        drop(batches);
        assert_eq!(parts.items.now(), 0);
        assert!(parts.items.peak() > 0 || handed_on == 0);
    }
}

/// Says when it is dropped.
struct Named<'a>(&'static str, &'a RefCell<Vec<&'static str>>);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

/// A source that says when it is dropped.
struct Source<'a> {
    numbers: std::ops::Range<usize>,
    _named: Named<'a>,
}

impl Stream for Source<'_> {
    type Item = usize;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<usize>> {
        Poll::Ready(self.numbers.next())
    }
}

#[test]
fn calls_are_dropped_before_what_is_above_them() {
    for stage in Stage::ALL {
        let trace = RefCell::new(vec![]);
        let gate = Gate::default();
        let source = Source { numbers: 0..10, _named: Named("source", &trace) };
        let above = stage.of(source, 2, |item| {
            let (named, passed) = (Named("above", &trace), gate.passed());
            async move {
                let _named = named;
                if item > 1 {
                    passed.await;
                }
            }
        });
        let mut stream = stage.of(above, 2, |_| {
            let (named, passed) = (Named("below", &trace), gate.passed());
            async move {
                let _named = named;
                passed.await;
            }
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        assert_eq!(trace.take(), ["above"; 2]);
        drop(stream);
        assert_eq!(trace.take(), ["below", "below", "above", "above", "source"]);
    }
}

#[test]
fn an_upstream_that_has_ended_is_dropped_before_the_calls_end() {
    for stage in Stage::ALL {
        for limit in [Concurrency::from(4), ordered(4), Semaphore::new(4).into()] {
            let (sources, gate) = (RefCell::new(vec![]), Gate::default());
            let source = Source { numbers: 0..3, _named: Named("source", &sources) };
            let mut stream = stage.of(source, limit, |_| gate.passed());
            let task = Task::new();
            assert_eq!(task.settle(&mut stream), (vec![], false));
            assert_eq!(*sources.borrow(), ["source"]);
            gate.open();
            assert_eq!(task.settle(&mut stream), (vec![0, 1, 2], true));
        }
    }
}

#[test]
fn so_is_that_of_the_other_stages() {
    let (sources, gate) = (RefCell::new(vec![]), Gate::default());
    let source = || Source { numbers: 0..3, _named: Named("source", &sources) };
    let never = || gate.passed();

    let task = Task::new();
    let mut batched = Box::pin(source().batched(10));
    assert_eq!(task.poll_next(&mut batched), Poll::Ready(Some(vec![0, 1, 2])));
    assert_eq!(sources.take(), ["source"]);

    let mut driven = source().driven();
    assert_eq!(task.settle(&mut driven), (vec![0, 1, 2], true));
    assert_eq!(sources.take(), ["source"]);

    let mut chained = source().drain();
    let polled = Pin::new(&mut chained).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready());
    assert_eq!(sources.take(), ["source"]);

    // While stages below still run.
    let above: Boxed = Box::pin(source().batched(2).map(|batch| batch.len()));
    let mut stream = Stage::Map.of(above, 3, |_| never());
    let task = Task::new();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    assert_eq!(sources.take(), ["source"]);
}

#[test]
fn a_call_that_is_over_is_dropped_at_once() {
    for stage in [Stage::Map, Stage::Filter, Stage::FilterMap] {
        for limit in [Concurrency::from(3), ordered(3)] {
            let (calls, gates) = (Gauge::default(), [(); 3].map(|()| Gate::default()));
            let mut stream = stage.of(pipe(0..3), limit, |item| {
                let (unit, passed) = (calls.unit(), gates[item].passed());
                async move {
                    let _unit = unit;
                    passed.await;
                }
            });
            let task = Task::new();
            assert!(task.poll_next(&mut stream).is_pending());
            assert_eq!(calls.now(), 3);
            gates[2].open();
            let _ = task.poll_next(&mut stream);
            assert_eq!((calls.now(), calls.peak()), (2, 3));
        }
    }
}

#[test]
fn wakers_of_dropped_calls_wake_nothing() {
    for stage in Stage::ALL {
        let gate = Gate::default();
        let mut stream = stage.of(pipe(0..), 5, |_| gate.passed());
        let task = Task::new();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        drop(stream);
        gate.open();
        assert!(!task.is_woken());
    }
}
