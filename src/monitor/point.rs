use std::fmt;
use std::sync::Arc;

use super::{Recorder, Watched};

/// A point of a pipeline that is observed by name: see [`Monitor::point`](super::Monitor::point).
///
/// # Examples
///
/// ```
/// use flowlet::Monitor;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let monitor = Monitor::new();
/// let rows = pipe(1..=3).monitored(monitor.point("rows"));
/// assert_eq!(rows.count().await, 3);
/// assert_eq!(monitor.snapshot().stages[0].yielded, 3);
/// # });
/// ```
#[derive(Clone)]
pub struct Point {
    watched: Arc<Watched>,
}

impl Point {
    pub(super) fn new(watched: Arc<Watched>) -> Self {
        Self { watched }
    }

    pub(crate) fn recorder(&self) -> Recorder {
        self.watched.recorder()
    }

    pub(crate) fn name(&self) -> &str {
        &self.watched.name
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Point").field(&self.watched.name).finish()
    }
}
