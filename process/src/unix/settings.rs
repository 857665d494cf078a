use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::format::Limits;
use super::stderr::Target;

/// Makes the command that starts a worker.
pub(super) type MakeCommand = dyn Fn() -> io::Result<Command> + Send + Sync;

/// How a pool is to be.
pub(super) struct Settings {
    /// How many workers there can be.
    pub(super) size: usize,
    pub(super) command: Box<MakeCommand>,
    /// Whether the command is not of our making, and so may lead to another program.
    pub(super) is_foreign: bool,
    /// How long a process may take to say that it is a worker.
    pub(super) start_limit: Duration,
    /// What arguments and outputs may take.
    pub(super) limits: Limits,
    /// After how many calls a worker is replaced.
    pub(super) max_calls: u64,
    /// With how much memory, in bytes, a worker is replaced.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells"))]
    pub(super) max_memory: u64,
    /// Where what workers write to their standard error goes.
    pub(super) stderr: Arc<Target>,
    /// Whether workers end at the signals that ask programs to end.
    pub(super) heeds_signals: bool,
}
