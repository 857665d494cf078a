//! Where deliveries come from, and where they go when they are rejected.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_lite::StreamExt;
use lapin::Consumer;
use lapin::options::{BasicCancelOptions, BasicNackOptions};

use crate::link::Link;
use crate::outlet::Outlet;

/// What all deliveries of a stream share.
pub(crate) struct Source {
    queue: String,
    dead_letters: Outlet,
    /// The last, since the one before is lost.
    link: Mutex<Option<Arc<Link>>>,
    /// The consumer on it, until it is cancelled.
    session: Mutex<Option<Session>>,
    /// How many jobs were acked.
    answers: AtomicU64,
}

/// A consumer and the link that it is on.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    pub(crate) consumer: Consumer,
}

impl Source {
    pub(crate) fn new(queue: String, dead_letters: Outlet) -> Self {
        let (link, session) = (Mutex::new(None), Mutex::new(None));
        Self { queue, dead_letters, link, session, answers: AtomicU64::new(0) }
    }

    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    pub(crate) fn dead_letters(&self) -> &Outlet {
        &self.dead_letters
    }

    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    pub(crate) fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_session(&self, session: Session) {
        *locked(&self.link) = Some(session.link.clone());
        *locked(&self.session) = Some(session);
    }

    /// Has no more jobs come, and gives back those that have come and were not taken.
    pub(crate) async fn give_back(&self) {
        let session = locked(&self.session).take();
        let Some(Session { link, mut consumer }) = session else { return };
        let tag = consumer.tag();
        let cancel = link.channel.basic_cancel(tag.as_str(), BasicCancelOptions::default());
        if link.answer(cancel).await.is_err() {
            return;
        }
        let back = BasicNackOptions { requeue: true, ..Default::default() };
        let give_back = async {
            // What came before the broker has cancelled comes before the stream's end.
            while let Some(Ok(delivery)) = consumer.next().await {
                delivery.acker.nack(back).await?;
            }
            Ok(())
        };
        // If the link is lost they go back as well.
        drop(link.answer(give_back).await);
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        let link = locked(&self.link).take();
        if let Some(link) = link {
            link.close().await;
        }
        self.dead_letters.close().await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
