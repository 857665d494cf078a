//! A stage never has more items between "pulled" and "handed on" than its limit.

use std::cell::Cell;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::stages::Stage;
use crate::support::waker::Task;

const LIMITS: [usize; 4] = [1, 2, 7, usize::MAX];

/// Items between "pulled" and "handed on", checked at the moment of each pull.
#[derive(Default)]
struct Window {
    pulled: Cell<usize>,
    handed_on: Cell<usize>,
    peak: Cell<usize>,
}

impl Window {
    fn source(&self, items: usize) -> impl Stream<Item = usize> {
        pipe((0..items).inspect(|_| {
            self.pulled.set(self.pulled.get() + 1);
            self.peak.set(self.peak.get().max(self.inside()));
        }))
    }

    /// Counts what `stream` hands on.
    fn watch<S: Stream>(&self, stream: S) -> impl Stream<Item = S::Item> {
        stream.inspect(|_| self.handed_on.set(self.handed_on.get() + 1))
    }

    fn inside(&self) -> usize {
        self.pulled.get() - self.handed_on.get()
    }
}

/// Every way to ask for a limit of `limit`.
fn ways(limit: usize) -> [Concurrency; 4] {
    [limit.into(), ordered(limit), Semaphore::new(limit).into(), ordered(Semaphore::new(limit))]
}

/// All orders of `0..n`.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for next in 0..n {
        all = all
            .iter()
            .flat_map(|order| {
                (0..=order.len()).map(|at| {
                    let mut order = order.clone();
                    order.insert(at, next);
                    order
                })
            })
            .collect();
    }
    all
}

/// Opens the gates of the calls in the given order, taking outputs eagerly or one after each gate.
fn check(stage: Stage, limit: usize, concurrency: Concurrency, order: &[usize], eagerly: bool) {
    let items = order.len();
    let gates: Vec<Gate> = (0..items).map(|_| Gate::default()).collect();
    let (window, running) = (Window::default(), Gauge::default());
    let task = Task::new();
    let stream = stage.of(window.source(items), concurrency, |item| {
        let (unit, passed) = (running.unit(), gates[item].passed());
        async move {
            passed.await;
            drop(unit);
        }
    });
    let mut stream = window.watch(stream);
    let mut got = Vec::new();
    assert!(task.poll_next(&mut stream).is_pending());
    assert_eq!(running.now(), limit.min(items), "starts as many as it may, at once");
    for gate in order {
        gates[*gate].open();
        if eagerly {
            got.extend(task.settle(&mut stream).0);
        } else if let Poll::Ready(Some(item)) = task.poll_next(&mut stream) {
            got.push(item);
        }
        assert!(window.inside() <= limit);
    }
    let (rest, over) = task.settle(&mut stream);
    assert!(over || got.len() + rest.len() == items);
    got.extend(rest);
    assert_eq!(window.peak.get(), limit.min(items));
    assert_eq!((running.now(), running.peak()), (0, limit.min(items)));
    got.sort_unstable();
    assert!(got.into_iter().eq(0..items));
}

#[test]
fn no_limit_is_exceeded_in_whatever_order_calls_end() {
    for limit in LIMITS {
        for way in ways(limit) {
            for stage in Stage::ALL {
                for order in permutations(4) {
                    check(stage, limit, way.clone(), &order, true);
                    check(stage, limit, way.clone(), &order, false);
                }
            }
        }
    }
}

#[test]
fn more_items_than_the_limit() {
    let backwards: Vec<usize> = (0..20).rev().collect();
    let forwards: Vec<usize> = (0..20).collect();
    for limit in LIMITS {
        for way in ways(limit) {
            for stage in Stage::ALL {
                for order in [&forwards, &backwards] {
                    check(stage, limit, way.clone(), order, true);
                    check(stage, limit, way.clone(), order, false);
                }
            }
        }
    }
}

#[test]
fn with_limit_1_the_next_item_is_pulled_after_the_output_was_handed_on() {
    for way in ways(1) {
        for stage in Stage::ALL {
            let window = Window::default();
            let stream = stage.of(window.source(10), way.clone(), async |_| ());
            let mut stream = window.watch(stream);
            let task = Task::new();
            for item in 0..10 {
                assert_eq!(window.pulled.get(), item);
                // A stage that shares a semaphore may ask to be polled again first.
                let (mut polled, mut polls) = (task.poll_next(&mut stream), 1);
                while polled.is_pending() && polls < 3 {
                    (polled, polls) = (task.poll_next(&mut stream), polls + 1);
                }
                assert_eq!(polled, Poll::Ready(Some(item)));
                assert_eq!(window.pulled.get(), item + 1);
            }
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(None));
        }
    }
}

/// Holds the second stage up at every item: the first has to fill up, to its limit exactly.
fn check_full(first: Stage, a: usize, way_a: &Concurrency, second: Stage, b: usize) {
    for way_b in ways(b) {
        let (window, running) = (Window::default(), Gauge::default());
        let gates: Vec<Gate> = (0..40).map(|_| Gate::default()).collect();
        let upper = first.of(window.source(40), way_a.clone(), async |_| ());
        let stream = second.of(upper.map(|item| item), way_b.clone(), |item| {
            let (unit, passed) = (running.unit(), gates[item].passed());
            async move {
                passed.await;
                drop(unit);
            }
        });
        let mut stream = window.watch(stream);
        let task = Task::new();
        for (item, gate) in gates.iter().enumerate() {
            let left = gates.len() - item;
            assert_eq!(task.settle(&mut stream), (vec![], false));
            assert_eq!(window.inside(), left.min(a + b), "{first:?} {way_a:?}, {way_b:?}");
            gate.open();
            assert_eq!(task.settle(&mut stream), (vec![item], left == 1));
        }
        assert_eq!(window.peak.get(), a + b);
        assert_eq!(running.peak(), b);
    }
}

const LIMITS_OF_TWO: [(usize, usize); 5] = [(1, 1), (2, 1), (1, 2), (3, 4), (7, 2)];

#[test]
fn a_full_stage_has_the_stage_above_fill_up_and_no_more() {
    for (a, b) in LIMITS_OF_TWO {
        for second in Stage::ALL {
            for way in ways(a) {
                for first in [Stage::Map, Stage::Filter, Stage::FilterMap] {
                    check_full(first, a, &way, second, b);
                }
            }
            for way in [Concurrency::from(a), Semaphore::new(a).into()] {
                check_full(Stage::FlatMap, a, &way, second, b);
            }
        }
    }
}

#[test]
fn a_full_chain_that_is_never_polled_to_its_end_stays_within_the_sum() {
    for way in [Concurrency::from(3), ordered(3)] {
        for stage in Stage::ALL {
            let window = Window::default();
            let a = stage.of(window.source(500), way.clone(), async |_| ());
            let b = stage.of(a.map(|item| item), way.clone(), async |_| ());
            let mut c = window.watch(stage.of(b.map(|item| item), way.clone(), async |_| ()));
            let task = Task::new();
            for item in 0..500 {
                let mut polled = task.poll_next(&mut c);
                if polled.is_pending() {
                    // It gives way, now and then.
                    assert!(task.is_woken());
                    polled = task.poll_next(&mut c);
                }
                assert_eq!(polled, Poll::Ready(Some(item)));
            }
            assert!(window.peak.get() <= 3 * 3);
        }
    }
}

#[test]
fn a_plain_source_above_a_full_stage_is_not_pulled() {
    for stage in Stage::ALL {
        for (way, in_order) in ways(2).into_iter().zip([false, true, false, true]) {
            let (window, gate) = (Window::default(), Gate::default());
            let plain = window.source(10).map(|item| item).filter(|_| true);
            let mut stream = stage.of(plain, way, |_| gate.passed());
            let task = Task::new();
            for _ in 0..10 {
                assert!(task.poll_next(&mut stream).is_pending());
                assert_eq!(window.pulled.get(), 2);
            }
            gate.open();
            let (mut outputs, over) = task.settle(&mut stream);
            if !in_order {
                // New calls, which are ready at once, take turns with those that were woken.
                assert!(outputs.iter().enumerate().all(|(n, item)| n.abs_diff(*item) <= 1));
                outputs.sort_unstable();
            }
            assert_eq!((outputs, over), ((0..10).collect(), true));
        }
    }
}

#[test]
fn of_a_stage_zipped_with_a_plain_stream_one_item_at_most_comes_too_early() {
    let window = Window::default();
    let (sender, plain) = async_channel::unbounded();
    let gates: Vec<Gate> = (0..10).map(|_| Gate::default()).collect();
    let above = window.source(10).map_concurrent(2, async |item| item);
    let zipped = above.zip(plain).map(|(item, ())| item);
    let mut stream = window.watch(Stage::Map.of(zipped, 1, |item| gates[item].passed()));
    let task = Task::new();

    sender.try_send(()).unwrap();
    assert_eq!(task.settle(&mut stream), (vec![], false));
    for _ in 0..9 {
        // The stage is full. The zip holds an item of the stage above, and now gets its partner.
        sender.try_send(()).unwrap();
        assert_eq!(task.settle(&mut stream), (vec![], false));
        // One call, one item kept, one in the zip, and two outputs of the stage above.
        assert!(window.inside() <= 1 + 1 + 1 + 2, "{}", window.inside());
    }
    assert!(sender.len() >= 9 - 1 - 1, "{} left", sender.len());
    gates.iter().for_each(Gate::open);
    assert_eq!(task.settle(&mut stream), ((0..10).collect(), true));
}

#[test]
fn in_order_too_a_flat_map_above_a_full_stage_fills_up() {
    for (a, b) in LIMITS_OF_TWO {
        for second in Stage::ALL {
            for way in [ordered(a), ordered(Semaphore::new(a))] {
                check_full(Stage::FlatMap, a, &way, second, b);
            }
        }
    }
}
