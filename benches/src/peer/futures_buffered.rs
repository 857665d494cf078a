use std::future::Future;

use futures_buffered::{BufferedStreamExt, MergeBounded};
use futures_util::{Stream, StreamExt};

use super::Peer;
use super::refilled::{Group, refilled};
use crate::Executor;

/// `buffered_unordered` and `buffered_ordered` of futures-buffered.
#[derive(Debug)]
pub struct FuturesBuffered;

impl Peer for FuturesBuffered {
    const NAME: &'static str = "futures-buffered";
    const EXECUTOR: Executor = Executor::Loop;

    fn map<S, F, Fut>(
        stream: S,
        limit: usize,
        f: F,
    ) -> impl Stream<Item = Fut::Output> + Send + 'static
    where
        S: Stream<Item: Send> + Send + 'static,
        F: Fn(S::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static,
    {
        stream.map(f).buffered_unordered(limit)
    }

    fn ordered<S, F, Fut>(
        stream: S,
        limit: usize,
        f: F,
    ) -> impl Stream<Item = Fut::Output> + Send + 'static
    where
        S: Stream<Item: Send> + Send + 'static,
        F: Fn(S::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static,
    {
        stream.map(f).buffered_ordered(limit)
    }
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
