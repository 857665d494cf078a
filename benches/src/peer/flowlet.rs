use std::future::Future;

use flowlet::{FlowExt, ordered};
use futures_lite::Stream;

use super::Peer;
use crate::Executor;

/// What all is about.
#[derive(Debug)]
pub struct Flowlet;

impl Peer for Flowlet {
    const NAME: &'static str = "flowlet";
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
        stream.map_concurrent(limit, f)
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
        stream.map_concurrent(ordered(limit), f)
    }
}
