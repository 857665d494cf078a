//! How permits are used, told to who finds a limit by that.
//!
//! A permit is told of when it is given back, if a call came to its end under it. So it notes when it was taken:
//!
//! - One of [`acquire`](super::Semaphore::acquire) is told of when it is dropped, except by a panic.
//! - One of a stage only if its call gave an output, or ended: a call that is dropped says nothing of what it
//!   would have taken.
//!
//! Nobody's code is called under the lock of the line.

use std::panic::{RefUnwindSafe, UnwindSafe};

use super::Shared;

/// Someone who is told how permits are used.
pub(crate) trait Watch: Send + Sync + UnwindSafe + RefUnwindSafe {
    /// The time, in nanoseconds since there is this one.
    fn now(&self) -> u64;

    /// A call is over, and its permit about to be given back. The limit may be changed.
    fn over(&self, shared: &Shared, used: Use);
}

/// How a permit was used.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    /// When it was taken.
    pub(crate) since: u64,

    /// How many permits were in use from then on: no more than fit, as a permit is to be small.
    pub(crate) in_use: u32,

    pub(crate) state: State,
}

/// What there is to be told of a permit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: its call still runs.
    Running,
    /// Its call came to its end.
    Over,
    /// The same, and there was too much to do.
    Overloaded,
}
