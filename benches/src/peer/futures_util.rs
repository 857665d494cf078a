use std::future::Future;

use futures_util::{Stream, StreamExt};

use super::Peer;
use crate::Executor;

/// `buffer_unordered` and `buffered` of futures-util.
#[derive(Debug)]
pub struct FuturesUtil;

impl Peer for FuturesUtil {
    const NAME: &'static str = "futures-util";
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
        stream.map(f).buffer_unordered(limit)
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
        stream.map(f).buffered(limit)
    }
}
