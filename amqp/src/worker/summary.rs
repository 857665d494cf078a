use std::fmt;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};

/// What became of the jobs that a worker took.
///
/// # Examples
///
/// ```
/// let summary = flowlet_amqp::Summary::default();
/// assert_eq!(summary.to_string(), "0 jobs done, 0 rejected, 0 lost with their connection");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Jobs whose outputs are published and which were acked.
    pub done: u64,
    /// Jobs that were moved to the dead letters.
    pub rejected: u64,
    /// Jobs that could not be answered because their connection was lost. They are delivered again.
    pub lost: u64,
    /// Times that a job failed and was put where it waits to be tried again.
    pub retried: u64,
    /// Jobs that were dropped because the worker had to stop: after
    /// [`stop_within`](crate::worker::Builder::stop_within), or because the broker did not take their
    /// outputs. They are delivered again.
    pub dropped: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, rejected, lost, retried, dropped } = self;
        write!(f, "{done} jobs done, {rejected} rejected, {lost} lost with their connection")?;
        match retried {
            0 => {}
            1 => f.write_str(", 1 failed try")?,
            tries => write!(f, ", {tries} failed tries")?,
        }
        match dropped {
            0 => Ok(()),
            jobs => write!(f, ", {jobs} dropped to stop"),
        }
    }
}

impl Add for Summary {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            done: self.done + other.done,
            rejected: self.rejected + other.rejected,
            lost: self.lost + other.lost,
            retried: self.retried + other.retried,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// A summary in the making.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) done: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) dropped: AtomicU64,
    running: AtomicU64,
}

/// A job that runs, until this is dropped.
pub(super) struct Running<'a>(&'a AtomicU64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counts {
    /// A job begins.
    pub(super) fn start(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(&self.running)
    }

    /// Those that run are about to be dropped.
    pub(super) fn drop_all(&self) {
        let running = self.running.load(Ordering::Relaxed);
        self.dropped.fetch_add(running, Ordering::Relaxed);
    }

    /// How many jobs run.
    pub(super) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn summary(&self) -> Summary {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Summary {
            done: read(&self.done),
            rejected: read(&self.rejected),
            lost: read(&self.lost),
            retried: read(&self.retried),
            dropped: read(&self.dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_said() {
        let summary = Summary { done: 3, lost: 1, retried: 2, dropped: 4, ..Default::default() };
        assert_eq!(
            summary.to_string(),
            "3 jobs done, 0 rejected, 1 lost with their connection, 2 failed tries, 4 dropped to stop"
        );
    }
}
