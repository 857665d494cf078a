//! Calls that end when the test says so, and their sources, all of them counted.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::gate::Gate;
use super::gauge::{Gauge, Unit};

/// A gate for the call of each item.
#[derive(Default)]
pub(crate) struct Gated {
    pub(crate) gates: [Gate; 12],
    /// The calls that are there.
    pub(crate) calls: Gauge,
    /// The items whose calls were made.
    pub(crate) begun: RefCell<Vec<usize>>,
    /// The sources that are there.
    pub(crate) sources: Gauge,
    pub(crate) pulled: Rc<Cell<usize>>,
}

impl Gated {
    /// A source that is counted while it is there, and whose items are.
    pub(crate) fn source<I: Iterator + Unpin>(&self, items: I) -> Source<I> {
        Source { items, pulled: self.pulled.clone(), _unit: self.sources.unit() }
    }

    /// A call that ends with `output` when the gate of its item opens.
    pub(crate) fn call<T>(&self, item: usize, output: T) -> impl Future<Output = T> + use<T> {
        self.begun.borrow_mut().push(item);
        let (unit, passed) = (self.calls.unit(), self.gates[item].passed());
        async move {
            let _unit = unit;
            passed.await;
            output
        }
    }

    /// Calls and sources that are there.
    pub(crate) fn left(&self) -> (usize, usize) {
        (self.calls.now(), self.sources.now())
    }
}

pub(crate) struct Source<I> {
    items: I,
    pulled: Rc<Cell<usize>>,
    _unit: Unit,
}

impl<I: Iterator + Unpin> Stream for Source<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        let item = self.items.next();
        self.pulled.set(self.pulled.get() + usize::from(item.is_some()));
        Poll::Ready(item)
    }
}
