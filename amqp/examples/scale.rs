//! Measures jobs per second: workers side by side, and against a loop by hand on the client library.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_io::Timer;
use flowlet::Flow;
use flowlet::prelude::*;
use flowlet_amqp::{Publisher, Runtime, Worker};
use futures_lite::future::block_on;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

#[path = "support/arguments.rs"]
mod arguments;

use arguments::Arguments;

const USAGE: &str = "\
Measures how many jobs a second workers do, each in a thread of its own, with calls
that do nothing and calls that wait for 10 ms, at a concurrency of 32.

Usage: scale --amqp URL [--jobs N]

  --amqp URL   the broker; its queues scale-jobs and scale-outputs are emptied
  --jobs N     how many jobs each time (default: 10000)
";

const CONCURRENCY: u16 = 32;

const JOBS: &str = "scale-jobs";
const OUTPUTS: &str = "scale-outputs";

fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args().skip(1), "--jobs", 10_000) {
        Ok(arguments) if arguments.number > 0 => arguments,
        Ok(_) => return arguments::explain("--jobs must be at least 1", USAGE),
        Err(problem) => return arguments::explain(&problem, USAGE),
    };
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let bench = Bench::new(arguments)?;
    for call in [Duration::ZERO, Duration::from_millis(10)] {
        println!("calls of {call:?}:");
        for workers in [1, 2, 4] {
            bench.fill()?;
            let left = Left::new(bench.jobs);
            let rate = bench.run(workers, |bench| block_on(bench.work(call, &left)))?;
            println!("  {workers} workers: {rate:.0} jobs/s");
        }
        // One after the other, and again, as the broker is not always as fast.
        for _ in 0..2 {
            bench.fill()?;
            let by_hand = bench.run(1, |bench| block_on(bench.work_by_hand(call)))?;
            bench.fill()?;
            let left = Left::new(bench.jobs);
            let worker = bench.run(1, |bench| block_on(bench.work(call, &left)))?;
            println!("  by hand: {by_hand:.0} jobs/s, one worker: {worker:.0} jobs/s");
        }
    }
    Ok(())
}

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

struct Bench<'a> {
    url: &'a str,
    jobs: usize,
    channel: Channel,
    _connection: Connection,
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self, Box<dyn std::error::Error>> {
        let url = &arguments.url;
        block_on(Worker::builder(url.as_str(), JOBS).output(OUTPUTS).build()?.declare())?;
        let (_connection, channel) = block_on(connect(url))?;
        Ok(Self { url, jobs: arguments.number, channel, _connection })
    }

    /// Puts all jobs into their queue, and empties the other.
    fn fill(&self) -> Result<(), Box<dyn std::error::Error>> {
        for queue in [JOBS, OUTPUTS] {
            block_on(self.channel.queue_purge(queue, QueuePurgeOptions::default()))?;
        }
        let publisher = Publisher::new(self.url)?;
        block_on(pipe(0..self.jobs).through(publisher.publish(500, JOBS)))?;
        Ok(())
    }

    /// How many jobs a second `workers` threads do.
    fn run(
        &self,
        workers: usize,
        work: impl Fn(&Self) -> Outcome + Sync,
    ) -> Result<f64, Box<dyn std::error::Error>> {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(self))).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
        })
        .map_err(|error| error.to_string())?;
        let rate = self.jobs as f64 / begun.elapsed().as_secs_f64();
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let outputs = self.channel.queue_declare(OUTPUTS, passive, FieldTable::default());
        let outputs = block_on(outputs)?.message_count() as usize;
        if outputs != self.jobs {
            return Err(format!("{outputs} outputs of {} jobs", self.jobs).into());
        }
        Ok(rate)
    }

    async fn work(&self, call: Duration, left: &Left) -> Outcome {
        let worker = Worker::builder(self.url, JOBS)
            .output(OUTPUTS)
            .concurrency(CONCURRENCY.into())
            .build()?;
        let count = left.clone();
        let flow = Flow::<usize>::identity().map_concurrent(1, move |job| {
            count.begin();
            answer(job, call)
        });
        // What has begun is finished.
        worker.run(&flow, left.all_begun.recv()).await?;
        Ok(())
    }

    /// What a program without this crate would do, with none of its care: no panic is caught, no
    /// failure is tried again, no connection is made anew.
    async fn work_by_hand(&self, call: Duration) -> Outcome {
        let (taking, take) = connect(self.url).await?;
        let (giving, give) = connect(self.url).await?;
        give.confirm_select(ConfirmSelectOptions::default()).await?;
        take.basic_qos(CONCURRENCY, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let jobs = take.basic_consume(JOBS, "", options, FieldTable::default()).await?;
        let work = async |job: lapin::message::Delivery| -> lapin::Result<()> {
            let number = serde_json::from_slice(&job.data).expect("it is a number");
            let output = serde_json::to_vec(&answer(number, call).await).expect("it is a number");
            let properties = BasicProperties::default().with_delivery_mode(2);
            let options = BasicPublishOptions { mandatory: true, ..Default::default() };
            let sent = give.basic_publish("", OUTPUTS, options, &output, properties).await?;
            assert!(sent.await?.is_ack());
            job.ack(BasicAckOptions::default()).await?;
            Ok(())
        };
        let done =
            jobs.try_map_concurrent(usize::from(CONCURRENCY), work).take(self.jobs).try_drain();
        done.await?;
        giving.close(200, "done").await?;
        taking.close(200, "done").await?;
        Ok(())
    }
}

/// How many jobs have not begun, in any worker.
#[derive(Clone)]
struct Left {
    jobs: Arc<AtomicUsize>,
    /// Closed when there are none.
    all_begun: async_channel::Receiver<()>,
    _open: async_channel::Sender<()>,
}

impl Left {
    fn new(jobs: usize) -> Self {
        let (_open, all_begun) = async_channel::bounded(1);
        Self { jobs: Arc::new(jobs.into()), all_begun, _open }
    }

    fn begin(&self) {
        if self.jobs.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all_begun.close();
        }
    }
}

async fn answer(job: usize, call: Duration) -> usize {
    if !call.is_zero() {
        Timer::after(call).await;
    }
    job
}

async fn connect(url: &str) -> lapin::Result<(Connection, Channel)> {
    let properties = ConnectionProperties::default()
        .with_executor(Runtime::own_thread())
        .with_reactor(async_reactor_trait::AsyncIo);
    let connection = Connection::connect(url, properties).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}
