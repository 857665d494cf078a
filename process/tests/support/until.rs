//! What nothing announces.

use std::thread;

/// Waits, for as long as it takes.
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}
