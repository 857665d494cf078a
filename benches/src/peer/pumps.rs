use futures_util::{Stream, stream};
use pumps::{Concurrency, Pipeline};

use super::of_streams::peer;

peer! {
    /// `map` of pumps: a task a stage, and a channel between two.
    Pumps, "pumps", Tasks,
    |stream, limit, f|
    map: received(Pipeline::from_stream(stream).map(f, Concurrency::concurrent_unordered(limit))),
    ordered: received(Pipeline::from_stream(stream).map(f, Concurrency::concurrent_ordered(limit))),

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
        let concurrency = Concurrency::concurrent_unordered(limit);
        received(Pipeline::from_stream(stream).filter_map(f, concurrency))
    }
}

fn received<T: Send + 'static>(pipeline: Pipeline<T>) -> impl Stream<Item = T> + Send + 'static {
    let (mut receiver, _) = pipeline.build();
    stream::poll_fn(move |cx| receiver.poll_recv(cx))
}
