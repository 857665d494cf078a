use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Drops `value`, and a panic that comes of it, where there is nobody left to tell.
pub(super) fn discard<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // Its own drop might panic as well, and so on without end.
        mem::forget(panic);
    }
}

/// Keeps the first panic of two.
pub(super) fn first_panic(
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
