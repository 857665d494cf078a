use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use crate::engine::InARow;

pin_project! {
    /// Future returned by [`FlowExt::drain`](crate::FlowExt::drain).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Pipe, prelude::*, stage::Drain};
    /// use futures_lite::stream;
    ///
    /// let drain: Drain<Pipe<stream::Once<u8>>> = pipe(stream::once(0)).drain();
    /// futures_lite::future::block_on(drain);
    /// ```
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Drain<S> {
        // Dropped as soon as it has ended.
        #[pin]
        stream: Option<S>,
        in_a_row: InARow,
    }
}

impl<S: Stream> Drain<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream: Some(stream), in_a_row: InARow::default() }
    }
}

impl<S: Stream> Future for Drain<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            if this.in_a_row.is_over(cx) {
                return Poll::Pending;
            }
            let polled = stream.poll_next(cx);
            this.in_a_row.note(&polled);
            if ready!(polled).is_none() {
                this.stream.set(None);
            }
        }
        Poll::Ready(())
    }
}

pin_project! {
    /// Future returned by [`TryFlowExt::try_drain`](crate::TryFlowExt::try_drain).
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct TryDrain<S, E> {
        // Dropped as soon as it has ended or failed.
        #[pin]
        stream: Option<S>,
        error: Option<E>,
        in_a_row: InARow,
    }
}

impl<S, E> TryDrain<S, E> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream: Some(stream), error: None, in_a_row: InARow::default() }
    }
}

impl<S, T, E> Future for TryDrain<S, E>
where
    S: Stream<Item = Result<T, E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut this = self.project();
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            if this.in_a_row.is_over(cx) {
                return Poll::Pending;
            }
            let polled = stream.poll_next(cx);
            this.in_a_row.note(&polled);
            match ready!(polled) {
                Some(Ok(_)) => {}
                end => {
                    // Stored first, so that it is not lost if dropping the stream panics.
                    *this.error = end.and_then(Result::err);
                    this.stream.set(None);
                }
            }
        }
        Poll::Ready(this.error.take().map_or(Ok(()), Err))
    }
}

impl<S: fmt::Debug> fmt::Debug for Drain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, E> fmt::Debug for TryDrain<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryDrain").field("stream", &self.stream).finish_non_exhaustive()
    }
}
