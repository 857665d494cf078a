use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use crate::size_hint::{SizeHint, add_hints, exactly};

/// The room that a batch is given at first, at most: sizes may be huge.
const INITIAL_CAPACITY: usize = 1024;

pin_project! {
    /// Stream of [`FlowExt::batched`](crate::FlowExt::batched).
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
    pub struct Batched<S: Stream> {
        // Dropped as soon as it has ended.
        #[pin]
        stream: Option<S>,
        batch: Batch<S::Item>,
    }
}

impl<S: Stream> Batched<S> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize) -> Self {
        Self { stream: Some(stream), batch: Batch::new(size) }
    }
}

impl<S: Stream> Stream for Batched<S> {
    type Item = Vec<S::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<S::Item>>> {
        let mut this = self.project();
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            match ready!(stream.poll_next(cx)) {
                Some(item) => {
                    if let Some(full) = this.batch.add(item) {
                        return Poll::Ready(Some(full));
                    }
                }
                None => this.stream.set(None),
            }
        }
        Poll::Ready(this.batch.take_rest())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.batch.size_hint(self.stream.as_ref().map_or(exactly(0), Stream::size_hint))
    }
}

impl<S: Stream + fmt::Debug> fmt::Debug for Batched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("size", &self.batch.size)
            .field("waiting", &self.batch.started())
            .field("upstream", &self.stream)
            .finish()
    }
}

/// The batch that is being collected.
pub(super) struct Batch<T> {
    pub(super) size: usize,
    items: Vec<T>,
}

impl<T> Batch<T> {
    #[track_caller]
    pub(super) fn new(size: usize) -> Self {
        assert!(size > 0, "the size of a batch must be at least 1");
        Self { size, items: Vec::new() }
    }

    /// Adds an item. Takes the batch if it is full.
    pub(super) fn add(&mut self, item: T) -> Option<Vec<T>> {
        if self.items.is_empty() {
            self.items.reserve_exact(self.size.min(INITIAL_CAPACITY));
        }
        self.items.push(item);
        (self.items.len() == self.size).then(|| mem::take(&mut self.items))
    }

    /// Takes the batch as it is, unless it is empty.
    pub(super) fn take_rest(&mut self) -> Option<Vec<T>> {
        (!self.items.is_empty()).then(|| mem::take(&mut self.items))
    }

    /// How many items it has.
    pub(super) fn started(&self) -> usize {
        self.items.len()
    }

    /// Bounds the number of batches that come of so many more items.
    pub(super) fn size_hint(&self, items: SizeHint) -> SizeHint {
        let (lower, upper) = add_hints(items, exactly(self.started()));
        (lower.div_ceil(self.size), upper.map(|upper| upper.div_ceil(self.size)))
    }
}
