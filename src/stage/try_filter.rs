use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::tested::Tested;
use super::try_call::{Try, until_error};
use crate::Concurrency;
use crate::engine::Engine;

/// Stream of [`TryFlowExt::try_filter_concurrent`](crate::TryFlowExt::try_filter_concurrent).
#[track_caller]
pub(crate) fn try_filter_concurrent<S, P, T, E>(
    stream: S,
    concurrency: Concurrency,
    predicate: P,
) -> impl Stream<Item = Result<T, E>>
where
    S: Stream<Item = Result<T, E>>,
    P: AsyncFn(&T) -> Result<bool, E>,
{
    TryFilterConcurrent {
        engine: Engine::new(stream, concurrency),
        predicate: Arc::new(predicate),
        test: async |item, predicate: Arc<P>| {
            let keep = predicate(&item).await;
            (predicate, keep.map(|keep| keep.then_some(item)).transpose())
        },
    }
}

pin_project! {
    struct TryFilterConcurrent<S, P, F, Fut, T, E>
    where
        S: Stream<Item = Result<T, E>>,
        Fut: Future<Output = (Arc<P>, Option<Result<T, E>>)>,
    {
        #[pin]
        engine: Engine<S, Try<Tested<P, Fut>>>,
        predicate: Arc<P>,
        test: F,
    }
}

impl<S, P, F, Fut, T, E> Stream for TryFilterConcurrent<S, P, F, Fut, T, E>
where
    S: Stream<Item = Result<T, E>>,
    F: Fn(T, Arc<P>) -> Fut,
    Fut: Future<Output = (Arc<P>, Option<Result<T, E>>)>,
{
    type Item = Result<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        let this = self.project();
        this.engine.try_poll_next(cx, |item, leftover| {
            let test = |predicate| (this.test)(item, predicate);
            Try::new(Tested::new(leftover, this.predicate, test))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        until_error(self.engine.at_most_one_each_hint())
    }
}
