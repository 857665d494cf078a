use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, pin::pin};

use futures_lite::future;
use lapin::BasicProperties;
use lapin::acker::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};

use crate::link::Link;
use crate::message::Message;
use crate::outlet::Outlet;
use crate::source::Source;
use crate::{Error, Headers};

/// The header of a dead letter that says why the job was rejected.
pub(crate) const REASON: &str = "x-flowlet-reason";

/// The header of a dead letter that says which queue it came from.
pub(crate) const QUEUE: &str = "x-flowlet-queue";

/// The header of a job that waits to be tried again: how often it was tried.
const TRIES: &str = "x-flowlet-tries";

/// The header of a job that was given back as a copy, which the broker counts anew: how often it had come
/// back before.
const RETURNS: &str = "x-flowlet-returns";

/// The longest reason, in bytes, and shorter ones for messages whose headers leave no room for it: they
/// must fit in one frame of the protocol.
const REASON_LENGTHS: [usize; 4] = [4096, 1024, 128, 0];

/// A job that was taken from a queue, and has to be answered.
///
/// The broker keeps the job until it is answered, and delivers no more jobs than the prefetch allows until
/// then. Answers may come in any order. A delivery that is dropped without one is requeued at
/// once, as if by [`requeue`](Self::requeue).
///
/// If the connection that it came on is lost, the broker delivers the job again, here or elsewhere, and
/// answers to this delivery fail with [`Error::Lost`].
///
/// See [`Worker::deliveries`](crate::Worker::deliveries) for an example.
#[must_use = "a delivery that is dropped is requeued"]
pub struct Delivery<T> {
    job: T,
    ticket: Ticket,
}

/// All of a delivery but its job.
pub(crate) struct Ticket {
    /// `None` once it is answered.
    acker: Option<Acker>,
    link: Arc<Link>,
    source: Arc<Source>,
    payload: Vec<u8>,
    /// What tells the job from others, once the payload has gone into a copy.
    key: Option<u64>,
    properties: BasicProperties,
    headers: Headers,
    since: Instant,
    redeliveries: u64,
    /// How often it came back for reasons that may be its own.
    times: u64,
}

impl Delivery<()> {
    pub(crate) fn new(
        delivery: lapin::message::Delivery,
        link: Arc<Link>,
        source: Arc<Source>,
    ) -> Self {
        let headers = delivery.properties.headers().clone().unwrap_or_default();
        let mut ticket = Ticket {
            acker: Some(delivery.acker),
            link,
            source,
            payload: delivery.data,
            key: None,
            properties: delivery.properties,
            headers: Headers::new(headers),
            since: Instant::now(),
            redeliveries: 0,
            times: 0,
        };
        ticket.times = ticket.number(RETURNS);
        // The broker counts only what comes again. On what comes first the header is someone else's.
        if delivery.redelivered {
            ticket.redeliveries = ticket.number("x-delivery-count");
            let survived = ticket.source.survived(ticket.key());
            ticket.times += ticket.redeliveries.saturating_sub(survived);
        }
        Self { job: (), ticket }
    }

    /// How often it came back for reasons that may be its own: not, as far as that is known, because of
    /// a connection that was lost or a worker that stopped.
    pub(crate) fn times(&self) -> u64 {
        self.ticket.times
    }

    /// How often it was tried before, and is tried again because it failed.
    pub(crate) fn tries(&self) -> u32 {
        self.ticket.number(TRIES).try_into().unwrap_or(u32::MAX)
    }

    /// How long it has been here.
    pub(crate) fn age(&self) -> Duration {
        self.ticket.since.elapsed()
    }

    /// Moves the job to a queue where it waits, and then comes again as one that was tried so often.
    /// It is published there first, and acked when the broker has confirmed that.
    pub(crate) async fn retry(mut self, wait: &Outlet, tries: u32) -> Result<(), Error> {
        let mut headers = self.ticket.headers.without(is_of_a_waiting_queue);
        headers.set_number(TRIES, tries.into());
        let message = self.ticket.copy(headers);
        match wait.publish(&message, Some(&self.ticket.link)).await? {
            true => self.ticket.ack().await,
            false => Err(Error::Lost),
        }
    }

    /// Gives back a job that has not begun, so that this does not make it a suspect.
    pub(crate) async fn give_back(mut self) {
        let Ticket { source, times, .. } = &self.ticket;
        if !source.is_suspect(times.saturating_add(1)) {
            // Dropped, it keeps its place in the queue.
            return;
        }
        let mut headers = self.ticket.headers.without(is_of_a_waiting_queue);
        headers.set_number(RETURNS, (*times).try_into().unwrap_or(i64::MAX));
        headers.set_number(TRIES, self.tries().into());
        let message = self.ticket.copy(headers);
        let source = self.ticket.source.clone();
        if let Ok(true) = source.own().publish(&message, Some(&self.ticket.link)).await {
            drop(self.ticket.ack().await);
        }
    }
}

impl<T> Delivery<T> {
    /// Returns the job.
    pub fn job(&self) -> &T {
        &self.job
    }

    /// Returns the bytes that the job was decoded from.
    pub fn payload(&self) -> &[u8] {
        &self.ticket.payload
    }

    /// Returns the headers of the message.
    pub fn headers(&self) -> &Headers {
        &self.ticket.headers
    }

    /// Returns the id that the publisher gave the message. It is the same each time the job is
    /// delivered, so it tells whether a job was done before.
    pub fn message_id(&self) -> Option<&str> {
        self.ticket.properties.message_id().as_ref().map(|id| id.as_str())
    }

    /// Returns the correlation id.
    pub fn correlation_id(&self) -> Option<&str> {
        self.ticket.properties.correlation_id().as_ref().map(|id| id.as_str())
    }

    /// Returns the queue that the publisher wants an answer in.
    pub fn reply_to(&self) -> Option<&str> {
        self.ticket.properties.reply_to().as_ref().map(|queue| queue.as_str())
    }

    /// Returns how often the job was delivered before and came back without an answer, because of a
    /// worker that died, a connection that was lost, or a requeue. Only quorum queues count; of
    /// others it is 0.
    pub fn redeliveries(&self) -> u64 {
        self.ticket.redeliveries
    }

    /// Returns whether the connection that it came on is gone, and so whether the job will be
    /// delivered again whatever is answered.
    pub fn is_lost(&self) -> bool {
        !self.ticket.link.is_alive()
    }

    pub(crate) fn properties(&self) -> &BasicProperties {
        &self.ticket.properties
    }

    /// The connection that it came on.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.ticket.link
    }

    /// Splits off the job. What is left has to be answered as before.
    pub fn split(self) -> (T, Delivery<()>) {
        (self.job, Delivery { job: (), ticket: self.ticket })
    }

    /// Changes the job.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Delivery<U> {
        Delivery { job: f(self.job), ticket: self.ticket }
    }

    /// Acks the job: it is done, and the broker forgets it.
    ///
    /// Resolves when the answer is on its way. If the connection is lost just then, the job is delivered
    /// once more.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the connection was lost before: the job will be delivered once more.
    ///
    /// # Cancel safety
    ///
    /// Once the future has been polled, the answer is sent, and dropping the future takes nothing back.
    pub async fn ack(mut self) -> Result<(), Error> {
        self.ticket.ack().await
    }

    /// Moves the job to the queue of dead letters, with the reason in the header
    /// `x-flowlet-reason`, and the queue it was in in `x-flowlet-queue`.
    ///
    /// It is published there first, and acked when the broker has confirmed that. Of a reason longer
    /// than 4,096 bytes the rest is left out, and `…` says so. It is shorter, or left out, where the
    /// headers that the job came with leave no room in a frame. The headers `CC`, `BCC` and
    /// `x-delivery-count` are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the connection was lost: the job will be delivered once more, and may be in
    /// the queue of dead letters as well. Others if the broker cannot be reached, or refuses.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the job is requeued, and may be in the queue of dead letters as well.
    pub async fn reject(mut self, reason: impl fmt::Display) -> Result<(), Error> {
        self.ticket.reject(&reason.to_string()).await
    }

    /// Returns the job to the queue, for whoever takes it next.
    ///
    /// Each time counts against the delivery limit of the queue.
    pub fn requeue(self) {
        // As dropping it does.
    }
}

impl Ticket {
    async fn ack(&mut self) -> Result<(), Error> {
        if !self.link.is_alive() {
            return Err(Error::Lost);
        }
        let acker = self.acker.take().expect("it is answered once");
        let ack = pin!(acker.ack(BasicAckOptions::default()));
        match self.link.answer(ack).await {
            Ok(true) => {
                self.source.count_answer();
                Ok(())
            }
            Ok(false) | Err(_) => Err(Error::Lost),
        }
    }

    async fn reject(&mut self, reason: &str) -> Result<(), Error> {
        let came = self.headers.without(|name| {
            matches!(name, "CC" | "BCC" | "x-delivery-count" | "x-acquired-count")
                || [TRIES, RETURNS].contains(&name)
        });
        let mut message = self.copy(came.clone());
        let mut lengths = REASON_LENGTHS.into_iter();
        loop {
            let mut headers = came.clone();
            let length = lengths.next();
            if let Some(length) = length {
                headers.set_text(REASON, &shortened(reason, length));
                headers.set_text(QUEUE, self.source.queue());
            }
            message.properties = message.properties.with_headers(headers.into_table());
            match self.source.dead_letters().publish(&message, Some(&self.link)).await {
                Ok(true) => return self.ack().await,
                Ok(false) => return Err(Error::Lost),
                Err(Error::HeadersTooLarge(_)) if length.is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A copy with other headers, which takes the payload.
    fn copy(&mut self, headers: Headers) -> Message {
        self.key = Some(self.key());
        let payload = std::mem::take(&mut self.payload);
        Message::copy(payload, &self.properties, headers.into_table())
    }

    /// A header that counts something.
    fn number(&self, name: &str) -> u64 {
        self.headers.number(name).unwrap_or(0).try_into().unwrap_or(0)
    }

    fn key(&self) -> u64 {
        self.key.unwrap_or_else(|| {
            let id = self.properties.message_id().as_ref();
            self.source.key(id.map(|id| id.as_str()), &self.payload)
        })
    }
}

/// Headers that a copy must not have which comes to its queue by another: the broker would pass it on to
/// other queues as well, or take it for one that goes in circles, and drop it.
fn is_of_a_waiting_queue(name: &str) -> bool {
    matches!(name, "CC" | "BCC" | "x-delivery-count" | "x-acquired-count" | "x-death")
        || name.starts_with("x-first-death-")
        || name.starts_with("x-last-death-")
        || name == RETURNS
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(acker) = self.acker.take() else { return };
        self.source.count_survived(self.key());
        if !self.link.is_alive() {
            return;
        }
        // The first poll says it to the client library, which sends it; there is no reply.
        let nack = pin!(acker.nack(BasicNackOptions { requeue: true, ..Default::default() }));
        drop(future::block_on(future::poll_once(nack)));
    }
}

impl<T: fmt::Debug> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("job", &self.job)
            .field("message_id", &self.message_id())
            .field("redeliveries", &self.redeliveries())
            .field("headers", self.headers())
            .finish_non_exhaustive()
    }
}

fn shortened(reason: &str, length: usize) -> String {
    if reason.len() <= length {
        return reason.to_owned();
    }
    let end = (0..=length).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &reason[..end])
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_long_reason_says_that_it_was_longer() {
        assert_eq!(shortened("short", 4096), "short");
        assert_eq!(shortened(&"x".repeat(4096), 4096), "x".repeat(4096));
        assert_eq!(shortened(&"x".repeat(4097), 4096), "x".repeat(4096) + "…");
        assert_eq!(shortened(&"ü€".repeat(2000), 4096), "ü€".repeat(819) + "…");
        assert_eq!(shortened("short", 0), "…");
    }
}
