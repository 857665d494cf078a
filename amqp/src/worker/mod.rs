//! Workers, and their settings.

mod builder;
mod health;
mod job;
mod stop;
mod summary;
mod turns;
mod waits;

use std::fmt;
use std::sync::Arc;

use async_io::Timer;
use flowlet::Flow;
use futures_lite::{FutureExt, StreamExt, future, stream};
use serde::de::DeserializeOwned;

pub use self::builder::Builder;
pub use self::health::Health;
pub use self::summary::Summary;
pub use self::waits::Waits;

use self::builder::Settings;
use self::health::Runs;
use self::job::Jobs;
use self::stop::Stopping;
use self::turns::{CameBack, Rules};
use crate::connector::Connector;
use crate::exit::Exit;
use crate::intake::Intake;
use crate::link::Link;
use crate::queue::Target;
use crate::source::Source;
use crate::{Broker, Codec, Deliveries, Delivery, Error, Input, Json, Output, Queue, codec};

/// Takes jobs from a queue, runs a [`Flow`] on each, and publishes the outputs.
///
/// Any number of workers, in any number of processes on any number of machines, can share a queue.
/// `run` is one future: the jobs run in whatever task it is awaited in, as a pipeline's calls do, and
/// [`in_task`](flowlet::in_task), [`in_thread`](flowlet::in_thread) and the like take them elsewhere.
///
/// # At least once
///
/// A job is acked when the broker has confirmed all its outputs, and not before. So whoever is killed, at
/// whatever moment, the outputs of each job are published, or it is still in the queue, or among the dead
/// letters. After a death, outputs can be there twice, with the same message id: the job's id, a colon,
/// and the number of the output. An id longer than the 255 bytes that AMQP allows is shortened, as by
/// [`publish_with_id`](crate::Publisher::publish_with_id). Outputs of a job without an id have none.
///
/// # Each job for itself
///
/// The flow is applied to each job alone. A limit in it bounds the calls of one job. For a limit across all
/// jobs of the worker, use a [`Semaphore`](flowlet::Semaphore); for batches of jobs,
/// [`deliveries`](Self::deliveries).
///
/// A job fails if its flow panics, or yields an error in [`try_run`](Self::try_run). It is tried again,
/// [`tries`](Builder::tries) times in all, with [waits](Builder::retry_after) that it spends in the broker.
/// Then it is moved to the dead letters, with the reason in the header `x-flowlet-reason`. A payload that
/// is not a job is moved at once, and so is a job with an output that cannot be encoded, is larger than the
/// broker takes, or has a route that leads nowhere. Other jobs are not affected. Outputs that were published
/// before it failed stay.
///
/// A job that kills the process comes back to the queue, with all others that the process had. The
/// broker counts that, and moves it to the dead letters after
/// [`delivery_limit`](Queue::delivery_limit) times, with the reason `delivery_limit` in the header
/// `x-death`. So that it does not take others along, only some of those that have come back several times
/// run at once: see [`isolate_after`](Builder::isolate_after).
///
/// A message with a text that is not UTF-8 where AMQP wants it, such as its type or the name of a header, is
/// a job like others; question marks stand for what is not UTF-8. One that cannot be read at all ends its
/// connection. Then jobs are taken one at a time, with waits between, until the broker has moved it to the
/// dead letters. On an [`existing`](Queue::existing) queue without a delivery limit that does not happen, and
/// warnings say so.
///
/// # Jobs that take long
///
/// The broker lets a job be held for 30 minutes by default, its *consumer timeout*, which counts from the
/// delivery. When one is held for longer, it closes the channel, with a warning here that says so, and all
/// jobs of the worker come again. The worker knows the limit from then on: a job that is held for nine
/// tenths of it is dropped and moved to the dead letters, with that as the reason. For longer jobs set
/// [`consumer_timeout`](Queue::consumer_timeout), and leave the prefetch at the concurrency, so that none
/// waits here.
///
/// # When the broker goes away
///
/// Calls that run are dropped: what they yield could not be published, as their jobs come again. As soon
/// as there is a connection the next jobs come, within the same limit. A worker that is told to stop does
/// not wait for one. See [`Broker`].
///
/// # Examples
///
/// ```no_run
/// use flowlet::Flow;
/// use flowlet_amqp::Worker;
///
/// async fn fetch(url: String) -> String {
///     format!("the page at {url}")
/// }
///
/// # async fn ctrl_c() {}
/// # async fn run() -> Result<(), flowlet_amqp::Error> {
/// let flow = Flow::<String>::identity().map_concurrent(1, fetch);
/// let worker =
///     Worker::builder("amqp://localhost", "urls").output("pages").concurrency(32).build()?;
/// let summary = worker.run(&flow, ctrl_c()).await?;
/// println!("{summary}");
/// # Ok(())
/// # }
/// ```
pub struct Worker<C = Json> {
    connector: Connector,
    settings: Settings,
    codec: C,
    runs: Runs,
}

impl Worker {
    /// Begins to set up a worker that takes its jobs from `queue`.
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
    /// let worker = Worker::builder("amqp://localhost", "jobs").concurrency(32).build().unwrap();
    /// ```
    #[track_caller]
    pub fn builder(broker: impl Into<Broker>, queue: impl Into<Queue>) -> Builder {
        Builder::new(broker.into(), queue.into())
    }
}

impl<C: Codec> Worker<C> {
    /// Declares the queues, as a running worker does first: so that jobs can be published before there is
    /// one, and mistakes are found when a program is deployed.
    ///
    /// # Errors
    ///
    /// Fails if the broker refuses, or cannot be reached for longer than
    /// [`give_up_after`](Broker::give_up_after).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), flowlet_amqp::Error> {
    /// flowlet_amqp::Worker::builder("amqp://localhost", "jobs").build()?.declare().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn declare(&self) -> Result<(), Error> {
        let mut targets = self.targets();
        targets.extend(self.settings.output.as_ref().map(Queue::target));
        let prepare = async |link: Link| {
            for target in &targets {
                link.declare(target).await?;
            }
            Ok(link)
        };
        self.connector.link(true, prepare).await?.close().await;
        Ok(())
    }

    /// Returns what the worker does now, in [`run`](Self::run) or [`try_run`](Self::try_run), and what it
    /// has done.
    ///
    /// # Examples
    ///
    /// A line each ten seconds, as long as the worker runs:
    ///
    /// ```no_run
    /// use flowlet::Flow;
    /// use flowlet_amqp::Worker;
    /// use futures_lite::future;
    /// use std::time::Duration;
    ///
    /// # async fn ctrl_c() {}
    /// # async fn run() -> Result<(), flowlet_amqp::Error> {
    /// let worker = Worker::builder("amqp://localhost", "jobs").build()?;
    /// let flow = Flow::<String>::identity();
    /// let report = async {
    ///     loop {
    ///         async_io::Timer::after(Duration::from_secs(10)).await;
    ///         println!("{}", worker.health());
    ///     }
    /// };
    /// future::or(worker.run(&flow, ctrl_c()), report).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn health(&self) -> Health {
        self.runs.health(self.connector.losses.read())
    }

    /// Runs `flow` on every job until `stop` is ready.
    ///
    /// Then no more jobs are taken, those that run are finished and acked, those that have not begun
    /// go back, and the connections are closed. If the broker does not take an output or a dead letter
    /// within 5 seconds after that, its job is dropped and goes back. A call can take as long as it does,
    /// unless [`stop_within`](Builder::stop_within) bounds that. To stop at once, drop the future: what
    /// runs is dropped, and its jobs go back.
    ///
    /// # Errors
    ///
    /// Fails if the broker refuses, or cannot be reached for longer than
    /// [`give_up_after`](Broker::give_up_after). All jobs that run go back then.
    pub async fn run<T, U>(
        &self,
        flow: &Flow<T, U>,
        stop: impl Future<Output = impl Sized>,
    ) -> Result<Summary, Error>
    where
        T: Input,
        U: Output + Send + 'static,
    {
        self.run_checked(flow, Ok, stop).await
    }

    /// Runs `flow`, whose outputs are `Result`s, on every job until `stop` is ready: an `Err` fails
    /// the job.
    ///
    /// The job's other calls are dropped, and it is tried again or moved to the dead letters, with
    /// the error as the reason. All else is as in [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); never because of a job.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use flowlet::Flow;
    /// use flowlet_amqp::Worker;
    ///
    /// async fn parse(text: String) -> Result<u64, std::num::ParseIntError> {
    ///     text.parse()
    /// }
    ///
    /// # async fn run() -> Result<(), flowlet_amqp::Error> {
    /// let flow = Flow::<String>::identity().map_concurrent(1, parse);
    /// let worker = Worker::builder("amqp://localhost", "texts").output("numbers").build()?;
    /// worker.try_run(&flow, std::future::pending::<()>()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_run<T, U, E>(
        &self,
        flow: &Flow<T, Result<U, E>>,
        stop: impl Future<Output = impl Sized>,
    ) -> Result<Summary, Error>
    where
        T: Input,
        U: Output + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        self.run_checked(flow, |output| output.map_err(|error| error.to_string()), stop).await
    }

    async fn run_checked<T, U, O>(
        &self,
        flow: &Flow<T, U>,
        check: fn(U) -> Result<O, String>,
        stop: impl Future<Output = impl Sized>,
    ) -> Result<Summary, Error>
    where
        T: Input,
        U: Send + 'static,
        O: Output + Send + 'static,
    {
        let output = self.settings.output.as_ref();
        let source = self.source();
        let (tell, stopping) = Stopping::new();
        let jobs = Arc::new(Jobs {
            flow: flow.clone(),
            check,
            codec: self.codec.clone(),
            exit: Exit::new(&self.connector, output.map(Queue::target)),
            replies: self.settings.replies,
            tries: self.settings.tries,
            source: source.clone(),
            stopping: stopping.clone(),
            counts: Arc::default(),
        });
        let _run = self.runs.begin(&jobs.counts, &source);
        let told = stopping.clone();
        let deliveries = self.intake(&source).until(async move { told.told().await });
        let done = async {
            // A queue for outputs that is not as it should be is found out before any job is taken.
            let stopped = async {
                stopping.told().await;
                None
            };
            match future::or(stopped, async { Some(jobs.exit.check().await) }).await {
                Some(checked) => checked?,
                None => return Ok(()),
            }
            let settings = &self.settings;
            let rules = Rules::new(settings.concurrency.into(), settings.isolate_after());
            let answer = |job| jobs.clone().answer(job);
            // What the broker does not take in time is dropped, and so goes back by itself.
            let give_back = async |job: Delivery<()>| {
                stopping.unless_late(job.give_back()).await;
            };
            turns::run(deliveries, rules, answer, give_back).await
        };
        // Beside the jobs: while as many run as may, the deliveries are not asked for more.
        let stop = async {
            stop.await;
            tell.tell();
            let late = async {
                match self.settings.stop_within {
                    Some(time) => drop(Timer::after(time).await),
                    None => future::pending().await,
                }
            };
            let give_back = async {
                source.give_back().await;
                future::pending().await
            };
            future::or(late, give_back).await;
            jobs.counts.drop_all();
            Ok(())
        };
        let done = future::or(done, stop).await;
        source.close().await;
        jobs.exit.close().await;
        done.map(|()| jobs.counts.summary())
    }

    /// Takes jobs from the queue, as many ahead as the prefetch says, until `stop` is ready: the
    /// lower level, for pipelines across jobs.
    ///
    /// Each has to be answered. A payload that is not a job is moved to the dead letters on the way. The
    /// prefetch is how many jobs can be taken and not yet answered: batches must be smaller, or they never
    /// fill. Nor may they wait for ever: the broker takes back all jobs when one is held for longer than its
    /// consumer timeout, 30 minutes by default.
    ///
    /// When `stop` is ready, jobs that have come and were not taken from the stream go back, and it
    /// ends. [`close`](Deliveries::close) it when the last answer is given.
    ///
    /// # Errors
    ///
    /// The stream yields one error and ends if the broker refuses, or cannot be reached for longer
    /// than [`give_up_after`](Broker::give_up_after).
    ///
    /// # Examples
    ///
    /// A hundred jobs in one insert, acked after the commit. If the program dies in between, they
    /// come again, so the insert should ignore ids that are there. A batch that is not full is inserted
    /// after a second, for which flowlet's feature `time` is needed.
    ///
    /// ```no_run
    /// use flowlet::prelude::*;
    /// use flowlet_amqp::{Delivery, Error, Worker};
    ///
    /// async fn insert(rows: impl Iterator<Item = &String>) {}
    ///
    /// # async fn ctrl_c() {}
    /// # async fn run() -> Result<(), Error> {
    /// let worker = Worker::builder("amqp://localhost", "rows").prefetch(400).build()?;
    /// let mut rows = worker.deliveries::<String>(ctrl_c());
    /// let store = async |batch: Vec<Delivery<String>>| {
    ///     insert(batch.iter().map(Delivery::job)).await;
    ///     for delivery in batch {
    ///         match delivery.ack().await {
    ///             Ok(()) | Err(Error::Lost) => {} // it comes again if the connection was lost
    ///             Err(error) => return Err(error),
    ///         }
    ///     }
    ///     Ok(())
    /// };
    /// let second = std::time::Duration::from_secs(1);
    /// let batches = pipe(&mut rows).try_batched_within(100, second);
    /// batches.try_map_concurrent(2, store).try_drain().await?;
    /// rows.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn deliveries<T>(
        &self,
        stop: impl Future<Output = impl Sized> + Send + 'static,
    ) -> Deliveries<T>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let source = self.source();
        let (tell, stopping) = Stopping::new();
        let told = stopping.clone();
        let raw = self.intake(&source).until(async move { told.told().await });
        let stop = async move {
            stop.await;
            tell.tell();
            future::pending::<()>().await
        };
        let state = (raw, self.codec.clone(), stop.boxed());
        let decoded = stream::unfold(state, move |(mut raw, codec, mut stop)| {
            let stopping = stopping.clone();
            async move {
                let next = async {
                    loop {
                        let delivery = match raw.next().await? {
                            Ok(delivery) => delivery,
                            Err(error) => return Some((Err(error), false)),
                        };
                        let reason = match codec::job(&codec, delivery.payload()) {
                            Ok(job) => return Some((Ok(delivery.map(|()| job)), false)),
                            Err(reason) => reason,
                        };
                        match stopping.unless_late(delivery.reject(reason)).await {
                            Some(Ok(()) | Err(Error::Lost)) | None => {}
                            Some(Err(error)) => return Some((Err(error), true)),
                        }
                    }
                };
                let stopped = async {
                    (&mut stop).await;
                    None
                };
                // What has come is yielded, and what has not makes the stream end by itself.
                let (next, is_over) = future::or(next, stopped).await?;
                let raw = if is_over { stream::empty().boxed() } else { raw };
                Some((next, (raw, codec, stop)))
            }
        });
        Deliveries::new(decoded.boxed(), source, self.connector.clone())
    }

    fn source(&self) -> Arc<Source> {
        let Settings { queue, .. } = &self.settings;
        let (waits, isolate_after) = (self.settings.waits(), self.settings.isolate_after());
        Arc::new(Source::new(&self.connector, queue, waits, isolate_after))
    }

    fn intake(&self, source: &Arc<Source>) -> Intake {
        Intake {
            connector: self.connector.clone(),
            queue: self.settings.queue.name().to_owned(),
            targets: self.targets(),
            prefetch: self.settings.prefetch(),
            source: source.clone(),
        }
    }

    /// What is declared before jobs are taken.
    fn targets(&self) -> Vec<Target> {
        let Settings { queue, .. } = &self.settings;
        let mut targets = vec![queue.for_dead_letters(), queue.target()];
        // Of a queue that someone else declares they are declared when there is need.
        if queue.limit().is_some() {
            targets.extend(self.settings.waits().iter().map(|wait| queue.after(*wait)));
        }
        targets
    }
}

impl<C> fmt::Debug for Worker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl CameBack for Delivery<()> {
    fn times(&self) -> u64 {
        Delivery::times(self)
    }
}
