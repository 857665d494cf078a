use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::Expand;
use super::fused::fused;
use crate::Concurrency;
use crate::engine::{Call, Stage, Step};
use crate::size_hint::SizeHint;

pin_project! {
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
    #[must_use = "streams do nothing unless polled"]
    pub struct FlatMapConcurrent<
        S: Stream,
        F,
        X: Expand<Via>,
        Via,
        T = <S as Stream>::Item,
        I = <X as Expand<Via>>::Stream,
        U = <X as Expand<Via>>::Item,
    > {
        #[pin]
        stage: Stage<S, T, Many<I>, F, U>,
        via: PhantomData<fn() -> (X, Via)>,
    }
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

impl<S, F, X, Via, T, I, U> FlatMapConcurrent<S, F, X, Via, T, I, U>
where
    S: Stream<Item = T>,
    F: FnMut(T) -> X,
    X: Expand<Via, Item = U, Stream = I>,
    I: Stream<Item = U>,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency, f: F) -> Self {
        let stage = Stage::new(stream, concurrency, f, |engine, f, cx| {
            engine.poll_next(cx, |item| Many::new(f(item).expand()))
        });
        Self { stage, via: PhantomData }
    }
}

impl<S: Stream, F, X: Expand<Via>, Via, T, I, U> Stream
    for FlatMapConcurrent<S, F, X, Via, T, I, U>
{
    type Item = U;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        self.project().stage.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stage.size_hint()
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

fused!([S: Stream, F, X: Expand<Via>, Via, T, I, U] FlatMapConcurrent<S, F, X, Via, T, I, U>: |stage| stage.stage.engine().is_over());

impl<S, F, X, Via, T, I, U> fmt::Debug for FlatMapConcurrent<S, F, X, Via, T, I, U>
where
    S: Stream + fmt::Debug,
    X: Expand<Via>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt_as("FlatMapConcurrent", f)
    }
}
