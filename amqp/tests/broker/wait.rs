//! Waiting, but not for ever.

use std::fmt::Display;
use std::process::exit;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a machine with much else to do.
const LONGEST: Duration = Duration::from_secs(120);

/// Waits until `is_so`, or panics with what was waited for.
pub(crate) fn until<T: Display>(what: impl Fn() -> T, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONGEST, "waited in vain for {}", what());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a test, and ends the program if it neither ends nor panics: a future may wait for one that
/// has panicked.
pub(crate) fn watched<T>(name: &str, test: impl FnOnce() -> T) -> T {
    let (ended, watch) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if watch.recv_timeout(6 * LONGEST) == Err(RecvTimeoutError::Timeout) {
                println!("test {name} ... FAILED: it does not end");
                exit(101);
            }
        });
        let output = test();
        drop(ended);
        output
    })
}
