use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{Stream, stream};
use pin_project_lite::pin_project;

use super::expand::Opening;
use crate::size_hint::{SizeHint, exactly};
use crate::source::via;

/// What a function that can fail returns for many outputs: an iterable or a stream of `Result`s, or a future of a
/// `Result` of an iterable of outputs or of a stream of `Result`s.
///
/// [`TryFlowExt::try_flat_map_concurrent`](crate::TryFlowExt::try_flat_map_concurrent) takes a function that returns
/// one. `Via` says which of these it is, and is inferred. The trait is sealed.
///
/// Inner streams always yield `Result`s, and their errors are the stage's. A function that opens a body and then
/// streams it, such as `async fn open(key) -> Result<impl Stream<Item = Result<Bytes, E>>, E>`, can fail the stage in
/// either half. Add `.map(Ok)` to a stream that cannot fail. The items of an iterable that a future resolves to are
/// outputs, whatever they are.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use futures_lite::stream;
///
/// # futures_lite::future::block_on(async {
/// type Numbers = Result<Vec<u32>, String>;
///
/// let ok = |n: u32| -> Result<u32, String> { Ok(n) };
/// let source = || pipe([Ok::<u32, String>(2)]);
///
/// // An iterable and a stream of results.
/// let a: Numbers = source().try_flat_map_concurrent(1, |n| vec![ok(n); 3]).try_collect().await;
/// let b: Numbers =
///     source().try_flat_map_concurrent(1, |n| stream::repeat(ok(n)).take(3)).try_collect().await;
///
/// // A future of a result of an iterable, and of a stream of results.
/// let c: Numbers =
///     source().try_flat_map_concurrent(1, async |n| Ok(vec![n; 3])).try_collect().await;
/// let d: Numbers = source()
///     .try_flat_map_concurrent(1, async |n| Ok(stream::repeat(ok(n)).take(3)))
///     .try_collect()
///     .await;
/// assert!(a == b && b == c && c == d);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be opened by `try_flat_map_concurrent`",
    label = "neither an iterable or stream of `Result`s, nor a future of a `Result` of one",
    note = "`try_flat_map_concurrent` takes a function that returns an iterable or a `Stream` of \
            `Result<T, E>`, a future of `Result<Vec<T>, E>` (or of another iterable), or a future of \
            `Result<S, E>` where `S` is a `Stream` of `Result<T, E>`, with the same `E`",
    note = "add `.map(Ok)` to a stream that cannot fail; for a function that returns a future of a \
            `Result` of one output, use `try_map_concurrent`"
)]
pub trait TryExpand<Via>: sealed::TryExpand<Via> {
    /// What the inner stream yields.
    type Ok;

    /// The error type.
    type Error;

    /// The type of the inner stream.
    type Stream: Stream<Item = Result<Self::Ok, Self::Error>>;

    /// Converts it into the inner stream.
    fn try_expand(self) -> Self::Stream;
}

impl<I, T, E> TryExpand<via::Iterable> for I
where
    I: IntoIterator<Item = Result<T, E>>,
{
    type Ok = T;
    type Error = E;
    type Stream = stream::Iter<I::IntoIter>;

    fn try_expand(self) -> Self::Stream {
        stream::iter(self)
    }
}

impl<S, T, E> TryExpand<via::Stream> for S
where
    S: Stream<Item = Result<T, E>>,
{
    type Ok = T;
    type Error = E;
    type Stream = S;

    fn try_expand(self) -> S {
        self
    }
}

impl<Fut, I, E> TryExpand<via::Future<via::Iterable>> for Fut
where
    Fut: Future<Output = Result<I, E>>,
    I: IntoIterator,
{
    type Ok = I::Item;
    type Error = E;
    type Stream = Opening<Fut, Opened<stream::Iter<I::IntoIter>, E>>;

    fn try_expand(self) -> Self::Stream {
        Opening::new(self, |opened| match opened {
            Ok(source) => Opened { error: None, stream: Some(stream::iter(source)) },
            Err(error) => Opened { error: Some(error), stream: None },
        })
    }
}

impl<Fut, S, T, E> TryExpand<via::Future<via::Stream>> for Fut
where
    Fut: Future<Output = Result<S, E>>,
    S: Stream<Item = Result<T, E>>,
{
    type Ok = T;
    type Error = E;
    type Stream = Opening<Fut, OpenedStream<S, E>>;

    fn try_expand(self) -> Self::Stream {
        Opening::new(self, |opened| match opened {
            Ok(stream) => OpenedStream { error: None, stream: Some(stream) },
            Err(error) => OpenedStream { error: Some(error), stream: None },
        })
    }
}

pin_project! {
    /// Inner stream of a future of a `Result` of an iterable, in a [`TryExpand`]: yields its error, or the items of the
    /// iterable.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{TryExpand, stage::Opened};
    /// use futures_lite::StreamExt;
    /// use std::pin::pin;
    ///
    /// # futures_lite::future::block_on(async {
    /// let closed = async { Err::<Vec<u32>, _>("closed") }.try_expand();
    /// assert_eq!(pin!(closed).next().await, Some(Err("closed")));
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct Opened<S, E> {
        error: Option<E>,
        #[pin]
        stream: Option<S>,
    }
}

impl<S: Stream, E> Stream for Opened<S, E> {
    type Item = Result<S::Item, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        match this.stream.as_pin_mut() {
            Some(stream) => stream.poll_next(cx).map(|item| item.map(Ok)),
            None => Poll::Ready(this.error.take().map(Err)),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let error = exactly(usize::from(self.error.is_some()));
        self.stream.as_ref().map_or(error, Stream::size_hint)
    }
}

impl<S, E> fmt::Debug for Opened<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("open", &self.stream.is_some()).finish_non_exhaustive()
    }
}

pin_project! {
    /// Inner stream of a future of a `Result` of a stream, in a [`TryExpand`]: yields its error, or the results of the
    /// stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{TryExpand, stage::OpenedStream};
    /// use futures_lite::{StreamExt, stream};
    /// use std::pin::pin;
    ///
    /// # futures_lite::future::block_on(async {
    /// let open = async |body| Ok::<_, &str>(stream::iter(body));
    /// let mut body = pin!(open([Ok(1), Err("reset")]).try_expand());
    /// assert_eq!(body.next().await, Some(Ok(1)));
    /// assert_eq!(body.next().await, Some(Err("reset")));
    /// # });
    /// ```
    #[must_use = "streams do nothing unless polled"]
    pub struct OpenedStream<S, E> {
        error: Option<E>,
        #[pin]
        stream: Option<S>,
    }
}

impl<S, T, E> Stream for OpenedStream<S, E>
where
    S: Stream<Item = Result<T, E>>,
{
    type Item = Result<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        match this.stream.as_pin_mut() {
            Some(stream) => stream.poll_next(cx),
            None => Poll::Ready(this.error.take().map(Err)),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let error = exactly(usize::from(self.error.is_some()));
        self.stream.as_ref().map_or(error, Stream::size_hint)
    }
}

impl<S, E> fmt::Debug for OpenedStream<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedStream").field("open", &self.stream.is_some()).finish_non_exhaustive()
    }
}

mod sealed {
    use super::{Future, Stream, via};

    pub trait TryExpand<Via> {}

    impl<I, T, E> TryExpand<via::Iterable> for I where I: IntoIterator<Item = Result<T, E>> {}

    impl<S, T, E> TryExpand<via::Stream> for S where S: Stream<Item = Result<T, E>> {}

    impl<Fut, I, E> TryExpand<via::Future<via::Iterable>> for Fut
    where
        Fut: Future<Output = Result<I, E>>,
        I: IntoIterator,
    {
    }

    impl<Fut, S, T, E> TryExpand<via::Future<via::Stream>> for Fut
    where
        Fut: Future<Output = Result<S, E>>,
        S: Stream<Item = Result<T, E>>,
    {
    }
}
