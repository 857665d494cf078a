//! Publishing to one queue, with confirms, across the losses of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_io::Timer;
use async_lock::Mutex;
use lapin::options::ConfirmSelectOptions;
use lapin::publisher_confirm::Confirmation;

use crate::Error;
use crate::broker::{Connector, backoff};
use crate::link::Link;
use crate::message::Message;
use crate::queue::Target;

/// Where messages for one queue go out. It has a connection of its own, made when first needed: the
/// broker stops reading from connections that publish too much, and must not stop reading acks. And
/// it has a queue of its own, since a message that is returned cannot be told from its neighbours.
pub(crate) struct Outlet {
    connector: Connector,
    target: Target,
    link: Mutex<Option<Arc<Link>>>,
    /// Whether there was no link yet.
    is_first: AtomicBool,
}

impl Outlet {
    pub(crate) fn new(connector: Connector, target: Target) -> Self {
        Self { connector, target, link: Mutex::new(None), is_first: AtomicBool::new(true) }
    }

    /// Connects and declares the queue, if that was not done.
    pub(crate) async fn link(&self) -> Result<Arc<Link>, Error> {
        // Others wait here while one connects.
        let mut slot = self.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| link.is_alive()) {
            return Ok(link.clone());
        }
        *slot = None;
        let is_first = self.is_first.load(Ordering::Relaxed);
        let prepare = async |link: Link| {
            self.target.declare(&link).await?;
            link.channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(link)
        };
        let link = Arc::new(self.connector.link(is_first, prepare).await?);
        self.is_first.store(false, Ordering::Relaxed);
        Ok(slot.insert(link).clone())
    }

    /// Publishes until the broker has confirmed, or `is_wanted` says no. Returns whether it was
    /// confirmed.
    ///
    /// A queue that is full refuses messages, and a broker short of memory does not read them: both
    /// are waited for.
    pub(crate) async fn publish(
        &self,
        message: &Message,
        is_wanted: impl Fn() -> bool,
    ) -> Result<bool, Error> {
        let mut waits = backoff();
        while is_wanted() {
            let link = self.link().await?;
            if !is_wanted() {
                break;
            }
            let Message { payload, properties } = message;
            match link.publish(&self.target.name, payload, properties.clone()).await {
                Ok(Confirmation::Ack(None)) => return Ok(true),
                // The queue is gone.
                Ok(Confirmation::Ack(Some(_)) | Confirmation::NotRequested) => {
                    self.discard(&link).await;
                }
                Ok(Confirmation::Nack(_)) => {}
                Err(Error::Lost) => continue, // the next connection has waits of its own
                Err(error) => return Err(error),
            }
            if let Some(wait) = waits.next() {
                Timer::after(wait).await;
            }
        }
        Ok(false)
    }

    /// Has the next one make a new link, and so declare the queue once more.
    async fn discard(&self, link: &Arc<Link>) {
        let mut slot = self.link.lock().await;
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            *slot = None;
        }
    }

    pub(crate) async fn close(&self) {
        let link = self.link.lock().await.take();
        if let Some(link) = link {
            link.close().await;
        }
    }
}
