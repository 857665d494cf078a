use std::sync::Arc;

use futures_lite::Stream;

use super::FilterMapConcurrent;
use crate::Concurrency;

/// Stream of [`FlowExt::filter_concurrent`](crate::FlowExt::filter_concurrent).
///
/// The future of an asynchronous closure borrows the closure and the item and has no name, so the
/// call owns a share of the one and all of the other.
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
    let predicate = Arc::new(predicate);
    FilterMapConcurrent::new(stream, concurrency, move |item| {
        let predicate = predicate.clone();
        async move { predicate(&item).await.then_some(item) }
    })
}
