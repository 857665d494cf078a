use std::future::Future;

use futures_util::Stream;
use par_stream::{ParParams, ParStreamExt};

use super::Peer;
use crate::Executor;

/// `par_then_unordered` and `par_then` of par-stream, with as many workers as calls in flight.
#[derive(Debug)]
pub struct ParStream;

impl Peer for ParStream {
    const NAME: &'static str = "par-stream";
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
        stream.par_then_unordered(workers(limit), f)
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
        stream.par_then(workers(limit), f)
    }
}

fn workers(limit: usize) -> ParParams {
    ParParams { num_workers: limit, buf_size: Some(limit) }
}
