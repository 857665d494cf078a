use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::expand::Expand;
use super::shell::shell;
use super::try_call::Try;
use super::try_expand::TryExpand;
use crate::engine::{Call, Stage, Step};
use crate::size_hint::SizeHint;

shell! {
    /// Stream returned by [`FlowExt::flat_map_concurrent`](crate::FlowExt::flat_map_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `X` what it returns, and `Via` is a type of
    /// [`via`](crate::via) that says what `X` is. The items `T`, the inner streams `I` and the outputs
    /// `U` follow from them. To keep one in a struct it is simpler to box it.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// // Open expansions take turns, so those without end are fine.
    /// let stage = pipe([1, 2]).flat_map_concurrent(2, futures_lite::stream::repeat);
    /// let first: Vec<u32> = stage.take(4).collect().await;
    /// assert!(first.contains(&1) && first.contains(&2));
    /// # });
    /// ```
    pub struct FlatMapConcurrent<
        S: Stream,
        F,
        X: Expand<Via>,
        Via,
        T = <S as Stream>::Item,
        I = <X as Expand<Via>>::Stream,
        U = <X as Expand<Via>>::Item,
    > {
        inner: Stage<S, T, Many<I>, F, U>,
        via: PhantomData<fn() -> (X, Via)>,
    }

    type Item = U;

    polled by |engine, f, cx| engine.poll_next(cx, |item| Many::new(f(item).expand())),
    where
        S: Stream<Item = T>,
        F: FnMut(T) -> X,
        X: Expand<Via, Item = U, Stream = I>,
        I: Stream<Item = U>,
}

shell! {
    /// Stream returned by [`TryFlowExt::try_flat_map_concurrent`](crate::TryFlowExt::try_flat_map_concurrent).
    ///
    /// `S` is the upstream, `F` the function, `X` what it returns, and `Via` is a type of
    /// [`via`](crate::via) that says what `X` is. The values `T`, the errors `E`, the inner streams `I`
    /// and the outputs `U` follow from them. To keep one in a struct it is simpler to box it.
    pub struct TryFlatMapConcurrent<
        S: TryStream,
        F,
        X: TryExpand<Via>,
        Via,
        T = <S as TryStream>::Ok,
        E = <X as TryExpand<Via>>::Error,
        I = <X as TryExpand<Via>>::Stream,
        U = <X as TryExpand<Via>>::Ok,
    > {
        inner: Stage<S, Result<T, E>, Try<Many<I>, E>, F, Result<U, E>>,
        via: PhantomData<fn() -> (X, Via)>,
    }

    type Item = Result<U, E>;

    polled by |engine, f, cx| {
        engine.try_poll_next(cx, |item| Try::new(item.map(|item| Many::new(f(item).try_expand()))))
    },
    where
        S: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> X,
        X: TryExpand<Via, Ok = U, Error = E, Stream = I>,
        I: Stream<Item = Result<U, E>>,
}

pin_project! {
    /// A call with any number of outputs: an open expansion.
    pub(super) struct Many<S> {
        #[pin]
        stream: S,
    }
}

impl<S> Many<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream }
    }
}

impl<S: Stream> Call for Many<S> {
    type Output = S::Item;

    const MANY: bool = true;

    // An item may expand to anything.
    const OUTPUTS: SizeHint = (0, None);

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<S::Item>> {
        self.project().stream.poll_next(cx).map(|output| match output {
            Some(output) => Step::Output(output),
            None => Step::End,
        })
    }
}
