//! One job, from its delivery to its answer.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_io::Timer;
use flowlet::Flow;
use flowlet::prelude::*;
use futures_lite::{FutureExt, future, stream};

use super::summary::Counts;
use crate::catch::catch;
use crate::exit::Exit;
use crate::message::Message;
use crate::output::{Route, message};
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
    pub(super) retry_after: Duration,
    pub(super) counts: Counts,
}

/// Why a job was not done.
enum Failure {
    /// It may go better the next time.
    Once(String),
    /// It will not.
    Always(String),
    /// The broker gives it to someone again.
    Lost,
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
        let delivery = Arc::new(delivery);
        let outcome = self.tries(&delivery).await;
        // Whoever else had it is gone with the last try.
        let delivery = Arc::into_inner(delivery).expect("the tries are over");
        let (answer, count) = match outcome {
            Ok(()) => (delivery.ack().await, &self.counts.done),
            Err(Failure::Once(reason) | Failure::Always(reason)) => {
                // Rare, and large.
                (Box::pin(delivery.reject(reason)).await, &self.counts.rejected)
            }
            Err(Failure::Lost) => (Err(Error::Lost), &self.counts.lost),
            Err(Failure::Fatal(error)) => return Err(error),
        };
        match answer {
            Ok(()) => count,
            Err(Error::Lost) => &self.counts.lost,
            Err(error) => return Err(error),
        }
        .fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn tries(self: &Arc<Self>, delivery: &Arc<Delivery<()>>) -> Result<(), Failure> {
        let mut wait = self.retry_after;
        for left in (0..self.tries).rev() {
            if delivery.is_lost() {
                return Err(Failure::Lost);
            }
            let tried = self.tries - left - 1;
            let jobs = self.clone();
            let delivery = delivery.clone();
            let done = catch(async move { jobs.run(delivery, tried).await }.boxed()).await;
            let reason = match done {
                Ok(Err(Failure::Once(reason))) => reason,
                Ok(other) => return other,
                Err(panic) => format!("panicked: {panic}"),
            };
            if left == 0 {
                return Err(Failure::Always(reason));
            }
            tracing::debug!(%reason, left, "a job failed, trying again");
            Timer::after(wait).await;
            wait *= 2;
        }
        unreachable!("there is a last try")
    }

    /// Runs the flow on the job once, and publishes all that comes of it.
    async fn run(self: Arc<Self>, delivery: Arc<Delivery<()>>, tries: u32) -> Result<(), Failure> {
        let job = T::decode(&self.codec, &delivery, tries).map_err(Failure::Always)?;
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
        let publish =
            async |message: Message| match self.exit.publish(&message, Some(delivery.link())).await
            {
                Ok(true) => Ok(()),
                Ok(false) => Err(Failure::Lost),
                Err(error @ (Error::TooLarge(_) | Error::Unroutable)) => {
                    Err(Failure::Always(error.to_string()))
                }
                Err(error) => Err(Failure::Fatal(error)),
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
