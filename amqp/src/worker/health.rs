use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::summary::{Counts, Summary};
use crate::Loss;
use crate::source::Source;

/// What a worker does, and whether it can: a snapshot, from [`Worker::health`](super::Worker::health).
///
/// It is plain data, for a health check or a dashboard. Its `Display` is one line for a log.
///
/// # Examples
///
/// ```
/// use flowlet_amqp::Worker;
///
/// let worker = Worker::builder("amqp://localhost", "jobs").build().unwrap();
/// let health = worker.health();
/// assert!(!health.is_connected);
/// assert_eq!(health.running, 0);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// Whether there is a connection that jobs come on.
    pub is_connected: bool,
    /// Jobs that run, or wait until the broker has their outputs.
    pub running: u64,
    /// What became of all other jobs since the worker was made.
    pub summary: Summary,
    /// How often a connection was lost, or could not be made.
    pub losses: u64,
    /// The last time that this happened.
    pub last_loss: Option<Loss>,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_connected, running, summary, losses, last_loss } = self;
        let connected = if *is_connected { "connected" } else { "not connected" };
        write!(f, "{connected}, {running} jobs running, {summary}")?;
        let Some(last) = last_loss else { return Ok(()) };
        write!(f, "; {losses} times without a connection, the last {last}")
    }
}

/// The runs of a worker.
#[derive(Default)]
pub(super) struct Runs {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Vec<(Arc<Counts>, Arc<Source>)>,
    /// What became of the jobs of those that have ended.
    past: Summary,
}

impl Runs {
    /// One has begun, and goes on until the result is dropped.
    pub(super) fn begin(&self, counts: &Arc<Counts>, source: &Arc<Source>) -> Run<'_> {
        self.state().current.push((counts.clone(), source.clone()));
        Run { runs: self, counts: counts.clone() }
    }

    pub(super) fn health(&self, (losses, last_loss): (u64, Option<Loss>)) -> Health {
        let state = self.state();
        let current = || state.current.iter();
        Health {
            is_connected: current().any(|(_, source)| source.is_connected()),
            running: current().map(|(counts, _)| counts.running()).sum(),
            summary: current().fold(state.past, |sum, (counts, _)| sum + counts.summary()),
            losses,
            last_loss,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run, until it is dropped.
pub(super) struct Run<'a> {
    runs: &'a Runs,
    counts: Arc<Counts>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let mut state = self.runs.state();
        state.current.retain(|(counts, _)| !Arc::ptr_eq(counts, &self.counts));
        state.past = state.past + self.counts.summary();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn it_is_one_line() {
        let mut health = Health { running: 3, ..Default::default() };
        let line =
            "not connected, 3 jobs running, 0 jobs done, 0 rejected, 0 lost with their connection";
        assert_eq!(health.to_string(), line);
        health.losses = 2;
        health.last_loss = Some(Loss { at: SystemTime::now(), reason: "gone".into() });
        let line = format!("{line}; 2 times without a connection, the last 0 s ago: gone");
        assert_eq!(health.to_string(), line);
    }
}
