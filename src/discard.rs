//! Panics that nobody is left to tell of.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Drops `value`, and a panic that comes of it, where there is nobody left to tell.
pub(crate) fn discard<T>(value: T) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) else { return };
    // Its own drop might panic as well, and so on without end: then it ends here.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(panic);
    }
}

/// Keeps the first panic of two.
pub(crate) fn first_panic(
    one: thread::Result<()>,
    other: thread::Result<()>,
) -> thread::Result<()> {
    match one {
        Ok(()) => other,
        Err(panic) => {
            discard(other);
            Err(panic)
        }
    }
}
