use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::fused::fused;
use crate::engine::{self, InARow, Poller, Purpose, Signals, Upstream};

/// Stream returned by [`FlowExt::driven`](crate::FlowExt::driven). Its calls can keep running
/// [alongside](Self::alongside) the consumer's own code.
///
/// The items `T` follow from the upstream `S`.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let mut numbers = pipe([1, 2]).map_concurrent(2, async |n| n + 1).driven();
/// let first = numbers.next().await;
/// let waited = numbers.alongside(async { "waited" }).await;
/// assert_eq!((first, waited), (Some(2), "waited"));
/// # });
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Driven<S: Stream, T = <S as Stream>::Item> {
    upstream: Pin<Box<Upstream<S, T>>>,
    poller: Poller,
    in_a_row: InARow,

    /// How upstream is polled: a value, as in a `Stage` of the engine, and for the same reason.
    poll: PollUpstream<S, T>,
}

type PollUpstream<S, T> =
    fn(Pin<&mut Upstream<S, T>>, &mut Poller, Purpose, &mut usize, &Context<'_>) -> Poll<Option<T>>;

impl<S: Stream<Item = T>, T> Driven<S, T> {
    pub(crate) fn new(stream: S) -> Self {
        let signals = Signals::new();
        Self {
            upstream: Box::pin(Upstream::new(stream, &signals)),
            poller: Poller::new(signals),
            in_a_row: InARow::default(),
            poll: Upstream::poll_next,
        }
    }

    /// Awaits `future` while the calls of the pipeline keep running.
    ///
    /// The stages behave as they do while a later stage is full: they continue the calls they have started, start new
    /// ones up to their limits, and keep the outputs for [`next`]. No output is lost, and no limit is exceeded. A
    /// pipeline that has not been polled before is started.
    ///
    /// `future` may borrow anything but the pipeline. If the pipeline and what the future uses are fields of `self`, a
    /// method of `self` borrows too much: destructure `let Self { rows, database } = self`, and call a method of
    /// `database`. The [guide](crate::guide::when_it_does_not_compile#a-loop-over-a-pipeline) has an example.
    ///
    /// [`next`]: futures_lite::StreamExt::next
    ///
    /// # Cancel safety
    ///
    /// Dropping this future drops `future`, and leaves the pipeline as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use futures_lite::future::yield_now;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut numbers = pipe(1..=3).map_concurrent(2, async |n| n * 10).driven();
    /// let mut sum = 0;
    /// while let Some(n) = numbers.next().await {
    ///     numbers.alongside(yield_now()).await;
    ///     sum += n;
    /// }
    /// assert_eq!(sum, 60);
    /// # });
    /// ```
    pub fn alongside<Fut: Future>(&mut self, future: Fut) -> Alongside<'_, S, Fut, T> {
        Alongside { driven: self, future }
    }
}

impl<S: Stream, T> Stream for Driven<S, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let answer = engine::answer(cx.waker());
        if this.in_a_row.gives_way(&answer, cx) {
            return Poll::Pending;
        }
        let mut budget = answer.budget;
        let upstream = this.upstream.as_mut();
        let polled = (this.poll)(upstream, &mut this.poller, answer.purpose, &mut budget, cx);
        answer.finish(budget, matches!(polled, Poll::Ready(None)));
        this.in_a_row.note(&polled);
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.upstream.size_hint()
    }
}

fused!([S: Stream, T] Driven<S, T>: |stage| stage.upstream.is_over());

impl<S: Stream + fmt::Debug, T> fmt::Debug for Driven<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driven").field(&self.upstream).finish()
    }
}

pin_project! {
    /// Future returned by [`Driven::alongside`].
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut numbers = pipe([1, 2]).driven();
    /// let alongside = numbers.alongside(std::future::ready("done"));
    /// assert_eq!(alongside.await, "done");
    /// # });
    /// ```
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Alongside<'a, S: Stream, Fut, T = <S as Stream>::Item> {
        driven: &'a mut Driven<S, T>,
        #[pin]
        future: Fut,
    }
}

impl<S: Stream, Fut: Future, T> Future for Alongside<'_, S, Fut, T> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        let this = self.project();
        let polled = this.future.poll(cx);
        if polled.is_pending() {
            let driven = this.driven;
            // An item that arrives is kept.
            let upstream = driven.upstream.as_mut();
            let budget = &mut { engine::BUDGET };
            let _ = (driven.poll)(upstream, &mut driven.poller, Purpose::Begin, budget, cx);
        }
        polled
    }
}

impl<S: Stream + fmt::Debug, Fut, T> fmt::Debug for Alongside<'_, S, Fut, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alongside").field("driven", &self.driven).finish_non_exhaustive()
    }
}
