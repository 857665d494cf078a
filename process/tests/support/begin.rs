//! Futures that are polled by hand.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Begins what goes on by itself.
pub(crate) fn begin<F: Future + Unpin>(mut future: F) -> Begun<F> {
    match poll(&mut future) {
        Poll::Ready(output) => Begun { future, output: Some(output) },
        Poll::Pending => Begun { future, output: None },
    }
}

/// A future that was polled.
pub(crate) struct Begun<F: Future> {
    future: F,
    /// What it gave if it was ready at once.
    output: Option<F::Output>,
}

impl<F: Future> Unpin for Begun<F> {}

impl<F: Future + Unpin> Future for Begun<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.output.take() {
            Some(output) => Poll::Ready(output),
            None => Pin::new(&mut self.future).poll(cx),
        }
    }
}
