//! Dropping many things that are not ours, any of which may panic as it goes.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs one destructor after the other, whatever the one before did.
#[must_use = "a panic that was caught has to go on"]
pub(super) struct Cleanup {
    /// The first panic. One at a time is all that can go on; the panic hook has seen the others.
    panic: Option<Box<dyn Any + Send>>,
}

impl Cleanup {
    pub(super) fn new() -> Self {
        Self { panic: None }
    }

    /// Runs one of them.
    pub(super) fn run(&mut self, destroy: impl FnOnce()) {
        // Nothing that was half dropped is looked at again.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(destroy)) {
            self.panic.get_or_insert(panic);
        }
    }

    /// Has the first panic go on, if there was one.
    pub(super) fn finish(self) {
        if let Some(panic) = self.panic {
            resume_unwind(panic);
        }
    }
}
