use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::shell::shell;
use super::try_call::Try;
use crate::engine::{Call, Stage, Step};
use crate::size_hint::SizeHint;

shell! {
    /// Stream returned by [`FlowExt::filter_map_concurrent`](crate::FlowExt::filter_map_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call and `U` an output. The items `T` follow
    /// from the upstream.
    pub struct FilterMapConcurrent<S: Stream, F, Fut, U, T = <S as Stream>::Item> {
        inner: Stage<S, T, Maybe<Fut>, F, U>,
    }

    type Item = U;

    polled by |engine, f, cx| engine.poll_next(cx, |item| Maybe::new(f(item))),
    where
        S: Stream<Item = T>,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Option<U>>,
}

shell! {
    /// Stream returned by [`TryFlowExt::try_filter_map_concurrent`](crate::TryFlowExt::try_filter_map_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call, and `U` and `E` what it resolves to.
    /// The values `T` follow from the upstream.
    pub struct TryFilterMapConcurrent<S: TryStream, F, Fut, U, E, T = <S as TryStream>::Ok> {
        inner: Stage<S, Result<T, E>, Try<TryMaybe<Fut>, E>, F, Result<U, E>>,
    }

    type Item = Result<U, E>;

    polled by |engine, f, cx| {
        engine.try_poll_next(cx, |item| Try::new(item.map(|item| TryMaybe { future: f(item) })))
    },
    where
        S: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<Option<U>, E>>,
}

pin_project! {
    /// A call with at most one output.
    pub(super) struct Maybe<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut> Maybe<Fut> {
    pub(super) fn new(future: Fut) -> Self {
        Self { future }
    }
}

impl<Fut: CallFuture<Output = Option<U>>, U> Call for Maybe<Fut> {
    type Output = U;

    const OUTPUTS: SizeHint = (0, Some(1));

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<U>> {
        self.project().future.poll(cx).map(|output| output.map_or(Step::End, Step::Last))
    }
}

pin_project! {
    /// A call with an error or at most one output.
    struct TryMaybe<Fut> {
        #[pin]
        future: Fut,
    }
}

impl<Fut, U, E> Call for TryMaybe<Fut>
where
    Fut: CallFuture<Output = Result<Option<U>, E>>,
{
    type Output = Result<U, E>;

    const OUTPUTS: SizeHint = (0, Some(1));

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Result<U, E>>> {
        self.project()
            .future
            .poll(cx)
            .map(|output| output.transpose().map_or(Step::End, Step::Last))
    }
}
