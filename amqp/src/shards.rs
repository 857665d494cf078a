use crate::Queue;
use crate::message::fnv;

/// Several queues in the place of one, so that the jobs of a key are done in their order.
///
/// A job goes to the queue that a hash of its key picks, and each queue delivers its jobs to one worker at a
/// time, whichever of those that wait. With a concurrency and a prefetch of 1, the jobs of a key are done
/// one after the other, in the order in which they were published, by any number of workers. As many keys
/// as there are queues are done at once, on as many machines.
///
/// The number of queues is part of the hash: to change it, let the queues run empty first.
///
/// A job that fails is tried again after others of its key; with [`tries(1)`](crate::worker::Builder::tries)
/// it becomes a dead letter instead.
///
/// # Examples
///
/// ```no_run
/// use flowlet::Flow;
/// use flowlet::prelude::*;
/// use flowlet_amqp::{Broker, Error, Publisher, Shards, Worker};
///
/// async fn book((account, amount): (String, i64)) {}
///
/// # async fn run() -> Result<(), Error> {
/// let shards = Shards::new("entries", 8);
/// let broker = Broker::new("amqp://localhost").share_connections();
///
/// // Those that publish do it in the order of each key.
/// let publisher = Publisher::new(broker.clone())?;
/// let senders: Vec<_> = shards.queues().map(|queue| publisher.sender(queue)).collect();
/// let entries = (0..1000).map(|n| (format!("account {}", n % 30), n));
/// let key = |(account, _): &(String, i64)| account.clone();
/// let send = async |entry: (String, i64)| senders[shards.number_of(&entry.0)].send(entry).await;
/// pipe(entries).map_concurrent_by_key(100, key, send).try_drain().await?;
///
/// // Those that do the jobs have a worker for each queue, which waits while another process has it.
/// let flow = Flow::<(String, i64)>::identity().map_concurrent(1, book);
/// let work = async |queue| {
///     let worker = Worker::builder(broker.clone(), queue).concurrency(1).build()?;
///     worker.run(&flow, std::future::pending::<()>()).await
/// };
/// pipe(shards.queues()).map_concurrent(8, work).try_drain().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    name: String,
    count: u32,
}

impl Shards {
    /// Describes so many queues, named `jobs-0`, `jobs-1` and so on if the name is `jobs`.
    ///
    /// # Panics
    ///
    /// Panics if the count is 0, or if the name is empty or too long for a queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Shards;
    ///
    /// let shards = Shards::new("jobs", 3);
    /// let names: Vec<_> = shards.queues().map(|queue| queue.name().to_owned()).collect();
    /// assert_eq!(names, ["jobs-0", "jobs-1", "jobs-2"]);
    /// ```
    #[track_caller]
    pub fn new(name: impl Into<String>, count: u32) -> Self {
        assert!(count > 0, "there must be at least one shard");
        let shards = Self { name: name.into(), count };
        assert!(!shards.name.is_empty(), "the shards' name must not be empty");
        let _checked = shards.queue(count - 1);
        shards
    }

    /// Describes the queue of this number.
    ///
    /// # Panics
    ///
    /// Panics if there is none of this number.
    #[track_caller]
    pub fn queue(&self, number: u32) -> Queue {
        assert!(number < self.count, "there are {} shards, and so no {number}", self.count);
        Queue::new(self.name_of(number)).single_active_consumer()
    }

    /// Describes all the queues.
    pub fn queues(&self) -> impl Iterator<Item = Queue> + use<'_> {
        (0..self.count).map(|number| self.queue(number))
    }

    /// Returns the number of the queue for a key. It is the same in all programs and versions.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(flowlet_amqp::Shards::new("jobs", 1).number_of("key"), 0);
    /// ```
    pub fn number_of(&self, key: &str) -> usize {
        let number = fnv(key) % u128::from(self.count);
        number.try_into().expect("it is less than the count")
    }

    fn name_of(&self, number: u32) -> String {
        format!("{}-{number}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::Shards;

    #[test]
    fn keys_are_spread_and_stay_where_they_are() {
        let shards = Shards::new("jobs", 8);
        let mut counts = [0; 8];
        (0..8000).for_each(|n| counts[shards.number_of(&format!("key {n}"))] += 1);
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        // In another version, jobs of a key would be done out of order.
        assert_eq!(["", "a", "key 1"].map(|key| shards.number_of(key)), [5, 4, 7]);
    }
}
