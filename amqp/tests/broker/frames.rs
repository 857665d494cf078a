//! Frames of AMQP 0-9-1, as far as the tests look into them.

use std::io::{self, Read, Write};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xCE;

/// One frame, as it is sent.
pub(crate) struct Frame {
    kind: u8,
    pub(crate) channel: u16,
    payload: Vec<u8>,
}

/// What a frame says.
#[derive(Debug, PartialEq)]
pub(crate) enum What {
    /// A message comes, whose header and body follow.
    Publish,
    /// A message comes, with this tag.
    Deliver { tag: u64 },
    /// Messages up to this tag, or the one that has it, are taken care of: the worker's word on jobs,
    /// the broker's on outputs.
    Ack { tag: u64, multiple: bool },
    /// No more jobs, please.
    Cancel,
    /// How long the body is that follows.
    Header { size: u64 },
    /// A part of it.
    Body,
    /// Anything else.
    Other,
}

impl Frame {
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 7];
        from.read_exact(&mut head)?;
        let [kind, c0, c1, size @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes(size) as usize + 1];
        from.read_exact(&mut payload)?;
        assert_eq!(payload.pop(), Some(END), "a frame ends as frames do");
        Ok(Self { kind, channel: u16::from_be_bytes([c0, c1]), payload })
    }

    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut bytes = vec![self.kind];
        bytes.extend(self.channel.to_be_bytes());
        bytes.extend((self.payload.len() as u32).to_be_bytes());
        bytes.extend(&self.payload);
        bytes.push(END);
        to.write_all(&bytes)
    }

    pub(crate) fn method(channel: u16, payload: &[u8]) -> Self {
        Self { kind: METHOD, channel, payload: payload.to_vec() }
    }

    pub(crate) fn header(channel: u16, payload: &[u8]) -> Self {
        Self { kind: HEADER, channel, payload: payload.to_vec() }
    }

    pub(crate) fn body(channel: u16, payload: &[u8]) -> Self {
        Self { kind: BODY, channel, payload: payload.to_vec() }
    }

    /// The ack of one message.
    pub(crate) fn ack(channel: u16, tag: u64) -> Self {
        let mut payload = vec![0, 60, 0, 80];
        payload.extend(tag.to_be_bytes());
        payload.push(0);
        Self { kind: METHOD, channel, payload }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) fn what(&self) -> What {
        let number = |at: usize| u64::from_be_bytes(self.payload[at..at + 8].try_into().unwrap());
        match (self.kind, self.payload.get(..4)) {
            (METHOD, Some([0, 60, 0, 30])) => What::Cancel,
            (METHOD, Some([0, 60, 0, 40])) => What::Publish,
            // The consumer's name comes first, and before it its length.
            (METHOD, Some([0, 60, 0, 60])) => {
                What::Deliver { tag: number(5 + usize::from(self.payload[4])) }
            }
            (METHOD, Some([0, 60, 0, 80])) => {
                What::Ack { tag: number(4), multiple: self.payload[12] & 1 == 1 }
            }
            (HEADER, _) => What::Header { size: number(4) },
            (BODY, _) => What::Body,
            _ => What::Other,
        }
    }
}
