use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::Stream;
use pin_project_lite::pin_project;

pin_project! {
    /// Future returned by [`FlowExt::drain`](crate::FlowExt::drain).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Drain, Pipe, prelude::*};
    /// use futures_lite::stream;
    ///
    /// let drain: Drain<Pipe<stream::Once<u8>>> = pipe(stream::once(0)).drain();
    /// futures_lite::future::block_on(drain);
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Drain<S> {
        // Dropped as soon as it has ended.
        #[pin]
        stream: Option<S>,
    }
}

impl<S: Stream> Drain<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream: Some(stream) }
    }
}

impl<S: Stream> Future for Drain<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while let Some(stream) = this.stream.as_mut().as_pin_mut() {
            if ready!(stream.poll_next(cx)).is_none() {
                this.stream.set(None);
            }
        }
        Poll::Ready(())
    }
}
