//! Signals to other processes.

use std::process::Command;

/// Sends a process the signal that it cannot refuse.
pub(crate) fn kill(process: u32) {
    send("-KILL", process);
}

/// Sends a process a signal.
pub(crate) fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}
