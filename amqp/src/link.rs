//! A connection with one channel on it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, pin::pin};

use async_channel::Receiver;
use async_io::Timer;
use futures_lite::future;
use lapin::options::{
    BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::publisher_confirm::Confirmation;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ErrorKind, ExchangeKind};

use crate::message::Message;
use crate::queue::{LIMIT, Target};
use crate::{Error, Runtime, size};

/// How often to look whether a connection is still there. The client library wakes those who wait for
/// an answer when it is lost; this is for those who began to wait just then.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long to wait for the end of a connection.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A connection and a channel on it. When one fails, both are given up.
pub(crate) struct Link {
    pub(crate) channel: Channel,
    connection: Arc<Connection>,
    /// Whether other links have the connection as well.
    is_shared: bool,

    /// The client library numbers a message, then sends it, and the broker counts those that come.
    /// Between the two no other may come first.
    turn: Mutex<()>,

    /// Closed when it is lost. One task looks for all who wait: a timer for each message would be
    /// as dear as the message.
    lost: Receiver<Infallible>,
}

impl Link {
    pub(crate) fn new(
        connection: Arc<Connection>,
        is_shared: bool,
        channel: Channel,
        runtime: &Runtime,
    ) -> Self {
        let (alive, lost) = async_channel::bounded(1);
        let (of_connection, of_channel) = (connection.status().clone(), channel.status().clone());
        runtime.spawn(async move {
            // Until it is lost, or nobody has it any more.
            while of_connection.connected() && of_channel.connected() && !alive.is_closed() {
                Timer::after(LOOK_EVERY).await;
            }
        });
        Self { channel, connection, is_shared, turn: Mutex::new(()), lost }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.channel.status().connected() && self.connection.status().connected()
    }

    /// Closed when the link is lost.
    pub(crate) fn loss(&self) -> Receiver<Infallible> {
        self.lost.clone()
    }

    /// Waits for an answer, or for the loss of the link.
    pub(crate) async fn answer<T>(
        &self,
        answer: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        self.outcome(answer).await.and_then(Result::ok).ok_or(Error::Lost)
    }

    /// Waits for what comes of something, or for the loss of the link, which is `None`.
    pub(crate) async fn outcome<T>(&self, outcome: impl Future<Output = T>) -> Option<T> {
        let lost = async { self.lost.recv().await.ok().map(|never| match never {}) };
        future::or(async { Some(outcome.await) }, lost).await
    }

    /// Declares a queue, or looks whether it is there.
    pub(crate) async fn declare(&self, target: &Target) -> lapin::Result<()> {
        let Target { name, exchange, .. } = target;
        if name.is_empty() {
            // Messages have targets of their own.
            return Ok(());
        }
        let passive = target.arguments.is_none();
        let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
        self.channel.queue_declare(name, options, self.arguments(target, options).await).await?;
        if exchange.is_empty() {
            return Ok(());
        }
        let look = ExchangeDeclareOptions { passive: true, ..Default::default() };
        // Of one that is only looked for the kind does not matter.
        let (kind, none) = (ExchangeKind::Direct, FieldTable::default());
        self.channel.exchange_declare(exchange, kind, look, none.clone()).await?;
        if !passive {
            let bind = QueueBindOptions::default();
            self.channel.queue_bind(name, exchange, name, bind, none).await?;
        }
        Ok(())
    }

    /// What to declare it with: without the limit that is none, if it is there without one.
    async fn arguments(&self, target: &Target, options: QueueDeclareOptions) -> FieldTable {
        let arguments = target.arguments.clone().unwrap_or_default();
        let Some(without) = target.without_limit() else { return arguments };
        // A refusal closes the channel, so it is not this one. All other refusals come again on this.
        let Ok(channel) = self.connection.create_channel().await else { return arguments };
        match channel.queue_declare(&target.name, options, arguments.clone()).await {
            Err(error) if error.to_string().contains(LIMIT) => without,
            Err(_) => arguments,
            Ok(_) => {
                // If that fails, so does what comes next.
                drop(channel.close(200, "done").await);
                arguments
            }
        }
    }

    /// Publishes a message, for a queue unless it has a route of its own, and waits for the broker's word on it.
    pub(crate) async fn publish(
        &self,
        target: &Target,
        message: &Message,
    ) -> Result<Confirmation, Error> {
        if let Some(bytes) = self.too_large(&message.properties) {
            return Err(Error::HeadersTooLarge(bytes));
        }
        let payload = &message.payload;
        // Pinned here, since each function that takes a future makes room for it twice.
        let confirmed = pin!(async {
            let (target, mandatory) = match &message.route {
                Some(route) => (&route.target, route.is_mandatory),
                None => (target, true),
            };
            let options = BasicPublishOptions { mandatory, ..Default::default() };
            let Target { name, exchange, .. } = target;
            let properties = message.properties.clone();
            let mut sent =
                pin!(self.channel.basic_publish(exchange, name, options, payload, properties));
            let in_turn = future::poll_fn(|cx| {
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                sent.as_mut().poll(cx)
            });
            in_turn.await?.await
        });
        match self.outcome(confirmed).await {
            Some(Ok(confirmation)) => Ok(confirmation),
            Some(Err(error)) if is_too_large(&error, payload) => {
                Err(Error::TooLarge(payload.len()))
            }
            Some(Err(error)) if is_refusal(&error, message) => Err(Error::Refused(error)),
            _ => Err(Error::Lost),
        }
    }

    /// The size of the frame that these properties would need, if that is larger than those of the
    /// connection.
    fn too_large(&self, properties: &BasicProperties) -> Option<usize> {
        let largest = self.connection.configuration().frame_max() as usize;
        // Most messages have no headers, and the rest always fits.
        properties.headers().as_ref()?;
        let size = size::of_frame(properties);
        (largest > 0 && size > largest).then_some(size)
    }

    /// Closes the connection, or only the channel if others use the connection, once all that was said
    /// on it is sent. It is not waited for long: a broker that is short of memory reads nothing from it.
    pub(crate) async fn close(&self) {
        let closed = async {
            // If it is lost instead it is gone as well.
            match self.is_shared {
                true => drop(self.answer(self.channel.close(200, "done")).await),
                false => drop(self.answer(self.connection.close(200, "done")).await),
            }
        };
        future::or(closed, async { _ = Timer::after(CLOSE_WITHIN).await }).await;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("is_alive", &self.is_alive()).finish()
    }
}

/// Whether the channel was closed because of this message, which others were on the way with. Only
/// the broker knows what it takes, and says it in words.
fn is_too_large(error: &lapin::Error, payload: &[u8]) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    let what = format!("message size {} is larger than", payload.len());
    error.get_message().as_str().contains(&what)
}

/// Whether the broker will say the same the next time.
fn is_refusal(error: &lapin::Error, message: &Message) -> bool {
    use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    // The exchange of a queue is looked for when there is a new link, and may be there again then.
    if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) {
        return message.route.is_some();
    }
    matches!(
        error.kind(),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
            | AMQPErrorKind::Hard(
                AMQPHardError::FRAMEERROR
                    | AMQPHardError::SYNTAXERROR
                    | AMQPHardError::COMMANDINVALID
                    | AMQPHardError::UNEXPECTEDFRAME
                    | AMQPHardError::NOTALLOWED
                    | AMQPHardError::NOTIMPLEMENTED
            )
    )
}

/// Whether it concerns all messages alike: the right to publish.
pub(crate) fn is_forbidden(error: &lapin::Error) -> bool {
    use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(
        error.kind(),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
    )
}
