use std::future::Future;

use futures_util::{Stream, StreamExt};
use tokio_par_stream::TokioParStream as _;

use super::Peer;
use crate::Executor;

/// `par_buffered_unordered` and `par_buffered` of tokio-par-stream: a task a call.
#[derive(Debug)]
pub struct TokioParStream;

impl Peer for TokioParStream {
    const NAME: &'static str = "tokio-par-stream";
    const EXECUTOR: Executor = Executor::Tasks;

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
        stream.map(f).par_buffered_unordered(limit)
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
        stream.map(f).par_buffered(limit)
    }
}
