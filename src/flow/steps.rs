//! What a flow consists of, to be displayed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Concurrency;
use crate::concurrency::Limit;

/// The steps of a flow, in order.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<Vec<Step>>);

#[derive(Clone)]
pub(super) enum Step {
    /// A stage, by the name of its method.
    Stage(Stage),

    /// A named flow.
    Flow(Cow<'static, str>, Steps),
}

/// Is displayed as in the source.
#[derive(Clone)]
pub(super) struct Stage {
    name: &'static str,
    arguments: Vec<Argument>,
}

/// An argument of a stage.
#[derive(Clone)]
pub(crate) enum Argument {
    Size(usize),
    Duration(Duration),
    Limit(Concurrency),
    #[cfg(feature = "monitor")]
    Point(String),
}

impl From<&usize> for Argument {
    fn from(size: &usize) -> Self {
        Self::Size(*size)
    }
}

impl From<&Duration> for Argument {
    fn from(duration: &Duration) -> Self {
        Self::Duration(*duration)
    }
}

impl From<&Concurrency> for Argument {
    fn from(limit: &Concurrency) -> Self {
        Self::Limit(limit.clone())
    }
}

#[cfg(feature = "monitor")]
impl From<&crate::monitor::Point> for Argument {
    fn from(point: &crate::monitor::Point) -> Self {
        Self::Point(point.name().to_owned())
    }
}

impl Steps {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Step> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn then(mut self, next: Self) -> Self {
        if self.is_empty() {
            return next;
        }
        Arc::make_mut(&mut self.0).extend(next.iter().cloned());
        self
    }
}

impl From<Step> for Steps {
    fn from(step: Step) -> Self {
        Self(Arc::new(vec![step]))
    }
}

impl Step {
    /// A function of streams, about which nothing more is known.
    pub(super) fn function() -> Self {
        Self::stage("function", Vec::new())
    }

    pub(super) fn stage(name: &'static str, arguments: Vec<Argument>) -> Self {
        Self::Stage(Stage { name, arguments })
    }
}

#[cfg(feature = "monitor")]
impl Stage {
    /// Returns its name in a monitor, if it is monitored.
    pub(super) fn monitored_as(&self) -> Option<&str> {
        self.arguments.iter().find_map(|argument| match argument {
            Argument::Limit(limit) => limit.watched.as_ref().map(|watched| watched.name()),
            Argument::Point(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (index, argument) in self.arguments.iter().enumerate() {
            f.write_str(if index == 0 { "(" } else { ", " })?;
            argument.fmt(f)?;
        }
        f.write_str(if self.arguments.is_empty() { "" } else { ")" })
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "{size}"),
            Self::Duration(duration) => write!(f, "{duration:?}"),
            Self::Limit(concurrency) => concurrency.fmt_around(f, |limit, f| match limit {
                Limit::Private(limit) => write!(f, "{limit}"),
                Limit::Shared(semaphore) => write!(f, "semaphore({})", semaphore.limit()),
            }),
            #[cfg(feature = "monitor")]
            Self::Point(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(stage) => fmt::Display::fmt(stage, f),
            Self::Flow(name, steps) => {
                write!(f, "{name:?} ")?;
                steps.fmt(f)
            }
        }
    }
}
