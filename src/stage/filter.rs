use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::tested::Tested;
use crate::Concurrency;
use crate::engine::Engine;

/// Stream of [`FlowExt::filter_concurrent`](crate::FlowExt::filter_concurrent).
#[track_caller]
pub(crate) fn filter_concurrent<S, P>(
    stream: S,
    concurrency: Concurrency,
    predicate: P,
) -> impl Stream<Item = S::Item>
where
    S: Stream,
    P: AsyncFn(&S::Item) -> bool,
{
    FilterConcurrent {
        engine: Engine::new(stream, concurrency),
        predicate: Arc::new(predicate),
        test: async |item, predicate: Arc<P>| {
            let keep = predicate(&item).await;
            (predicate, keep.then_some(item))
        },
    }
}

pin_project! {
    struct FilterConcurrent<S: Stream, P, F, Fut>
    where
        Fut: Future<Output = (Arc<P>, Option<S::Item>)>,
    {
        #[pin]
        engine: Engine<S, Tested<P, Fut>>,
        predicate: Arc<P>,
        test: F,
    }
}

impl<S, P, F, Fut> Stream for FilterConcurrent<S, P, F, Fut>
where
    S: Stream,
    F: Fn(S::Item, Arc<P>) -> Fut,
    Fut: Future<Output = (Arc<P>, Option<S::Item>)>,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        this.engine.poll_next(cx, |item, leftover| {
            Tested::new(leftover, this.predicate, |predicate| (this.test)(item, predicate))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.engine.at_most_one_each_hint()
    }
}
