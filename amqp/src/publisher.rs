use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flowlet::Concurrency;
use flowlet::prelude::*;
use futures_lite::Stream;

use crate::connector::Connector;
use crate::exit::Exit;
use crate::message::new_id;
use crate::output::{Output, message};
use crate::queue::{LONGEST_WAIT, Target};
use crate::{Broker, Codec, Error, Json, Queue, Sender};

/// Publishes items to queues: streams of them, or [one by one](Self::sender).
///
/// # Examples
///
/// ```no_run
/// use flowlet::prelude::*;
/// use flowlet_amqp::Publisher;
///
/// # async fn run() -> Result<(), flowlet_amqp::Error> {
/// let publisher = Publisher::new("amqp://localhost")?;
/// let urls = (0..1000).map(|n| format!("http://localhost/{n}"));
/// let published = pipe(urls).through(publisher.publish(100, "urls")).await?;
/// assert_eq!(published, 1000);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Publisher<C = Json> {
    connector: Connector,
    codec: C,
}

impl Publisher {
    /// Makes a publisher of JSON. It does not connect before it publishes.
    ///
    /// # Errors
    ///
    /// Fails if the address of the broker cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::Publisher;
    ///
    /// assert!(Publisher::new("amqp://localhost").is_ok());
    /// ```
    pub fn new(broker: impl Into<Broker>) -> Result<Self, Error> {
        Self::with_codec(broker, Json)
    }
}

impl<C: Codec> Publisher<C> {
    /// Makes a publisher with another codec.
    ///
    /// # Errors
    ///
    /// Fails if the address of the broker cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet_amqp::{Json, Publisher};
    ///
    /// assert!(Publisher::with_codec("amqp://localhost", Json).is_ok());
    /// ```
    pub fn with_codec(broker: impl Into<Broker>, codec: C) -> Result<Self, Error> {
        Ok(Self { connector: broker.into().connector()?, codec })
    }

    /// Makes a last stage, for [`through`](flowlet::FlowExt::through), that publishes items to a queue, with
    /// up to `limit` of them in flight, and resolves to the number that the broker has confirmed.
    ///
    /// A confirmed item is on disk, and survives a restart of the broker. While the queue is full, or the
    /// broker is away or short of memory or disk, no items are taken: this is backpressure for the stages
    /// upstream, whose calls go on. Each item has a message id of its own. One whose confirm was lost with a
    /// connection is published once more, with the same id. Items can overtake each other then, unless the
    /// limit is 1.
    ///
    /// If the future is dropped, items in flight may be in the queue or not.
    ///
    /// # Errors
    ///
    /// Ends with the first error: an item that could not be encoded or is larger than the broker
    /// takes, a broker that refuses, or that cannot be reached for longer than
    /// [`give_up_after`](Broker::give_up_after).
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0, or if the name of the queue is empty or longer than 250 bytes.
    #[track_caller]
    pub fn publish<'a, S>(
        &self,
        limit: impl Into<Concurrency>,
        queue: impl Into<Queue>,
    ) -> impl FnOnce(S) -> Publishing<'a> + Send
    where
        S: Stream + Send + 'a,
        S::Item: Output + Send,
    {
        self.stage(limit.into(), queue.into().target(), |_: &S::Item| new_id())
    }

    /// Does the same as [`publish`](Self::publish), with a message id that `id` makes for each item.
    ///
    /// With an id that is the same each time the item is published, by whichever program, a job that was
    /// done before can be recognized. AMQP allows 255 bytes. Of a longer id, the beginning is kept and a
    /// hash of all of it, so that different ids stay different, and equal ones equal, in every program.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0, or if the name of the queue is empty or longer than 250 bytes.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use flowlet::prelude::*;
    /// use flowlet_amqp::Publisher;
    ///
    /// # async fn run() -> Result<(), flowlet_amqp::Error> {
    /// let publisher = Publisher::new("amqp://localhost")?;
    /// let urls = ["http://localhost/a", "http://localhost/b"];
    /// let publish = publisher.publish_with_id(100, "urls", |url: &&str| url.to_string());
    /// pipe(urls).through(publish).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn publish_with_id<'a, S, F>(
        &self,
        limit: impl Into<Concurrency>,
        queue: impl Into<Queue>,
        id: F,
    ) -> impl FnOnce(S) -> Publishing<'a> + Send
    where
        S: Stream + Send + 'a,
        S::Item: Output + Send,
        F: Fn(&S::Item) -> String + Send + Sync + 'a,
    {
        self.stage(limit.into(), queue.into().target(), id)
    }

    /// Does the same as [`publish`](Self::publish), but the items come to the queue only after `delay`.
    ///
    /// Until then they wait in the broker, in a queue for each delay, such as `jobs.retry.10m` for `jobs`, as
    /// jobs do that are tried again. They survive the broker there. Such a queue stays, so use few different
    /// delays. If the queue itself is not there when the time comes, they wait until it is.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0, if the delay is longer than 49 days, or if the name of the queue is empty or
    /// longer than 250 bytes. A delay shorter than a millisecond is a millisecond.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use flowlet::prelude::*;
    /// use flowlet_amqp::Publisher;
    /// use std::time::Duration;
    ///
    /// # async fn run() -> Result<(), flowlet_amqp::Error> {
    /// let publisher = Publisher::new("amqp://localhost")?;
    /// let tomorrow = Duration::from_secs(24 * 3600);
    /// pipe(["a reminder"]).through(publisher.publish_after(tomorrow, 100, "mails")).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn publish_after<'a, S>(
        &self,
        delay: Duration,
        limit: impl Into<Concurrency>,
        queue: impl Into<Queue>,
    ) -> impl FnOnce(S) -> Publishing<'a> + Send
    where
        S: Stream + Send + 'a,
        S::Item: Output + Send,
    {
        assert!(delay <= LONGEST_WAIT, "items must not wait longer than 49 days");
        self.stage(limit.into(), queue.into().after(delay), |_: &S::Item| new_id())
    }

    /// Makes a sender of single items to a queue.
    ///
    /// It does not connect before the first item, and declares the queue then.
    ///
    /// # Panics
    ///
    /// Panics if the name of the queue is empty or longer than 250 bytes.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use flowlet_amqp::Publisher;
    ///
    /// # async fn run() -> Result<(), flowlet_amqp::Error> {
    /// let urls = Publisher::new("amqp://localhost")?.sender("urls");
    /// urls.send("http://localhost/a").await?; // in the queue, on disk
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn sender(&self, queue: impl Into<Queue>) -> Sender<C> {
        let exit = Exit::new(&self.connector, Some(queue.into().target()));
        Sender::new(exit, self.codec.clone())
    }

    fn stage<'a, S, F>(
        &self,
        limit: Concurrency,
        target: Target,
        id: F,
    ) -> impl FnOnce(S) -> Publishing<'a> + Send + use<'a, S, C, F>
    where
        S: Stream + Send + 'a,
        S::Item: Output + Send,
        F: Fn(&S::Item) -> String + Send + Sync + 'a,
    {
        let exit = Exit::new(&self.connector, Some(target));
        let codec = self.codec.clone();
        move |items: S| {
            Box::pin(async move {
                // A queue that is not as it should be is found out before any item is taken.
                exit.check().await?;
                let confirmed = AtomicU64::new(0);
                let messages = items.map(|item| {
                    let id = id(&item);
                    let message = message(item, &codec, None, || Some(id));
                    message.map_err(|error| Error::Encode(error.to_string()))
                });
                let publish = async |message| {
                    if exit.publish(&message, None).await? {
                        confirmed.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                };
                let published = messages.try_map_concurrent(limit, publish).try_drain().await;
                exit.close().await;
                published.map(|()| confirmed.into_inner())
            })
        }
    }
}

impl<C> fmt::Debug for Publisher<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// Future of [`Publisher::publish`]. Resolves to the number of items that the broker has confirmed.
pub type Publishing<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;
