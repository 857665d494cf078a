use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::{Stream, StreamExt, stream};

use crate::connector::Connector;
use crate::source::Source;
use crate::{Delivery, Error};

/// Stream of the jobs of a queue, made by [`Worker::deliveries`](crate::Worker::deliveries).
///
/// It ends after an error, or when it is told to stop. When its connection is lost, it makes another.
///
/// Dropping it gives back the jobs that have come and were not taken, and no more come. Deliveries that
/// were taken can still be answered.
#[must_use = "streams do nothing unless polled"]
pub struct Deliveries<T> {
    jobs: stream::Boxed<Result<Delivery<T>, Error>>,
    source: Arc<Source>,
    connector: Connector,
}

impl<T> Deliveries<T> {
    pub(crate) fn new(
        jobs: stream::Boxed<Result<Delivery<T>, Error>>,
        source: Arc<Source>,
        connector: Connector,
    ) -> Self {
        Self { jobs, source, connector }
    }

    /// Closes the connection, and waits until the broker has all answers that were given.
    ///
    /// A program that is about to end does this last. Jobs without an answer go back to the queue.
    pub async fn close(self) {
        let source = self.source.clone();
        // Nothing is taken any more.
        source.cancel().await;
        drop(self);
        source.close().await;
    }
}

impl<T> Drop for Deliveries<T> {
    fn drop(&mut self) {
        if self.source.is_taking() {
            let source = self.source.clone();
            self.connector.spawn(async move { source.cancel().await });
        }
    }
}

impl<T> Stream for Deliveries<T> {
    type Item = Result<Delivery<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.jobs.poll_next(cx)
    }
}

impl<T> fmt::Debug for Deliveries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}
