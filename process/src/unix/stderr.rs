//! What workers write to their standard error: the end of it is kept, all of it passed on.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;

use async_channel::{Receiver, Sender};
use async_process::ChildStderr;
use futures_lite::AsyncReadExt;
use futures_lite::future::poll_once;

/// How much of the end is kept.
const KEPT: usize = 8 * 1024;

/// How much is read at once.
const CHUNK: usize = 4 * 1024;

/// How much is read of what a dead process wrote. More than a pipe holds, unless it left others
/// behind who go on writing.
const LEFT: usize = 1024 * 1024;

/// Passes on what workers write, on a thread of its own: no call has to wait for whoever reads the
/// program's standard error.
pub(super) fn pass_on(chunks: Receiver<Vec<u8>>) {
    while let Ok(chunk) = chunks.recv_blocking() {
        // There is nowhere to say that this failed.
        let _ = io::stderr().write_all(&chunk);
    }
}

/// Standard error of one worker.
pub(super) struct Stderr {
    from: ChildStderr,
    to: Sender<Vec<u8>>,
    tail: Tail,
    /// A chunk that is being passed on.
    sending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Stderr {
    pub(super) fn new(from: ChildStderr, to: Sender<Vec<u8>>) -> Self {
        Self { from, to, tail: Tail::default(), sending: None }
    }

    /// Reads and passes on until the end. Nothing is lost if this is dropped and called again.
    pub(super) async fn follow(&mut self) {
        let mut chunk = vec![0; CHUNK];
        loop {
            if let Some(sending) = &mut self.sending {
                sending.await;
                self.sending = None;
            }
            match self.from.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(length) => self.send(&chunk[..length]),
            }
        }
    }

    fn send(&mut self, chunk: &[u8]) {
        self.tail.push(chunk);
        let (to, chunk) = (self.to.clone(), chunk.to_vec());
        self.sending = Some(Box::pin(async move {
            // The receiver lives longer than any worker.
            let _ = to.send(chunk).await;
        }));
    }

    /// Reads what is there now, and returns the last of all that was read.
    pub(super) async fn read_rest(&mut self) -> (String, Rest) {
        let mut rest = Vec::new();
        let mut chunk = vec![0; CHUNK];
        while rest.len() < LEFT {
            match poll_once(self.from.read(&mut chunk)).await {
                None | Some(Ok(0) | Err(_)) => break,
                Some(Ok(length)) => rest.extend_from_slice(&chunk[..length]),
            }
        }
        self.tail.push(&rest);
        (self.tail.to_text(), Rest(rest))
    }

    /// Passes on the rest.
    pub(super) async fn pass_on(self, Rest(rest): Rest) {
        if let Some(sending) = self.sending {
            sending.await;
        }
        if !rest.is_empty() {
            let _ = self.to.send(rest).await;
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
