//! A concurrent flat map by hand: a group of streams that is refilled as they end.

use std::task::Poll;

use futures_util::{Stream, StreamExt, stream};

/// A group of streams. It ends when it is empty, and goes on when it is not any more.
pub(super) trait Group<S: Stream>: Stream<Item = S::Item> + Unpin {
    /// Adds a stream, or gives it back if there is no room.
    fn try_push(&mut self, stream: S) -> Result<(), S>;
}

/// Keeps the group full.
pub(super) fn refilled<S: Stream, G: Group<S>>(
    mut group: G,
    mut streams: impl Iterator<Item = S>,
) -> impl Stream<Item = S::Item> {
    let mut next = streams.next();
    let mut fill = move |group: &mut G| {
        let mut any = false;
        while let Some(stream) = next.take() {
            match group.try_push(stream) {
                Ok(()) => {
                    any = true;
                    next = streams.next();
                }
                Err(stream) => {
                    next = Some(stream);
                    break;
                }
            }
        }
        any
    };
    stream::poll_fn(move |cx| {
        fill(&mut group);
        loop {
            match group.poll_next_unpin(cx) {
                // Streams may have ended, and made room for others.
                Poll::Pending | Poll::Ready(None) if fill(&mut group) => {}
                polled => return polled,
            }
        }
    })
}
