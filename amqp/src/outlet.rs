//! Publishing to one queue, with confirms, across the losses of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_io::Timer;
use async_lock::Mutex;
use lapin::options::ConfirmSelectOptions;
use lapin::publisher_confirm::Confirmation;

use crate::Error;
use crate::connector::{Connector, backoff};
use crate::link::{Link, is_forbidden};
use crate::message::Message;
use crate::queue::Target;

/// How often the queue may refuse a message before a warning says so.
const WARN_AFTER: u32 = 4;

/// Where messages for one queue go out. It has a connection of its own, made when first needed: the
/// broker stops reading from connections that publish too much, and must not stop reading acks. And
/// it has a queue of its own, since a message that is returned cannot be told from its neighbours.
pub(crate) struct Outlet {
    connector: Connector,
    target: Target,
    link: Mutex<Option<Arc<Link>>>,
    /// The broker does not say which of several messages it could not route, so one that must be is on its
    /// way alone among these. Between two tries others have their turn, or a full queue would hold up all.
    turn: Mutex<()>,
    /// Whether there was no link yet.
    is_first: AtomicBool,
    /// Whether the broker has taken a message.
    is_proven: AtomicBool,
}

impl Outlet {
    pub(crate) fn new(connector: Connector, target: Target) -> Self {
        let connector = connector.to_publish();
        let link = Mutex::new(None);
        let (is_first, is_proven) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { connector, target, link, turn: Mutex::new(()), is_first, is_proven }
    }

    /// Connects and declares the queue, if that was not done.
    pub(crate) async fn link(&self) -> Result<Arc<Link>, Error> {
        // Others wait here while one connects.
        let mut slot = self.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| link.is_alive()) {
            return Ok(link.clone());
        }
        *slot = None;
        // To connect takes a large future, which would make that of each message as large.
        let link = Box::pin(self.connect()).await?;
        Ok(slot.insert(link).clone())
    }

    async fn connect(&self) -> Result<Arc<Link>, Error> {
        let is_first = self.is_first.load(Ordering::Relaxed);
        let prepare = async |link: Link| {
            link.declare(&self.target).await?;
            link.channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(link)
        };
        let link = self.connector.link(is_first, prepare).await?;
        self.is_first.store(false, Ordering::Relaxed);
        Ok(Arc::new(link))
    }

    /// Publishes until the broker has confirmed, or the link is lost that `job` came on, if it is for
    /// one: it will come again then. Returns whether it was confirmed.
    ///
    /// A queue that is full refuses messages, a broker short of memory does not read them, and the right
    /// to publish may be taken away for a while: all are waited for. What the broker refuses at once, or
    /// because of the message, is an error.
    pub(crate) async fn publish(
        &self,
        message: &Message,
        job: Option<&Link>,
    ) -> Result<bool, Error> {
        let mut waits = backoff();
        let mut refusals = 0_u32;
        while job.is_none_or(Link::is_alive) {
            let link = match job {
                // The broker may be away for long, and someone may want to stop.
                Some(job) => job.outcome(self.link()).await,
                None => Some(self.link().await),
            };
            let Some(link) = link else { break };
            let link = link?;
            if !job.is_none_or(Link::is_alive) {
                break;
            }
            let mut published = self.publish_on(&link, message).await;
            if matches!(&published, Err(Error::Refused(error)) if !is_forbidden(error)) {
                // It may be one of those on the way beside it that is refused.
                published = Box::pin(self.publish_alone(message)).await;
            }
            match published {
                Ok(true) => return Ok(true),
                Ok(false) => {
                    refusals += 1;
                    if refusals == WARN_AFTER {
                        let queue = &self.target.name;
                        tracing::warn!(%queue, "the queue takes no messages, is it full? trying again");
                    }
                }
                Err(Error::Lost) => {}
                Err(Error::Refused(error))
                    if is_forbidden(&error) && self.is_proven.load(Ordering::Relaxed) =>
                {
                    let queue = &self.target.name;
                    tracing::warn!(%error, %queue, "publishing was refused, trying again");
                }
                Err(error) => return Err(error),
            }
            if let Some(wait) = waits.next() {
                Timer::after(wait).await;
            }
        }
        Ok(false)
    }

    /// Publishes once, and returns whether the queue has it.
    async fn publish_on(&self, link: &Arc<Link>, message: &Message) -> Result<bool, Error> {
        let must_be_routed = message.route.as_ref().is_some_and(|route| route.is_mandatory);
        let _turn = if must_be_routed { Some(self.turn.lock().await) } else { None };
        match link.publish(&self.target, message).await? {
            Confirmation::Ack(None) => {
                self.is_proven.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Confirmation::Ack(Some(_)) if message.route.is_some() => Err(Error::Unroutable),
            // The queue is gone.
            Confirmation::Ack(Some(_)) | Confirmation::NotRequested => {
                self.discard(link).await;
                Ok(false)
            }
            Confirmation::Nack(_) => Ok(false),
        }
    }

    /// Publishes once on a connection that nothing else goes out on.
    async fn publish_alone(&self, message: &Message) -> Result<bool, Error> {
        let link = self.connect().await?;
        let published = self.publish_on(&link, message).await;
        link.close().await;
        published
    }

    /// Has the next one make a new link, and so declare the queue once more.
    async fn discard(&self, link: &Arc<Link>) {
        let mut slot = self.link.lock().await;
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            *slot = None;
        }
    }

    pub(crate) async fn close(&self) {
        // Whoever connects just now is not waited for.
        let link = self.link.try_lock().and_then(|mut slot| slot.take());
        if let Some(link) = link {
            link.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::types::FieldTable;

    use super::*;
    use crate::{Broker, Queue};

    #[test]
    fn a_message_does_not_carry_the_room_for_a_connection() {
        let connector = Broker::new("amqp://localhost").connector().unwrap();
        let outlet = Outlet::new(connector, Queue::new("jobs").target());
        let came = BasicProperties::default();
        let message = Message::copy(Vec::new(), &came, FieldTable::default());
        let size = size_of_val(&outlet.publish(&message, None));
        assert!(size < 4 * 1024, "{size} bytes");
    }
}
