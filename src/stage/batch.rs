use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::batching::{Batching, Collect, Count};
use super::fused::fused;
use crate::size_hint::{SizeHint, add_hints, exactly};

/// The room that a batch is given at first, at most: sizes may be huge.
const INITIAL_CAPACITY: usize = 1024;

pin_project! {
    /// Stream returned by [`FlowExt::batched`](crate::FlowExt::batched).
    ///
    /// The items `T` follow from the upstream `S`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Batched, Pipe, prelude::*};
    /// use futures_lite::stream;
    ///
    /// let batches: Batched<Pipe<stream::Repeat<u8>>> = pipe(stream::repeat(0)).batched(100);
    /// # drop(batches);
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct Batched<S: Stream, T = <S as Stream>::Item> {
        #[pin]
        batching: Batching<S, Batch<T>, Infallible, T>,
    }
}

impl<S: Stream<Item = T>, T> Batched<S, T> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize) -> Self {
        Self { batching: Batching::new(stream, Batch::new(size)) }
    }
}

impl<S: Stream, T> Stream for Batched<S, T> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        self.project().batching.poll_next(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.batching.size_hint()
    }
}

fused!([S: Stream, T] Batched<S, T>: |stage| stage.batching.is_over());

impl<S: Stream + fmt::Debug, T> fmt::Debug for Batched<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("size", &self.batching.batch.size)
            .field("waiting", &self.batching.batch.started())
            .field("upstream", &self.batching.stream)
            .finish()
    }
}

/// A batch of so many items.
pub(super) struct Batch<T> {
    pub(super) size: usize,
    items: Vec<T>,
}

/// Refuses a size that no batch could have.
#[track_caller]
pub(crate) fn checked_size(size: usize) -> usize {
    assert!(size > 0, "the size of a batch must be at least 1");
    size
}

impl<T> Batch<T> {
    #[track_caller]
    pub(super) fn new(size: usize) -> Self {
        Self { size: checked_size(size), items: Vec::new() }
    }

    /// Adds an item to a batch that grows as it is filled. Takes it if it is full.
    pub(super) fn push(&mut self, item: T) -> Option<Vec<T>> {
        self.items.push(item);
        (self.items.len() == self.size).then(|| mem::take(&mut self.items))
    }
}

impl<T> Collect for Batch<T> {
    type Item = T;

    fn add(&mut self, item: T) -> Option<Vec<T>> {
        if self.items.is_empty() {
            self.items.reserve_exact(self.size.min(INITIAL_CAPACITY));
        }
        self.push(item)
    }

    fn take_rest(&mut self) -> Option<Vec<T>> {
        (!self.items.is_empty()).then(|| mem::take(&mut self.items))
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
}
