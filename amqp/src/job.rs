use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use async_channel::Receiver;
use lapin::BasicProperties;
use serde::de::DeserializeOwned;

use crate::link::Link;
use crate::{Codec, Delivery, Headers, codec};

/// A job and what came with it: its id, its headers, how often it was tried.
///
/// A flow that wants to know takes `Job<T>` instead of `T`, in [`Worker::run`](crate::Worker::run) and
/// [`try_run`](crate::Worker::try_run). Nothing else changes.
///
/// # Examples
///
/// ```no_run
/// use flowlet::Flow;
/// use flowlet_amqp::{Job, Worker};
///
/// async fn charge(job: Job<u64>) -> Result<String, String> {
///     // The same each time the job is tried, so that the bank can tell.
///     let key = job.id().ok_or("a job without an id")?;
///     Ok(format!("{} cents, once for {key}", *job))
/// }
///
/// # async fn run() -> Result<(), flowlet_amqp::Error> {
/// let flow = Flow::<Job<u64>>::identity().map_concurrent(1, charge);
/// let worker = Worker::builder("amqp://localhost", "charges").output("receipts").build()?;
/// worker.try_run(&flow, std::future::pending::<()>()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Job<T> {
    item: T,
    context: Arc<Context>,
}

struct Context {
    properties: BasicProperties,
    headers: Headers,
    redeliveries: u64,
    tries: u32,
    link: Weak<Link>,
    /// Closed when the link is lost.
    lost: Receiver<Infallible>,
}

impl<T> Job<T> {
    /// Takes the item out.
    pub fn into_item(self) -> T {
        self.item
    }

    /// Changes the item, and keeps what came with it.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Job<U> {
        Job { item: f(self.item), context: self.context }
    }

    /// Returns the message id that the publisher set. It is the same each time the job is delivered.
    pub fn id(&self) -> Option<&str> {
        self.context.properties.message_id().as_ref().map(|id| id.as_str())
    }

    /// Returns the headers of the message.
    pub fn headers(&self) -> &Headers {
        &self.context.headers
    }

    /// Returns the correlation id, which the outputs of the job get as well.
    pub fn correlation_id(&self) -> Option<&str> {
        self.context.properties.correlation_id().as_ref().map(|id| id.as_str())
    }

    /// Returns the queue that the publisher wants an answer in. See
    /// [`Builder::reply`](crate::worker::Builder::reply).
    pub fn reply_to(&self) -> Option<&str> {
        self.context.properties.reply_to().as_ref().map(|queue| queue.as_str())
    }

    /// Returns the type of the message, as the publisher set it.
    pub fn kind(&self) -> Option<&str> {
        self.context.properties.kind().as_ref().map(|kind| kind.as_str())
    }

    /// Returns the priority, from 0 to 255.
    pub fn priority(&self) -> Option<u8> {
        *self.context.properties.priority()
    }

    /// Returns how often the job was delivered before and came back without an answer. Only quorum
    /// queues count; for others it is 0.
    pub fn redeliveries(&self) -> u64 {
        self.context.redeliveries
    }

    /// Returns how often the job was tried before and failed. It is 0 the first time.
    pub fn tries(&self) -> u32 {
        self.context.tries
    }

    /// Returns whether the connection that the job came on is lost: whatever comes of it is not
    /// published, and the job will be delivered once more.
    pub fn is_lost(&self) -> bool {
        self.context.link.upgrade().is_none_or(|link| !link.is_alive())
    }

    /// Waits until the connection that the job came on is lost, or closed at the end. The flow is dropped
    /// then; what it has started elsewhere, in a task or a thread, can be ended by this.
    pub async fn lost(&self) {
        // Nothing is ever sent on it.
        let _ = self.context.lost.recv().await;
    }
}

impl<T> Deref for Job<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T: fmt::Debug> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("item", &self.item)
            .field("id", &self.id())
            .field("tries", &self.tries())
            .field("redeliveries", &self.redeliveries())
            .field("headers", self.headers())
            .finish_non_exhaustive()
    }
}

/// What the flow of a [`Worker`](crate::Worker) can take: any type that serde can deserialize, or a
/// [`Job`] of one.
pub trait Input: Sized + Send + 'static {
    /// What the messages hold.
    type Item;

    /// Decodes what was delivered, after so many tries.
    #[doc(hidden)]
    fn decode<C: Codec>(codec: &C, delivery: &Delivery<()>, tries: u32) -> Result<Self, String>;
}

impl<T: DeserializeOwned + Send + 'static> Input for T {
    type Item = T;

    fn decode<C: Codec>(codec: &C, delivery: &Delivery<()>, _: u32) -> Result<Self, String> {
        codec::job(codec, delivery.payload())
    }
}

impl<T: DeserializeOwned + Send + 'static> Input for Job<T> {
    type Item = T;

    fn decode<C: Codec>(codec: &C, delivery: &Delivery<()>, tries: u32) -> Result<Self, String> {
        let item = T::decode(codec, delivery, tries)?;
        let link = delivery.link();
        let context = Context {
            properties: delivery.properties().clone(),
            headers: delivery.headers().clone(),
            redeliveries: delivery.redeliveries(),
            tries,
            link: Arc::downgrade(link),
            lost: link.loss(),
        };
        Ok(Self { item, context: Arc::new(context) })
    }
}
