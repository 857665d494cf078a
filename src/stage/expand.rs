use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{Stream, stream};
use pin_project_lite::pin_project;

use crate::source::{Source, via};

/// What a function returns for many outputs: an iterable, a stream, or a future of either.
///
/// [`FlowExt::flat_map_concurrent`](crate::FlowExt::flat_map_concurrent) takes a function that returns one. `Via` says
/// which of these it is, and is inferred. The trait is sealed.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use futures_lite::stream;
///
/// # futures_lite::future::block_on(async {
/// let twos = || stream::repeat(2).take(3);
///
/// // An iterable, a stream, and futures of both.
/// let a: Vec<u32> = pipe([2]).flat_map_concurrent(1, |n| vec![n; 3]).collect().await;
/// let b: Vec<u32> = pipe([2]).flat_map_concurrent(1, |_| twos()).collect().await;
/// let c: Vec<u32> = pipe([2]).flat_map_concurrent(1, async |n| vec![n; 3]).collect().await;
/// let d: Vec<u32> = pipe([2]).flat_map_concurrent(1, async |_| twos()).collect().await;
/// assert!(a == b && b == c && c == d);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an iterable nor a stream, nor a future of one",
    label = "cannot be opened as an inner stream",
    note = "`flat_map_concurrent` takes a function that returns an iterable (such as a `Vec<T>`), a \
            `Stream`, or a future of either; for a function that returns a future of one output, use \
            `map_concurrent`"
)]
pub trait Expand<Via>: sealed::Expand<Via> {
    /// What the inner stream yields.
    type Item;

    /// The type of the inner stream.
    type Stream: Stream<Item = Self::Item>;

    /// Converts it into the inner stream.
    fn expand(self) -> Self::Stream;
}

impl<I: IntoIterator> Expand<via::Iterable> for I {
    type Item = I::Item;
    type Stream = stream::Iter<I::IntoIter>;

    fn expand(self) -> Self::Stream {
        stream::iter(self)
    }
}

impl<S: Stream> Expand<via::Stream> for S {
    type Item = S::Item;
    type Stream = S;

    fn expand(self) -> S {
        self
    }
}

impl<Fut, Via> Expand<via::Future<Via>> for Fut
where
    Fut: Future,
    Fut::Output: Source<Via>,
{
    type Item = <Fut::Output as Source<Via>>::Item;
    type Stream = Opening<Fut, <Fut::Output as Source<Via>>::Stream>;

    fn expand(self) -> Self::Stream {
        Opening::new(self, Source::into_stream)
    }
}

pin_project! {
    /// Inner stream of an [`Expand`] or a [`TryExpand`](crate::TryExpand) that is a future: yields the items of what
    /// the future resolves to.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Expand;
    /// use futures_lite::StreamExt;
    /// use std::pin::pin;
    ///
    /// # futures_lite::future::block_on(async {
    /// let opening = async { vec![1, 2] }.expand();
    /// assert_eq!(pin!(opening).next().await, Some(1));
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct Opening<Fut: Future, S, T = <Fut as Future>::Output> {
        open: fn(T) -> S,
        #[pin]
        state: State<Fut, S>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<Fut, S> {
        Opening { #[pin] future: Fut },
        Open { #[pin] stream: S },
    }
}

impl<Fut: Future<Output = T>, S, T> Opening<Fut, S, T> {
    pub(super) fn new(future: Fut, open: fn(T) -> S) -> Self {
        Self { open, state: State::Opening { future } }
    }
}

impl<Fut: Future<Output = T>, S: Stream, T> Stream for Opening<Fut, S, T> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        loop {
            let source = match this.state.as_mut().project() {
                StateProjection::Opening { future } => ready!(future.poll(cx)),
                StateProjection::Open { stream } => return stream.poll_next(cx),
            };
            let stream = (this.open)(source);
            this.state.set(State::Open { stream });
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.state {
            State::Opening { .. } => (0, None),
            State::Open { stream } => stream.size_hint(),
        }
    }
}

impl<Fut: Future, S, T> fmt::Debug for Opening<Fut, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = matches!(self.state, State::Open { .. });
        f.debug_struct("Opening").field("open", &open).finish_non_exhaustive()
    }
}

mod sealed {
    use super::{Future, Source, Stream, via};

    pub trait Expand<Via> {}

    impl<I: IntoIterator> Expand<via::Iterable> for I {}

    impl<S: Stream> Expand<via::Stream> for S {}

    impl<Fut, Via> Expand<via::Future<Via>> for Fut
    where
        Fut: Future,
        Fut::Output: Source<Via>,
    {
    }
}
