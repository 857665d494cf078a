//! What a pool and its workers say to each other: frames, which are a kind, the number of the call,
//! the length of the body, and the body.

use std::io::{self, Read};

use futures_lite::{AsyncRead, AsyncReadExt};
use serde::Serialize;

/// What a worker says first. It changes with whatever else changes here.
pub(super) const HELLO: &[u8] = b"flowlet worker, protocol 1";

/// Kind, number and length, the latter two in little-endian order.
const HEADER: usize = 1 + NUMBER + NUMBER;

const NUMBER: usize = size_of::<u64>();

/// Room that is made for a body at first.
const FIRST_ROOM: usize = 64 * 1024;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The process is a worker and waits for calls. Body: [`HELLO`].
    Hello = 1,
    /// Call a function. Body: its signature, the id of the caller's span, its argument.
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
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Hello,
        Self::Call,
        Self::Output,
        Self::Panicked,
        Self::Unknown,
        Self::Argument,
        Self::Result,
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
    pub(super) fn push(&mut self, value: &impl Serialize) -> Result<(), postcard::Error> {
        postcard::to_io(value, &mut self.0).map(drop)
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
    let (kind, number, length) = parse(header, longest)?;
    // The length says how long the body claims to be: room is made as it comes.
    let mut body = Vec::new();
    let mut filled = 0;
    while (filled as u64) < length {
        if filled == body.len() {
            let left = usize::try_from(length).unwrap_or(usize::MAX) - filled;
            let more = left.min(filled.max(FIRST_ROOM));
            body.reserve_exact(more);
            body.resize(filled + more, 0);
        }
        match from.read(&mut body[filled..]).await? {
            0 => return Err(Broken::Gone),
            read => filled += read,
        }
    }
    Ok(Received { kind, number, body })
}

/// Reads a frame.
pub(super) fn read(mut from: impl Read) -> Result<Received, Broken> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let (kind, number, length) = parse(header, u64::MAX)?;
    let mut body = Vec::new();
    from.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(Broken::Gone);
    }
    Ok(Received { kind, number, body })
}

fn parse(header: [u8; HEADER], longest: u64) -> Result<(Kind, u64, u64), Broken> {
    let [byte, rest @ ..] = header;
    let [number, length] = [0, NUMBER].map(|begin| {
        let mut bytes = [0; NUMBER];
        bytes.copy_from_slice(&rest[begin..][..NUMBER]);
        u64::from_le_bytes(bytes)
    });
    match Kind::ALL.into_iter().find(|kind| *kind as u8 == byte) {
        Some(kind) if length <= longest => Ok((kind, number, length)),
        _ => Err(Broken::Garbage(format!("a frame of kind {byte} and {length} bytes"))),
    }
}
