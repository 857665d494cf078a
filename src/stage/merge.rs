use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::fused::fused;
use super::merge_handle::{Incoming, MergeHandle};
use crate::engine::FanIn;
use crate::size_hint::SizeHint;

/// Merges streams into one, whose items are yielded as they arrive.
///
/// The streams have one type; box them if they do not. Polling is fair: a stream that is always ready cannot starve the
/// others. Each stream is polled only when it was woken, so the cost of an item does not grow with their number. More
/// streams can be added while the merged stream runs, with a [handle](Merge::handle).
///
/// The merged stream ends when all streams have ended and all handles are gone. A stream that has ended is dropped at
/// once. Dropping the merged stream drops all of them.
///
/// Like a stage, it keeps the calls of all upstream stages running while a later stage is full, so they are never
/// starved. `select_all` and similar adaptors cannot do that.
///
/// # Panics
///
/// A panic in one of the streams propagates out of the poll that ran it. The others are unharmed. The stream that
/// panicked is polled again in the next poll: if it is a stage, it yields the outputs of its other calls, and an error
/// for which it dropped a call that panicked.
///
/// # Examples
///
/// ```
/// use flowlet::merge;
/// use flowlet::prelude::*;
///
/// async fn ask(server: &str, id: u32) -> String {
///     format!("{id} from {server}")
/// }
///
/// # futures_lite::future::block_on(async {
/// let servers = ["near", "far"];
/// let answers = servers.map(|server| pipe(1..=2).map_concurrent(2, move |id| ask(server, id)));
/// let mut all: Vec<String> = merge(answers).collect().await;
/// all.sort();
/// assert_eq!(all, ["1 from far", "1 from near", "2 from far", "2 from near"]);
/// # });
/// ```
pub fn merge<I, S, T>(streams: I) -> Merge<S, T>
where
    I: IntoIterator<Item = S>,
    S: Stream<Item = T>,
{
    let mut fan_in = FanIn::new();
    streams.into_iter().for_each(|stream| fan_in.add(stream));
    Merge { fan_in, incoming: None, open: false, over: false, seen: 0, poll: Merge::poll }
}

/// Stream returned by [`merge`].
///
/// The items `T` follow from the type `S` of the streams.
///
/// # Examples
///
/// ```
/// use flowlet::{merge, prelude::*, stage::Merge};
/// use futures_lite::stream;
///
/// # futures_lite::future::block_on(async {
/// let merged: Merge<stream::Once<u8>> = merge([stream::once(1), stream::once(2)]);
/// assert_eq!(merged.size_hint(), (2, Some(2)));
/// assert_eq!(merged.count().await, 2);
/// # });
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Merge<S: Stream, T = <S as Stream>::Item> {
    fan_in: FanIn<S, T>,

    /// Where handles add streams, once there has been a handle.
    incoming: Option<Arc<Incoming<S>>>,

    /// Whether streams may still be added.
    open: bool,

    /// Whether it has ended.
    over: bool,

    /// The number of wakes when `incoming` was last checked.
    seen: usize,

    /// How it is polled: a value, as in a `Stage` of the engine, and for the same reason.
    poll: fn(&mut Self, &mut Context<'_>) -> Poll<Option<T>>,
}

impl<S: Stream<Item = T>, T> Merge<S, T> {
    /// Returns a handle that adds streams from anywhere, at any time.
    ///
    /// The merged stream does not end while there are handles. Drop or [close](MergeHandle::close) them when you have
    /// nothing more to add. Once the merged stream has ended, a handle adds nothing.
    ///
    /// # Examples
    ///
    /// Streams that are found on the way. (For items use [`frontier`](crate::frontier), which needs no counter.)
    ///
    /// ```
    /// use flowlet::merge;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut merged = merge([pipe(vec![3])]);
    /// let handle = merged.handle();
    /// let mut left = 1;
    /// let countdown: Vec<u32> = merged
    ///     .inspect(|n| {
    ///         if *n > 0 {
    ///             left += 1;
    ///             handle.add(pipe(vec![n - 1])).unwrap();
    ///         }
    ///         left -= 1;
    ///         if left == 0 {
    ///             handle.close();
    ///         }
    ///     })
    ///     .collect()
    ///     .await;
    /// assert_eq!(countdown, [3, 2, 1, 0]);
    /// # });
    /// ```
    pub fn handle(&mut self) -> MergeHandle<S> {
        let new = || Incoming::new(self.fan_in.signals().clone());
        let incoming = self.incoming.get_or_insert_with(new);
        if self.over {
            incoming.close();
        }
        let handle = MergeHandle::new(incoming);
        self.open = incoming.is_open();
        handle
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.take_incoming();
        if let Poll::Ready(item) = self.fan_in.poll_next(cx) {
            return Poll::Ready(Some(item));
        }
        if self.fan_in.signals().upstream_wakes() != self.seen {
            cx.waker().wake_by_ref();
        } else if self.fan_in.is_empty() && !self.open {
            self.over = true;
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// Takes the streams that were added, if anything has changed.
    fn take_incoming(&mut self) {
        let wakes = self.fan_in.signals().upstream_wakes();
        if wakes != self.seen {
            self.seen = wakes;
            if let Some(incoming) = &self.incoming {
                self.open = incoming.is_open();
                incoming.take().into_iter().for_each(|stream| self.fan_in.add(stream));
            }
        }
    }
}

impl<S: Stream, T> Stream for Merge<S, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        (self.poll)(&mut self, cx)
    }

    fn size_hint(&self) -> SizeHint {
        let (lower, upper) = self.fan_in.size_hint();
        let all_known = !self.open && self.fan_in.signals().upstream_wakes() == self.seen;
        (lower, upper.filter(|_| all_known))
    }
}

impl<S: Stream, T> Drop for Merge<S, T> {
    fn drop(&mut self) {
        if let Some(incoming) = &self.incoming {
            incoming.close();
            drop(incoming.take());
        }
    }
}

fused!([S: Stream, T] Merge<S, T>: |merge| merge.over);

impl<S: Stream<Item = T>, T> fmt::Debug for Merge<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge")
            .field("streams", &self.fan_in.count())
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
