//! The text of a panic, and panics with nobody left to report them to.
//!
//! This module is for flowlet's sibling crates, such as `flowlet-amqp`, which need the same. It is hidden, and others
//! must not rely on it. Still, it must not change within a minor version, because those crates accept any patch of this
//! one.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Drops `value`, and ignores a panic from that, where there is nobody to report it to.
pub fn discard<T>(value: T) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) else { return };
    // Dropping the panic might panic too, and so on forever: stop here.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(panic);
    }
}

/// Returns the first of two panics, and discards the other.
pub fn first_panic(one: thread::Result<()>, other: thread::Result<()>) -> thread::Result<()> {
    match one {
        Ok(()) => other,
        Err(panic) => {
            discard(other);
            Err(panic)
        }
    }
}

/// Returns the text of a panic, if it has one.
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
