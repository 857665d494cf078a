//! Dropping many things that are not ours, any of which may panic as it goes.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::panics::first_panic;

/// Runs one destructor after the other, whatever the one before did.
#[must_use = "a panic that was caught has to go on"]
pub(super) struct Cleanup {
    /// The first panic. One at a time is all that can go on; the panic hook has seen the others.
    result: thread::Result<()>,
}

impl Cleanup {
    pub(super) fn new() -> Self {
        Self { result: Ok(()) }
    }

    /// Runs one of them.
    pub(super) fn run(&mut self, destroy: impl FnOnce()) {
        // Nothing that was half dropped is looked at again.
        let result = catch_unwind(AssertUnwindSafe(destroy));
        self.result = first_panic(mem::replace(&mut self.result, Ok(())), result);
    }

    /// Has the first panic go on, if there was one.
    pub(super) fn finish(self) {
        if let Err(panic) = self.result {
            resume_unwind(panic);
        }
    }
}
