//! Inner streams that run ahead of what is yielded, in a window.
//!
//! An open inner stream has room for one output of its own in the window. More may wait while there is room. It
//! **reserves** that room before it continues after an output, so that it is never held up on its way to the next: by
//! then it may hold a lock that others wait for. If there is no room, it is **blocked** until an output of any stream
//! was yielded, or all of its own were: the others may never leave room, and it must not wait for them.
//!
//! An inner stream that ended leaves its outputs behind, and its slot to another one. In completion order its outputs
//! are distinguished from those of the next by number: they come first.

use std::collections::VecDeque;
use std::mem;

#[derive(Default)]
pub(super) struct Ahead {
    /// By slot.
    streams: Vec<InnerStream>,

    /// The slots of blocked streams. One that was unblocked before its turn is still here, and skipped.
    blocked: VecDeque<u32>,
}

#[derive(Clone, Default)]
struct InnerStream {
    /// How many of its outputs wait.
    waiting: usize,

    /// How many outputs wait of streams that had the slot before.
    left: usize,

    is_blocked: bool,

    /// Whether there is room for its next output in addition to those that wait.
    is_reserved: bool,

    /// Whether its slot is in `blocked`, even from before.
    is_listed: bool,
}

/// What an output leaves behind when it is taken.
pub(super) struct Taken {
    /// Whether its inner stream has ended.
    pub(super) is_left: bool,

    /// Whether it had a part of the window to itself, which is now free.
    pub(super) frees: bool,

    /// A blocked stream to continue, because none of its outputs wait.
    pub(super) unblocked: bool,

    /// Whether it had reserved room that it no longer needs.
    pub(super) released: bool,
}

impl Ahead {
    fn stream(&mut self, slot: u32) -> &mut InnerStream {
        let index = slot as usize;
        if index >= self.streams.len() {
            self.streams.resize(index + 1, InnerStream::default());
        }
        &mut self.streams[index]
    }

    /// Returns how many outputs of the stream in a slot wait.
    pub(super) fn waiting(&self, slot: u32) -> usize {
        self.streams.get(slot as usize).map_or(0, |stream| stream.waiting)
    }

    /// Returns whether a stream needs room to continue.
    pub(super) fn needs_room(&self, slot: u32) -> bool {
        let stream = self.streams.get(slot as usize);
        stream.is_some_and(|stream| stream.waiting > 0 && !stream.is_reserved)
    }

    /// Reserves the room that a stream needs.
    pub(super) fn reserve(&mut self, slot: u32) {
        self.stream(slot).is_reserved = true;
    }

    /// Releases what a stream has reserved. Returns whether there was anything.
    pub(super) fn release(&mut self, slot: u32) -> bool {
        mem::take(&mut self.stream(slot).is_reserved)
    }

    /// Returns how many have reserved room.
    pub(super) fn reserved(&self) -> usize {
        self.streams.iter().filter(|stream| stream.is_reserved).count()
    }

    /// Counts an output that waits. Returns whether its stream has others that wait.
    pub(super) fn keep(&mut self, slot: u32) -> bool {
        let stream = self.stream(slot);
        stream.waiting += 1;
        stream.waiting > 1
    }

    /// Counts an output as yielded.
    pub(super) fn take(&mut self, slot: u32) -> Taken {
        let stream = self.stream(slot);
        if stream.left > 0 {
            stream.left -= 1;
            return Taken { is_left: true, frees: true, unblocked: false, released: false };
        }
        stream.waiting -= 1;
        let frees = stream.waiting > 0;
        let unblocked = !frees && mem::take(&mut stream.is_blocked);
        let released = !frees && mem::take(&mut stream.is_reserved);
        Taken { is_left: false, frees, unblocked, released }
    }

    /// Records that a stream has ended. Returns how many of its outputs wait.
    pub(super) fn end(&mut self, slot: u32, is_ordered: bool) -> usize {
        let stream = self.stream(slot);
        let waiting = mem::take(&mut stream.waiting);
        if !is_ordered {
            stream.left += waiting;
        }
        waiting
    }

    /// Makes a stream wait for room.
    pub(super) fn block(&mut self, slot: u32) {
        let stream = self.stream(slot);
        stream.is_blocked = true;
        if !mem::replace(&mut stream.is_listed, true) {
            self.blocked.push_back(slot);
        }
    }

    /// Returns whether a stream may be blocked.
    pub(super) fn any_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Takes the first stream that is blocked.
    pub(super) fn unblock(&mut self) -> Option<u32> {
        while let Some(slot) = self.blocked.pop_front() {
            let stream = self.stream(slot);
            stream.is_listed = false;
            if mem::take(&mut stream.is_blocked) {
                return Some(slot);
            }
        }
        None
    }

    /// Forgets all outputs but those of the streams that continue.
    pub(super) fn cut(&mut self, goes_on: impl Fn(u32) -> bool) {
        for (slot, stream) in self.streams.iter_mut().enumerate() {
            if !goes_on(slot as u32) {
                *stream = InnerStream { is_listed: stream.is_listed, ..InnerStream::default() };
            }
        }
    }

    /// Returns how many outputs wait of streams that have ended, in completion order.
    #[cfg(debug_assertions)]
    pub(super) fn left(&self) -> usize {
        self.streams.iter().map(|stream| stream.left).sum()
    }
}
