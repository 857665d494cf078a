use std::convert::Infallible;
use std::fmt;

use futures_lite::Stream;

use super::batching::{Batching, Collect, Count};
use super::shell::shell;
use super::started::Started;
use super::styles::styles;
use crate::size_hint::{SizeHint, add_hints, exactly};
use crate::{FlowExt, TryFlowExt};

/// The initial capacity of a batch is at most this: sizes may be huge.
const INITIAL_CAPACITY: usize = 1024;

shell! {
    /// Stream returned by [`FlowExt::batched`].
    ///
    /// The items `T` follow from the upstream `S`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Pipe, prelude::*, stage::Batched};
    /// use futures_lite::stream;
    ///
    /// let batches: Batched<Pipe<stream::Repeat<u8>>> = pipe(stream::repeat(0)).batched(100);
    /// # drop(batches);
    /// ```
    pub struct Batched<S: Stream, T = <S as Stream>::Item> {
        inner: Batching<S, Batch<T>, Infallible, Vec<T>>,
    }

    type Item = Vec<T>;
}

impl<S: Stream<Item = T>, T> Batched<S, T> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize) -> Self {
        Self { inner: Batching::new(stream, Batch::new(size)) }
    }
}

shell! {
    /// Stream returned by [`TryFlowExt::try_batched`].
    ///
    /// `S` is the upstream of values `T` and errors `E`.
    pub struct TryBatched<S, T, E> {
        inner: Batching<S, Batch<T>, E, Result<Vec<T>, E>>,
    }

    type Item = Result<Vec<T>, E>;
}

impl<S: Stream<Item = Result<T, E>>, T, E> TryBatched<S, T, E> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize) -> Self {
        Self { inner: Batching::of_results(stream, Batch::new(size)) }
    }
}

/// A batch of a given size.
pub(super) struct Batch<T> {
    pub(super) size: usize,
    items: Started<T>,
}

/// Rejects a size that no batch could have.
#[track_caller]
pub(super) fn checked_size(size: usize) -> usize {
    assert!(size > 0, "the size of a batch must be at least 1");
    size
}

impl<T> Batch<T> {
    #[track_caller]
    pub(super) fn new(size: usize) -> Self {
        Self { size: checked_size(size), items: Started::new() }
    }

    /// Adds an item to a batch that grows as it is filled. Returns the batch if it is full.
    pub(super) fn push(&mut self, item: T) -> Option<Vec<T>> {
        self.items.push(item);
        if self.items.len() == self.size { self.items.take() } else { None }
    }
}

impl<T> Collect for Batch<T> {
    type Item = T;

    fn add(&mut self, item: T) -> Option<Vec<T>> {
        self.items.reserve(self.size.min(INITIAL_CAPACITY));
        self.push(item)
    }

    fn take_rest(&mut self) -> Option<Vec<T>> {
        self.items.take()
    }
}

impl<T> Count for Batch<T> {
    fn started(&self) -> usize {
        self.items.len()
    }

    fn size_hint(&self, items: SizeHint) -> SizeHint {
        let (lower, upper) = add_hints(items, exactly(self.started()));
        (lower.div_ceil(self.size), upper.map(|upper| upper.div_ceil(self.size)))
    }

    fn fmt_as(
        &self,
        name: &str,
        upstream: &dyn fmt::Debug,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        f.debug_struct(name)
            .field("size", &self.size)
            .field("waiting", &self.started())
            .field("upstream", upstream)
            .finish()
    }
}

styles! {
    /// Collects items into batches of `size`: see [`FlowExt::batched`].
    fn batched(size: usize = checked_size(size););

    flow [U: Send + 'static] U => [] Vec<U>
    where []
    by |stream| stream.batched(size);

    functional [S] impl Fn(S) -> Batched<S>
    where [S: Stream]
    by |stream| stream.batched(size);

    /// Collects values into batches of `size`, up to the first error: see [`TryFlowExt::try_batched`].
    fn try_batched(size: usize = checked_size(size););

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [] Result<Vec<V>, E>
    where []
    by |stream| stream.try_batched(size);

    functional [S, V, E] impl Fn(S) -> TryBatched<S, V, E>
    where [S: Stream<Item = Result<V, E>>]
    by |stream| stream.try_batched(size);
}
