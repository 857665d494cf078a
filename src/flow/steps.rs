//! What a flow is made of, to be shown.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::Concurrency;
use crate::concurrency::Limit;

/// The steps of a flow, in order.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<Vec<Step>>);

#[derive(Clone)]
pub(super) enum Step {
    /// A stage, by the name of its method.
    Stage(Stage),

    /// A flow that was given a name.
    Flow(Cow<'static, str>, Steps),
}

/// Is displayed as it is written.
#[derive(Clone)]
pub(super) struct Stage {
    name: &'static str,
    argument: Argument,
}

#[derive(Clone)]
enum Argument {
    None,
    Size(usize),
    Limit(Concurrency),
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
    /// A function of streams, of which nothing more is known.
    pub(super) fn function() -> Self {
        Self::plain("function")
    }

    /// A stage that has no numbers.
    pub(super) fn plain(name: &'static str) -> Self {
        Self::Stage(Stage { name, argument: Argument::None })
    }

    /// A stage with a size.
    pub(super) fn sized(name: &'static str, size: usize) -> Self {
        Self::Stage(Stage { name, argument: Argument::Size(size) })
    }

    /// A stage with a limit.
    pub(super) fn concurrent(name: &'static str, limit: &Concurrency) -> Self {
        Self::Stage(Stage { name, argument: Argument::Limit(limit.clone()) })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match &self.argument {
            Argument::None => Ok(()),
            Argument::Size(size) => write!(f, "({size})"),
            Argument::Limit(concurrency) => {
                f.write_str("(")?;
                concurrency.fmt_around(f, |limit, f| match limit {
                    Limit::Private(limit) => write!(f, "{limit}"),
                    Limit::Shared(semaphore) => write!(f, "semaphore({})", semaphore.limit()),
                })?;
                f.write_str(")")
            }
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
