//! A worker process together with the way to it, as its pool sees it.

use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_io::{Async, Timer};
use futures_lite::AsyncWriteExt;
use futures_lite::future::{or, yield_now};

use super::Error;
use super::format::{Limits, Trouble};
use super::frame::{self, Broken, HELLO, Kind, Received, TURN};
use super::life::{ARGUMENT, SIGNALS, owner};
use super::process::{End, Process};
use super::stderr::{Outlet, Stderr};

/// The longest greeting that is looked at.
const LONGEST_HELLO: u64 = 256;

/// A worker. It is killed on drop.
pub(super) struct Worker {
    process: Arc<Process>,
    socket: Async<UnixStream>,
    /// How many calls it has answered.
    answered: u64,
    is_let_go: bool,
}

/// What a worker has to say of a call: what the function gave, still encoded, or what was wrong.
pub(super) type Answer = Result<Vec<u8>, Error>;

/// Why a call has no answer.
pub(super) enum Unanswered {
    /// The worker had ended before, for this reason.
    NotBegun(Error),
    /// The call has failed.
    Failed(Error),
}

/// Why there is no worker.
pub(super) struct NoWorker {
    pub(super) error: Error,
    /// Whether it may be different in a moment.
    pub(super) is_passing: bool,
}

impl NoWorker {
    /// There is none because the system refused.
    pub(super) fn refused(error: io::Error) -> Self {
        use rustix::io::Errno;

        // The last two: too many descriptors are watched, and the program is just being written, or a
        // process that was forked meanwhile still has it open.
        let passing = [
            Errno::AGAIN,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::NOBUFS,
            Errno::NOSPC,
            Errno::TXTBSY,
        ];
        let is_passing = Errno::from_io_error(&error).is_some_and(|error| passing.contains(&error));
        Self { error: Error::Start(error), is_passing }
    }

    /// There is none, and there is no sense in trying again.
    fn lasting(error: Error) -> Self {
        Self { error, is_passing: false }
    }
}

impl Worker {
    /// Starts a process. What it writes to its standard error is passed on by
    /// [`follow`](Process::follow), to `outlet`.
    pub(super) fn start(
        mut command: Command,
        heeds_signals: bool,
        outlet: Arc<Outlet>,
    ) -> io::Result<(Self, Stderr)> {
        let (ours, theirs) = UnixStream::pair()?;
        let socket = Async::new(ours)?;
        if heeds_signals {
            command.arg(SIGNALS);
        }
        let (name, value) = owner();
        command.arg(ARGUMENT).env(name, value).stdin(OwnedFd::from(theirs));
        // With the command, the last of their end that is not theirs is dropped.
        let (process, stderr) = Process::start(command, outlet)?;
        let worker = Self { process: Arc::new(process), socket, answered: 0, is_let_go: false };
        Ok((worker, stderr))
    }

    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Waits until the process has said that it is a worker.
    pub(super) async fn greet(&self, limit: Duration) -> Result<(), NoWorker> {
        let hello = async { Some(frame::read_async(&self.socket, LONGEST_HELLO).await) };
        let late = async {
            Timer::after(limit).await;
            None
        };
        let ended = async {
            self.process.ended().await;
            Some(Err(Broken::Gone))
        };
        let protocol = |what| NoWorker::lasting(Error::Protocol(what));
        match or(hello, or(ended, late)).await {
            Some(Ok(Received { kind: Kind::Hello, body, .. })) if body == HELLO => Ok(()),
            Some(Ok(Received { kind: Kind::Hello, body, .. })) => Err(protocol(format!(
                "it says \"{}\", not \"{}\": it was built with another version of flowlet-process",
                body.escape_ascii(),
                HELLO.escape_ascii(),
            ))),
            Some(Ok(Received { kind: Kind::Refusal, body, .. })) => {
                let error = io::Error::other(text(body));
                Err(NoWorker { error: Error::Start(error), is_passing: true })
            }
            Some(Ok(Received { kind, .. })) => {
                Err(protocol(format!("it began with a frame of kind {kind:?}")))
            }
            Some(Err(Broken::Garbage(what))) => Err(protocol(format!("it began with {what}"))),
            Some(Err(Broken::Long(_) | Broken::NoMemory(_))) => {
                Err(protocol("it began with a frame that is too long".to_owned()))
            }
            Some(Err(Broken::Gone | Broken::Unread)) => {
                let End { status, stderr } = self.process.end().await;
                let (status, stderr) = (*status, stderr.clone());
                if status.is_none_or(|status| status.signal().is_some()) {
                    let error = Error::DiedAtStart { status, stderr };
                    return Err(NoWorker { error, is_passing: true });
                }
                Err(NoWorker::lasting(Error::NotAWorker { status, limit, stderr }))
            }
            None => {
                let stderr = self.process.end().await.stderr.clone();
                Err(NoWorker::lasting(Error::NotAWorker { status: None, limit, stderr }))
            }
        }
    }

    /// Has the worker do a call with this number, and returns its answer. If this is dropped, so must
    /// the worker be.
    pub(super) async fn call(
        &mut self,
        call: &[u8],
        number: u64,
        limits: Limits,
    ) -> Result<Answer, Unanswered> {
        let ended = async {
            self.process.ended().await;
            Err(Broken::Gone)
        };
        let failed = match or(self.exchange(call, number, limits), ended).await {
            Ok(answer) => {
                self.answered += 1;
                return Ok(answer);
            }
            Err(Broken::Garbage(what)) => Error::Protocol(format!("it answered with {what}")),
            Err(Broken::Long(bytes)) => {
                Error::Output(format!("it has {bytes} bytes: {}", Trouble::Long(limits.bytes)))
            }
            Err(Broken::NoMemory(bytes)) => {
                Error::Output(format!("it has {bytes} bytes: {}", Trouble::NoMemory))
            }
            // It begins no call that it has not read.
            Err(Broken::Unread) => return Err(Unanswered::NotBegun(self.died().await)),
            Err(Broken::Gone) => self.died().await,
        };
        Err(Unanswered::Failed(failed))
    }

    /// Makes sure of the end of a worker that said no more. No worker closes its socket.
    async fn died(&self) -> Error {
        let End { status, stderr } = self.process.end().await;
        Error::Died { status: *status, stderr: stderr.clone() }
    }

    /// Writes and reads at once, so that the two sides cannot wait for each other.
    async fn exchange(&self, call: &[u8], number: u64, limits: Limits) -> Result<Answer, Broken> {
        let is_written = AtomicBool::new(false);
        let read = async {
            let received = frame::read_async(&self.socket, limits.bytes as u64).await?;
            if received.number != number || !is_written.load(Ordering::Relaxed) {
                return Err(Broken::Garbage("an answer to a call that it has not read".to_owned()));
            }
            answer(received.kind, received.body)
        };
        let write = async {
            for (turn, part) in call.chunks(TURN).enumerate() {
                if turn > 0 {
                    yield_now().await;
                }
                (&self.socket).write_all(part).await?;
            }
            is_written.store(true, Ordering::Relaxed);
            pending().await
        };
        or(write, read).await
    }

    /// How many calls it has answered.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Lets it end by itself instead of killing it. It sees this whoever else has the socket, as a
    /// process that the program has forked does.
    pub(super) fn let_go(mut self) -> Arc<Process> {
        self.is_let_go = true;
        // It fails if the worker has gone already.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
        self.process.clone()
    }
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8_lossy(&body).into_owned()
}

fn answer(kind: Kind, body: Vec<u8>) -> Result<Answer, Broken> {
    match kind {
        Kind::Output => Ok(Ok(body)),
        Kind::Panicked => Ok(Err(Error::Panicked(text(body)))),
        Kind::Unknown => Ok(Err(Error::NotRegistered(text(body)))),
        Kind::Argument => Ok(Err(Error::Argument(text(body)))),
        Kind::Result => Ok(Err(Error::Output(text(body)))),
        Kind::Hello | Kind::Call | Kind::Refusal => {
            Err(Broken::Garbage(format!("a frame of kind {kind:?}")))
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.is_let_go {
            self.process.kill();
        }
    }
}
