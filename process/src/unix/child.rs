//! A worker process, as its pool sees it.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_channel::Sender;
use async_io::{Async, Timer};
use async_process::{Child, Command};
use event_listener::Event;
use futures_lite::AsyncWriteExt;
use futures_lite::future::{or, yield_now};

use super::Error;
use super::frame::{self, Broken, HELLO, Kind, Received};
use super::serve::ARGUMENT;
use super::stderr::Stderr;

/// The longest greeting that is looked at.
const LONGEST_HELLO: u64 = 256;

/// How much of a call is written before others have a turn.
const TURN: usize = 1024 * 1024;

/// The process itself.
pub(super) struct Process {
    child: Mutex<Child>,
    end: OnceLock<End>,
    /// Notified when `end` is set.
    ended: Event,
}

/// How a process ended.
struct End {
    status: Option<ExitStatus>,
    stderr: String,
}

impl Process {
    /// Ends the process at once. One that has already begun to end is not changed by it.
    pub(super) fn kill(&self) {
        // It fails if there is nothing left to kill.
        let _ = self.child().kill();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Waits until the process has ended and was reaped, then calls `ended`. All the while, and a
    /// little longer, passes on what it writes to its standard error.
    pub(super) async fn follow(&self, mut stderr: Stderr, ended: impl FnOnce()) {
        let status = self.child().status();
        let mut status = pin!(status);
        // The processes that it started may keep its standard error open, so that this is no sign.
        let written = async {
            stderr.follow().await;
            pending().await
        };
        let status: io::Result<ExitStatus> = or(status.as_mut(), written).await;
        let (text, rest) = stderr.read_rest().await;
        let _ = self.end.set(End { status: status.ok(), stderr: text });
        self.ended.notify(usize::MAX);
        ended();
        stderr.pass_on(rest).await;
    }

    async fn ended(&self) -> &End {
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

    fn child(&self) -> MutexGuard<'_, Child> {
        // No code that could leave it half-changed runs under the lock.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process together with the way to it. It is killed on drop.
pub(super) struct Worker {
    process: Arc<Process>,
    socket: Async<UnixStream>,
    /// Whether it has not been without a call yet. Else it may have ended before one came to it.
    is_new: bool,
    /// Whether it is left to end by itself.
    is_let_go: bool,
}

/// What a worker has to say of a call: what the function gave, still encoded, or what was wrong.
pub(super) type Answer = Result<Vec<u8>, Error>;

/// Why a call has no answer.
pub(super) enum Unanswered {
    /// The worker had ended before.
    NotBegun,
    /// The call has failed.
    Failed(Error),
}

impl Worker {
    /// Starts a process. What it writes to its standard error is passed on by
    /// [`follow`](Process::follow), to `stderr`.
    pub(super) fn start(
        mut command: Command,
        stderr: Sender<Vec<u8>>,
    ) -> io::Result<(Self, Stderr)> {
        let (ours, theirs) = UnixStream::pair()?;
        let socket = Async::new(ours)?;
        command.arg(ARGUMENT).stdin(OwnedFd::from(theirs)).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let from = child.stderr.take().expect("standard error is piped");
        let process = Arc::new(Process {
            child: Mutex::new(child),
            end: OnceLock::new(),
            ended: Event::new(),
        });
        let worker = Self { process, socket, is_new: true, is_let_go: false };
        Ok((worker, Stderr::new(from, stderr)))
        // The command is dropped, and with it the last of their end that is not theirs.
    }

    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Waits until the process has said that it is a worker.
    pub(super) async fn greet(&self, limit: Duration) -> Result<(), Error> {
        let hello = async { Some(frame::read_async(&self.socket, LONGEST_HELLO).await) };
        let late = async {
            Timer::after(limit).await;
            None
        };
        let ended = async {
            self.process.ended().await;
            Some(Err(Broken::Gone))
        };
        match or(hello, or(ended, late)).await {
            Some(Ok(Received { kind: Kind::Hello, body, .. })) if body == HELLO => Ok(()),
            Some(Ok(Received { kind: Kind::Hello, body, .. })) => Err(Error::Protocol(format!(
                "it says \"{}\", not \"{}\": it was built with another version of flowlet-process",
                body.escape_ascii(),
                HELLO.escape_ascii(),
            ))),
            Some(Ok(Received { kind, .. })) => {
                Err(Error::Protocol(format!("it began with a frame of kind {kind:?}")))
            }
            Some(Err(Broken::Garbage(what))) => {
                Err(Error::Protocol(format!("it began with {what}")))
            }
            Some(Err(Broken::Gone | Broken::Unread)) => {
                let End { status, stderr } = self.end().await;
                Err(Error::NotAWorker { status: *status, limit, stderr: stderr.clone() })
            }
            None => {
                let stderr = self.end().await.stderr.clone();
                Err(Error::NotAWorker { status: None, limit, stderr })
            }
        }
    }

    /// Has the worker do a call with this number, and returns its answer. If this is dropped, so must
    /// the worker be.
    pub(super) async fn call(&mut self, call: &[u8], number: u64) -> Result<Answer, Unanswered> {
        let ended = async {
            self.process.ended().await;
            Err(Broken::Gone)
        };
        let failed = match or(self.exchange(call, number), ended).await {
            Ok(answer) => {
                self.is_new = false;
                return Ok(answer);
            }
            Err(Broken::Garbage(what)) => Error::Protocol(format!("it answered with {what}")),
            // It begins no call that it has not read.
            Err(Broken::Unread) if !self.is_new => return Err(Unanswered::NotBegun),
            Err(Broken::Unread | Broken::Gone) => {
                let End { status, stderr } = self.end().await;
                Error::Died { status: *status, stderr: stderr.clone() }
            }
        };
        Err(Unanswered::Failed(failed))
    }

    /// Writes and reads at once, so that the two sides cannot wait for each other.
    async fn exchange(&self, call: &[u8], number: u64) -> Result<Answer, Broken> {
        let is_written = AtomicBool::new(false);
        let read = async {
            let received = frame::read_async(&self.socket, u64::MAX).await?;
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

    /// Makes sure of the end of a process that said no more, and waits for it.
    async fn end(&self) -> &End {
        // It ended, and then this does nothing, or it closed the socket, which no worker does.
        self.process.kill();
        self.process.ended().await
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Notes that it is put aside until there is a call.
    pub(super) fn put_aside(&mut self) {
        self.is_new = false;
    }

    /// Drops it without killing it: it sees that and ends by itself.
    pub(super) fn let_go(mut self) {
        self.is_let_go = true;
    }
}

fn answer(kind: Kind, body: Vec<u8>) -> Result<Answer, Broken> {
    let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
    match kind {
        Kind::Output => Ok(Ok(body)),
        Kind::Panicked => Ok(Err(Error::Panicked(text(body)))),
        Kind::Unknown => Ok(Err(Error::NotRegistered(text(body)))),
        Kind::Argument => Ok(Err(Error::Argument(text(body)))),
        Kind::Result => Ok(Err(Error::Output(text(body)))),
        Kind::Hello | Kind::Call => Err(Broken::Garbage(format!("a frame of kind {kind:?}"))),
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.is_let_go {
            self.process.kill();
        }
    }
}
