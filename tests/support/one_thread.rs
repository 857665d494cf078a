//! Processes in which `in_thread` has one thread only.

use std::env;
use std::process::Command;

/// How many threads there are for the calls of `in_thread`.
const THREADS: &str = "FLOWLET_MAX_THREADS";

/// Runs a test once more in a process of its own with one thread for all calls. Returns whether
/// this is that process.
pub(crate) fn with_one_thread(test: &str) -> bool {
    if env::var_os(THREADS).is_some_and(|threads| threads == "1") {
        return true;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    let child = command.args(["--exact", test]).env(THREADS, "1").output().unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
    false
}
