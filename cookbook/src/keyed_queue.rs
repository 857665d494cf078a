//! A consumer of a queue in PostgreSQL. Messages of the same key are handled in order, one at a time, even if there are
//! many consumers. Its limit can be changed while it runs, and its numbers can be seen.
//!
//! What to copy: a hot or slow key does not hold up the others, because few messages of each key are claimed. After a
//! stop, calls that have begun finish, and the other messages are given back. A claim ends with its session, so a
//! consumer that dies gives back everything. Each message is handled at least once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use flowlet::{Concurrency, Monitor, Semaphore, finishing, prelude::*};
use futures_lite::stream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::{Client, Error, NoTls, Row};

/// How many messages of one key a consumer has at most.
pub const PER_KEY: i32 = 8;

/// How many messages may wait for their key or a permit: room for 64 stuck keys.
const WINDOW: usize = 512;

/// The table, and how messages are claimed.
pub const SCHEMA: &str = include_str!("keyed_queue.sql");

/// Gives the session a name that no other has.
const CONNECT: &str = "SELECT set_config('application_name', \
    format('consumer %s since %s', pid, backend_start), false) \
    FROM pg_stat_activity WHERE pid = pg_backend_pid()";
const CLAIM: &str = "SELECT id, key, body FROM claim($1, $2)";
const FINISH: &str =
    "UPDATE messages SET done_at = now(), runs = runs + 1, failure = $2 WHERE id = $1";
const GIVE_BACK: &str = "UPDATE messages SET consumer = NULL \
    WHERE consumer = current_setting('application_name') AND done_at IS NULL";

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its place in the queue.
    pub id: i64,
    /// Messages of the same key are handled in order.
    pub key: String,
    /// Its content.
    pub body: String,
}

/// What a consumer has done.
#[derive(Debug, Default, PartialEq)]
pub struct Summary {
    /// How many messages were handled.
    pub handled: u64,
    /// How many messages were given back.
    pub given_back: u64,
}

/// What can be changed and seen while a consumer runs.
#[derive(Clone, Debug)]
pub struct Controls {
    /// How many messages are handled at once.
    pub limit: Semaphore,
    /// What it does.
    pub monitor: Monitor,
}

/// Serves `GET /numbers`, and `PUT /limit` with a number in the body; 0 pauses.
pub fn router(controls: Controls) -> Router {
    let set = async |State(controls): State<Controls>, limit: String| {
        let limit = limit.trim().parse().map_err(|_| StatusCode::BAD_REQUEST)?;
        controls.limit.set_limit(limit);
        Ok::<_, StatusCode>(format!("{limit}\n"))
    };
    let numbers = async |State(controls): State<Controls>| controls.monitor.to_string();
    Router::new().route("/numbers", get(numbers)).route("/limit", put(set)).with_state(controls)
}

/// A session of a consumer.
#[derive(Debug)]
pub struct Queue {
    client: Client,
    /// Notified when a message is done, because then more of its key can be claimed.
    done: Notify,
}

impl Queue {
    /// Connects to a database such as `postgres://user@host/name`.
    pub async fn connect(database: &str) -> Result<Self, Error> {
        let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
        tokio::spawn(connection); // ends when the client is dropped
        client.query(CONNECT, &[]).await?;
        Ok(Self { client, done: Notify::new() })
    }

    /// Handles messages until `stop` is ready. Then calls that have begun finish, unless `deadline` is ready first, and
    /// all other messages are given back.
    pub async fn consume<Fut: Future<Output = Result<(), String>>>(
        &self,
        controls: &Controls,
        stop: impl Future,
        deadline: impl Future,
        handle: impl Fn(Message) -> Fut,
    ) -> Result<Summary, Error> {
        let Controls { limit, monitor } = controls;
        let is_stopped = AtomicBool::new(false);
        let stop = async {
            stop.await;
            is_stopped.store(true, Relaxed);
            limit.set_limit(limit.limit().max(1)); // in a pause, waiting calls could not return
        };
        let handled = AtomicU64::new(0); // here, because a deadline drops outputs
        let handle = async |message: Message| {
            if !is_stopped.load(Relaxed) {
                let id = message.id;
                let failure = handle(message).await.err();
                self.client.execute(FINISH, &[&id, &failure]).await?;
                self.done.notify_one();
                handled.fetch_add(1, Relaxed);
            }
            Ok(())
        };
        let limit = monitor.stage("handle", Concurrency::new(limit).window(WINDOW));
        stream::repeat(())
            .map(Ok)
            .try_flat_map_concurrent(1, |()| self.claim())
            .take_until_stopped(stop)
            .try_map_concurrent_by_key(finishing(limit), |message| message.key.clone(), handle)
            .take_until_stopped(deadline)
            .try_drain()
            .await?;
        let given_back = self.client.execute(GIVE_BACK, &[]).await?;
        Ok(Summary { handled: handled.into_inner(), given_back })
    }

    /// Claims messages, or waits until there are some.
    async fn claim(&self) -> Result<Vec<Message>, Error> {
        let claimed = loop {
            let claimed = self.client.query(CLAIM, &[&PER_KEY, &100]).await?;
            if !claimed.is_empty() {
                break claimed;
            }
            let _ = timeout(Duration::from_millis(200), self.done.notified()).await;
        };
        let message = |row: &Row| Message { id: row.get(0), key: row.get(1), body: row.get(2) };
        Ok(claimed.iter().map(message).collect())
    }
}
