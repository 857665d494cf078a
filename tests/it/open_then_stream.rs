//! What opens a body and then streams it can fail in either half, and both are errors of the stage.

use std::pin::{Pin, pin};
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Flow, Semaphore, errors_in_turn, functional, op, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::waker::Task;

type Item = Result<usize, String>;
type Boxed = Pin<Box<dyn Stream<Item = Item> + Send>>;

/// How many outputs a body has.
const LENGTH: usize = 6;

/// Bodies, and the places where one fails.
#[derive(Clone, Default)]
struct Store {
    bodies: Gauge,
    sources: Gauge,
    /// The key that is not there.
    missing: Option<usize>,
    /// The output at which the connection is lost.
    lost: Option<usize>,
    /// What each body of another key waits for after its first output.
    gate: Option<Gate>,
}

impl Store {
    fn that_loses(lost: usize) -> Self {
        Self { lost: Some(lost), ..Self::default() }
    }

    async fn open(self, key: usize) -> Result<impl Stream<Item = Item> + Send, String> {
        let unit = self.bodies.unit();
        yield_now().await;
        if self.missing == Some(key) {
            return Err(format!("no key {key}"));
        }
        let waits = self.gate.is_some() && self.lost.is_none_or(|lost| lost / 10 != key);
        Ok(stream::iter(0..LENGTH).then(move |step| {
            let _ = &unit;
            let passed = self.gate.as_ref().map(Gate::passed).filter(|_| waits && step > 0);
            let output = 10 * key + step;
            let lost = self.lost == Some(output);
            async move {
                match passed {
                    Some(passed) => passed.await,
                    None => yield_now().await,
                }
                if lost { Err(format!("lost {output}")) } else { Ok(output) }
            }
        }))
    }

    /// Opens the bodies of the keys from 1 on.
    fn stage(&self, limit: impl Into<Concurrency>) -> Boxed {
        let (unit, store) = (self.sources.unit(), self.clone());
        let keys = pipe(1..20).map(move |key| {
            let _ = &unit;
            Ok(key)
        });
        Box::pin(keys.try_flat_map_concurrent(limit, move |key| store.clone().open(key)))
    }

    /// Bodies and sources that are there.
    fn left(&self) -> (usize, usize) {
        (self.bodies.now(), self.sources.now())
    }
}

fn limits() -> Vec<Concurrency> {
    let of = |limit: usize| {
        let semaphore = Semaphore::new(limit);
        let limits = [limit.into(), errors_in_turn(limit), Concurrency::from(&semaphore)];
        limits.into_iter().flat_map(|limit| [limit.clone(), ordered(limit)])
    };
    [1, 2, 8].into_iter().flat_map(of).collect()
}

/// Polls up to the error, which is to come with nothing else left, and beyond it.
fn up_to_error(store: &Store, mut stage: Boxed) -> (Vec<usize>, String) {
    let (task, mut outputs) = (Task::new(), vec![]);
    let error = loop {
        assert!(task.is_woken(), "lost");
        match task.poll_next(&mut stage) {
            Poll::Ready(Some(Ok(output))) => outputs.push(output),
            Poll::Ready(Some(Err(error))) => break error,
            Poll::Ready(None) => panic!("no error"),
            Poll::Pending => {}
        }
    };
    assert_eq!(store.left(), (0, 0), "there when the error comes");
    assert!((0..3).all(|_| task.poll_next(&mut stage) == Poll::Ready(None)), "it comes once");
    (outputs, error)
}

#[test]
fn an_error_in_a_body_is_the_stages_and_comes_once_when_all_else_is_gone() {
    for limit in limits() {
        for lost in [10, 22, 35, 50] {
            let store = Store::that_loses(lost);
            let (outputs, error) = up_to_error(&store, store.stage(limit.clone()));
            assert_eq!(error, format!("lost {lost}"), "{limit:?}");
            // The body's own outputs came before, and none after.
            let body = outputs.iter().filter(|output| **output / 10 == lost / 10);
            assert!(body.copied().eq(lost / 10 * 10..lost), "{limit:?} {outputs:?}");
        }
    }
}

#[test]
fn an_error_of_open_is_too() {
    for limit in limits() {
        for missing in [1, 2, 5] {
            let store = Store { missing: Some(missing), ..Store::default() };
            let (outputs, error) = up_to_error(&store, store.stage(limit.clone()));
            assert_eq!(error, format!("no key {missing}"), "{limit:?}");
            assert!(outputs.iter().all(|output| output / 10 != missing));
        }
    }
}

#[test]
fn in_order_all_outputs_before_the_error_come_out() {
    for limit in [1, 2, 8] {
        for limit in [ordered(limit), ordered(Semaphore::new(limit))] {
            let store = Store::that_loses(34);
            let (outputs, _) = up_to_error(&store, store.stage(limit.clone()));
            let whole = [1, 2].into_iter().flat_map(|key| 10 * key..10 * key + LENGTH);
            assert!(outputs.into_iter().eq(whole.chain(30..34)), "{limit:?}");

            let store = Store { missing: Some(3), lost: Some(42), ..Store::default() };
            let (outputs, error) = up_to_error(&store, store.stage(limit));
            assert_eq!((outputs.len(), error.as_str()), (2 * LENGTH, "no key 3"));
        }
    }
}

#[test]
fn in_order_the_bodies_before_it_go_on_and_those_after_it_are_dropped() {
    let (gate, task) = (Gate::default(), Task::new());
    let store = Store { gate: Some(gate.clone()), ..Store::that_loses(30) };
    let mut stage = store.stage(ordered(8));
    assert_eq!(task.settle(&mut stage), (vec![Ok(10)], false));
    assert_eq!(store.left(), (2, 0));
    gate.open();
    let (items, ended) = task.settle(&mut stage);
    assert_eq!((items.len(), ended), (2 * LENGTH, true));
    assert_eq!(items.last(), Some(&Err("lost 30".to_owned())));
}

/// None of the others would ever end.
#[test]
fn bodies_that_wait_keep_no_error_back() {
    for limit in [8.into(), errors_in_turn(8), Concurrency::from(Semaphore::new(8))] {
        let store = Store { gate: Some(Gate::default()), ..Store::that_loses(44) };
        let (outputs, error) = up_to_error(&store, store.stage(limit));
        assert_eq!(error, "lost 44");
        // One of each body, and all of the one that failed.
        assert_eq!(outputs.len(), 7 + 4);
    }
}

#[test]
fn the_error_is_known_while_the_consumer_is_busy() {
    let store = Store::that_loses(12);
    let (task, mut stage) = (Task::new(), store.stage(2).driven());
    while store.bodies.peak() == 0 || store.bodies.now() > 0 {
        if let Poll::Ready(item) = task.poll_next(&mut stage) {
            assert!(item.is_some_and(|item| item.is_ok()));
        }
        for _ in 0..10 {
            block_on(stage.alongside(yield_now()));
        }
    }
    assert_eq!(store.left(), (0, 0));
    assert_eq!(task.settle(&mut stage), (vec![Err("lost 12".to_owned())], true));
}

#[test]
fn a_drain_fails_in_either_half() {
    for (store, error) in [
        (Store::default(), None),
        (Store::that_loses(21), Some("lost 21")),
        (Store { missing: Some(4), ..Store::default() }, Some("no key 4")),
    ] {
        let drained = block_on(store.stage(2).try_drain());
        assert_eq!(drained.err().as_deref(), error);
        assert_eq!(store.left(), (0, 0));
    }
}

#[test]
fn in_a_flow_an_op_and_a_function_it_is_the_same() {
    let (store, open) = (Store::that_loses(23), Store::that_loses(23));
    let open = move |key| open.clone().open(key);
    let flow = Flow::<Item>::identity().try_flat_map_concurrent(ordered(2), open.clone());
    let op = op::try_flat_map_concurrent(ordered(2), open.clone());
    let function = functional::try_flat_map_concurrent(ordered(2), open);
    let expected = up_to_error(&store, store.stage(ordered(2)));
    let keys = || pipe(1..20).map(Item::Ok);
    for _ in 0..2 {
        for stage in
            [keys().through(&flow).boxed(), keys().through(&op).boxed(), function(keys()).boxed()]
        {
            assert_eq!(up_to_error(&store, stage), expected);
        }
    }
}

/// What an iterable yields are outputs, also if they are `Result`s.
#[test]
fn an_iterable_in_a_future_yields_values() {
    let keys = || pipe(1..=2).map(Ok::<usize, String>);
    let plain = keys().try_flat_map_concurrent(1, async |key| Ok(vec![key; 5]));
    assert_eq!(block_on(plain.try_collect()), Ok([[1; 5], [2; 5]].concat()));

    let results = keys().try_flat_map_concurrent(ordered(2), async |key| {
        Ok(vec![Ok(key), Err("no"), Err("never"), Ok(0), Ok(0)])
    });
    let values: Vec<Result<usize, &str>> = block_on(results.try_collect()).unwrap();
    assert_eq!(values[..5], [Ok(1), Err("no"), Err("never"), Ok(0), Ok(0)]);
    assert_eq!(values.len(), 10);

    let closed = keys().try_flat_map_concurrent(2, async |key| match key {
        1 => Err("closed".to_owned()),
        _ => Ok([key]),
    });
    assert_eq!(block_on(closed.try_drain()), Err("closed".to_owned()));
}

#[test]
fn a_body_without_outputs_is_none() {
    let empty = async |_| Ok(stream::empty::<Item>());
    let stage = pipe(0..9).map(Item::Ok).try_flat_map_concurrent(4, empty);
    assert_eq!(block_on(stage.collect::<Vec<_>>()), []);
}

#[test]
fn its_hints_are_those_of_the_open_bodies() {
    let gate = Gate::default();
    let mut stage = pin!(pipe([2, 1]).map(Item::Ok).try_flat_map_concurrent(2, async |key| {
        Ok(stream::iter(vec![key; key]).then(|output| {
            let passed = gate.passed();
            async move {
                passed.await;
                Item::Ok(output)
            }
        }))
    }));
    let task = Task::new();
    assert_eq!(task.settle(&mut stage), (vec![], false));
    assert_eq!(stage.size_hint(), (1, Some(3)));
    gate.open();
    assert_eq!(task.settle(&mut stage).0.len(), 3);
    assert_eq!(stage.size_hint(), (0, Some(0)));
}
