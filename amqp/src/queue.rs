use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};

use crate::message::fitting;

/// The argument that says how often a message may come back.
pub(crate) const LIMIT: &str = "x-delivery-limit";

/// How often a job may come back without an answer.
const DELIVERY_LIMIT: u32 = 20;

/// The same of a dead letter. Each look at it counts as a return, and RabbitMQ 4 drops what came back more
/// than 20 times if a queue has no limit. There is no word for none that all versions know.
const NO_LIMIT: u32 = i32::MAX as u32;

/// The longest that the broker lets a message wait: as many milliseconds as fit in 32 bits.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(u32::MAX as u64);

/// A queue, and how it is declared.
///
/// A name will do wherever a queue is asked for, and stands for one with the defaults: a durable quorum
/// queue. A job that has come back 20 times without an answer, such as one that kills its worker, is moved
/// by the broker to the queue of dead letters, `jobs.dead` for `jobs`, which is declared as well. It is
/// moved *at least once*, so that a broker that dies does not lose it; for that, the queue refuses new
/// messages when it is full, if a policy bounds it.
///
/// A queue keeps the settings that it was first declared with, and whoever declares it with others is
/// refused. So keep them in one place, or use [`existing`](Self::existing).
///
/// # Examples
///
/// ```
/// use flowlet_amqp::{Queue, Worker};
///
/// let jobs = Queue::new("jobs").delivery_limit(5).dead_letters("broken-jobs");
/// let worker = Worker::builder("amqp://localhost", jobs).output("pages").build().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "this only describes a queue"]
pub struct Queue {
    name: String,
    dead_letters: String,
    /// Defaults to the default exchange, which has no name.
    dead_letter_exchange: String,
    /// `None` if the queue is there already.
    delivery_limit: Option<u32>,
    has_single_active_consumer: bool,
    /// Defaults to what the broker has.
    consumer_timeout: Option<Duration>,
    expires_after: Option<Duration>,
}

impl Queue {
    /// Describes a queue that is declared when it is not there.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, or longer than 250 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = flowlet_amqp::Queue::new("jobs");
    /// ```
    #[track_caller]
    pub fn new(name: impl Into<String>) -> Self {
        let name = checked("a queue", name.into());
        let dead_letters = format!("{name}.dead");
        Self {
            name,
            dead_letters,
            dead_letter_exchange: String::new(),
            delivery_limit: Some(DELIVERY_LIMIT),
            has_single_active_consumer: false,
            consumer_timeout: None,
            expires_after: None,
        }
    }

    /// Describes a queue of any kind that someone else declares. It must be there, and so must the
    /// one for dead letters if jobs are taken from it.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, or longer than 250 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = flowlet_amqp::Queue::existing("jobs").dead_letters("broken-jobs");
    /// ```
    #[track_caller]
    pub fn existing(name: impl Into<String>) -> Self {
        Self { delivery_limit: None, ..Self::new(name) }
    }

    /// Sets how often a job may come back without an answer before the broker moves it to the dead
    /// letters. Defaults to 20. It has no effect on an [`existing`](Self::existing) queue.
    ///
    /// When a worker dies, all jobs that it has come back, the innocent ones too, and so they do when a
    /// connection is lost: a low limit moves jobs that did nothing wrong. With 6, four neighbours of a job that aborts
    /// were moved with it in one run of four. See [`Worker`](crate::Worker) for how they are told
    /// apart.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = flowlet_amqp::Queue::new("jobs").delivery_limit(5);
    /// ```
    pub fn delivery_limit(mut self, limit: u32) -> Self {
        self.delivery_limit = self.delivery_limit.map(|_| limit);
        self
    }

    /// Has the queue deliver its jobs to one worker at a time. Others that take from it wait until that one
    /// stops or dies. It has no effect on an [`existing`](Self::existing) queue.
    ///
    /// With a concurrency of 1, the jobs are done in the order in which they came, but for those that fail
    /// and are tried again later. See [`Shards`](crate::Shards) for an order within each key.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = flowlet_amqp::Queue::new("entries").single_active_consumer();
    /// ```
    pub fn single_active_consumer(mut self) -> Self {
        self.has_single_active_consumer = true;
        self
    }

    /// Sets how long a job may be held before it is answered. The broker's own limit, which defaults to
    /// 30 minutes, applies if it is not set, and on an [`existing`](Self::existing) queue.
    ///
    /// When a job is held for longer, the broker closes the channel that it came on, and all jobs of that
    /// worker come again. It looks once a minute. See [`Worker`](crate::Worker) for what becomes of the
    /// job. This sets the argument `x-consumer-timeout`, which RabbitMQ knows from 3.12 on. For an older
    /// one, set `consumer_timeout` in its configuration.
    ///
    /// # Panics
    ///
    /// Panics if it is shorter than a millisecond.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Queue;
    /// use std::time::Duration;
    ///
    /// let queue = Queue::new("films").consumer_timeout(Duration::from_secs(6 * 3600));
    /// ```
    #[track_caller]
    pub fn consumer_timeout(mut self, time: Duration) -> Self {
        assert!(time.as_millis() > 0, "a consumer timeout must be at least a millisecond");
        self.consumer_timeout = Some(time);
        self
    }

    /// Has the broker delete the queue, and its dead letters, when nobody has used it for so long: with all
    /// that is in it. It is meant for queues of one program, such as one for answers. It has no effect on
    /// an [`existing`](Self::existing) queue.
    ///
    /// # Panics
    ///
    /// Panics if it is shorter than a millisecond or longer than 24 days.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Queue;
    /// use std::time::Duration;
    ///
    /// let answers = Queue::new("answers-1").expires_after(Duration::from_secs(600));
    /// ```
    #[track_caller]
    pub fn expires_after(mut self, time: Duration) -> Self {
        let is_valid = (1..=i32::MAX as u128).contains(&time.as_millis());
        assert!(is_valid, "a queue must expire after a millisecond to 24 days");
        self.expires_after = Some(time);
        self
    }

    /// Sets the name of the queue for dead letters.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, or longer than 250 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = flowlet_amqp::Queue::new("jobs").dead_letters("broken-jobs");
    /// ```
    #[track_caller]
    pub fn dead_letters(mut self, name: impl Into<String>) -> Self {
        self.dead_letters = checked("a queue", name.into());
        self
    }

    /// Routes dead letters through an exchange of this name, which must exist, with the name of the queue
    /// for dead letters as the routing key. That queue is bound to it with this key, unless this one is
    /// [`existing`](Self::existing). By default, they go to their queue directly.
    ///
    /// Other queues can get them as well: those of all queues, or some of them, by their keys.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, or longer than 250 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// let queue = flowlet_amqp::Queue::new("jobs").dead_letter_exchange("broken");
    /// ```
    #[track_caller]
    pub fn dead_letter_exchange(mut self, name: impl Into<String>) -> Self {
        self.dead_letter_exchange = checked("an exchange", name.into());
        self
    }

    /// Returns its name.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_amqp::Queue::new("jobs").name(), "jobs");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The queue that its rejected jobs go to.
    pub(crate) fn for_dead_letters(&self) -> Target {
        let arguments = self.delivery_limit.map(|_| {
            let mut arguments = self.expiring(quorum());
            arguments.insert(LIMIT.into(), AMQPValue::LongLongInt(NO_LIMIT.into()));
            arguments
        });
        let exchange = self.dead_letter_exchange.clone();
        Target { name: self.dead_letters.clone(), exchange, arguments }
    }

    fn expiring(&self, mut arguments: FieldTable) -> FieldTable {
        if let Some(time) = self.expires_after {
            let milliseconds = time.as_millis().try_into().expect("it was checked");
            arguments.insert("x-expires".into(), AMQPValue::LongLongInt(milliseconds));
        }
        arguments
    }

    /// The queue itself.
    pub(crate) fn target(&self) -> Target {
        let arguments = self.delivery_limit.map(|limit| {
            let mut arguments = self.expiring(quorum());
            let mut set = |name: &str, value: &str| {
                arguments.insert(name.into(), AMQPValue::LongString(value.into()));
            };
            set("x-dead-letter-exchange", &self.dead_letter_exchange);
            set("x-dead-letter-routing-key", &self.dead_letters);
            set("x-dead-letter-strategy", "at-least-once");
            set("x-overflow", "reject-publish");
            arguments.insert(LIMIT.into(), AMQPValue::LongLongInt(limit.into()));
            if self.has_single_active_consumer {
                arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
            }
            if let Some(time) = self.consumer_timeout {
                let time = AMQPValue::LongLongInt(milliseconds(time));
                arguments.insert("x-consumer-timeout".into(), time);
            }
            arguments
        });
        Target { name: self.name.clone(), exchange: String::new(), arguments }
    }

    /// The queue where messages for this one wait for so long. All of it wait equally long, or one would
    /// wait behind another.
    pub(crate) fn after(&self, wait: Duration) -> Target {
        let mut arguments = quorum();
        let mut set = |name: &str, value: &str| {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        };
        set("x-dead-letter-exchange", "");
        set("x-dead-letter-routing-key", &self.name);
        set("x-dead-letter-strategy", "at-least-once");
        set("x-overflow", "reject-publish");
        let wait = milliseconds(wait);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(wait));
        let name = fitting(format!("{}.retry.{}", self.name, in_words(wait)));
        Target { name, exchange: String::new(), arguments: Some(arguments) }
    }

    /// Whether jobs come in their order, whoever takes them.
    pub(crate) fn keeps_order(&self) -> bool {
        self.has_single_active_consumer
    }

    /// How often a job may come back; `None` if someone else says that.
    pub(crate) fn limit(&self) -> Option<u32> {
        self.delivery_limit
    }
}

impl From<&str> for Queue {
    #[track_caller]
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Queue {
    #[track_caller]
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

#[track_caller]
fn checked(what: &str, name: String) -> String {
    assert!(!name.is_empty(), "{what}'s name must not be empty");
    assert!(name.len() <= 250, "{what}'s name must not be longer than 250 bytes");
    name
}

/// In whole ones, one at least.
fn milliseconds(time: Duration) -> i64 {
    let whole = time.as_nanos().div_ceil(1_000_000).max(1);
    whole.try_into().unwrap_or(i64::MAX)
}

/// Such as `90s`, in the largest unit that it is a whole number of.
fn in_words(milliseconds: i64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let fitting = units.iter().find(|(_, unit)| milliseconds % unit == 0);
    let (name, unit) = fitting.unwrap_or(&("ms", 1));
    format!("{}{name}", milliseconds / unit)
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

/// What to declare, or to look for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// The exchange that messages for it go to; the default one has no name, and needs nothing.
    pub(crate) exchange: String,
    /// `None` if it is only looked for.
    pub(crate) arguments: Option<FieldTable>,
}

impl Target {
    /// The arguments without the limit, if that is none: a queue of dead letters may have been declared
    /// without it, and will do.
    pub(crate) fn without_limit(&self) -> Option<FieldTable> {
        let mut arguments = self.arguments.as_ref()?.inner().clone();
        let limit = arguments.remove(LIMIT)?;
        (limit == AMQPValue::LongLongInt(NO_LIMIT.into())).then(|| arguments.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_for_waiting_are_named_after_the_wait() {
        let name = |millis| Queue::new("jobs").after(Duration::from_millis(millis)).name;
        let names = [0, 1, 1500, 90_000, 60_000, 5_400_000, 7_200_000, 172_800_000].map(name);
        let expected = ["1ms", "1ms", "1500ms", "90s", "1m", "90m", "2h", "2d"];
        assert_eq!(names, expected.map(|wait| format!("jobs.retry.{wait}")));
        let long = Queue::new("x".repeat(250)).after(Duration::from_secs(1)).name;
        assert!(long.len() <= 255);
    }
}
