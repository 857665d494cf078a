//! Where a pipeline begins.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::FusedStream;
use futures_lite::{Stream, stream};
use pin_project_lite::pin_project;

/// Begins a pipeline with any iterable or any stream.
///
/// Nothing is taken from the source before the pipeline is polled. The [`FlowExt`] methods exist on every stream, so
/// only iterables need `pipe`, but it reads well for both.
///
/// [`FlowExt`]: crate::FlowExt
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use futures_lite::stream;
///
/// # futures_lite::future::block_on(async {
/// let from_iterable: Vec<u32> = pipe([1, 2, 3]).map(|n| n * 2).filter(|n| *n > 2).collect().await;
/// assert_eq!(from_iterable, [4, 6]);
///
/// let from_stream: Vec<u32> = pipe(stream::once(7)).collect().await;
/// assert_eq!(from_stream, [7]);
/// # });
/// ```
pub fn pipe<S, Via>(source: S) -> Pipe<S::Stream>
where
    S: Source<Via>,
{
    Pipe { stream: source.into_stream() }
}

pin_project! {
    /// Stream returned by [`pipe`].
    ///
    /// `S` is the source itself if that is a stream. For an iterable it is
    /// [`stream::Iter`](futures_lite::stream::Iter) of its iterator, as in
    /// `Pipe<stream::Iter<std::vec::IntoIter<u32>>>`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Pipe, pipe};
    /// use futures_lite::{StreamExt, stream};
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut numbers: Pipe<stream::Once<u32>> = pipe(stream::once(7));
    /// assert_eq!(numbers.next().await, Some(7));
    /// # });
    /// ```
    #[derive(Clone)]
    #[must_use = "streams do nothing unless polled"]
    pub struct Pipe<S> {
        #[pin]
        stream: S,
    }
}

impl<S: Stream> Stream for Pipe<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.project().stream.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<S: FusedStream> FusedStream for Pipe<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

impl<S: fmt::Debug> fmt::Debug for Pipe<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pipe").field(&self.stream).finish()
    }
}

/// An iterable or a stream, with which a pipeline can begin.
///
/// [`pipe`] takes one. `Via` says which of the two it is, and is inferred. The trait is sealed.
///
/// # Examples
///
/// A function of your own that takes what `pipe` takes:
///
/// ```
/// use flowlet::{Source, pipe};
/// use futures_lite::StreamExt;
///
/// async fn total<Via>(numbers: impl Source<Via, Item = u32>) -> u32 {
///     pipe(numbers).fold(0, |sum, n| sum + n).await
/// }
///
/// # futures_lite::future::block_on(async {
/// assert_eq!(total([1, 2, 3]).await, 6);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an iterable nor a stream",
    label = "not an iterable or a stream",
    note = "a pipeline begins with an iterable (such as a `Vec<T>` or an iterator) or with a \
            `Stream`",
    note = "to turn a tokio receiver into a stream, use `tokio_stream::wrappers::ReceiverStream`, or \
            `futures_lite::stream::poll_fn(move |cx| receiver.poll_recv(cx))`"
)]
pub trait Source<Via>: sealed::Source<Via> {
    /// What the source yields.
    type Item;

    /// The type of the source as a stream.
    type Stream: Stream<Item = Self::Item>;

    /// Converts the source into a stream.
    fn into_stream(self) -> Self::Stream;
}

impl<I: IntoIterator> Source<via::Iterable> for I {
    type Item = I::Item;
    type Stream = stream::Iter<I::IntoIter>;

    fn into_stream(self) -> Self::Stream {
        stream::iter(self)
    }
}

impl<S: Stream> Source<via::Stream> for S {
    type Item = S::Item;
    type Stream = S;

    fn into_stream(self) -> S {
        self
    }
}

/// The kinds of a [`Source`] or an [`Expand`](crate::Expand), for type inference.
///
/// # Examples
///
/// A function that takes only streams, and passes them to [`pipe`]:
///
/// ```
/// use flowlet::{Pipe, Source, pipe, via};
///
/// fn begin<S: Source<via::Stream>>(stream: S) -> Pipe<S::Stream> {
///     pipe(stream)
/// }
/// # drop(begin(futures_lite::stream::once(1)));
/// ```
pub mod via {
    /// An iterable.
    #[derive(Debug)]
    pub enum Iterable {}

    /// A stream.
    #[derive(Debug)]
    pub enum Stream {}

    /// A future of something of another kind.
    #[derive(Debug)]
    pub struct Future<Via>(std::convert::Infallible, std::marker::PhantomData<Via>);
}

mod sealed {
    use super::via;

    pub trait Source<Via> {}

    impl<I: IntoIterator> Source<via::Iterable> for I {}

    impl<S: futures_lite::Stream> Source<via::Stream> for S {}
}
