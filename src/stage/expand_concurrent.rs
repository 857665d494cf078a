use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::TryStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call_future::CallFuture;
use super::entry::{Entry, Shared};
use super::growth::{Grown, Growth, Kind};
use super::shell::{shell, weighed_by};
use super::styles::styles;
use super::try_call::Try;
use super::weighed::Weighed;
use crate::engine::{Call, Stage, Step, Weigh, polls, start, try_start};
use crate::{Concurrency, FlowExt, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::expand_concurrent`].
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call and `U` the output in what it resolves
    /// to. The items `T` follow from the upstream.
    pub struct ExpandConcurrent<S: Stream, F, Fut, U, T = <S as Stream>::Item> {
        inner: Stage<Growth<S, T, T, Grown<T>>, Grown<T>, Expanding<Fut, T>, F, U>,
        found: Arc<Shared<T>>,
    }

    type Item = U;
}

impl<S, F, Fut, U, T> ExpandConcurrent<S, F, Fut, U, T>
where
    S: Stream<Item = T>,
{
    #[track_caller]
    pub(crate) fn new<I>(stream: S, concurrency: Concurrency, f: F) -> Self
    where
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = (U, I)>,
        I: IntoIterator<Item = T>,
    {
        let growth = Growth::new(stream, Kind::plain());
        let found = growth.found().clone();
        let inner = Stage::new(
            growth,
            concurrency,
            f,
            polls!(|f, poll| poll(start(|(item, entry)| Expanding::new(f(item), entry)))),
        );
        Self { inner, found }
    }
}

impl<S, F, Fut, U, I, T> ExpandConcurrent<S, F, Fut, U, T>
where
    S: Stream<Item = T>,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = (U, I)>,
    I: IntoIterator<Item = T>,
{
    weighed_by! {
        pub fn weighed_by<W>(self, weight: W) -> ExpandConcurrent<S, Weighed<F, W>, Fut, U, T>
        where
            W: FnMut(&T) -> usize,
        {
            let inner = self.inner.weighed(weight, polls!(|Weighed { f, weight }, poll| {
                let work = start(|(item, entry)| Expanding::new(f(item), entry));
                let weight = &mut |(item, _): &Grown<T>| weight(item);
                poll(Weigh { work, weight })
            }));
            ExpandConcurrent { inner, found: self.found }
        }
    }
}

impl<S: Stream, F, Fut, U, T> ExpandConcurrent<S, F, Fut, U, T> {
    /// Processes the items first that were found last.
    ///
    /// Items that were found together keep their order. See
    /// [`Frontier::depth_first`](crate::stage::Frontier::depth_first) for how many items wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn halve(length: u32) -> (u32, Vec<u32>) {
    ///     (length, if length > 1 { vec![length / 2; 2] } else { vec![] })
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let lengths: Vec<u32> = pipe([4]).expand_concurrent(1, halve).depth_first().collect().await;
    /// assert_eq!(lengths, [4, 2, 1, 1, 2, 1, 1]);
    /// # });
    /// ```
    pub fn depth_first(self) -> Self {
        self.found.depth_first();
        self
    }
}

shell! {
    /// Stream returned by [`TryFlowExt::try_expand_concurrent`].
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call, `U` the output in what it resolves to
    /// and `E` the error. The values `T` follow from the upstream.
    pub struct TryExpandConcurrent<S: TryStream, F, Fut, U, E, T = <S as TryStream>::Ok> {
        inner: Stage<
            Growth<S, T, Result<T, E>, Result<Grown<T>, E>>,
            Result<Grown<T>, E>,
            Try<TryExpanding<Fut, T>, E>,
            F,
            Result<U, E>,
        >,
        found: Arc<Shared<T>>,
    }

    type Item = Result<U, E>;
}

impl<S, F, Fut, U, E, T> TryExpandConcurrent<S, F, Fut, U, E, T>
where
    S: Stream<Item = Result<T, E>>,
{
    #[track_caller]
    pub(crate) fn new<I>(stream: S, concurrency: Concurrency, f: F) -> Self
    where
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<(U, I), E>>,
        I: IntoIterator<Item = T>,
    {
        let growth = Growth::new(stream, Kind::results());
        let found = growth.found().clone();
        let inner = Stage::new(
            growth,
            concurrency,
            f,
            polls!(|f, poll| {
                poll(try_start(|grown: Result<Grown<T>, E>| {
                    Try::new(grown.map(|(item, entry)| TryExpanding::new(f(item), entry)))
                }))
            }),
        );
        Self { inner, found }
    }
}

impl<S, F, Fut, U, E, I, T> TryExpandConcurrent<S, F, Fut, U, E, T>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = Result<(U, I), E>>,
    I: IntoIterator<Item = T>,
{
    weighed_by! {
        pub fn weighed_by<W>(
            self,
            weight: W,
        ) -> TryExpandConcurrent<S, Weighed<F, W>, Fut, U, E, T>
        where
            W: FnMut(&T) -> usize,
        {
            let inner = self.inner.weighed(weight, polls!(|Weighed { f, weight }, poll| {
                let work = try_start(|grown: Result<Grown<T>, E>| {
                    Try::new(grown.map(|(item, entry)| TryExpanding::new(f(item), entry)))
                });
                let weight = &mut |(item, _): &Grown<T>| weight(item);
                poll(Weigh { work, weight })
            }));
            TryExpandConcurrent { inner, found: self.found }
        }
    }
}

impl<S: TryStream, F, Fut, U, E, T> TryExpandConcurrent<S, F, Fut, U, E, T> {
    /// Processes the items first that were found last: see
    /// [`ExpandConcurrent::depth_first`](crate::stage::ExpandConcurrent::depth_first).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn halve(length: u32) -> Result<(u32, Vec<u32>), String> {
    ///     Ok((length, if length > 1 { vec![length / 2; 2] } else { vec![] }))
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let lengths = pipe([4]).map(Ok).try_expand_concurrent(1, halve).depth_first();
    /// assert_eq!(lengths.try_collect().await, Ok(vec![4, 2, 1, 1, 2, 1, 1]));
    /// # });
    /// ```
    pub fn depth_first(self) -> Self {
        self.found.depth_first();
        self
    }
}

pin_project! {
    /// A call with one output, and new items.
    struct Expanding<Fut, T> {
        #[pin]
        future: Fut,

        // `Some` until the call has ended.
        entry: Option<Entry<T>>,
    }
}

impl<Fut, T> Expanding<Fut, T> {
    fn new(future: Fut, entry: Entry<T>) -> Self {
        Self { future, entry: Some(entry) }
    }
}

impl<Fut, U, I, T> Call for Expanding<Fut, T>
where
    Fut: CallFuture<Output = (U, I)>,
    I: IntoIterator<Item = T>,
{
    type Output = U;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<U>> {
        let this = self.project();
        let (output, items) = ready!(this.future.poll(cx));
        if let Some(entry) = this.entry.take() {
            entry.expand(items);
        }
        Poll::Ready(Step::Last(output))
    }
}

pin_project! {
    /// The same for a call that may fail.
    struct TryExpanding<Fut, T> {
        #[pin]
        future: Fut,

        // `Some` until the call has ended.
        entry: Option<Entry<T>>,
    }
}

impl<Fut, T> TryExpanding<Fut, T> {
    fn new(future: Fut, entry: Entry<T>) -> Self {
        Self { future, entry: Some(entry) }
    }
}

impl<Fut, U, I, E, T> Call for TryExpanding<Fut, T>
where
    Fut: CallFuture<Output = Result<(U, I), E>>,
    I: IntoIterator<Item = T>,
{
    type Output = Result<U, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Result<U, E>>> {
        let this = self.project();
        let outcome = ready!(this.future.poll(cx)).map(|(output, items)| {
            if let Some(entry) = this.entry.take() {
                entry.expand(items);
            }
            output
        });
        Poll::Ready(Step::Last(outcome))
    }
}

styles! {
    /// Calls `f` on every item and on the new items that it returns, with up to `limit` calls running at once: see
    /// [`FlowExt::expand_concurrent`].
    fn expand_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [U: Send + 'static] U => [F, Fut, V, I] V
    where [
        F: Fn(U) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = (V, I)> + Send + 'static,
        V: Send + 'static,
        I: IntoIterator<Item = U>,
    ]
    by |stream| stream.expand_concurrent(limit, move |item| f(item));

    functional [S, F, Fut, V, I] impl Fn(S) -> ExpandConcurrent<S, F, Fut, V, S::Item>
    where [
        S: Stream,
        F: FnMut(S::Item) -> Fut + Clone,
        Fut: CallFuture<Output = (V, I)>,
        I: IntoIterator<Item = S::Item>,
    ]
    by |stream| stream.expand_concurrent(limit, f);

    /// Calls `f` on every value and on the new ones that it returns, with up to `limit` calls running at once, up to
    /// the first error: see [`TryFlowExt::try_expand_concurrent`].
    fn try_expand_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [F, Fut, W, I] Result<W, E>
    where [
        F: Fn(V) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Result<(W, I), E>> + Send + 'static,
        W: Send + 'static,
        I: IntoIterator<Item = V>,
    ]
    by |stream| stream.try_expand_concurrent(limit, move |item| f(item));

    functional [S, F, Fut, V, W, E, I] impl Fn(S) -> TryExpandConcurrent<S, F, Fut, W, E, V>
    where [
        S: Stream<Item = Result<V, E>>,
        F: FnMut(V) -> Fut + Clone,
        Fut: CallFuture<Output = Result<(W, I), E>>,
        I: IntoIterator<Item = V>,
    ]
    by |stream| stream.try_expand_concurrent(limit, f);
}
