//! How permits are used, reported to whatever derives a limit from it.
//!
//! A permit is reported when it is released, if a call completed under it. To this end it records when it was taken:
//!
//! - A permit from [`acquire`](super::Semaphore::acquire) is reported when it is dropped, unless by a panic.
//! - A permit of a stage is reported only if its call yielded an output, or completed: a call that is dropped says
//!   nothing about how long it would have taken.
//!
//! No foreign code is called under the lock of the line.

use std::panic::{RefUnwindSafe, UnwindSafe};

use super::Shared;

/// An observer of how permits are used.
pub(crate) trait Watch: Send + Sync + UnwindSafe + RefUnwindSafe {
    /// Returns the time in nanoseconds since the observer was created.
    fn now(&self) -> u64;

    /// A call has completed, and its permit is about to be released. The limit may be changed.
    fn over(&self, shared: &Shared, used: Use);
}

/// How a permit was used.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    /// When it was taken.
    pub(crate) since: u64,

    /// How many permits were in use just after it was taken. Saturates, as a permit has to be small.
    pub(crate) in_use: u32,

    pub(crate) state: State,
}

/// What there is to report about a permit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: its call is still running.
    Running,
    /// Its call has completed.
    Over,
    /// Its call has completed, and was an overload.
    Overloaded,
}
