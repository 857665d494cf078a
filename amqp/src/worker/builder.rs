use std::fmt;
use std::time::Duration;

use super::Worker;
use crate::{Broker, Codec, Error, Json, Queue};

/// How many jobs at once, if nothing else is said.
const CONCURRENCY: u16 = 16;

/// How often a job is tried, if nothing else is said.
const TRIES: u32 = 3;

/// How long to wait after the first try, if nothing else is said.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Settings of a [`Worker`].
///
/// # Examples
///
/// ```
/// use flowlet_amqp::Worker;
///
/// let worker = Worker::builder("amqp://localhost", "jobs")
///     .output("results")
///     .concurrency(32)
///     .tries(5)
///     .build()
///     .unwrap();
/// ```
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<C = Json> {
    broker: Broker,
    settings: Settings,
    codec: C,
}

/// What is said of a worker.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) queue: Queue,
    pub(super) output: Option<Queue>,
    /// Whether outputs go to where the job wants an answer.
    pub(super) replies: bool,
    pub(super) concurrency: u16,
    /// As many as the concurrency if nothing is said.
    prefetch: Option<u16>,
    pub(super) tries: u32,
    pub(super) retry_after: Duration,
}

impl Settings {
    pub(super) fn prefetch(&self) -> u16 {
        self.prefetch.unwrap_or(self.concurrency)
    }
}

impl Builder {
    pub(super) fn new(broker: Broker, queue: Queue) -> Self {
        let settings = Settings {
            queue,
            output: None,
            replies: false,
            concurrency: CONCURRENCY,
            prefetch: None,
            tries: TRIES,
            retry_after: RETRY_AFTER,
        };
        Self { broker, settings, codec: Json }
    }
}

impl<C> Builder<C> {
    /// Sets the queue that outputs are published to. Without one, outputs are dropped: the jobs are
    /// done for what they do.
    ///
    /// # Panics
    ///
    /// Panics if the name of the queue is empty or longer than 250 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    ///
    /// let worker = Worker::builder("amqp://localhost", "jobs").output("results").build().unwrap();
    /// ```
    #[track_caller]
    pub fn output(mut self, queue: impl Into<Queue>) -> Self {
        self.settings.output = Some(queue.into());
        self
    }

    /// Sends the outputs of a job whose message has a `reply_to` to the queue that it names, with the job's
    /// correlation id. The outputs of other jobs go to the [`output`](Self::output).
    ///
    /// An answer is dropped if its queue is not there, as whoever asked has gone then.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    ///
    /// let worker = Worker::builder("amqp://localhost", "questions").reply().build().unwrap();
    /// ```
    pub fn reply(mut self) -> Self {
        self.settings.replies = true;
        self
    }

    /// Sets how many jobs run at once. It is 16 if nothing else is said.
    ///
    /// # Panics
    ///
    /// Panics if it is 0, or more than 65,535, which is as much as the broker can prefetch.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    ///
    /// let worker = Worker::builder("amqp://localhost", "jobs").concurrency(32).build().unwrap();
    /// ```
    #[track_caller]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.settings.concurrency = checked("the concurrency", concurrency);
        self
    }

    /// Sets how many jobs the broker gives before the first of them is answered: those that run, and
    /// those that have come for when one is done. It is the concurrency if nothing else is said.
    ///
    /// With more than that, the next job is there when one is done, which matters for jobs that take
    /// little longer than a message to the broker and back. With too many, jobs wait here while
    /// others idle, and a worker that dies gives more of them back.
    ///
    /// # Panics
    ///
    /// Panics if it is 0, or more than 65,535.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    ///
    /// let worker = Worker::builder("amqp://localhost", "jobs").prefetch(64).build().unwrap();
    /// ```
    #[track_caller]
    pub fn prefetch(mut self, prefetch: usize) -> Self {
        self.settings.prefetch = Some(checked("the prefetch", prefetch));
        self
    }

    /// Sets how often a job that fails is tried in all, before it is moved to the dead letters. It is
    /// 3 if nothing else is said.
    ///
    /// It is tried again in the same worker, and keeps its place among those that run until then.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    ///
    /// let worker = Worker::builder("amqp://localhost", "jobs").tries(1).build().unwrap();
    /// ```
    #[track_caller]
    pub fn tries(mut self, tries: u32) -> Self {
        assert!(tries > 0, "a job must be tried at least once");
        self.settings.tries = tries;
        self
    }

    /// Sets how long to wait before a job is tried the second time; it is twice as long before each
    /// further time. It is 100 ms if nothing else is said.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    /// use std::time::Duration;
    ///
    /// let worker = Worker::builder("amqp://localhost", "jobs")
    ///     .retry_after(Duration::from_secs(1))
    ///     .build()
    ///     .unwrap();
    /// ```
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.settings.retry_after = wait;
        self
    }

    /// Sets how jobs and outputs are encoded. It is [`Json`] if nothing else is said.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::{Json, Worker};
    ///
    /// let worker = Worker::builder("amqp://localhost", "jobs").codec(Json).build().unwrap();
    /// ```
    pub fn codec<D: Codec>(self, codec: D) -> Builder<D> {
        Builder { broker: self.broker, settings: self.settings, codec }
    }

    /// Makes the worker. It does not connect before it runs.
    ///
    /// # Errors
    ///
    /// Fails if the address of the broker cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    ///
    /// assert!(Worker::builder("amqp://localhost", "jobs").build().is_ok());
    /// assert!(Worker::builder("localhost", "jobs").build().is_err());
    /// ```
    pub fn build(self) -> Result<Worker<C>, Error> {
        let Self { broker, settings, codec } = self;
        Ok(Worker { connector: broker.connector()?, settings, codec })
    }
}

impl<C> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("broker", &self.broker)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn checked(what: &str, number: usize) -> u16 {
    assert!(number > 0, "{what} must be at least 1");
    number.try_into().unwrap_or_else(|_| panic!("{what} must be at most 65,535, not {number}"))
}
