use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::Stream;
use pin_project_lite::pin_project;

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
        size: usize,
        batch: Vec<S::Item>,
    }
}

impl<S: Stream> Batched<S> {
    #[track_caller]
    pub(crate) fn new(stream: S, size: usize) -> Self {
        assert!(size > 0, "the size of a batch must be at least 1");
        Self { stream: Some(stream), size, batch: Vec::new() }
    }
}

impl<S: Stream> Stream for Batched<S> {
    type Item = Vec<S::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<S::Item>>> {
        let mut this = self.project();
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            match ready!(stream.poll_next(cx)) {
                Some(item) => {
                    if this.batch.is_empty() {
                        this.batch.reserve_exact((*this.size).min(INITIAL_CAPACITY));
                    }
                    this.batch.push(item);
                    if this.batch.len() == *this.size {
                        return Poll::Ready(Some(mem::take(this.batch)));
                    }
                }
                None => this.stream.set(None),
            }
        }
        let rest = mem::take(this.batch);
        Poll::Ready((!rest.is_empty()).then_some(rest))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (lower, upper) = self.stream.as_ref().map_or((0, Some(0)), Stream::size_hint);
        let started = self.batch.len();
        let batches = |items: usize| items.div_ceil(self.size);
        (
            batches(lower.saturating_add(started)),
            upper.and_then(|upper| upper.checked_add(started)).map(batches),
        )
    }
}

impl<S: Stream + fmt::Debug> fmt::Debug for Batched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("size", &self.size)
            .field("waiting", &self.batch.len())
            .field("upstream", &self.stream)
            .finish()
    }
}
