//! Panics that are looked at.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `f` panics with.
pub(crate) fn panic_of<T>(f: impl FnOnce() -> T) -> Box<dyn Any + Send> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(panic) => panic,
    }
}

/// The message that `f` panics with.
pub(crate) fn message_of<T>(f: impl FnOnce() -> T) -> String {
    message(panic_of(f))
}

/// The message of a panic.
pub(crate) fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().expect("a panic with a message")).to_owned(),
    }
}
