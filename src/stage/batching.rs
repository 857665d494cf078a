//! What all batching stages have in common: how batches, the end and an error are yielded.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use crate::engine::{BUDGET, is_advance};
use crate::size_hint::{SizeHint, add_hints, exactly, until_error};

/// The batch that is being collected.
pub(super) trait Collect {
    type Item;

    /// Whether a poll must end after a number of items, because a batch becomes due through something elsewhere.
    const GIVES_WAY: bool = false;

    /// Adds an item. Returns the batch that it completes: the one it is in, or the one before it.
    fn add(&mut self, item: Self::Item) -> Option<Vec<Self::Item>>;

    /// Takes the batch as it is, unless it is empty.
    fn take_rest(&mut self) -> Option<Vec<Self::Item>>;

    /// Returns whether the batch is complete without another item. It is not empty then.
    fn is_due(&mut self, _cx: &mut Context<'_>) -> bool {
        false
    }

    /// Waits until the batch is complete without another item.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due(cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Facts about a batch, whatever fills it.
pub(super) trait Count {
    /// Returns how many items it has.
    fn started(&self) -> usize;

    /// Bounds the number of batches from that many more items.
    fn size_hint(&self, items: SizeHint) -> SizeHint;

    /// Writes the stage that fills it.
    fn fmt_as(
        &self,
        name: &str,
        upstream: &dyn fmt::Debug,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result;
}

/// Polls upstream for batches.
type PollBatch<S, B, E, U> =
    fn(Pin<&mut Batching<S, B, E, U>>, &mut Context<'_>) -> Poll<Option<U>>;

pin_project! {
    /// Upstream, the batch `B` of its items, and the error `E` that ends it. Yields `U`.
    pub(super) struct Batching<S, B, E, U> {
        // Dropped as soon as it has ended or failed.
        #[pin]
        stream: Option<S>,
        batch: B,
        // Yielded after the batch that it interrupted.
        error: Option<E>,
        // A value, as in a `Stage` of the engine, and for the same reason.
        poll: PollBatch<S, B, E, U>,
    }
}

/// For items that are not errors.
impl<S, B, T> Batching<S, B, Infallible, Vec<T>> {
    pub(super) fn new(stream: S, batch: B) -> Self
    where
        S: Stream<Item = T>,
        B: Collect<Item = T>,
    {
        Self { stream: Some(stream), batch, error: None, poll: Self::poll_items }
    }

    /// Converts the batch.
    #[cfg(feature = "time")]
    pub(super) fn map_batch<C>(self, f: impl FnOnce(B) -> C) -> Batching<S, C, Infallible, Vec<T>>
    where
        S: Stream<Item = T>,
        C: Collect<Item = T>,
    {
        let poll = Batching::<S, C, Infallible, Vec<T>>::poll_items;
        Batching { stream: self.stream, batch: f(self.batch), error: None, poll }
    }

    #[inline]
    fn poll_items(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>>
    where
        S: Stream<Item = T>,
        B: Collect<Item = T>,
    {
        self.poll_batch(cx, Ok).map(|batch| {
            batch.map(|batch| {
                let Ok(batch) = batch;
                batch
            })
        })
    }

    pub(super) fn size_hint(&self) -> SizeHint
    where
        S: Stream,
        B: Count,
    {
        self.batch.size_hint(self.stream.as_ref().map_or(exactly(0), Stream::size_hint))
    }
}

/// For items that may be errors, the first of which ends the stream.
impl<S, B, T, E> Batching<S, B, E, Result<Vec<T>, E>> {
    pub(super) fn of_results(stream: S, batch: B) -> Self
    where
        S: Stream<Item = Result<T, E>>,
        B: Collect<Item = T>,
    {
        Self { stream: Some(stream), batch, error: None, poll: Self::poll_results }
    }

    /// Converts the batch.
    #[cfg(feature = "time")]
    pub(super) fn map_batch<C>(self, f: impl FnOnce(B) -> C) -> Batching<S, C, E, Result<Vec<T>, E>>
    where
        S: Stream<Item = Result<T, E>>,
        C: Collect<Item = T>,
    {
        let poll = Batching::<S, C, E, Result<Vec<T>, E>>::poll_results;
        Batching { stream: self.stream, batch: f(self.batch), error: self.error, poll }
    }

    #[inline]
    fn poll_results(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<T>, E>>>
    where
        S: Stream<Item = Result<T, E>>,
        B: Collect<Item = T>,
    {
        self.poll_batch(cx, |item| item)
    }

    pub(super) fn size_hint(&self) -> SizeHint
    where
        S: Stream,
        B: Count,
    {
        let error = exactly(usize::from(self.error.is_some()));
        let Some(stream) = &self.stream else {
            return add_hints(self.batch.size_hint(exactly(0)), error);
        };
        let (lower, upper) = stream.size_hint();
        let (lower, _) = until_error(self.batch.size_hint((lower, None)));
        // An error takes the place of an item, and has none in a batch.
        let items = upper.map(|upper| upper.saturating_sub(1));
        let (_, batches) = self.batch.size_hint((0, items));
        let error = usize::from(upper != Some(0));
        (lower, batches.and_then(|batches| batches.checked_add(error)))
    }
}

impl<S, B, E, U> Batching<S, B, E, U> {
    /// Collects items until a batch is complete. `split` separates items from errors.
    ///
    /// Upstream is polled in every poll until it has ended, even if there is a batch to yield: it has to answer the
    /// downstream stage. A batch that is due waits here for a pull, as it is no reason for the downstream stage to stop
    /// advancing those upstream.
    #[inline]
    fn poll_batch<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        split: impl Fn(S::Item) -> Result<T, E>,
    ) -> Poll<Option<Result<Vec<T>, E>>>
    where
        S: Stream,
        B: Collect<Item = T>,
    {
        let mut this = self.project();
        let batch = this.batch;
        let mut left = BUDGET;
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            if B::GIVES_WAY {
                if left == 0 {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                left -= 1;
            }
            match stream.poll_next(cx).map(|item| item.map(&split)) {
                Poll::Ready(Some(Ok(item))) => {
                    if let Some(complete) = batch.add(item) {
                        return Poll::Ready(Some(Ok(complete)));
                    }
                    if batch.is_due(cx) && !is_advance(cx.waker()) {
                        break;
                    }
                }
                Poll::Ready(end) => {
                    // Stored first, so that it is not lost if dropping upstream panics.
                    *this.error = end.and_then(Result::err);
                    this.stream.set(None);
                }
                Poll::Pending => {
                    if batch.poll_due(cx).is_ready() && !is_advance(cx.waker()) {
                        break;
                    }
                    return Poll::Pending;
                }
            }
        }
        let rest = batch.take_rest().map(Ok);
        Poll::Ready(rest.or_else(|| this.error.take().map(Err)))
    }
    #[inline]
    pub(super) fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        (self.poll)(self, cx)
    }

    /// Returns whether all batches were yielded, and the error if there is one.
    pub(super) fn is_over(&self) -> bool
    where
        B: Count,
    {
        self.stream.is_none() && self.error.is_none() && self.batch.started() == 0
    }

    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        S: fmt::Debug,
        B: Count,
    {
        self.batch.fmt_as(name, &self.stream, f)
    }
}
