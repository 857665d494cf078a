use std::sync::Arc;

use futures_lite::Stream;

use super::TryFilterMapConcurrent;
use crate::Concurrency;

/// Stream of [`TryFlowExt::try_filter_concurrent`](crate::TryFlowExt::try_filter_concurrent).
///
/// As in [`filter_concurrent`](super::filter_concurrent), the call owns a share of the predicate.
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
    let predicate = Arc::new(predicate);
    TryFilterMapConcurrent::new(stream, concurrency, move |item| {
        let predicate = predicate.clone();
        async move { Ok(predicate(&item).await?.then_some(item)) }
    })
}
