//! What a pool and its workers say to each other: frames, which are a kind, the number of the call,
//! the length of the body, and the body.

use std::io::{self, Read};

use futures_lite::future::yield_now;
use futures_lite::{AsyncRead, AsyncReadExt};
use serde::Serialize;

use super::format::{self, Limits, Trouble};

/// What a worker says first. It changes with whatever else changes here.
pub(super) const HELLO: &[u8] = b"flowlet worker, protocol 2";

/// Kind, number and length, the latter two in little-endian order.
const HEADER: usize = 1 + NUMBER + NUMBER;

const NUMBER: usize = size_of::<u64>();

/// Room that is made for a body at first.
const FIRST_ROOM: usize = 64 * 1024;

/// How much is written or read before others have a turn.
pub(super) const TURN: usize = 1024 * 1024;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The process is a worker and waits for calls. Body: [`HELLO`].
    Hello = 1,
    /// Call a function. Body: its signature, the id of the caller's span, the limits of its argument
    /// and output, and the argument.
    Call = 2,
    /// What the function gave.
    Output = 3,
    /// The function panicked. Body: the message. (And so below.)
    Panicked = 4,
    /// There is no such function.
    Unknown = 5,
    /// The argument does not decode.
    Argument = 6,
    /// What the function gave does not encode.
    Result = 7,
    /// The process cannot be a worker now.
    Refusal = 8,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Hello,
        Self::Call,
        Self::Output,
        Self::Panicked,
        Self::Unknown,
        Self::Argument,
        Self::Result,
        Self::Refusal,
    ];
}

/// A frame that is being written, in one piece.
#[derive(Debug)]
pub struct Frame(Vec<u8>);

impl Frame {
    pub(super) fn new(kind: Kind) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[0] = kind as u8;
        Self(bytes)
    }

    /// Makes a frame of a kind whose body is plain bytes.
    pub(super) fn with_body(kind: Kind, body: &[u8]) -> Self {
        let mut frame = Self::new(kind);
        frame.0.extend_from_slice(body);
        frame
    }

    /// Appends a value to the body.
    pub(super) fn push(&mut self, value: &impl Serialize, limits: Limits) -> Result<(), Trouble> {
        format::encode(value, &mut self.0, limits)
    }

    /// Returns the frame as it is sent, for the call with this number.
    pub(super) fn into_bytes(mut self, number: u64) -> Vec<u8> {
        let length = (self.0.len() - HEADER) as u64;
        let (header, _) = self.0.split_at_mut(HEADER);
        header[1..][..NUMBER].copy_from_slice(&number.to_le_bytes());
        header[1 + NUMBER..].copy_from_slice(&length.to_le_bytes());
        self.0
    }
}

/// A frame that was read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) body: Vec<u8>,
}

/// Why there is no frame.
#[derive(Debug)]
pub(super) enum Broken {
    /// The other side has gone, be it in the middle of a frame.
    Gone,
    /// It has gone, and had not read all that was written to it. Not every system tells.
    Unread,
    /// It wrote what is no frame.
    Garbage(String),
    /// It writes a frame with a body of so many bytes, which are too many.
    Long(u64),
    /// It writes a frame with a body of so many bytes, and there is no memory for them.
    NoMemory(u64),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A pair of sockets knows no other reason for them.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Gone,
        }
    }
}

/// Reads a frame with a body of at most `longest` bytes.
pub(super) async fn read_async(
    mut from: impl AsyncRead + Unpin,
    longest: u64,
) -> Result<Received, Broken> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header).await?;
    let header = Header::parse(header)?;
    if header.length > longest {
        return Err(Broken::Long(header.length));
    }
    let mut body = Body::new(header.length);
    let mut turn = TURN;
    while body.is_missing() {
        let room = body.room().ok_or(Broken::NoMemory(header.length))?;
        match from.read(room).await? {
            0 => return Err(Broken::Gone),
            read => {
                body.filled += read;
                if body.filled >= turn {
                    turn = body.filled + TURN;
                    yield_now().await;
                }
            }
        }
    }
    Ok(header.with(body))
}

/// Reads a frame. If there is no memory for its body, the next one can be read.
pub(super) fn read(mut from: impl Read) -> Result<Result<Received, Header>, Broken> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let header = Header::parse(header)?;
    let mut body = Body::new(header.length);
    while body.is_missing() {
        let Some(room) = body.room() else {
            let left = body.left();
            drop(body);
            let skipped = io::copy(&mut from.by_ref().take(left), &mut io::sink())?;
            return if skipped == left { Ok(Err(header)) } else { Err(Broken::Gone) };
        };
        match from.read(room) {
            Ok(0) => return Err(Broken::Gone),
            Ok(read) => body.filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Ok(header.with(body)))
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    kind: Kind,
    pub(super) number: u64,
    pub(super) length: u64,
}

impl Header {
    fn parse(header: [u8; HEADER]) -> Result<Self, Broken> {
        let [byte, rest @ ..] = header;
        let [number, length] = [0, NUMBER].map(|begin| {
            let mut bytes = [0; NUMBER];
            bytes.copy_from_slice(&rest[begin..][..NUMBER]);
            u64::from_le_bytes(bytes)
        });
        match Kind::ALL.into_iter().find(|kind| *kind as u8 == byte) {
            Some(kind) => Ok(Self { kind, number, length }),
            None => Err(Broken::Garbage(format!("a frame of kind {byte} and {length} bytes"))),
        }
    }

    fn with(self, body: Body) -> Received {
        Received { kind: self.kind, number: self.number, body: body.bytes }
    }
}

/// A body that comes bit by bit. Its length says how long it claims to be: room is made as it comes,
/// and little of it at once, as that takes time.
struct Body {
    bytes: Vec<u8>,
    filled: usize,
    length: u64,
}

impl Body {
    fn new(length: u64) -> Self {
        Self { bytes: Vec::new(), filled: 0, length }
    }

    fn left(&self) -> u64 {
        self.length - self.filled as u64
    }

    fn is_missing(&self) -> bool {
        self.left() > 0
    }

    /// Returns room for more of it, unless the system has none.
    fn room(&mut self) -> Option<&mut [u8]> {
        if self.filled == self.bytes.len() {
            let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
            let doubled = left.min(self.filled.max(FIRST_ROOM));
            let more = doubled.min(TURN);
            if self.bytes.capacity() - self.filled < more {
                self.bytes.try_reserve_exact(doubled).ok()?;
            }
            self.bytes.resize(self.filled + more, 0);
        }
        Some(&mut self.bytes[self.filled..])
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn others_have_turns_while_a_huge_frame_comes() {
        let body = vec![7; 10 * TURN];
        let frame = Frame::with_body(Kind::Output, &body).into_bytes(1);
        // It is all there, so that only giving way ends a poll.
        let mut read = pin!(read_async(&frame[..], u64::MAX));
        let mut turns = 1;
        let received = loop {
            match read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(received) => break received.unwrap(),
                Poll::Pending => turns += 1,
            }
        };
        assert!(turns >= 10, "{turns}");
        assert!(received.body == body);
    }
}
