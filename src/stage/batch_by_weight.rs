use std::convert::Infallible;
use std::fmt;
use std::task::Context;

use futures_lite::Stream;

use super::batching::{Batching, Collect, Count};
use super::shell::shell;
use super::started::Started;
use super::styles::styles;
use crate::size_hint::{SizeHint, add_hints, exactly};
use crate::{FlowExt, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::batched_by_weight`].
    ///
    /// `S` is the upstream and `F` the function that weighs. The items `T` follow from the upstream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Pipe, prelude::*, stage::BatchedByWeight};
    /// use futures_lite::stream;
    ///
    /// type Lines = Pipe<stream::Repeat<String>>;
    ///
    /// let line = "a line".to_owned();
    /// let batches: BatchedByWeight<Lines, fn(&String) -> usize> =
    ///     pipe(stream::repeat(line)).batched_by_weight(1000, String::len);
    /// # drop(batches);
    /// ```
    pub struct BatchedByWeight<S: Stream, F, T = <S as Stream>::Item> {
        inner: Batching<S, Weighed<T, F>, Infallible, Vec<T>>,
    }

    type Item = Vec<T>;
}

impl<S, F, T> BatchedByWeight<S, F, T>
where
    S: Stream<Item = T>,
    F: FnMut(&T) -> usize,
{
    #[track_caller]
    pub(crate) fn new(stream: S, max: usize, weight: F) -> Self {
        Self { inner: Batching::new(stream, Weighed::new(max, weight)) }
    }
}

shell! {
    /// Stream returned by [`TryFlowExt::try_batched_by_weight`].
    ///
    /// `S` is the upstream of values `T` and errors `E`, and `F` the function that weighs.
    pub struct TryBatchedByWeight<S, F, T, E> {
        inner: Batching<S, Weighed<T, F>, E, Result<Vec<T>, E>>,
    }

    type Item = Result<Vec<T>, E>;
}

impl<S, F, T, E> TryBatchedByWeight<S, F, T, E>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(&T) -> usize,
{
    #[track_caller]
    pub(crate) fn new(stream: S, max: usize, weight: F) -> Self {
        Self { inner: Batching::of_results(stream, Weighed::new(max, weight)) }
    }
}

/// A batch of items up to a total weight.
pub(super) struct Weighed<T, F> {
    max: usize,
    weight: F,
    items: Started<T>,

    /// The total weight: more than the maximum only if there is a single item.
    sum: usize,
}

/// Rejects a weight that no batch could have.
#[track_caller]
fn checked_max(max: usize) -> usize {
    assert!(max > 0, "the maximum weight of a batch must be at least 1");
    max
}

impl<T, F> Weighed<T, F> {
    #[track_caller]
    pub(super) fn new(max: usize, weight: F) -> Self {
        Self { max: checked_max(max), weight, items: Started::new(), sum: 0 }
    }

    fn is_full(&self) -> bool {
        self.sum >= self.max
    }

    fn take(&mut self) -> Option<Vec<T>> {
        self.sum = 0;
        self.items.take()
    }
}

impl<T, F: FnMut(&T) -> usize> Collect for Weighed<T, F> {
    type Item = T;

    fn add(&mut self, item: T) -> Option<Vec<T>> {
        let weight = (self.weight)(&item);
        let fits = !self.is_full() && weight <= self.max - self.sum;
        let before = if fits { None } else { self.take() };
        self.items.push(item);
        self.sum += weight;
        if before.is_none() && self.is_full() { self.take() } else { before }
    }

    fn take_rest(&mut self) -> Option<Vec<T>> {
        self.take()
    }

    /// The first item may fill its batch, and arrive together with the batch before.
    fn is_due(&mut self, _cx: &mut Context<'_>) -> bool {
        self.is_full()
    }
}

impl<T, F> Count for Weighed<T, F> {
    fn started(&self) -> usize {
        self.items.len()
    }

    fn size_hint(&self, items: SizeHint) -> SizeHint {
        // In the minimum, everything fits into one batch, but nothing fits into a full one.
        let first = usize::from(self.started() > 0);
        let more = usize::from(items.0 > 0);
        let lower = if self.is_full() { first + more } else { first.max(more) };
        (lower, add_hints(items, exactly(first)).1)
    }
    fn fmt_as(
        &self,
        name: &str,
        upstream: &dyn fmt::Debug,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        f.debug_struct(name)
            .field("max", &self.max)
            .field("waiting", &self.started())
            .field("upstream", upstream)
            .finish_non_exhaustive()
    }
}

styles! {
    /// Collects items into batches that weigh at most `max`: see [`FlowExt::batched_by_weight`].
    fn batched_by_weight(max: usize = checked_max(max); weight: F);

    flow [U: Send + 'static] U => [F] Vec<U>
    where [F: Fn(&U) -> usize + Send + Sync + 'static]
    by |stream| stream.batched_by_weight(max, move |item| weight(item));

    functional [S, F] impl Fn(S) -> BatchedByWeight<S, F>
    where [S: Stream, F: FnMut(&S::Item) -> usize + Clone]
    by |stream| stream.batched_by_weight(max, weight);

    /// Collects values into batches that weigh at most `max`, up to the first error: see
    /// [`TryFlowExt::try_batched_by_weight`].
    fn try_batched_by_weight(max: usize = checked_max(max); weight: F);

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [F] Result<Vec<V>, E>
    where [F: Fn(&V) -> usize + Send + Sync + 'static]
    by |stream| stream.try_batched_by_weight(max, move |item| weight(item));

    functional [S, F, V, E] impl Fn(S) -> TryBatchedByWeight<S, F, V, E>
    where [S: Stream<Item = Result<V, E>>, F: FnMut(&V) -> usize + Clone]
    by |stream| stream.try_batched_by_weight(max, weight);
}
