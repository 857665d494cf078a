use std::future::Future;

use futures_util::{Stream, stream};
use pumps::{Concurrency, Pipeline};

use super::Peer;
use crate::Executor;

/// `map` of pumps: a task a stage, and a channel between two.
#[derive(Debug)]
pub struct Pumps;

impl Peer for Pumps {
    const NAME: &'static str = "pumps";
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
        received(Pipeline::from_stream(stream).map(f, Concurrency::concurrent_unordered(limit)))
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
        received(Pipeline::from_stream(stream).map(f, Concurrency::concurrent_ordered(limit)))
    }

    fn filter_map<S, F, Fut, T>(
        stream: S,
        limit: usize,
        f: F,
    ) -> impl Stream<Item = T> + Send + 'static
    where
        S: Stream<Item: Send> + Send + 'static,
        F: Fn(S::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<T>> + Send + 'static,
        T: Send + 'static,
    {
        received(
            Pipeline::from_stream(stream).filter_map(f, Concurrency::concurrent_unordered(limit)),
        )
    }
}

fn received<T: Send + 'static>(pipeline: Pipeline<T>) -> impl Stream<Item = T> + Send + 'static {
    let (mut receiver, _) = pipeline.build();
    stream::poll_fn(move |cx| receiver.poll_recv(cx))
}
