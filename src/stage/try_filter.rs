use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::filter_map::Maybe;
use super::fused::fused;
use super::try_call::Try;
use crate::Concurrency;
use crate::engine::Stage;

pin_project! {
    /// Stream returned by [`TryFlowExt::try_filter_concurrent`](crate::TryFlowExt::try_filter_concurrent).
    ///
    /// `S` is the upstream and `P` the predicate. `Fut`, the future of a call, has no name. The values `T` and
    /// the errors `E` follow from the upstream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::TryFilterConcurrent;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let stage: TryFilterConcurrent<_, _, _> =
    ///     pipe([Ok(-1), Ok(1), Err("two")]).try_filter_concurrent(2, async |n| Ok(*n > 0));
    /// assert_eq!(stage.collect::<Vec<_>>().await, [Ok(1), Err("two")]);
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct TryFilterConcurrent<
        S: TryStream,
        P,
        Fut,
        T = <S as TryStream>::Ok,
        E = <S as TryStream>::Error,
    > {
        #[pin]
        stage: Stage<S, Result<T, E>, Try<Maybe<Fut>, E>, Arc<P>, Result<T, E>>,
    }
}

/// Makes the stage. Only here the future of its calls is known.
#[track_caller]
pub(crate) fn try_filter_concurrent<S, P, T, E>(
    stream: S,
    concurrency: Concurrency,
    predicate: P,
) -> TryFilterConcurrent<S, P, impl Future<Output = Option<Result<T, E>>>, T, E>
where
    S: Stream<Item = Result<T, E>>,
    P: AsyncFn(&T) -> Result<bool, E>,
{
    let stage = Stage::new(stream, concurrency, Arc::new(predicate), |engine, predicate, cx| {
        engine.try_poll_next(cx, |item| {
            Try::new(item.map(|item| Maybe::new(test(item, predicate.clone()))))
        })
    });
    TryFilterConcurrent { stage }
}

/// A call, as in a stage that knows no errors.
async fn test<T, E, P>(item: T, predicate: Arc<P>) -> Option<Result<T, E>>
where
    P: AsyncFn(&T) -> Result<bool, E>,
{
    predicate(&item).await.map(|keep| keep.then_some(item)).transpose()
}

impl<S: TryStream, P, Fut, T, E> Stream for TryFilterConcurrent<S, P, Fut, T, E> {
    type Item = Result<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        self.project().stage.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stage.size_hint()
    }
}

fused!([S: TryStream, P, Fut, T, E] TryFilterConcurrent<S, P, Fut, T, E>: |stage| stage.stage.engine().is_over());

impl<S, P, Fut, T, E> fmt::Debug for TryFilterConcurrent<S, P, Fut, T, E>
where
    S: TryStream + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as("TryFilterConcurrent", f)
    }
}
