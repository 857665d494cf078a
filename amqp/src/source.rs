//! Where deliveries come from, and where they go when they are rejected, or have to wait.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_io::Timer;
use flowlet::prelude::*;
use futures_lite::{StreamExt, future};
use lapin::Consumer;
use lapin::options::BasicCancelOptions;

use crate::Delivery;
use crate::connector::Connector;
use crate::link::Link;
use crate::outlet::Outlet;
use crate::queue::Queue;

/// How many jobs are given back at once.
const BACK_AT_ONCE: usize = 16;

/// How long that may take. What is left then goes back with the connection.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// How many connections are closed at once.
const CLOSED_AT_ONCE: usize = 16;

/// Of how many jobs at most to know that they came back and nobody died of it.
const SURVIVED: usize = 10_000;

/// What all deliveries of a stream share.
pub(crate) struct Source {
    queue: String,
    dead_letters: Outlet,
    /// For jobs that are tried again later: after their first failure, their second, and so on.
    retries: Vec<Outlet>,
    /// The queue itself, for jobs that go back as copies.
    own: Outlet,
    isolate_after: Option<u64>,
    /// Whether jobs come in their order, whoever takes them.
    keeps_order: bool,
    /// The last, since the one before is lost.
    link: Mutex<Option<Arc<Link>>>,
    /// The consumer on it, until it is cancelled.
    session: Mutex<Option<Session>>,
    /// How many jobs were acked.
    answers: AtomicU64,
    /// How often jobs came back from here although this process lives: for connections that were lost,
    /// for one. By the hashes of their ids and payloads.
    survived: Mutex<HashMap<u64, u64>>,
    hasher: RandomState,
    /// How long the broker lets jobs be held, in milliseconds, as soon as that is known; 0 before.
    patience: AtomicU64,
}

/// A consumer and the link that it is on.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    pub(crate) consumer: Consumer,
}

impl Source {
    pub(crate) fn new(
        connector: &Connector,
        queue: &Queue,
        waits: &[Duration],
        isolate_after: Option<u64>,
    ) -> Self {
        let outlet = |target| Outlet::new(connector.clone(), target);
        Self {
            queue: queue.name().to_owned(),
            dead_letters: outlet(queue.for_dead_letters()),
            retries: waits.iter().map(|wait| outlet(queue.after(*wait))).collect(),
            own: outlet(queue.target()),
            isolate_after,
            keeps_order: queue.keeps_order(),
            link: Mutex::new(None),
            session: Mutex::new(None),
            answers: AtomicU64::new(0),
            survived: Mutex::default(),
            hasher: RandomState::new(),
            patience: AtomicU64::new(0),
        }
    }

    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    pub(crate) fn dead_letters(&self) -> &Outlet {
        &self.dead_letters
    }

    /// Where a job waits that has failed so often.
    pub(crate) fn retry(&self, tries: u32) -> Option<&Outlet> {
        let step = usize::try_from(tries).unwrap_or(usize::MAX).saturating_sub(1);
        self.retries.get(step).or(self.retries.last())
    }

    pub(crate) fn own(&self) -> &Outlet {
        &self.own
    }

    /// Whether a job that came back so often is a suspect.
    pub(crate) fn is_suspect(&self, times: u64) -> bool {
        self.isolate_after.is_some_and(|limit| times >= limit)
    }

    /// What tells a job from others.
    pub(crate) fn key(&self, id: Option<&str>, payload: &[u8]) -> u64 {
        self.hasher.hash_one((id, payload))
    }

    /// A job comes back, and nobody died of it.
    pub(crate) fn count_survived(&self, key: u64) {
        let mut survived = locked(&self.survived);
        if survived.len() >= SURVIVED {
            survived.clear();
        }
        *survived.entry(key).or_default() += 1;
    }

    pub(crate) fn survived(&self, key: u64) -> u64 {
        locked(&self.survived).get(&key).copied().unwrap_or(0)
    }

    /// How long the broker lets a job be held, if it has said so.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let patience = self.patience.load(Ordering::Relaxed);
        (patience > 0).then(|| Duration::from_millis(patience))
    }

    pub(crate) fn set_patience(&self, milliseconds: u64) {
        self.patience.store(milliseconds, Ordering::Relaxed);
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

    /// Whether there is a connection that jobs can come on.
    pub(crate) fn is_connected(&self) -> bool {
        locked(&self.link).as_ref().is_some_and(|link| link.is_alive())
    }

    /// Whether jobs come.
    pub(crate) fn is_taking(&self) -> bool {
        locked(&self.session).is_some()
    }

    /// Has no more jobs come, and gives back those that have come and were not taken; or has them go back
    /// with the connection, if they must keep their order. When its consumer is cancelled, a queue that
    /// has one at a time turns to the next, and what runs here would be done beside what comes after it.
    pub(crate) async fn give_back(self: &Arc<Self>) {
        if !self.keeps_order {
            self.cancel().await;
        }
    }

    /// Has no more jobs come, and gives back those that have come and were not taken.
    pub(crate) async fn cancel(self: &Arc<Self>) {
        let give_back = Box::pin(self.give_back_all());
        future::or(give_back, async { _ = Timer::after(BACK_WITHIN).await }).await;
    }

    async fn give_back_all(self: &Arc<Self>) {
        let session = locked(&self.session).take();
        let Some(Session { link, mut consumer }) = session else { return };
        let tag = consumer.tag();
        let cancel = link.channel.basic_cancel(tag.as_str(), BasicCancelOptions::default());
        if link.answer(cancel).await.is_err() {
            return;
        }
        // What came before the broker has cancelled comes before the stream's end.
        let mut left = Vec::new();
        let all = async {
            while let Some(Ok(delivery)) = consumer.next().await {
                left.push(Delivery::new(delivery, link.clone(), self.clone()));
            }
        };
        // If the link is lost they go back as well.
        _ = link.outcome(all).await;
        pipe(left).map_concurrent(BACK_AT_ONCE, Delivery::give_back).drain().await;
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        let link = locked(&self.link).take();
        if let Some(link) = link {
            link.close().await;
        }
        let outlets = self.retries.iter().chain([&self.dead_letters, &self.own]);
        // Each may take its time, if the broker reads nothing.
        pipe(outlets).map_concurrent(CLOSED_AT_ONCE, Outlet::close).drain().await;
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let Some(link) = locked(&self.link).take().filter(|_| self.keeps_order) else { return };
        // Before the client library cancels the consumer. The first poll says it.
        let close = pin!(link.channel.close(200, "dropped"));
        drop(future::block_on(future::poll_once(close)));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
