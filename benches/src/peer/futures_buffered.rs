use std::future::Future;

use futures_buffered::BufferedStreamExt;
use futures_util::{Stream, StreamExt};

use super::Peer;
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
