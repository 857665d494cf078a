use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_io::Timer;
use futures_lite::future;
use lapin::BasicProperties;
use lapin::acker::Acker;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::connector::Connector;
use crate::delivery::{QUEUE, REASON};
use crate::link::Link;
use crate::message::Message;
use crate::outlet::Outlet;
use crate::queue::Target;
use crate::{Broker, Error, Headers};

/// How long the broker may take to confirm a message at least.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

/// The messages of a queue of dead letters, or of any other: to look at, to replay, to drop.
///
/// # Examples
///
/// ```no_run
/// use flowlet_amqp::{Letters, Verdict};
///
/// # async fn run() -> Result<(), flowlet_amqp::Error> {
/// let letters = Letters::new("amqp://localhost", "jobs.dead")?;
/// let tally = letters
///     .visit(1000, |letter| match letter.reason() {
///         Some(reason) if reason.contains("timed out") => Verdict::Replay,
///         _ => Verdict::Keep,
///     })
///     .await?;
/// println!("{tally}");
/// # Ok(())
/// # }
/// ```
pub struct Letters {
    connector: Connector,
    queue: String,
}

/// What becomes of a message.
///
/// # Examples
///
/// ```
/// use flowlet_amqp::Verdict;
///
/// assert_ne!(Verdict::Keep, Verdict::ReplayTo("jobs".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays in the queue. A quorum queue counts this as a redelivery: see [`Letters::visit`].
    Keep,
    /// It goes back to the queue that it came from, as a new job: without the headers that say why it
    /// was rejected, and without `CC`, `BCC` and the broker's counts.
    Replay,
    /// It goes to the queue of this name, in the same way.
    ReplayTo(String),
    /// It is removed for good.
    Drop,
}

/// How many messages [`Letters::visit`] kept, replayed and dropped.
///
/// # Examples
///
/// ```
/// assert_eq!(flowlet_amqp::Tally::default().to_string(), "0 kept, 0 replayed, 0 dropped");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Those that stay in the queue.
    pub kept: u64,
    /// Those that are in the queue which they came from.
    pub replayed: u64,
    /// Those that are gone.
    pub dropped: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, replayed, dropped } = self;
        write!(f, "{kept} kept, {replayed} replayed, {dropped} dropped")
    }
}

/// A message, as [`Letters::visit`] shows it.
pub struct Letter {
    payload: Vec<u8>,
    properties: BasicProperties,
    headers: Headers,
}

impl Letter {
    /// Returns the payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Returns the headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns the message id.
    pub fn id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(|id| id.as_str())
    }

    /// Returns why a worker rejected the job, or the word that the broker has for why it moved it, such as
    /// `delivery_limit` or `expired`.
    pub fn reason(&self) -> Option<&str> {
        self.headers.text(REASON).or_else(|| self.death("reason"))
    }

    /// Returns the queue that it was in before.
    pub fn origin(&self) -> Option<&str> {
        self.headers.text(QUEUE).or_else(|| self.death("queue"))
    }

    /// What the broker says of the last time that it moved the message.
    fn death(&self, name: &str) -> Option<&str> {
        let AMQPValue::FieldArray(deaths) = self.headers.value("x-death")? else { return None };
        let AMQPValue::FieldTable(last) = deaths.as_slice().first()? else { return None };
        match last.inner().get(name)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            _ => None,
        }
    }

    /// The message without what the broker and this crate have added.
    fn renewed(self) -> Message {
        Message::copy(self.payload, &self.properties, self.headers.without(is_added).into_table())
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("id", &self.id())
            .field("headers", self.headers())
            .finish_non_exhaustive()
    }
}

/// Whether a header says what became of an earlier delivery, or would send a copy elsewhere as well.
fn is_added(name: &str) -> bool {
    matches!(name, "CC" | "BCC" | "x-delivery-count" | "x-death" | "x-acquired-count")
        || ["x-flowlet-", "x-first-death-", "x-last-death-"].iter().any(|own| name.starts_with(own))
}

impl Letters {
    /// Names the queue. It does not connect before a visit.
    ///
    /// # Errors
    ///
    /// Fails if the address of the broker cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Letters;
    ///
    /// assert!(Letters::new("amqp://localhost", "jobs.dead").is_ok());
    /// ```
    pub fn new(broker: impl Into<Broker>, queue: impl Into<String>) -> Result<Self, Error> {
        Ok(Self { connector: broker.into().connector()?, queue: queue.into() })
    }

    /// Shows each message that is in the queue now, `limit` at most, and does with it as it is told.
    ///
    /// A message is published to where it is replayed, and removed when the broker has confirmed that. All
    /// that are kept go back at the end, so none is shown twice; until then, other consumers do not see
    /// them. They may be in another order then. Nothing is published for those that are kept, so a user
    /// who may only read can look at a queue, and so can anyone at a queue that is full.
    ///
    /// A quorum queue counts each look as a redelivery. The queues of dead letters that this crate declares
    /// have no limit of these that matters. On any other, RabbitMQ 4 drops a message, or moves it to that
    /// queue's dead letters, when it comes back for the 21st time: set the policy `delivery-limit` to -1
    /// before you look at it often.
    ///
    /// # Errors
    ///
    /// Fails if the broker refuses, or cannot be reached for longer than
    /// [`give_up_after`](Broker::give_up_after); if the connection is lost; if a message should be
    /// replayed that does not say where it comes from; and with [`Error::Unconfirmed`] if the broker does
    /// not confirm one within 5 s, or `give_up_after` if that is longer, because the queue that it goes to
    /// is full, for example. What was not replayed or dropped by then stays in the queue.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what was not replayed or dropped stays in the queue. One message may be
    /// in both.
    pub async fn visit(
        &self,
        limit: usize,
        mut decide: impl FnMut(&Letter) -> Verdict,
    ) -> Result<Tally, Error> {
        let source = existing(self.queue.clone());
        let prepare = async |link: Link| {
            link.declare(&source).await?;
            Ok(link)
        };
        let link = self.connector.link(true, prepare).await?;
        let mut outlets = BTreeMap::new();
        let mut tally = Tally::default();
        let visited = async {
            while tally.kept + tally.replayed + tally.dropped < limit as u64 {
                let Some((letter, acker)) = self.next(&link).await? else { break };
                let to = match decide(&letter) {
                    Verdict::Keep => {
                        tally.kept += 1;
                        continue;
                    }
                    Verdict::Drop => {
                        Settled::Unwanted.remove(&link, &acker).await?;
                        tally.dropped += 1;
                        continue;
                    }
                    Verdict::Replay => letter.origin().ok_or(Error::NoOrigin)?.to_owned(),
                    Verdict::ReplayTo(queue) => queue,
                };
                let published = self.publish(&mut outlets, &to, letter.renewed()).await?;
                let settled =
                    published.ok_or(Error::Unconfirmed { queue: to, replayed: tally.replayed })?;
                settled.remove(&link, &acker).await?;
                tally.replayed += 1;
            }
            Ok(())
        };
        let visited: Result<(), Error> = visited.await;
        // All that is unanswered, which is what stays. If the link is lost it goes back as well.
        let back = BasicNackOptions { multiple: true, requeue: true };
        drop(link.answer(link.channel.basic_nack(0, back)).await);
        for outlet in outlets.values() {
            outlet.close().await;
        }
        link.close().await;
        visited.map(|()| tally)
    }

    async fn next(&self, link: &Link) -> Result<Option<(Letter, Acker)>, Error> {
        let got = link.channel.basic_get(&self.queue, BasicGetOptions::default());
        let Some(got) = link.answer(got).await? else { return Ok(None) };
        let lapin::message::Delivery { data, properties, acker, .. } = got.delivery;
        let headers = Headers::new(properties.headers().clone().unwrap_or_default());
        Ok(Some((Letter { payload: data, properties, headers }, acker)))
    }

    /// Publishes a message, unless the broker does not confirm it in time.
    async fn publish(
        &self,
        outlets: &mut BTreeMap<String, Outlet>,
        queue: &str,
        message: Message,
    ) -> Result<Option<Settled>, Error> {
        let outlet = outlets
            .entry(queue.to_owned())
            .or_insert_with(|| Outlet::new(self.connector.clone(), existing(queue.to_owned())));
        let time = self.connector.give_up_after.unwrap_or_default().max(CONFIRM_WITHIN);
        let late = async {
            Timer::after(time).await;
            Ok(false)
        };
        let is_confirmed = future::or(outlet.publish(&message, None), late).await?;
        Ok(is_confirmed.then_some(Settled::Published))
    }
}

/// Why a message may be removed.
#[must_use]
enum Settled {
    /// The broker has confirmed a copy of it.
    Published,
    Unwanted,
}

impl Settled {
    async fn remove(self, link: &Link, acker: &Acker) -> Result<(), Error> {
        link.answer(acker.ack(BasicAckOptions::default())).await.map(drop)
    }
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letters").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// A queue that must be there.
fn existing(name: String) -> Target {
    Target { name, exchange: String::new(), arguments: None::<FieldTable> }
}
