//! What a panic said, and panics that nobody is left to tell of.
//!
//! This is for the crates beside this one, such as `flowlet-amqp`, which have the same to do as the core.
//! It is hidden, and nobody else is promised that it stays. What it has may not change within a minor version
//! all the same, as these crates take any patch of it.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Drops `value`, and a panic that comes of it, where there is nobody left to tell.
pub fn discard<T>(value: T) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) else { return };
    // Its own drop might panic as well, and so on without end: then it ends here.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(panic);
    }
}

/// Keeps the first panic of two.
pub fn first_panic(one: thread::Result<()>, other: thread::Result<()>) -> thread::Result<()> {
    match one {
        Ok(()) => other,
        Err(panic) => {
            discard(other);
            Err(panic)
        }
    }
}

/// Returns what a panic said, if that was a text.
///
/// ```
/// let panic = std::panic::catch_unwind(|| panic!("no {}", "luck")).unwrap_err();
/// assert_eq!(flowlet::panics::text(&*panic), Some("no luck"));
/// ```
pub fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    match payload.downcast_ref::<String>() {
        Some(text) => Some(text),
        None => payload.downcast_ref::<&str>().copied(),
    }
}
