//! How connections are made, and made again.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_io::Timer;
use async_lock::Mutex;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_lite::future;
use lapin::tcp::OwnedTLSConfig;
use lapin::{Connection, ConnectionProperties, ErrorKind};

use crate::address::Address;
use crate::lenient::Lenient;
use crate::link::Link;
use crate::loss::Losses;
use crate::socket::{self, Guard};
use crate::{Error, Runtime};

/// How long the broker may take to answer when a connection is made, unless the address says so.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The first wait before a connection is tried again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A broker whose addresses were read.
#[derive(Clone)]
pub(crate) struct Connector {
    /// At least one.
    pub(crate) addresses: Arc<[Address]>,
    /// Whose turn it is, counted on over the end.
    pub(crate) turn: Arc<AtomicUsize>,
    pub(crate) give_up_after: Option<Duration>,
    pub(crate) ca_certificates: Option<String>,
    pub(crate) runtime: Runtime,
    pub(crate) losses: Arc<Losses>,
    /// The connections that are shared, if they are.
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) purpose: Purpose,
}

/// What a connection is for. The broker stops reading from one that publishes too much, and must not
/// stop reading acks; so those that publish are others.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Take,
    Publish,
}

/// Connections that links share, one for each purpose, as long as there are links.
#[derive(Default)]
pub(crate) struct Shared {
    to_take: Mutex<Weak<Connection>>,
    to_publish: Mutex<Weak<Connection>>,
}

impl Connector {
    /// The same, for links that publish.
    pub(crate) fn to_publish(&self) -> Self {
        Self { purpose: Purpose::Publish, ..self.clone() }
    }

    /// Connects, has `prepare` make the link ready for use, and tries again until both went well.
    ///
    /// `is_first` says that there was no such link before: then a refusal is an error at once, since
    /// it will not be better the next time. Later it may be one of a broker that has just started.
    pub(crate) async fn link<T, Fut>(
        &self,
        is_first: bool,
        prepare: impl Fn(Link) -> Fut,
    ) -> Result<T, Error>
    where
        Fut: Future<Output = lapin::Result<T>>,
    {
        let begun = Instant::now();
        let left_of = |time: Duration| time.saturating_sub(begun.elapsed());
        let mut waits = backoff();
        let mut last = None;
        loop {
            let mut wait = Duration::ZERO;
            for left in (0..self.addresses.len()).rev() {
                let turn = self.turn.load(Ordering::Relaxed);
                let address = &self.addresses[turn % self.addresses.len()];
                let allowed = self.give_up_after.map(left_of);
                if let (Some(Duration::ZERO), Some(error)) = (allowed, last.take()) {
                    return Err(Error::GaveUp(error));
                }
                let error = match self.attempt(address, allowed, &prepare).await {
                    Ok(link) => return Ok(link),
                    Err(error) => error,
                };
                if let Some(refusal) = is_first.then(|| refusal(&error, address)).flatten() {
                    return Err(refusal);
                }
                if self.give_up_after.is_some_and(|time| begun.elapsed() >= time) {
                    return Err(Error::GaveUp(error));
                }
                self.losses.add(&error);
                // Unless another that looks for a connection has moved on already.
                let next = turn.wrapping_add(1);
                let (of_turn, relaxed) = (&self.turn, Ordering::Relaxed);
                let _ = of_turn.compare_exchange(turn, next, relaxed, relaxed);
                if left == 0 {
                    wait = waits.next().unwrap_or(BACKOFF.1);
                }
                tracing::warn!(%error, %address, ?wait, "no connection to the broker, trying again");
                last = Some(error);
            }
            Timer::after(self.give_up_after.map_or(wait, |time| wait.min(left_of(time)))).await;
        }
    }

    /// Runs something with the upkeep of the connections.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Connects once. Whatever was begun has ended when this returns or is dropped.
    async fn attempt<T, Fut>(
        &self,
        address: &Address,
        allowed: Option<Duration>,
        prepare: impl Fn(Link) -> Fut,
    ) -> lapin::Result<T>
    where
        Fut: Future<Output = lapin::Result<T>>,
    {
        let time = address.uri.query.connection_timeout.map(Duration::from_millis);
        let time = time.unwrap_or(ANSWER_WITHIN);
        let time = allowed.map_or(time, |allowed| allowed.min(time));
        let ready = async {
            if let Some(shared) = &self.shared {
                let connection = self.shared(shared, address, time).await?;
                return prepare(self.channel(connection, true).await?).await;
            }
            let (connection, guard) = self.connect(address, time).await?;
            let ready = prepare(self.channel(Arc::new(connection), false).await?).await;
            // From here on it is closed as connections are, with a word to the broker.
            guard.let_go();
            ready
        };
        within(time, ready).await
    }

    async fn channel(&self, connection: Arc<Connection>, is_shared: bool) -> lapin::Result<Link> {
        let channel = connection.create_channel().await?;
        Ok(Link::new(connection, is_shared, channel, &self.runtime))
    }

    async fn shared(
        &self,
        shared: &Shared,
        address: &Address,
        time: Duration,
    ) -> lapin::Result<Arc<Connection>> {
        let slot = match self.purpose {
            Purpose::Take => &shared.to_take,
            Purpose::Publish => &shared.to_publish,
        };
        // Others wait here while one connects.
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.upgrade().filter(|shared| shared.status().connected()) {
            return Ok(connection);
        }
        let (connection, guard) = self.connect(address, time).await?;
        guard.let_go();
        let connection = Arc::new(connection);
        *slot = Arc::downgrade(&connection);
        Ok(connection)
    }

    async fn connect(
        &self,
        address: &Address,
        time: Duration,
    ) -> lapin::Result<(Connection, Guard)> {
        let stream = socket::connect(address, time).await?;
        let guard = Guard::new(&stream)?;
        let properties = ConnectionProperties::default()
            .with_executor(self.runtime.clone())
            .with_reactor(Lenient)
            .with_connection_name("flowlet-amqp".into());
        let trust = OwnedTLSConfig { cert_chain: self.ca_certificates.clone(), identity: None };
        let stream = Box::new(socket::handing_over(stream, trust));
        let connection = Connection::connector(address.uri.clone(), stream, properties).await?;
        Ok((connection, guard))
    }
}

/// The waits between tries.
pub(crate) fn backoff() -> impl Iterator<Item = Duration> + Send {
    let (first, longest) = BACKOFF;
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
        // Jitter comes on top.
        .map(move |wait| wait.min(longest))
}

async fn within<T>(
    time: Duration,
    answer: impl Future<Output = lapin::Result<T>>,
) -> lapin::Result<T> {
    future::or(answer, async {
        Timer::after(time).await;
        Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
    })
    .await
}

/// What it is if the broker understood and said no, rather than not being there; or if we did, to its
/// certificate.
fn refusal(error: &lapin::Error, address: &Address) -> Option<Error> {
    use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
    let refused = || Error::Refused(error.clone());
    if let ErrorKind::IOError(error) = error.kind() {
        return (error.kind() == std::io::ErrorKind::InvalidData).then(refused);
    }
    let ErrorKind::ProtocolError(said) = error.kind() else { return None };
    match said.kind() {
        AMQPErrorKind::Soft(
            AMQPSoftError::ACCESSREFUSED
            | AMQPSoftError::NOTFOUND
            | AMQPSoftError::PRECONDITIONFAILED
            | AMQPSoftError::RESOURCELOCKED,
        ) => Some(refused()),
        // The same word for a vhost that has as many connections as it may, and will have fewer.
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
            if !said.get_message().as_str().contains("limit") =>
        {
            Some(Error::NoVhost(address.uri.vhost.clone()))
        }
        _ => None,
    }
}
