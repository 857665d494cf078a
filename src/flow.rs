use std::fmt;
use std::sync::Arc;

use futures_lite::stream::Boxed;
use futures_lite::{Stream, StreamExt};

/// A piece of a pipeline without a source: name it, keep it, use it again.
///
/// A `Flow<T, U>` takes a stream of `T` and gives a stream of `U`. It is a boxed closure from stream
/// to stream, so it costs one allocation and one virtual call per poll where it is used; what goes
/// on inside is as fast as ever. Clones share the closure, and each use is a run of its own: it can
/// be applied any number of times, from any number of threads, also at once.
///
/// Streams in a flow are `Send + 'static`, so that a flow fits every executor. For `!Send` or
/// borrowed data, write a function from stream to stream and give it to
/// [`through`](crate::FlowExt::through), which takes both.
///
/// # Examples
///
/// ```
/// use flowlet::Flow;
/// use flowlet::prelude::*;
///
/// async fn find_links(page: String) -> Vec<String> {
///     page.split_whitespace().map(str::to_owned).collect()
/// }
///
/// # futures_lite::future::block_on(async {
/// let links: Flow<String> = Flow::new(|pages| pages.flat_map_concurrent(8, find_links));
/// let internal = links.then(Flow::new(|links| links.filter(|link: &String| link.starts_with('/'))));
///
/// let pages = ["/about /team".to_owned(), "/blog https://elsewhere.example".to_owned()];
/// let mut found: Vec<String> = pipe(pages).through(&internal).collect().await;
/// found.sort();
/// assert_eq!(found, ["/about", "/blog", "/team"]);
/// # });
/// ```
pub struct Flow<T, U = T> {
    apply: Arc<Apply<T, U>>,
}

/// A closure from stream to stream.
type Apply<T, U> = dyn Fn(Boxed<T>) -> Boxed<U> + Send + Sync;

impl<T: 'static, U: 'static> Flow<T, U> {
    /// Makes a flow of a function from stream to stream.
    ///
    /// `f` is called once a run. What it captures is shared by all runs; clone what a stage has to
    /// own.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let factor = std::sync::Arc::new(10);
    /// let multiply: Flow<u32> = Flow::new(move |numbers| {
    ///     let factor = factor.clone();
    ///     numbers.map_concurrent(4, move |n| {
    ///         let factor = factor.clone();
    ///         async move { n * *factor }
    ///     })
    /// });
    ///
    /// let numbers: Vec<u32> = pipe([1, 2]).through(&multiply).collect().await;
    /// assert_eq!(numbers, [10, 20]);
    /// # });
    /// ```
    pub fn new<F, S>(f: F) -> Self
    where
        F: Fn(Boxed<T>) -> S + Send + Sync + 'static,
        S: Stream<Item = U> + Send + 'static,
    {
        Self { apply: Arc::new(move |stream| f(stream).boxed()) }
    }

    /// Makes the flow of this one and, after it, `next`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let parse: Flow<&str, u32> = Flow::new(|s| s.filter_map(|text: &str| text.parse().ok()));
    /// let double: Flow<u32> = Flow::new(|s| s.map(|n| 2 * n));
    ///
    /// let both: Flow<&str, u32> = parse.then(double);
    /// let numbers: Vec<u32> = pipe(["4", "x", "5"]).through(both).collect().await;
    /// assert_eq!(numbers, [8, 10]);
    /// # });
    /// ```
    #[must_use = "a flow does nothing unless applied"]
    pub fn then<V: 'static>(self, next: Flow<U, V>) -> Flow<T, V> {
        let (first, second) = (self.apply, next.apply);
        Flow { apply: Arc::new(move |stream| second(first(stream))) }
    }

    /// Begins a run: gives the stream that comes of sending `stream` through the flow.
    ///
    /// The same as [`stream.through(&flow)`](crate::FlowExt::through), for where the flow comes
    /// first.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let pairs: Flow<u32, Vec<u32>> = Flow::new(|s| s.batched(2));
    /// for _ in 0..2 {
    ///     let batches: Vec<_> = pairs.apply(pipe([1, 2, 3])).collect().await;
    ///     assert_eq!(batches, [vec![1, 2], vec![3]]);
    /// }
    /// # });
    /// ```
    pub fn apply<S>(&self, stream: S) -> Boxed<U>
    where
        S: Stream<Item = T> + Send + 'static,
    {
        (self.apply)(stream.boxed())
    }
}

impl<T: 'static> Flow<T> {
    /// Makes the flow that hands on what it is given: a start for [`then`](Self::then).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let steps: Vec<Flow<u32>> = vec![Flow::new(|s| s.map(|n| n + 1)), Flow::new(|s| s.take(2))];
    /// let all = steps.into_iter().fold(Flow::identity(), Flow::then);
    ///
    /// let numbers: Vec<u32> = pipe([1, 2, 3]).through(&all).collect().await;
    /// assert_eq!(numbers, [2, 3]);
    /// # });
    /// ```
    pub fn identity() -> Self {
        Self { apply: Arc::new(|stream| stream) }
    }
}

impl<T, U> Clone for Flow<T, U> {
    fn clone(&self) -> Self {
        Self { apply: self.apply.clone() }
    }
}

impl<T: 'static> Default for Flow<T> {
    fn default() -> Self {
        Self::identity()
    }
}

impl<T, U> fmt::Debug for Flow<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").finish_non_exhaustive()
    }
}

/// What [`through`](crate::FlowExt::through) takes: a [`Flow`], a reference to one, or a function
/// from the stream to anything.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
///
/// fn sum_of(numbers: impl Stream<Item = u32>) -> impl Future<Output = u32> {
///     numbers.fold(0, |sum, n| sum + n)
/// }
///
/// # futures_lite::future::block_on(async {
/// assert_eq!(pipe([1, 2, 3]).through(sum_of).await, 6);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not take this stream",
    note = "`through` takes a `Flow<T, U>` or `&Flow<T, U>` where the stream yields `T` and is \
            `Send + 'static`, or a function that takes the stream"
)]
pub trait Through<S> {
    /// What comes of it.
    type Output;

    /// Sends `stream` through.
    fn send(self, stream: S) -> Self::Output;
}

impl<T, U, S> Through<S> for &Flow<T, U>
where
    T: 'static,
    U: 'static,
    S: Stream<Item = T> + Send + 'static,
{
    type Output = Boxed<U>;

    fn send(self, stream: S) -> Boxed<U> {
        self.apply(stream)
    }
}

impl<T, U, S> Through<S> for Flow<T, U>
where
    T: 'static,
    U: 'static,
    S: Stream<Item = T> + Send + 'static,
{
    type Output = Boxed<U>;

    fn send(self, stream: S) -> Boxed<U> {
        self.apply(stream)
    }
}

impl<F, S, R> Through<S> for F
where
    F: FnOnce(S) -> R,
{
    type Output = R;

    fn send(self, stream: S) -> R {
        self(stream)
    }
}
