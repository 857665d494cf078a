//! One job, from its delivery to its answer.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_io::Timer;
use flowlet::Flow;
use flowlet::prelude::*;
use futures_lite::{FutureExt, future, stream};

use super::stop::Stopping;
use super::summary::Counts;
use crate::catch::catch;
use crate::exit::Exit;
use crate::link::is_forbidden;
use crate::message::Message;
use crate::outlet::Outlet;
use crate::output::{Route, message};
use crate::source::Source;
use crate::{Codec, Delivery, Error, Input, Output};

/// How many outputs of one job wait for their confirms at once.
const OUTPUTS_AT_ONCE: usize = 16;

/// All that is needed to do jobs.
pub(super) struct Jobs<T, U, O, C> {
    pub(super) flow: Flow<T, U>,
    pub(super) check: fn(U) -> Result<O, String>,
    pub(super) codec: C,
    pub(super) exit: Exit,
    /// Whether outputs go to where the job wants an answer.
    pub(super) replies: bool,
    pub(super) tries: u32,
    pub(super) source: Arc<Source>,
    pub(super) stopping: Stopping,
    pub(super) counts: Arc<Counts>,
}

/// Why a job was not done.
enum Failure {
    /// It may go better the next time.
    Once(String),
    /// It will not.
    Always(String),
    /// The broker delivers it again.
    Lost,
    /// The worker stops, and the broker has not taken an output in time.
    Dropped,
    /// The worker cannot go on.
    Fatal(Error),
}

impl<T, U, O, C> Jobs<T, U, O, C>
where
    T: Input,
    U: Send + 'static,
    O: Output + Send + 'static,
    C: Codec,
{
    /// Does a job and answers. An error is one of the worker, not of the job.
    pub(super) async fn answer(self: Arc<Self>, delivery: Delivery<()>) -> Result<(), Error> {
        let _running = self.counts.start();
        let delivery = Arc::new(delivery);
        let outcome = self.outcome(&delivery).await;
        // Whoever else had it is gone.
        let delivery = Arc::into_inner(delivery).expect("the flow is dropped");
        let counts = &self.counts;
        // All but the first are rare, and large.
        let (answer, count) = match outcome {
            Ok(()) => (Some(delivery.ack().await), &counts.done),
            Err(Failure::Once(reason)) => match self.wait(&delivery) {
                Some((outlet, tries)) => {
                    tracing::debug!(%reason, tries, "a job failed, trying again later");
                    let retry = Box::pin(delivery.retry(outlet, tries));
                    (self.stopping.unless_late(retry).await, &counts.retried)
                }
                None => (self.reject(delivery, reason).await, &counts.rejected),
            },
            Err(Failure::Always(reason)) => (self.reject(delivery, reason).await, &counts.rejected),
            Err(Failure::Lost) => (Some(Err(Error::Lost)), &counts.lost),
            Err(Failure::Dropped) => (None, &counts.dropped),
            Err(Failure::Fatal(error)) => return Err(error),
        };
        match answer {
            Some(Ok(())) => count,
            Some(Err(Error::Lost)) => &counts.lost,
            Some(Err(error)) => return Err(error),
            None => &counts.dropped,
        }
        .fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn reject(&self, delivery: Delivery<()>, reason: String) -> Option<Result<(), Error>> {
        self.stopping.unless_late(Box::pin(delivery.reject(reason))).await
    }

    /// Where a job waits that has failed, and how often it was tried then, if it is tried again.
    fn wait(&self, delivery: &Delivery<()>) -> Option<(&Outlet, u32)> {
        let tries = delivery.tries().saturating_add(1);
        let outlet = self.source.retry(tries)?;
        (tries < self.tries).then_some((outlet, tries))
    }

    /// Runs the job until it is done, or until it makes no sense any more.
    async fn outcome(self: &Arc<Self>, delivery: &Arc<Delivery<()>>) -> Result<(), Failure> {
        let (jobs, held) = (self.clone(), delivery.clone());
        let run = async move { jobs.run(held).await }.boxed();
        let lost = async {
            // Nothing it yields is published, as it comes again.
            delivery.link().outcome(future::pending::<()>()).await;
            Failure::Lost
        };
        let late = async {
            let Some(patience) = self.source.patience() else { return future::pending().await };
            // Before the broker takes back all jobs because of this one.
            let time = patience * 9 / 10;
            Timer::after(time.saturating_sub(delivery.age())).await;
            Failure::Always(format!(
                "it took longer than {time:?}, and the broker lets no job be held for {patience:?}: its \
                 consumer timeout"
            ))
        };
        match catch(run, future::or(lost, late)).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => Err(Failure::Once(format!("panicked: {panic}"))),
            Err(failure) => Err(failure),
        }
    }

    /// Runs the flow on the job, and publishes all that comes of it.
    async fn run(self: Arc<Self>, delivery: Arc<Delivery<()>>) -> Result<(), Failure> {
        let job = T::decode(&self.codec, &delivery, delivery.tries()).map_err(Failure::Always)?;
        let number = AtomicU64::new(0);
        let outputs = self.flow.apply(stream::once(job)).map(|output| {
            let output = (self.check)(output).map_err(Failure::Once)?;
            let number = number.fetch_add(1, Ordering::Relaxed);
            let id = || delivery.message_id().map(|id| format!("{id}:{number}"));
            let job = Some((delivery.properties(), delivery.headers()));
            let mut message = message(output, &self.codec, job, id).map_err(not_encoded)?;
            if let Some(queue) = delivery.reply_to().filter(|_| self.replies) {
                // Whoever has asked may have gone, and nobody else waits for the answer.
                message.route.get_or_insert_with(|| Route::new("", queue, false));
            }
            Ok(message)
        });
        let publish = async |message: Message| {
            let published = self.exit.publish(&message, Some(delivery.link()));
            match self.stopping.unless_late(published).await {
                Some(Ok(true)) => Ok(()),
                Some(Ok(false)) => Err(Failure::Lost),
                Some(Err(error)) if is_of_the_message(&error) => {
                    Err(Failure::Always(error.to_string()))
                }
                Some(Err(error)) => Err(Failure::Fatal(error)),
                None => Err(Failure::Dropped),
            }
        };
        let mut outputs = pin!(outputs);
        let Some(first) = outputs.next().await else { return Ok(()) };
        // Most jobs have one output, which needs no stage.
        let second = match future::poll_once(outputs.next()).await {
            Some(None) => return publish(first?).await,
            Some(second) => second,
            None => None,
        };
        let begun = stream::iter([first]).chain(stream::iter(second));
        begun.chain(outputs).try_map_concurrent(OUTPUTS_AT_ONCE, publish).try_drain().await
    }
}

fn not_encoded(error: impl Display) -> Failure {
    Failure::Always(format!("an output could not be encoded: {error}"))
}

/// Whether the broker takes others, but not this one.
fn is_of_the_message(error: &Error) -> bool {
    match error {
        Error::TooLarge(_) | Error::HeadersTooLarge(_) | Error::Unroutable => true,
        Error::Refused(error) => !is_forbidden(error),
        _ => false,
    }
}
