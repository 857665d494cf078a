use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use flowlet::Flow;
use flowlet::prelude::*;
use futures_lite::FutureExt;
use futures_lite::future::{self, Boxed};

use crate::worker::Builder;
use crate::{Broker, Error, Input, Output, Queue, Summary, Worker};

/// One flow over several queues: it is cut into parts, and what a part yields goes to the queue that the
/// next part takes from. So each part scales by itself, on machines of its own.
///
/// The same program is started everywhere, with the name of the part that it runs. The types of the parts
/// have to fit, as within one flow. Each part is a [`Worker`], with all that it promises.
///
/// # Examples
///
/// Fetch on many machines, store on one:
///
/// ```no_run
/// use flowlet::Flow;
/// use flowlet_amqp::Parts;
///
/// async fn fetch(url: String) -> String {
///     format!("the page at {url}")
/// }
///
/// async fn store(page: String) {}
///
/// # async fn run() -> Result<(), flowlet_amqp::Error> {
/// let parts = Parts::take("amqp://localhost", "urls")
///     .part("fetch", Flow::identity().map_concurrent(1, fetch), |worker| worker.concurrency(64))
///     .queue("pages")
///     .part("store", Flow::identity().map_concurrent(1, store), |worker| worker.concurrency(2));
///
/// let name = std::env::args().nth(1).unwrap_or_default();
/// let summary = parts.run(&name, std::future::pending::<()>()).await?;
/// println!("{summary}");
/// # Ok(())
/// # }
/// ```
#[must_use = "parts do nothing unless they are run"]
pub struct Parts<T> {
    broker: Broker,
    /// At least one.
    parts: Vec<Part>,
    yields: PhantomData<fn() -> T>,
}

/// The place after a queue, where a part that takes `T` follows. See [`Parts`].
#[must_use = "parts do nothing unless they are run"]
pub struct Cut<T> {
    broker: Broker,
    parts: Vec<Part>,
    queue: Queue,
    takes: PhantomData<fn(T)>,
}

struct Part {
    name: &'static str,
    /// Where its outputs go; `None` if its settings say that, as they can for the last.
    output: Option<Queue>,
    run: Run,
}

/// Runs a part with this output until the future is ready.
type Run = Box<dyn Fn(Option<Queue>, Boxed<()>) -> Boxed<Result<Summary, Error>> + Send + Sync>;

impl Parts<()> {
    /// Begins with the queue that the first part takes its jobs from.
    ///
    /// # Panics
    ///
    /// Panics if the name of the queue is empty or longer than 250 bytes.
    #[track_caller]
    pub fn take<T>(broker: impl Into<Broker>, queue: impl Into<Queue>) -> Cut<T> {
        let (broker, queue) = (broker.into(), queue.into());
        Cut { broker, parts: Vec::new(), queue, takes: PhantomData }
    }
}

impl<T> Cut<T> {
    /// Adds a part, whose worker gets the settings that `set` makes. As in [`Worker::run`], its flow takes
    /// `T` or a [`Job`](crate::Job) of it, and yields items or [`Message`](crate::Message)s.
    ///
    /// # Panics
    ///
    /// Panics if there is a part of this name.
    #[track_caller]
    pub fn part<I, O>(
        self,
        name: &'static str,
        flow: Flow<I, O>,
        set: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Parts<O::Item>
    where
        I: Input<Item = T>,
        O: Output + Send + 'static,
    {
        self.add(name, set, move |worker, stop| {
            let flow = flow.clone();
            async move { worker.run(&flow, stop).await }.boxed()
        })
    }

    /// Adds a part whose flow yields `Result`s, as for [`Worker::try_run`]: an `Err` fails the job.
    ///
    /// # Panics
    ///
    /// Panics if there is a part of this name.
    #[track_caller]
    pub fn try_part<I, O, E>(
        self,
        name: &'static str,
        flow: Flow<I, Result<O, E>>,
        set: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Parts<O::Item>
    where
        I: Input<Item = T>,
        O: Output + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        self.add(name, set, move |worker, stop| {
            let flow = flow.clone();
            async move { worker.try_run(&flow, stop).await }.boxed()
        })
    }

    #[track_caller]
    fn add<U>(
        mut self,
        name: &'static str,
        set: impl Fn(Builder) -> Builder + Send + Sync + 'static,
        run: impl Fn(Worker, Boxed<()>) -> Boxed<Result<Summary, Error>> + Send + Sync + 'static,
    ) -> Parts<U> {
        assert!(
            self.parts.iter().all(|part| part.name != name),
            "there is a part {name:?} already"
        );
        let (broker, queue) = (self.broker.clone(), self.queue);
        let run: Run = Box::new(move |output, stop| {
            let mut builder = set(Worker::builder(broker.clone(), queue.clone()));
            if let Some(output) = output {
                builder = builder.output(output);
            }
            match builder.build() {
                Ok(worker) => run(worker, stop),
                Err(error) => future::ready(Err(error)).boxed(),
            }
        });
        self.parts.push(Part { name, output: None, run });
        Parts { broker: self.broker, parts: self.parts, yields: PhantomData }
    }
}

impl<T> Parts<T> {
    /// Cuts the flow here: the outputs of the last part go to this queue, and the next part takes from it.
    ///
    /// # Panics
    ///
    /// Panics if the name of the queue is empty or longer than 250 bytes.
    #[track_caller]
    pub fn queue(mut self, queue: impl Into<Queue>) -> Cut<T> {
        let queue = queue.into();
        if let Some(last) = self.parts.last_mut() {
            last.output = Some(queue.clone());
        }
        Cut { broker: self.broker, parts: self.parts, queue, takes: PhantomData }
    }

    /// Returns the names of the parts, in their order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().map(|part| part.name)
    }

    /// Runs one part until `stop` is ready, as [`Worker::run`] does.
    ///
    /// # Errors
    ///
    /// [`Error::NoPart`] if there is none of this name, and otherwise as [`Worker::run`].
    pub async fn run(
        &self,
        name: &str,
        stop: impl Future<Output = impl Sized> + Send + 'static,
    ) -> Result<Summary, Error> {
        let part = self.parts.iter().find(|part| part.name == name);
        let part = part.ok_or_else(|| {
            let names = self.names().collect::<Vec<_>>().join(", ");
            Error::NoPart(format!("{name:?}: there are {names}"))
        })?;
        part.run(async { drop(stop.await) }.boxed()).await
    }

    /// Runs all parts in this process, until `stop` is ready: to try them out, or as long as one machine
    /// is enough. Returns the summary of each, in their order.
    ///
    /// # Errors
    ///
    /// As [`Worker::run`], with the first error of any part. All parts end then.
    pub async fn run_all(
        &self,
        stop: impl Future<Output = impl Sized>,
    ) -> Result<Vec<Summary>, Error> {
        let (tell, told) = async_channel::bounded::<()>(1);
        let run = |part: &Part| {
            let told = told.clone();
            part.run(async move { _ = told.recv().await }.boxed())
        };
        let limit = flowlet::ordered(self.parts.len());
        let runs: Vec<_> = self.parts.iter().map(run).collect();
        let all = pipe(runs).map(Ok).try_map_concurrent(limit, |run| run).try_collect();
        let stop = async {
            stop.await;
            tell.close();
            future::pending().await
        };
        future::or(stop, all).await
    }
}

impl Part {
    fn run(&self, stop: Boxed<()>) -> Boxed<Result<Summary, Error>> {
        (self.run)(self.output.clone(), stop)
    }
}

impl<T> fmt::Debug for Parts<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl<T> fmt::Debug for Cut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("queue", &self.queue).finish_non_exhaustive()
    }
}
