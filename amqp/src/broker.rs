use std::future::Future;
use std::time::{Duration, Instant};

use async_io::Timer;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_lite::future;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};

use crate::lenient::Lenient;
use crate::link::Link;
use crate::{Error, Runtime};

/// How long the broker may take to answer when a connection is made.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The first wait before a connection is tried again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A RabbitMQ broker, and how to connect to it.
///
/// Whatever takes one takes its address as well: `Worker::builder("amqp://localhost", "jobs")`.
///
/// When the broker cannot be reached, or goes away, it is tried again: after 50 ms at first, then
/// after longer and longer waits of at most 5 s, for ever unless
/// [`give_up_after`](Self::give_up_after) says else. Each failure is a warning of the crate
/// `tracing`.
///
/// # Examples
///
/// ```
/// use flowlet_amqp::{Broker, Worker};
/// use std::time::Duration;
///
/// let broker = Broker::new("amqp://guest:guest@localhost:5672/%2f")
///     .heartbeat(Duration::from_secs(10))
///     .give_up_after(Duration::from_secs(60));
/// let worker = Worker::builder(broker, "jobs").build().unwrap();
/// ```
#[derive(Clone)]
#[must_use = "this only says how to connect"]
pub struct Broker {
    url: String,
    heartbeat: Option<Duration>,
    give_up_after: Option<Duration>,
    ca_certificates: Option<String>,
    runtime: Runtime,
}

impl Broker {
    /// Takes the address, such as `amqp://user:password@host:5672/%2f`. What is left out is what
    /// RabbitMQ has by default. `amqps://` needs the feature `rustls`.
    ///
    /// # Examples
    ///
    /// ```
    /// let broker = flowlet_amqp::Broker::new("amqp://localhost");
    /// ```
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            heartbeat: None,
            give_up_after: None,
            ca_certificates: None,
            runtime: Runtime::default(),
        }
    }

    /// Sets how long a connection may be silent, in whole seconds. What is said in the URL, and else
    /// by the broker, counts if nothing is said here.
    ///
    /// A worker that stops without a word, with its machine or its network, is found out after twice
    /// this time, and its jobs go to others then. One whose process dies is found out at once.
    ///
    /// # Panics
    ///
    /// Panics if it is less than a second or more than 65,535.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Broker;
    /// use std::time::Duration;
    ///
    /// let broker = Broker::new("amqp://localhost").heartbeat(Duration::from_secs(10));
    /// ```
    #[track_caller]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        let is_valid = (1..=u64::from(u16::MAX)).contains(&heartbeat.as_secs());
        assert!(is_valid, "a heartbeat must be from 1 to 65,535 seconds");
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Sets how long to try for a connection, each time there is none, before it is an error. It is
    /// for ever if nothing is said.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Broker;
    /// use std::time::Duration;
    ///
    /// let broker = Broker::new("amqp://localhost").give_up_after(Duration::from_secs(60));
    /// ```
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = Some(time);
        self
    }

    /// Sets certificates of authorities that may vouch for a broker at `amqps://`, besides those that
    /// the system trusts: the text of a PEM file, with one or more of them.
    ///
    /// The broker's certificate must be for the host that the address names. A text without any
    /// certificate is an error when the worker or publisher is made.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use flowlet_amqp::Broker;
    ///
    /// # fn run() -> std::io::Result<()> {
    /// let ours = std::fs::read_to_string("/etc/ssl/our-authority.pem")?;
    /// let broker = Broker::new("amqps://broker.example.org").ca_certificates(ours);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "rustls")]
    pub fn ca_certificates(mut self, pem: impl Into<String>) -> Self {
        self.ca_certificates = Some(pem.into());
        self
    }

    /// Sets where the upkeep of the connections runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::{Broker, Runtime};
    ///
    /// let broker = Broker::new("amqp://localhost").runtime(Runtime::own_thread());
    /// ```
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Reads the address and the certificates.
    pub(crate) fn connector(&self) -> Result<Connector, Error> {
        let mut uri: AMQPUri = self.url.parse().map_err(Error::Url)?;
        if let Some(heartbeat) = self.heartbeat {
            let seconds = heartbeat.as_secs().try_into().expect("it was checked");
            uri.query.heartbeat = Some(seconds);
        }
        if cfg!(not(feature = "rustls")) && uri.scheme == lapin::uri::AMQPScheme::AMQPS {
            return Err(Error::Url("amqps:// needs the feature `rustls`".to_owned()));
        }
        let Self { give_up_after, ca_certificates, runtime, .. } = self.clone();
        let is_certificate = |pem: &String| pem.contains("-----BEGIN CERTIFICATE-----");
        if ca_certificates.as_ref().is_some_and(|pem| !is_certificate(pem)) {
            return Err(Error::NoCertificate);
        }
        Ok(Connector { uri, give_up_after, ca_certificates, runtime })
    }
}

impl From<&str> for Broker {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for Broker {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl std::fmt::Debug for Broker {
    /// Leaves out the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("heartbeat", &self.heartbeat)
            .field("give_up_after", &self.give_up_after)
            .finish_non_exhaustive()
    }
}

/// A broker whose address was read.
#[derive(Clone)]
pub(crate) struct Connector {
    uri: AMQPUri,
    give_up_after: Option<Duration>,
    ca_certificates: Option<String>,
    runtime: Runtime,
}

impl Connector {
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
        let mut waits = backoff();
        loop {
            let answer = within(ANSWER_WITHIN, async { prepare(self.connect().await?).await });
            let error = match answer.await {
                Ok(link) => return Ok(link),
                Err(error) if is_first && is_refusal(&error) => return Err(Error::Refused(error)),
                Err(error) => error,
            };
            if self.give_up_after.is_some_and(|time| begun.elapsed() >= time) {
                return Err(Error::GaveUp(error));
            }
            let wait = waits.next().unwrap_or(BACKOFF.1);
            let host = &self.uri.authority.host;
            tracing::warn!(%error, %host, ?wait, "no connection to the broker, trying again");
            Timer::after(wait).await;
        }
    }

    async fn connect(&self) -> lapin::Result<Link> {
        let properties = ConnectionProperties::default()
            .with_executor(self.runtime.clone())
            .with_reactor(Lenient)
            .with_connection_name("flowlet-amqp".into());
        let trust = OwnedTLSConfig { cert_chain: self.ca_certificates.clone(), identity: None };
        let uri = self.uri.clone();
        let connection = Connection::connect_uri_with_config(uri, properties, trust).await?;
        let channel = connection.create_channel().await?;
        Ok(Link::new(connection, channel, &self.runtime))
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

/// Whether the broker understood and said no, rather than not being there; or whether we did, to its
/// certificate.
fn is_refusal(error: &lapin::Error) -> bool {
    use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
    if let ErrorKind::IOError(error) = error.kind() {
        return error.kind() == std::io::ErrorKind::InvalidData;
    }
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(
        error.kind(),
        AMQPErrorKind::Soft(
            AMQPSoftError::ACCESSREFUSED
                | AMQPSoftError::NOTFOUND
                | AMQPSoftError::PRECONDITIONFAILED
                | AMQPSoftError::RESOURCELOCKED
        )
    )
}
