//! Fills the queue, has processes empty it, and takes the time.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use flowlet::prelude::*;
use flowlet_amqp::{Publisher, Worker};
use futures_lite::future::block_on;
use lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};

use crate::rates::Rate;
use crate::worker::{self, JOBS, Kind, OUTPUTS, Process};

pub(crate) struct Bench<'a> {
    url: &'a str,
    jobs: usize,
    channel: Channel,
    _connection: Connection,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(url: &'a str, jobs: usize) -> Result<Self, Box<dyn Error>> {
        block_on(Worker::builder(url, JOBS).output(OUTPUTS).build()?.declare())?;
        let (_connection, channel) = block_on(worker::connect(url))?;
        Ok(Self { url, jobs, channel, _connection })
    }

    /// Measures how fast these processes do all jobs.
    pub(crate) fn run(
        &self,
        (kind, workers): (Kind, usize),
        call: Duration,
    ) -> Result<Rate, Box<dyn Error>> {
        self.fill()?;
        let start = || Process::start(kind, self.url, call);
        let mut workers = (0..workers).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        workers.iter_mut().try_for_each(Process::go)?;
        while self.outputs()? < self.jobs {
            thread::sleep(Duration::from_millis(2));
        }
        let time = begun.elapsed();
        let processor = workers.into_iter().map(Process::stop).sum::<Result<_, _>>()?;
        match self.outputs()? {
            outputs if outputs == self.jobs => Ok(Rate { jobs: self.jobs, time, processor }),
            outputs => Err(format!("{outputs} outputs of {} jobs", self.jobs).into()),
        }
    }

    /// Puts all jobs into their queue, and empties the other.
    fn fill(&self) -> Result<(), Box<dyn Error>> {
        for queue in [JOBS, OUTPUTS] {
            block_on(self.channel.queue_purge(queue, QueuePurgeOptions::default()))?;
        }
        let publisher = Publisher::new(self.url)?;
        block_on(pipe(0..self.jobs).through(publisher.publish(500, JOBS)))?;
        Ok(())
    }

    /// How many outputs there are.
    fn outputs(&self) -> Result<usize, Box<dyn Error>> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let outputs = self.channel.queue_declare(OUTPUTS, passive, FieldTable::default());
        Ok(block_on(outputs)?.message_count() as usize)
    }
}
