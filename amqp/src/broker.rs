use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::connector::{Connector, Purpose, Shared};
use crate::{Error, Runtime};

/// The largest frame, in bytes, unless the address names another: what a broker proposes by default.
/// The client library takes room for 64 of them for each connection. Room that it takes from the start
/// costs nothing until it is used, but when it learns of the size later, it fills all of it with zeros.
const FRAME_MAX: u32 = 131_072;

/// A RabbitMQ broker, and how to connect to it.
///
/// Whatever takes one takes its address as well: `Worker::builder("amqp://localhost", "jobs")`.
///
/// When the broker cannot be reached, or goes away, it is tried again: after 50 ms at first, then
/// after longer and longer waits of at most 5 s, for ever unless
/// [`give_up_after`](Self::give_up_after) sets a limit. Each failure is a warning of the crate
/// `tracing`. A broker that refuses the first connection, because of a wrong password or vhost, is an
/// error at once.
///
/// A worker has a connection for its jobs, one for its outputs, and one for its dead letters once it
/// has any; a publisher has one for each stage. Each connection has a thread that waits for its
/// socket, and takes about 0.5 MB at first and up to 8 MB after much traffic: room for 64 frames of
/// 131,072 bytes. With `?frame_max=8192` in the address it is at most 0.5 MB, but no message may have
/// headers that are larger than that. Many workers or publishers in one process can
/// [share connections](Self::share_connections).
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
    /// At least one.
    urls: Vec<String>,
    shared: Option<Arc<Shared>>,
    heartbeat: Option<Duration>,
    give_up_after: Option<Duration>,
    ca_certificates: Option<String>,
    runtime: Runtime,
}

impl Broker {
    /// Takes the address: `amqp://user:password@host:port/vhost`, or `amqps://` for TLS, which needs the
    /// feature `rustls`.
    ///
    /// User and password default to `guest`, the port to 5672, or 5671 for `amqps://`, and the vhost to
    /// `/`. A slash within the name of a vhost is written as `%2f`, so the default vhost is
    /// `amqp://localhost/%2f` when it is written out. In a password, `/`, `?`, `#` and `%` are written
    /// as `%2f`, `%3f`, `%23` and `%25`. An IPv6 address is written in brackets: `amqp://[::1]`.
    ///
    /// Parameters may follow, as in `amqp://localhost?heartbeat=10&frame_max=8192`: `heartbeat` in
    /// seconds, 0 for none, and then a broker that falls silent is not noticed; `frame_max`, the largest frame in bytes, which defaults to 131,072;
    /// `channel_max`; `connection_timeout` in milliseconds, how long the broker may take to answer when
    /// a connection is made, which defaults to 30 s; `auth_mechanism`.
    ///
    /// The address is read when a worker or publisher is made. One that is not understood is an
    /// [`Error::Url`], which never quotes any of it.
    ///
    /// # Examples
    ///
    /// ```
    /// let broker = flowlet_amqp::Broker::new("amqp://localhost");
    /// ```
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            shared: None,
            heartbeat: None,
            give_up_after: None,
            ca_certificates: None,
            runtime: Runtime::default(),
        }
    }

    /// Adds the address of another node of the same cluster, to fail over to.
    ///
    /// The addresses are tried in the order in which they were added, beginning with the one that took
    /// the last connection. Only when all have failed is there a wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Broker;
    ///
    /// let broker = Broker::new("amqp://rabbit-1").fail_over_to("amqp://rabbit-2");
    /// ```
    pub fn fail_over_to(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Has all workers and publishers that are made from this value and its clones share two
    /// connections: one to take jobs, and one to publish.
    ///
    /// They are made when first needed, and closed with the last that uses them. What one worker does
    /// to its connection then happens to all: a message that the client library cannot read, for one,
    /// has all of them connect again.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::{Broker, Publisher, Worker};
    ///
    /// let broker = Broker::new("amqp://localhost").share_connections();
    /// let thumbnails = Worker::builder(broker.clone(), "thumbnails").build().unwrap();
    /// let mails = Worker::builder(broker.clone(), "mails").build().unwrap();
    /// let publisher = Publisher::new(broker).unwrap();
    /// ```
    pub fn share_connections(mut self) -> Self {
        self.shared = Some(Arc::default());
        self
    }

    /// Sets how long a connection may be silent, in whole seconds. It defaults to what the URL says, and
    /// otherwise to what the broker proposes.
    ///
    /// A worker that falls silent, with its machine or its network, is noticed after twice this time,
    /// and its jobs go to others then. One whose process dies is noticed at once.
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

    /// Sets how long to try for a connection, each time there is none, before it is an error. By default,
    /// it tries for ever.
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

    /// Reads the addresses and the certificates.
    pub(crate) fn connector(&self) -> Result<Connector, Error> {
        let Self { urls, shared, heartbeat, give_up_after, ca_certificates, runtime } =
            self.clone();
        let mut addresses = Vec::new();
        for url in &urls {
            let mut address = Address::parse(url).map_err(Error::Url)?;
            if cfg!(not(feature = "rustls")) && address.is_encrypted() {
                return Err(Error::Url("amqps:// needs the feature `rustls`".to_owned()));
            }
            let query = &mut address.uri.query;
            if let Some(heartbeat) = heartbeat {
                let seconds = heartbeat.as_secs().try_into().expect("it was checked");
                query.heartbeat = Some(seconds);
            }
            query.frame_max.get_or_insert(FRAME_MAX);
            addresses.push(address);
        }
        let is_certificate = |pem: &String| pem.contains("-----BEGIN CERTIFICATE-----");
        if ca_certificates.as_ref().is_some_and(|pem| !is_certificate(pem)) {
            return Err(Error::NoCertificate);
        }
        Ok(Connector {
            addresses: addresses.into(),
            turn: Arc::default(),
            give_up_after,
            ca_certificates,
            runtime,
            losses: Arc::default(),
            shared,
            purpose: Purpose::Take,
        })
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
    /// Leaves out the URLs, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("heartbeat", &self.heartbeat)
            .field("give_up_after", &self.give_up_after)
            .finish_non_exhaustive()
    }
}
