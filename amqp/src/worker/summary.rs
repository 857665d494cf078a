use std::fmt;
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
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, rejected, lost } = self;
        write!(f, "{done} jobs done, {rejected} rejected, {lost} lost with their connection")
    }
}

/// A summary in the making.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) done: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) lost: AtomicU64,
}

impl Counts {
    pub(super) fn summary(&self) -> Summary {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Summary { done: read(&self.done), rejected: read(&self.rejected), lost: read(&self.lost) }
    }
}
