//! Dropping many foreign values, each of which may panic.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::panics::first_panic;

/// Runs one destructor after the other, whatever the previous one did.
#[must_use = "a panic that was caught has to be resumed"]
pub(super) struct Cleanup {
    /// The first panic. Only one can be resumed; the panic hook has seen the others.
    result: thread::Result<()>,
}

impl Cleanup {
    pub(super) fn new() -> Self {
        Self { result: Ok(()) }
    }

    /// Runs a destructor.
    pub(super) fn run(&mut self, destroy: impl FnOnce()) {
        // Nothing that was partly dropped is used again.
        let result = catch_unwind(AssertUnwindSafe(destroy));
        self.result = first_panic(mem::replace(&mut self.result, Ok(())), result);
    }

    /// Resumes the first panic, if there was one.
    pub(super) fn finish(self) {
        if let Err(panic) = self.result {
            resume_unwind(panic);
        }
    }
}
