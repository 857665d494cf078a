//! Tests whose program is to be something else for once.

use std::env;
use std::process::{Command, Stdio};

/// Runs this program once more, as `role`, to be told by [`role`] and its arguments.
pub(crate) fn act(role: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env("ROLE", role).args(arguments).stdin(Stdio::null());
    command
}

/// What this process is to be, if not a test.
pub(crate) fn role() -> Option<String> {
    env::var("ROLE").ok()
}
