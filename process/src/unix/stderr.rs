//! What workers write to their standard error: the end of it is kept, all of it passed on.

use std::collections::VecDeque;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_io::Async;
use event_listener::Event;
use futures_lite::AsyncReadExt;
use futures_lite::future::poll_once;

/// How much of the end is kept.
const KEPT: usize = 8 * 1024;

/// How much is read at once.
const CHUNK: usize = 4 * 1024;

/// How much is read of what a dead process wrote. More than a pipe holds, unless it left others
/// behind who go on writing.
const LEFT: usize = 1024 * 1024;

/// How many chunks wait to be passed on before workers are held up.
const CHUNKS: usize = 16;

/// Where standard error goes.
pub(super) type Target = Mutex<Box<dyn Write + Send>>;

/// The way of what workers write to a thread that passes it on: no call has to wait for whoever
/// reads the program's standard error.
pub(super) struct Outlet {
    chunks: Mutex<Chunks>,
    /// Notified when there are chunks, and when the phase changes.
    filled: Condvar,
    /// Notified when there is room, or no need of it.
    room: Event,
}

struct Chunks {
    waiting: VecDeque<Vec<u8>>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Open,
    /// What dead workers wrote finds room, so that nobody waits for the reader to come to an end.
    Finishing,
    /// There will be no more.
    Ending,
    /// All of it was passed on.
    Over,
}

impl Outlet {
    pub(super) fn new() -> Self {
        let chunks = Chunks { waiting: VecDeque::new(), phase: Phase::Open };
        Self { chunks: Mutex::new(chunks), filled: Condvar::new(), room: Event::new() }
    }

    /// Passes on what comes, until it is over.
    pub(super) fn pass_on(&self, target: &Target) {
        let mut chunks = self.chunks();
        loop {
            if let Some(chunk) = chunks.waiting.pop_front() {
                drop(chunks);
                self.room.notify(usize::MAX);
                // There is nowhere to say that this failed. One that panicked has said so itself, and
                // gets no more.
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    target.lock().map(|mut to| to.write_all(&chunk).and_then(|()| to.flush())).ok()
                }));
                chunks = self.chunks();
            } else if chunks.phase == Phase::Ending {
                drop(chunks);
                return self.advance(Phase::Over);
            } else {
                chunks = self.filled.wait(chunks).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Has nobody who is at an end wait for room.
    pub(super) fn finish(&self) {
        self.advance(Phase::Finishing);
    }

    /// Ends the thread once it has passed on what there is.
    pub(super) fn end(&self) {
        self.advance(Phase::Ending);
    }

    /// Waits until all is passed on, if that does not take too long. Tells whether it is.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let goes_on = |chunks: &mut Chunks| chunks.phase != Phase::Over;
        let waited = self.filled.wait_timeout_while(self.chunks(), limit, goes_on);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn advance(&self, phase: Phase) {
        let mut chunks = self.chunks();
        if chunks.phase < phase {
            chunks.phase = phase;
        }
        drop(chunks);
        self.filled.notify_all();
        self.room.notify(usize::MAX);
    }

    fn put(&self, chunk: Vec<u8>) {
        self.chunks().waiting.push_back(chunk);
        self.filled.notify_all();
    }

    /// Waits for room, which there is in any case for those at an `end` once all are to finish.
    async fn has_room(&self, end: bool) {
        let has_room = || {
            let chunks = self.chunks();
            chunks.waiting.len() < CHUNKS || end && chunks.phase > Phase::Open
        };
        while !has_room() {
            let listener = self.room.listen();
            if !has_room() {
                listener.await;
            }
        }
    }

    fn chunks(&self) -> MutexGuard<'_, Chunks> {
        // No code that could leave it half-changed runs under the lock.
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Standard error of one worker.
pub(super) struct Stderr {
    from: Async<ChildStderr>,
    to: Arc<Outlet>,
    tail: Tail,
    /// A chunk that waits for room.
    pending: Option<Vec<u8>>,
}

impl Stderr {
    pub(super) fn new(from: Async<ChildStderr>, to: Arc<Outlet>) -> Self {
        Self { from, to, tail: Tail::default(), pending: None }
    }

    /// Reads and passes on until the end. Nothing is lost if this is dropped and called again.
    pub(super) async fn follow(&mut self) {
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.pending.is_some() {
                self.to.has_room(false).await;
                self.pending.take().into_iter().for_each(|chunk| self.to.put(chunk));
            }
            match self.from.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    self.tail.push(&chunk[..length]);
                    self.pending = Some(chunk[..length].to_vec());
                }
            }
        }
    }

    /// Reads what is there now, and returns the last of all that was read.
    pub(super) async fn read_rest(&mut self) -> (String, Rest) {
        let mut rest = self.pending.take().unwrap_or_default();
        let passed = rest.len();
        let mut chunk = vec![0; CHUNK];
        while rest.len() < LEFT {
            match poll_once(self.from.read(&mut chunk)).await {
                None | Some(Ok(0) | Err(_)) => break,
                Some(Ok(length)) => rest.extend_from_slice(&chunk[..length]),
            }
        }
        self.tail.push(&rest[passed..]);
        (self.tail.to_text(), Rest(rest))
    }

    /// Passes on the rest.
    pub(super) async fn pass_on(self, Rest(rest): Rest) {
        if !rest.is_empty() {
            self.to.has_room(true).await;
            self.to.put(rest);
        }
    }
}

/// What was read at last and not passed on yet.
pub(super) struct Rest(Vec<u8>);

/// The end of what was written.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    /// Whether there was more before.
    cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..excess);
        self.cut |= excess > 0;
    }

    /// Returns it as text, from the beginning of a line if it can.
    fn to_text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let begin = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) if self.cut && end + 1 < bytes.len() => end + 1,
            _ => 0,
        };
        String::from_utf8_lossy(&bytes[begin..]).into_owned()
    }
}
