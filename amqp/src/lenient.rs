//! Reads what the client library would not.
//!
//! AMQP says that a short string is UTF-8. RabbitMQ does not check, and the client library ends the
//! connection at the first that is not: a message type, an id, the name of a header, a routing key.
//! All jobs of the connection would come back because of one odd message, again and again. So bytes
//! that are not UTF-8 are replaced before the library reads them, each by a question mark, which
//! changes no length. And headers that are nested so deep that reading them would take more stack than
//! there is, which ends the process, become the bytes that they are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_reactor_trait::AsyncIo;
use async_trait::async_trait;
use futures_lite::{AsyncRead, AsyncWrite, Stream};
use reactor_trait::{AsyncIOHandle, IOHandle, Reactor, TimeReactor};

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// Frames longer than any that a broker sends are passed on as they are.
const LONGEST_FRAME: usize = 4 * 1024 * 1024;

/// How deep tables and arrays of headers may be nested.
const DEPTH: usize = 32;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// `async-io`, with sockets that are read leniently.
pub(crate) struct Lenient;

impl Reactor for Lenient {
    fn register(&self, socket: IOHandle) -> io::Result<Box<dyn AsyncIOHandle + Send>> {
        let socket = Box::into_pin(AsyncIo.register(socket)?);
        Ok(Box::new(Socket { socket, frames: Frames::default() }))
    }
}

#[async_trait]
impl TimeReactor for Lenient {
    async fn sleep(&self, time: Duration) {
        AsyncIo.sleep(time).await;
    }

    fn interval(&self, time: Duration) -> Box<dyn Stream<Item = Instant>> {
        AsyncIo.interval(time)
    }
}

struct Socket {
    socket: Pin<Box<dyn AsyncIOHandle + Send>>,
    frames: Frames,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, frames } = &mut *self;
        loop {
            let bytes = frames.take(out);
            if bytes > 0 || out.is_empty() {
                return Poll::Ready(Ok(bytes));
            }
            match ready!(socket.as_mut().poll_read(cx, frames.room()))? {
                0 if frames.pass_all() => {}
                0 => return Poll::Ready(Ok(0)),
                bytes => frames.fill(bytes),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.as_mut().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.as_mut().poll_write_vectored(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_close(cx)
    }
}

/// What has come of the stream of frames: `..start` was taken, `start..clean` may be, `clean..end` is
/// the beginning of a frame that has not come whole.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    start: usize,
    clean: usize,
    end: usize,
    /// How much of the current frame is still to come and to be passed on as it is.
    passing: usize,
}

impl Frames {
    fn take(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.clean - self.start);
        out[..count].copy_from_slice(&self.bytes[self.start..self.start + count]);
        self.start += count;
        count
    }

    /// Room to read into, when all that is clean was taken.
    fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.clean -= self.start;
        self.start = 0;
        let length = self.bytes.len().max((self.end + CHUNK / 2).next_multiple_of(CHUNK));
        self.bytes.resize(length, 0);
        &mut self.bytes[self.end..]
    }

    fn fill(&mut self, bytes: usize) {
        self.end += bytes;
        while self.clean < self.end {
            if self.passing > 0 {
                let count = self.passing.min(self.end - self.clean);
                self.passing -= count;
                self.clean += count;
                continue;
            }
            let frame = &mut self.bytes[self.clean..self.end];
            let Some((&[kind, _, _, s0, s1, s2, s3], rest)) = frame.split_first_chunk() else {
                // The first byte tells frames from a broker that speaks otherwise.
                if !matches!(frame[0], METHOD | HEADER | BODY | HEARTBEAT) {
                    self.passing = usize::MAX;
                    continue;
                }
                return;
            };
            let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
            match kind {
                METHOD | HEADER if size <= LONGEST_FRAME => {
                    if rest.len() <= size {
                        return;
                    }
                    let payload = &mut frame[7..7 + size];
                    let cleaned = if kind == METHOD { method(payload) } else { header(payload) };
                    if cleaned.is_none() {
                        tracing::debug!("a frame that cannot be read came");
                    }
                    self.clean += size + 8;
                }
                METHOD | HEADER | BODY | HEARTBEAT => self.passing = size.saturating_add(8),
                _ => self.passing = usize::MAX,
            }
        }
    }

    /// Passes on what has come, as no more will. Returns whether there was any.
    fn pass_all(&mut self) -> bool {
        let is_left = self.clean < self.end;
        self.clean = self.end;
        is_left
    }
}

/// Cleans the short strings of what the broker tells: `None` if it is not as it should be.
fn method(payload: &mut [u8]) -> Option<()> {
    let mut rest = Rest(payload);
    match rest.bytes()? {
        // A delivery: the consumer, its tag and whether it came before, exchange and routing key.
        [0, 60, 0, 60] => {
            rest.short_string()?;
            rest.skip(9)?;
            rest.short_string()?;
            rest.short_string()
        }
        // A message that comes back, and the end of a connection or channel: a code and why.
        [0, 60, 0, 50] => {
            rest.skip(2)?;
            rest.short_string()?;
            rest.short_string()?;
            rest.short_string()
        }
        [0, 10, 0, 50] | [0, 20, 0, 40] => {
            rest.skip(2)?;
            rest.short_string()
        }
        _ => Some(()),
    }
}

/// Cleans the short strings of a message's properties: `None` if they are not as they should be.
fn header(payload: &mut [u8]) -> Option<()> {
    let mut rest = Rest(payload);
    // The class, the weight, and the length of the body.
    rest.skip(12)?;
    let flags = u16::from_be_bytes(rest.bytes()?);
    for property in 0..14 {
        if flags & 1 << (15 - property) == 0 {
            continue;
        }
        match property {
            2 => rest.table(DEPTH)?,
            // Delivery mode and priority.
            3 | 4 => rest.skip(1)?,
            // The time.
            9 => rest.skip(8)?,
            _ => rest.short_string()?,
        }
    }
    Some(())
}

/// What of a frame was not looked at.
struct Rest<'a>(&'a mut [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a mut [u8]> {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(drop)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn length(&mut self) -> Option<usize> {
        Some(u32::from_be_bytes(self.bytes()?) as usize)
    }

    fn short_string(&mut self) -> Option<()> {
        let [length] = self.bytes()?;
        clean(self.take(length.into())?);
        Some(())
    }

    fn table(&mut self, depth: usize) -> Option<()> {
        let length = self.length()?;
        let mut entries = Rest(self.take(length)?);
        while !entries.0.is_empty() {
            entries.short_string()?;
            entries.value(depth)?;
        }
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let length = self.length()?;
        let mut values = Rest(self.take(length)?);
        while !values.0.is_empty() {
            values.value(depth)?;
        }
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        let kind = self.take(1)?;
        if depth == 0 && matches!(kind[0], b'F' | b'A') {
            // Bytes have their length before them as well.
            kind[0] = b'x';
        }
        match kind[0] {
            b'V' => Some(()),
            b't' | b'b' | b'B' => self.skip(1),
            b's' | b'U' | b'u' => self.skip(2),
            b'I' | b'i' | b'f' => self.skip(4),
            b'D' => self.skip(5),
            b'L' | b'l' | b'd' | b'T' => self.skip(8),
            b'S' | b'x' => {
                let length = self.length()?;
                self.skip(length)
            }
            b'F' => self.table(depth - 1),
            b'A' => self.array(depth - 1),
            _ => None,
        }
    }
}

/// Replaces what is not UTF-8.
fn clean(text: &mut [u8]) {
    let mut from = 0;
    while let Err(error) = std::str::from_utf8(&text[from..]) {
        let at = from + error.valid_up_to();
        let end = error.error_len().map_or(text.len(), |length| at + length);
        text[at..end].fill(b'?');
        from = end;
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::basic::parse_properties;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&[kind, 0, 1], &length[..], payload, &[0xCE]].concat()
    }

    /// A header with the properties that these flags say.
    fn properties(flags: u16, properties: &[u8]) -> Vec<u8> {
        let head = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];
        [&head, &flags.to_be_bytes()[..], properties].concat()
    }

    fn short(text: &[u8]) -> Vec<u8> {
        [&[text.len() as u8], text].concat()
    }

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    /// What comes out if it comes in pieces of this size, and is asked for so.
    fn through(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        let mut taken = vec![0; piece];
        let mut take = |frames: &mut Frames| loop {
            let count = frames.take(&mut taken);
            if count == 0 {
                return;
            }
            out.extend(&taken[..count]);
        };
        for piece in bytes.chunks(piece) {
            take(&mut frames);
            frames.room()[..piece.len()].copy_from_slice(piece);
            frames.fill(piece.len());
        }
        take(&mut frames);
        frames.pass_all();
        take(&mut frames);
        out
    }

    #[test]
    fn only_what_is_not_utf_8_is_replaced_however_it_comes() {
        let value = |name: &[u8], value: &[u8]| [&short(name)[..], value].concat();
        let table = |entries: &[Vec<u8>]| long(&entries.concat());
        let of = |bad: &[u8], odd: &[u8]| {
            let inner = table(&[value(bad, b"t\x01")]);
            let array = long(&[b"F", &inner[..], b"V"].concat());
            let headers = table(&[
                value("ü".as_bytes(), &[b"S", &long(b"\xFF\xFE")[..]].concat()),
                value(bad, b"s\x00\x01"),
                value(b"a", &[b"A", &array[..]].concat()),
            ]);
            let all = [
                &short(odd)[..],
                &short(odd),
                &headers,
                &[2],
                &[9],
                &short(odd),
                &short(odd),
                &short(odd),
                &short(odd),
                &[0xFF; 8],
                &short(odd),
                &short(odd),
                &short(odd),
                &short(odd),
            ];
            let deliver =
                [&[0, 60, 0, 60][..], &short(odd), &[0xFF; 9], &short(odd), &short(odd)].concat();
            let close = [&[0, 20, 0, 40][..], &[1, 2], &short(odd), &[0xFF; 4]].concat();
            [
                frame(METHOD, &deliver),
                frame(HEADER, &properties(0xFFFC, &all.concat())),
                frame(BODY, &[0xFF, 0xFE, 0xFD]),
                frame(HEARTBEAT, &[]),
                frame(METHOD, &close),
                frame(METHOD, &[0, 60, 0, 80, 0xFF]),
            ]
            .concat()
        };
        let came = of(b"n\xC3", b"caf\xE9 \xE2\x82!");
        let expected = of(b"n?", b"caf? ??!");
        for piece in [1, 2, 7, 64, 16 * 1024] {
            assert_eq!(through(&came, piece), expected);
        }
    }

    #[test]
    fn what_is_nested_too_deep_becomes_bytes() {
        // Tables in arrays in tables.
        let headers = (1..=1000).fold(Vec::new(), |inner, level| match level % 2 {
            0 => [&short(b"n")[..], b"A", &long(&inner)].concat(),
            _ => [b"F", &long(&inner)[..]].concat(),
        });
        let headers = long(&headers);
        let mut payload = properties(0x2000, &headers);
        header(&mut payload).unwrap();
        let (rest, properties) = parse_properties(&payload[12..]).unwrap();
        assert!(rest.is_empty() && properties.headers().is_some());
    }

    #[test]
    fn what_makes_no_sense_is_passed_on() {
        let broken = [
            b"AMQP\x00\x00\x09\x01".to_vec(),
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            frame(HEADER, &properties(0x8000, &[9, b'x'])),
            frame(HEADER, &properties(0x2000, &long(&[1, b'n', b'?', 0]))),
            frame(METHOD, &[0]),
            frame(HEADER, &[0; 3])[..9].to_vec(),
        ];
        for bytes in broken {
            assert_eq!(through(&bytes, 5), bytes);
        }
    }
}
