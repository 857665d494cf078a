//! Taking jobs from a queue, over as many connections as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::future::{self, Boxed as BoxedFuture};
use futures_lite::{FutureExt, StreamExt, stream};
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Consumer, ErrorKind};

use crate::connector::Connector;
use crate::link::Link;
use crate::queue::Target;
use crate::setbacks::Setbacks;
use crate::source::{Session, Source};
use crate::{Delivery, Error};

/// How long a job that was taken alone may be held before others are taken beside it.
const ALONE: Duration = Duration::from_secs(5);

/// How often to look whether it was answered.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is needed to take jobs from a queue.
pub(crate) struct Intake {
    pub(crate) connector: Connector,
    pub(crate) queue: String,
    /// What is declared first.
    pub(crate) targets: Vec<Target>,
    pub(crate) prefetch: u16,
    pub(crate) source: Arc<Source>,
}

impl Intake {
    /// Takes jobs until `stop` is ready.
    pub(crate) fn until(
        self,
        stop: impl Future<Output = impl Sized> + Send + 'static,
    ) -> stream::Boxed<Result<Delivery<()>, Error>> {
        let stop = async { drop(stop.await) }.boxed();
        let running = Running {
            intake: self,
            taking: None,
            stop,
            is_first: true,
            setbacks: Setbacks::default(),
        };
        stream::unfold(Some(Box::new(running)), async |running| running?.next().await).boxed()
    }

    /// Connects, and takes jobs: so many of them alone, before others are taken beside.
    async fn take(&self, is_first: bool, alone: u16) -> Result<Taking, Error> {
        let prefetch = if alone > 0 { 1 } else { self.prefetch };
        let prepare = async |link: Link| {
            for target in &self.targets {
                link.declare(target).await?;
            }
            let consumer = self.consume(&link, prefetch).await?;
            Ok(Session { link: Arc::new(link), consumer })
        };
        let session = self.connector.link(is_first, prepare).await?;
        self.source.set_session(session.clone());
        let answers = self.source.answers();
        Ok(Taking { session, alone, held: None, since: Instant::now(), answers })
    }

    async fn consume(&self, link: &Link, prefetch: u16) -> lapin::Result<Consumer> {
        link.channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        link.channel.basic_consume(&self.queue, "", options, none).await
    }
}

/// A consumer, and what has become of what it took.
struct Taking {
    session: Session,
    /// How many jobs are still to be taken alone.
    alone: u16,
    /// The one that was taken alone: since when, and how many answers there were before.
    held: Option<(Instant, u64)>,
    since: Instant,
    answers: u64,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// What came on it could not be read.
    Unreadable,
    /// Anything else.
    Lost,
}

impl Taking {
    async fn next(&mut self, intake: &Intake) -> Result<Delivery<()>, End> {
        let queue = &intake.queue;
        loop {
            let Session { link, consumer } = &mut self.session;
            let came = link.answer(async { Ok(Some(consumer.next().await)) });
            let came = match self.held {
                Some((since, answers)) => {
                    // It did no harm when it came; so when it is answered, the next can come.
                    let harmless = async {
                        while intake.source.answers() == answers && since.elapsed() < ALONE {
                            Timer::after(LOOK_EVERY).await;
                        }
                        Ok(None)
                    };
                    future::or(came, harmless).await
                }
                None => came.await,
            };
            match came {
                // What has come of a connection that is gone comes again.
                Ok(Some(Some(Ok(_)))) if !self.session.link.is_alive() => {}
                Ok(Some(Some(Ok(delivery)))) => {
                    if self.alone > 0 {
                        self.held = Some((Instant::now(), intake.source.answers()));
                    }
                    let link = self.session.link.clone();
                    return Ok(Delivery::new(delivery, link, intake.source.clone()));
                }
                Ok(None) => {
                    let is_answered = self.held.is_some_and(|(since, _)| since.elapsed() < ALONE);
                    self.held = None;
                    self.alone = if is_answered { self.alone - 1 } else { 0 };
                    if self.alone == 0 {
                        self.widen(intake).await.ok_or(End::Lost)?;
                    }
                }
                Ok(Some(Some(Err(error)))) => {
                    intake.connector.losses.add(&error);
                    match patience(&error) {
                        Some(milliseconds) => {
                            intake.source.set_patience(milliseconds);
                            tracing::warn!(
                                %queue, %error,
                                "a job was held for longer than the broker's consumer timeout, and all \
                                 come again: jobs that take nearly as long are rejected from now on"
                            );
                        }
                        None => tracing::warn!(%queue, %error, "the consumer is gone"),
                    }
                    return Err(end(&error));
                }
                // An end that nobody asked for: the queue was deleted, for one.
                Ok(Some(None)) | Err(_) => {
                    intake.connector.losses.add("the consumer is gone");
                    tracing::warn!(%queue, "the consumer is gone");
                    return Err(End::Lost);
                }
            }
        }
    }

    /// Takes as many jobs as usual from now on.
    async fn widen(&mut self, intake: &Intake) -> Option<()> {
        // What the old one holds goes back.
        intake.source.cancel().await;
        let consumer = intake.consume(&self.session.link, intake.prefetch);
        self.session.consumer = self.session.link.answer(consumer).await.ok()?;
        intake.source.set_session(self.session.clone());
        Some(())
    }
}

struct Running {
    intake: Intake,
    taking: Option<Taking>,
    stop: BoxedFuture<()>,
    is_first: bool,
    setbacks: Setbacks,
}

type Next = Option<(Result<Delivery<()>, Error>, Option<Box<Running>>)>;

impl Running {
    async fn next(mut self: Box<Self>) -> Next {
        let Self { intake, taking, stop, is_first, setbacks } = &mut *self;
        let next = async {
            loop {
                if taking.is_none() {
                    Timer::after(setbacks.wait()).await;
                    let alone = setbacks.alone(intake.prefetch);
                    *taking = Some(intake.take(*is_first, alone).await?);
                    *is_first = false;
                }
                let current = taking.as_mut().expect("there is one now");
                let end = match current.next(intake).await {
                    Ok(delivery) => return Ok(delivery),
                    Err(end) => end,
                };
                let was_of_use = intake.source.answers() > current.answers;
                setbacks.ended(end, was_of_use, current.since.elapsed());
                *taking = None;
            }
        };
        let stopped = async {
            stop.await;
            None
        };
        match future::or(stopped, async { Some(next.await) }).await {
            Some(Ok(delivery)) => Some((Ok(delivery), Some(self))),
            Some(Err(error)) => Some((Err(error), None)),
            None => {
                self.intake.source.give_back().await;
                None
            }
        }
    }
}

fn end(error: &lapin::Error) -> End {
    use lapin::protocol::{AMQPErrorKind, AMQPHardError};
    match error.kind() {
        ErrorKind::ParsingError(_) => End::Unreadable,
        ErrorKind::ProtocolError(error)
            if *error.kind() == AMQPErrorKind::Hard(AMQPHardError::FRAMEERROR) =>
        {
            End::Unreadable
        }
        _ => End::Lost,
    }
}

/// How many milliseconds the broker lets a job be held, if that is why it closed the channel. It says so
/// in words only.
fn patience(error: &lapin::Error) -> Option<u64> {
    let ErrorKind::ProtocolError(error) = error.kind() else { return None };
    let text = error.get_message().as_str();
    let (_, after) = text.split_once("delivery acknowledgement on channel")?;
    let (_, time) = after.split_once("Timeout value used: ")?;
    let digits = time.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|time| *time > 0)
}
