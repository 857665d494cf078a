use std::fmt;
use std::time::Duration;

use super::Worker;
use super::health::Runs;
use super::waits::Waits;
use crate::queue::LONGEST_WAIT;
use crate::{Broker, Codec, Error, Json, Queue};

/// How many jobs run at once by default.
const CONCURRENCY: u16 = 16;

/// How often a job is tried by default.
const TRIES: u32 = 3;

/// How long a failed job waits each time by default.
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// How often a suspect came back by default: a quarter of the delivery limit, within these.
const ISOLATE_AFTER: (u32, u32) = (2, 5);

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
    /// Defaults to the concurrency.
    prefetch: Option<u16>,
    pub(super) tries: u32,
    retry_after: Vec<Duration>,
    /// Defaults to what follows from the delivery limit.
    isolate_after: Option<Option<u32>>,
    pub(super) stop_within: Option<Duration>,
}

impl Settings {
    /// How long a job waits after its first failure, its second, and so on.
    pub(super) fn waits(&self) -> &[Duration] {
        let failures = usize::try_from(self.tries - 1).unwrap_or(usize::MAX);
        &self.retry_after[..self.retry_after.len().min(failures)]
    }

    pub(super) fn isolate_after(&self) -> Option<u64> {
        let (least, most) = ISOLATE_AFTER;
        let usual = match self.queue.limit() {
            // A suspect would give way to those that come after it.
            _ if self.queue.keeps_order() => None,
            Some(limit) => Some((limit / 4).clamp(least, most)),
            None => Some(most),
        };
        self.isolate_after.unwrap_or(usual).map(u64::from)
    }

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
            retry_after: RETRY_AFTER.to_vec(),
            isolate_after: None,
            stop_within: None,
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

    /// Sets how many jobs run at once. Defaults to 16.
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

    /// Sets how many jobs the broker hands out before the first of them is answered: those that run, and
    /// those that are here for when one is done. Defaults to the concurrency.
    ///
    /// With more than that, the next job is there when one is done, which matters for jobs that take
    /// little longer than a message to the broker and back. With too many, jobs wait here while
    /// others idle, and more of them come back when a worker dies.
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

    /// Sets how often a job that fails is tried in all, before it is moved to the dead letters. It
    /// defaults to 3.
    ///
    /// Between two tries it waits in the broker, for as long as [`retry_after`](Self::retry_after) says.
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

    /// Sets how long a job waits before it is tried again: after its first failure, after its second, and
    /// so on; the last counts for all further ones. It defaults to 1 s and 10 s.
    ///
    /// It waits in the broker, in a queue for each of these times, such as `jobs.retry.10s` for `jobs`,
    /// from which the broker moves it back. So it keeps no slot, and its number of tries, in the header
    /// `x-flowlet-tries`, survives workers that stop or die and brokers that do. Whoever is free then
    /// takes it. These queues are quorum queues that are declared even if the queue of the jobs is
    /// [`existing`](Queue::existing), then when the first job fails.
    ///
    /// # Panics
    ///
    /// Panics if there is no time, or one longer than 49 days. One shorter than a millisecond is a
    /// millisecond.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    /// use std::time::Duration;
    ///
    /// let worker = Worker::builder("amqp://localhost", "jobs")
    ///     .tries(5)
    ///     .retry_after([1, 60, 600].map(Duration::from_secs))
    ///     .build()
    ///     .unwrap();
    /// ```
    #[track_caller]
    pub fn retry_after(mut self, waits: impl Into<Waits>) -> Self {
        let Waits(waits) = waits.into();
        assert!(!waits.is_empty(), "a job must wait some time before it is tried again");
        let longest = waits.iter().max().expect("there is one");
        assert!(*longest <= LONGEST_WAIT, "a job must not wait longer than 49 days");
        self.settings.retry_after = waits;
        self
    }

    /// Sets how often a job must have come back without an answer to be a suspect: one that may kill its
    /// workers, and others that run beside it. `None` turns this off. It defaults to a quarter of the
    /// [`delivery_limit`](Queue::delivery_limit), but at least 2 and at most 5: to 5 for a queue with
    /// defaults. It is off for a queue with a
    /// [`single_active_consumer`](Queue::single_active_consumer), whose order it would change.
    ///
    /// Half as many suspects as the [`concurrency`](Self::concurrency) run at once, and with each further
    /// time that one comes back half of that, down to one. Other jobs run beside them. A suspect that runs
    /// for more than a second, or four times as long for each further time that it came back, holds up
    /// others no more. What a worker has seen itself is not counted: connections that were lost while it
    /// lived, and jobs that it gave back when it stopped. A connection that another worker lost is.
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
    /// let worker = Worker::builder("amqp://localhost", "jobs").isolate_after(None).build().unwrap();
    /// ```
    #[track_caller]
    pub fn isolate_after(mut self, times: impl Into<Option<u32>>) -> Self {
        let times = times.into();
        assert!(times != Some(0), "a job that never came back is no suspect");
        self.settings.isolate_after = Some(times);
        self
    }

    /// Sets how long the jobs that run may go on when the worker is told to stop. What is not done by then
    /// is dropped, counted in [`Summary::dropped`](crate::Summary::dropped), and goes back to the queue. It
    /// defaults to no limit.
    ///
    /// What has not begun goes back at once in any case. Allow a few seconds more for the end of the
    /// connections.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Worker;
    /// use std::time::Duration;
    ///
    /// // Kubernetes kills after 30 s.
    /// let worker = Worker::builder("amqp://localhost", "jobs")
    ///     .stop_within(Duration::from_secs(20))
    ///     .build()
    ///     .unwrap();
    /// ```
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.settings.stop_within = Some(time);
        self
    }

    /// Sets how jobs and outputs are encoded. Defaults to [`Json`].
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
        Ok(Worker { connector: broker.connector()?, settings, codec, runs: Runs::default() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_a_suspect_came_back_follows_from_the_queue() {
        let of = |queue: Queue| Builder::new(Broker::new("amqp://localhost"), queue);
        let isolate_after = |builder: Builder| builder.settings.isolate_after();
        let jobs = || Queue::new("jobs");
        for (limit, times) in [(1, 2), (8, 2), (12, 3), (20, 5), (1000, 5)] {
            assert_eq!(isolate_after(of(jobs().delivery_limit(limit))), Some(times));
        }
        assert_eq!(isolate_after(of(Queue::existing("jobs"))), Some(5));
        assert_eq!(isolate_after(of(jobs().single_active_consumer())), None);
        assert_eq!(isolate_after(of(jobs().single_active_consumer()).isolate_after(3)), Some(3));
        assert_eq!(isolate_after(of(jobs()).isolate_after(None)), None);
    }
}
