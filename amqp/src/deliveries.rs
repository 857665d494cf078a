use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::future::{self, Boxed as BoxedFuture};
use futures_lite::{FutureExt, Stream, StreamExt, stream};
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;

use crate::broker::Connector;
use crate::link::Link;
use crate::queue::Target;
use crate::source::{Session, Source};
use crate::{Delivery, Error};

/// Stream of the jobs of a queue, made by [`Worker::deliveries`](crate::Worker::deliveries).
///
/// It ends after an error, or when it was told to stop. When the connection is lost it makes another.
///
/// Dropping it gives back the jobs that have come and were not taken, once the deliveries that were
/// are answered or dropped.
#[must_use = "streams do nothing unless polled"]
pub struct Deliveries<T> {
    jobs: stream::Boxed<Result<Delivery<T>, Error>>,
    source: Arc<Source>,
}

impl<T> Deliveries<T> {
    pub(crate) fn new(
        jobs: stream::Boxed<Result<Delivery<T>, Error>>,
        source: Arc<Source>,
    ) -> Self {
        Self { jobs, source }
    }

    /// Closes the connection, and waits until the broker has all answers that were given.
    ///
    /// A program that is about to end does this last. Jobs without an answer go back to the queue.
    pub async fn close(self) {
        drop(self.jobs);
        self.source.close().await;
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

/// What is needed to take jobs from a queue.
pub(crate) struct Intake {
    pub(crate) connector: Connector,
    pub(crate) target: Target,
    pub(crate) dead_letters: Target,
    pub(crate) prefetch: u16,
    pub(crate) source: Arc<Source>,
}

impl Intake {
    /// Takes jobs until `stop` is ready, over as many connections as it takes.
    pub(crate) fn until(
        self,
        stop: impl Future<Output = impl Sized> + Send + 'static,
    ) -> stream::Boxed<Result<Delivery<()>, Error>> {
        let stop = async { drop(stop.await) }.boxed();
        let state = State::Running { intake: Box::new(self), session: None, stop, is_first: true };
        stream::unfold(state, State::next).boxed()
    }

    async fn session(&self, is_first: bool) -> Result<Session, Error> {
        let prepare = async |link: Link| {
            link.declare(&self.dead_letters).await?;
            link.declare(&self.target).await?;
            let channel = &link.channel;
            channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            let queue = &self.target.name;
            let consumer = channel.basic_consume(queue, "", options, FieldTable::default()).await?;
            let link = Arc::new(link);
            let session = Session { link, consumer };
            self.source.set_session(session.clone());
            Ok(session)
        };
        self.connector.link(is_first, prepare).await
    }
}

enum State {
    Running { intake: Box<Intake>, session: Option<Session>, stop: BoxedFuture<()>, is_first: bool },
    Over,
}

impl State {
    async fn next(self) -> Option<(Result<Delivery<()>, Error>, Self)> {
        let Self::Running { intake, mut session, mut stop, mut is_first } = self else {
            return None;
        };
        loop {
            let next = async {
                if session.is_none() {
                    session = Some(intake.session(is_first).await?);
                    is_first = false;
                }
                let Session { link, consumer } = session.as_mut().expect("there is one now");
                // An error, or an end that nobody asked for: the queue was deleted, for one.
                let next = link.answer(async { Ok(consumer.next().await) }).await;
                let Ok(Some(Ok(delivery))) = next else { return Ok(None) };
                Ok(Some(Delivery::new(delivery, link.clone(), intake.source.clone())))
            };
            let stopped = async {
                (&mut stop).await;
                None
            };
            match future::or(stopped, async { Some(next.await) }).await {
                Some(Ok(Some(delivery))) => {
                    let state = Self::Running { intake, session, stop, is_first };
                    return Some((Ok(delivery), state));
                }
                Some(Ok(None)) => {
                    tracing::warn!(queue = %intake.target.name, "the consumer is gone");
                    session = None;
                }
                Some(Err(error)) => return Some((Err(error), Self::Over)),
                None => {
                    intake.source.give_back().await;
                    return None;
                }
            }
        }
    }
}
