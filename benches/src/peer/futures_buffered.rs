use futures_buffered::{BufferedStreamExt, MergeBounded};
use futures_util::{Stream, StreamExt};

use super::of_streams::peer;
use super::refilled::{Group, refilled};

peer! {
    /// `buffered_unordered` and `buffered_ordered` of futures-buffered.
    FuturesBuffered, "futures-buffered", Loop,
    |stream, limit, f|
    map: stream.map(f).buffered_unordered(limit),
    ordered: stream.map(f).buffered_ordered(limit),
}

impl FuturesBuffered {
    /// Merges what items are expanded to, of so many items at once: a `MergeBounded`, refilled by
    /// hand.
    pub fn merged<S: Stream>(
        limit: usize,
        mut streams: impl Iterator<Item = S>,
    ) -> impl Stream<Item = S::Item> {
        let group: MergeBounded<S> = streams.by_ref().take(limit).collect();
        refilled(group, streams)
    }
}

impl<S: Stream> Group<S> for MergeBounded<S> {
    fn try_push(&mut self, stream: S) -> Result<(), S> {
        MergeBounded::try_push(self, stream)
    }
}
