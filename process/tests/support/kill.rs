//! Signals to other processes.

use rustix::process::{Pid, Signal, kill_process};

/// Sends a process the signal that it cannot refuse.
#[allow(dead_code, reason = "not every test has use for it")]
pub(crate) fn kill(process: u32) {
    send(Signal::KILL, process);
}

/// Sends a process a signal.
pub(crate) fn send(signal: Signal, process: u32) {
    let process = Pid::from_raw(process.try_into().unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}
