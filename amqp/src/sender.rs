use std::fmt;
use std::sync::Arc;

use crate::exit::Exit;
use crate::message::new_id;
use crate::output::message;
use crate::{Codec, Error, Json, Output};

/// Publishes single items to a queue, made by [`Publisher::sender`](crate::Publisher::sender).
///
/// Clones share a connection, which is made by the first item and again when it is lost.
#[derive(Clone)]
pub struct Sender<C = Json> {
    exit: Arc<Exit>,
    codec: C,
}

impl<C: Codec> Sender<C> {
    pub(crate) fn new(exit: Exit, codec: C) -> Self {
        Self { exit: Arc::new(exit), codec }
    }

    /// Publishes an item, and resolves when the broker has confirmed it: it survives the broker then.
    ///
    /// While the queue is full, or the broker is short of memory or away, it waits. An item whose confirm
    /// was lost with a connection is published once more, with the same message id. Any number of calls
    /// can wait at once.
    ///
    /// # Errors
    ///
    /// Fails if the item cannot be encoded or is larger than the broker takes; if the broker refuses, or
    /// cannot be reached for longer than [`give_up_after`](crate::Broker::give_up_after).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the item may be in the queue or not.
    pub async fn send(&self, item: impl Output) -> Result<(), Error> {
        let message = message(item, &self.codec, None, || Some(new_id()));
        let message = message.map_err(|error| Error::Encode(error.to_string()))?;
        self.exit.publish(&message, None).await.map(drop)
    }

    /// Closes the connection. The next item makes another.
    pub async fn close(&self) {
        self.exit.close().await;
    }
}

impl<C> fmt::Debug for Sender<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
