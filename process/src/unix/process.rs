//! The process of a worker: that it has ended, and how.

use std::future::pending;
use std::pin::pin;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use event_listener::Event;
use futures_lite::future::or;

use super::stderr::{Outlet, Stderr};
use super::watch::Watched;

/// The process itself.
pub(super) struct Process {
    watched: Watched,
    end: OnceLock<End>,
    /// Notified when `end` is set.
    ended: Event,
}

/// How a process ended.
pub(super) struct End {
    /// None if the system does not tell.
    pub(super) status: Option<ExitStatus>,
    /// The last that it wrote to its standard error.
    pub(super) stderr: String,
}

impl Process {
    /// Starts a process. What it writes to its standard error goes to `outlet`, once it is followed.
    pub(super) fn start(mut command: Command, outlet: Arc<Outlet>) -> io::Result<(Self, Stderr)> {
        let (watched, from) = Watched::spawn(command.stderr(Stdio::piped()))?;
        let process = Self { watched, end: OnceLock::new(), ended: Event::new() };
        Ok((process, Stderr::new(from, outlet)))
    }

    /// Ends the process at once. One that has already begun to end is not changed by it.
    pub(super) fn kill(&self) {
        self.watched.kill();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Waits until the process has ended and was reaped, then calls `ended`. All the while, and a
    /// little longer, passes on what it writes to its standard error.
    pub(super) async fn follow(&self, mut stderr: Stderr, ended: impl FnOnce()) {
        let mut status = pin!(self.watched.wait());
        // The processes that it started may keep its standard error open, so that this is no sign.
        let written = async {
            stderr.follow().await;
            pending().await
        };
        let status = or(status.as_mut(), written).await;
        let (text, rest) = stderr.read_rest().await;
        let _ = self.end.set(End { status, stderr: text });
        self.ended.notify(usize::MAX);
        ended();
        stderr.pass_on(rest).await;
    }

    pub(super) async fn ended(&self) -> &End {
        loop {
            if let Some(end) = self.end.get() {
                return end;
            }
            let listener = self.ended.listen();
            if !self.has_ended() {
                listener.await;
            }
        }
    }

    /// Makes sure of its end, and waits for it.
    pub(super) async fn end(&self) -> &End {
        self.kill();
        self.ended().await
    }

    /// Returns how much memory it has that is its own or in use, in bytes.
    #[cfg(target_os = "linux")]
    pub(super) fn memory(&self) -> Option<u64> {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.watched.id())).ok()?;
        let resident: u64 = pages.split(' ').nth(1)?.parse().ok()?;
        Some(resident * rustix::param::page_size() as u64)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("id", &self.watched.id()).finish_non_exhaustive()
    }
}
