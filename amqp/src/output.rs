use std::fmt;

use lapin::BasicProperties;
use serde::Serialize;

use crate::headers::HeaderValue;
use crate::message::{self, fitting};
use crate::queue::Target;
use crate::{Codec, Headers};

/// As long as AMQP allows for a name.
const NAME_LENGTH: usize = 255;

/// The headers of a job that its outputs get as well, unless they set them: the trace that it belongs
/// to, by W3C's Trace Context and Baggage.
const INHERITED: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// An item with headers, a correlation id, a priority or an address of its own.
///
/// A flow that wants to set them yields `Message<U>` instead of `U`, in [`Worker::run`](crate::Worker::run)
/// and [`try_run`](crate::Worker::try_run); so do streams of items in
/// [`Publisher::publish`](crate::Publisher::publish).
///
/// An output gets the correlation id of its job, and the headers `traceparent`, `tracestate` and
/// `baggage`, unless it sets its own.
///
/// # Examples
///
/// ```no_run
/// use flowlet::Flow;
/// use flowlet_amqp::{Message, Worker};
///
/// async fn resize(photo: String) -> Message<String> {
///     Message::new(format!("{photo}, smaller")).header("width", 640).priority(3)
/// }
///
/// # async fn run() -> Result<(), flowlet_amqp::Error> {
/// let flow = Flow::<String>::identity().map_concurrent(1, resize);
/// let worker = Worker::builder("amqp://localhost", "photos").output("thumbnails").build()?;
/// worker.run(&flow, std::future::pending::<()>()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a message does nothing unless it is published"]
pub struct Message<T> {
    item: T,
    envelope: Envelope,
}

/// What is set besides the item.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    headers: Headers,
    properties: BasicProperties,
    route: Option<Route>,
}

/// Where a message goes instead of the queue of its worker or publisher.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) target: Target,
    /// Whether it is an error if no queue takes the message.
    pub(crate) is_mandatory: bool,
}

impl Route {
    pub(crate) fn new(exchange: &str, key: &str, is_mandatory: bool) -> Self {
        let target = Target { name: key.into(), exchange: exchange.into(), arguments: None };
        Self { target, is_mandatory }
    }
}

impl<T> Message<T> {
    /// Makes a message that is like the item alone.
    pub fn new(item: T) -> Self {
        Self { item, envelope: Envelope::default() }
    }

    /// Sets a header: text, a whole number, or a boolean.
    ///
    /// # Panics
    ///
    /// Panics if the name is longer than 255 bytes.
    #[track_caller]
    pub fn header(mut self, name: &str, value: impl Into<HeaderValue>) -> Self {
        checked("the name of a header", name);
        self.envelope.headers.set(name, value.into());
        self
    }

    /// Sets the message id. An id longer than 255 bytes is shortened, as by
    /// [`publish_with_id`](crate::Publisher::publish_with_id). By default, an output's id is made from
    /// its job's.
    pub fn id(self, id: impl Into<String>) -> Self {
        let id = fitting(id.into());
        self.with(|properties| properties.with_message_id(id.into()))
    }

    /// Sets the correlation id, which tells whoever asked what this is the answer to.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn correlation_id(self, id: impl Into<String>) -> Self {
        let id = checked("a correlation id", id.into());
        self.with(|properties| properties.with_correlation_id(id.into()))
    }

    /// Sets the queue that an answer should go to.
    ///
    /// # Panics
    ///
    /// Panics if its name is longer than 255 bytes.
    #[track_caller]
    pub fn reply_to(self, queue: impl Into<String>) -> Self {
        let queue = checked("the name of a queue", queue.into());
        self.with(|properties| properties.with_reply_to(queue.into()))
    }

    /// Sets the type of the message, which is the publisher's to choose.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn kind(self, kind: impl Into<String>) -> Self {
        let kind = checked("a type", kind.into());
        self.with(|properties| properties.with_type(kind.into()))
    }

    /// Sets the priority. Queues with priorities are declared elsewhere and named with
    /// [`Queue::existing`](crate::Queue::existing); others ignore it.
    pub fn priority(self, priority: u8) -> Self {
        self.with(|properties| properties.with_priority(priority))
    }

    /// Sends it to an exchange with a routing key, instead of to the queue of the worker or publisher.
    /// The default exchange, whose name is empty, takes the name of a queue for the key.
    ///
    /// The exchange must be there. If no queue takes the message, it fails its job, or ends its
    /// publisher with [`Error::Unroutable`](crate::Error::Unroutable). Such messages are confirmed one at
    /// a time for each worker or publisher, as RabbitMQ does not say which of several it could not
    /// route.
    ///
    /// # Panics
    ///
    /// Panics if either is longer than 255 bytes.
    #[track_caller]
    pub fn route(mut self, exchange: &str, key: &str) -> Self {
        checked("the name of an exchange", exchange);
        checked("a routing key", key);
        self.envelope.route = Some(Route::new(exchange, key, true));
        self
    }

    fn with(mut self, set: impl FnOnce(BasicProperties) -> BasicProperties) -> Self {
        self.envelope.properties = set(self.envelope.properties);
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Envelope { headers, route, .. } = &self.envelope;
        f.debug_struct("Message")
            .field("item", &self.item)
            .field("headers", headers)
            .field("route", route)
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn checked<S: AsRef<str>>(what: &str, text: S) -> S {
    assert!(text.as_ref().len() <= NAME_LENGTH, "{what} must not be longer than 255 bytes");
    text
}

/// What the flow of a [`Worker`](crate::Worker) can yield, and a [`Publisher`](crate::Publisher) take: any
/// type that serde can serialize, or a [`Message`] of one.
pub trait Output {
    /// What the messages hold.
    type Item;

    /// The encoded item, and what is set besides.
    #[doc(hidden)]
    fn encode<C: Codec>(self, codec: &C) -> Result<(Vec<u8>, Envelope), C::Error>;
}

impl<T: Serialize> Output for T {
    type Item = T;

    fn encode<C: Codec>(self, codec: &C) -> Result<(Vec<u8>, Envelope), C::Error> {
        Ok((codec.encode(&self)?, Envelope::default()))
    }
}

impl<T: Serialize> Output for Message<T> {
    type Item = T;

    fn encode<C: Codec>(self, codec: &C) -> Result<(Vec<u8>, Envelope), C::Error> {
        Ok((codec.encode(&self.item)?, self.envelope))
    }
}

/// Encodes an item as a message, with this id unless it has one, and what it inherits from its job.
pub(crate) fn message<C: Codec>(
    item: impl Output,
    codec: &C,
    job: Option<(&BasicProperties, &Headers)>,
    id: impl FnOnce() -> Option<String>,
) -> Result<message::Message, C::Error> {
    let (payload, Envelope { headers, properties, route }) = item.encode(codec)?;
    let mut message = message::Message::new(payload, C::CONTENT_TYPE, properties);
    if message.properties.message_id().is_none() {
        if let Some(id) = id() {
            message.set_id(id);
        }
    }
    let (mut headers, mut properties) = (headers, message.properties);
    if let Some((came, of_job)) = job {
        headers.inherit(of_job, &INHERITED);
        let id = came.correlation_id().clone().filter(|_| properties.correlation_id().is_none());
        if let Some(id) = id {
            properties = properties.with_correlation_id(id);
        }
    }
    message.properties = properties;
    message.set_headers(headers);
    message.route = route;
    Ok(message)
}
