//! Transformers: functions that make a function from stream to stream.
//!
//! `functional::map_concurrent(20, fetch)` is a function that takes a stream and gives
//! `stream.map_concurrent(20, fetch)`. [`chain!`](crate::chain) makes one of several. Nothing is
//! boxed, so a chain costs what the methods cost, takes what is `!Send` or borrowed, and goes into
//! [`through`](crate::FlowExt::through) as any function of streams does.
//!
//! ```
//! use flowlet::{chain, functional};
//!
//! async fn fetch(url: &str) -> String {
//!     format!("{url} /about /team")
//! }
//! fn extract_links(page: String) -> Vec<String> {
//!     page.split(' ').map(str::to_owned).collect()
//! }
//! fn is_valid(link: &String) -> bool {
//!     link.starts_with('/')
//! }
//!
//! # futures_lite::future::block_on(async {
//! let process = chain!(
//!     functional::map_concurrent(20, fetch),
//!     functional::flat_map(extract_links),
//!     functional::filter(is_valid),
//! );
//!
//! let urls = ["https://one.example", "https://two.example"];
//! let links: Vec<String> = functional::collect(process(urls)).await;
//! assert_eq!(links.len(), 4);
//! # });
//! ```
//!
//! # Any number of times
//!
//! A transformer can be applied again and again, to streams of one type: each time it clones its
//! function, which has to be `Clone`. Functions are, and closures that capture references, `Arc`s
//! and the like. One that is not, or that is to be applied to streams of many types, goes into a
//! function of your own, which has all the methods:
//!
//! ```
//! use flowlet::{chain, functional, prelude::*};
//!
//! fn lengths(words: impl Stream<Item = String>) -> impl Stream<Item = usize> {
//!     words.map_concurrent(4, async |word: String| word.len())
//! }
//!
//! # futures_lite::future::block_on(async {
//! let long = chain!(lengths, functional::filter(|n| *n > 3));
//! let words = ["one".to_owned(), "three".to_owned()];
//! assert_eq!(functional::collect::<Vec<_>, _, _>(long(words)).await, [5]);
//! # });
//! ```

use futures_lite::stream::{Filter, FilterMap, Inspect, Map, Take};
use futures_lite::{Stream, StreamExt};

use crate::stage::{
    Batched, Drain, FilterConcurrent, FilterMapConcurrent, FlatMapConcurrent, MapConcurrent,
    MapOkConcurrent, TryBatched, TryFilterConcurrent, TryFilterMapConcurrent, TryFlatMapConcurrent,
    TryMapConcurrent,
};
use crate::{CallFuture, Concurrency, Expand, Source, TryExpand, stage};

/// Makes one transformer of several: what the first gives goes into the second, and so on.
///
/// What it makes is a closure that takes an iterable or a stream. In the place of a transformer
/// there can be any function from stream to stream, another chain included.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::{chain, functional};
///
/// # futures_lite::future::block_on(async {
/// let parse = chain!(
///     functional::map(str::trim),
///     functional::filter_map(|text: &str| text.parse::<u32>().ok()),
/// );
/// let total = chain!(
///     parse,
///     functional::batched(2),
///     functional::map(|numbers: Vec<u32>| numbers.iter().sum::<u32>()),
/// );
///
/// let sums: Vec<u32> = pipe([" 1", "x", "2 ", "3"]).through(total).collect().await;
/// assert_eq!(sums, [3, 3]);
/// # });
/// ```
#[macro_export]
macro_rules! chain {
    ($($transformer:expr),+ $(,)?) => {{
        let chain = |source| $crate::pipe(source);
        $(
            let chain = {
                let (above, transformer) = (chain, $transformer);
                move |source| transformer(above(source))
            };
        )+
        chain
    }};
}

/// A function from stream to stream: a transformer of which only the items are known.
///
/// # Examples
///
/// ```
/// use flowlet::functional::{self, Transformer};
/// use flowlet::prelude::*;
///
/// fn evens<S: Stream<Item = u32>>() -> impl Transformer<S, Stream: Stream<Item = u32>> {
///     functional::filter(|n| n % 2 == 0)
/// }
///
/// # futures_lite::future::block_on(async {
/// let numbers: Vec<u32> = pipe(1..=4).through(evens()).collect().await;
/// assert_eq!(numbers, [2, 4]);
/// # });
/// ```
pub trait Transformer<S>: Fn(S) -> Self::Stream {
    /// The stream it makes.
    type Stream: Stream;
}

impl<S, R, F> Transformer<S> for F
where
    F: Fn(S) -> R,
    R: Stream,
{
    type Stream = R;
}

/// Transforms by [`StreamExt::map`].
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let double = functional::map(|n: u32| 2 * n);
/// assert_eq!(double(pipe([1, 2])).collect::<Vec<_>>().await, [2, 4]);
/// # });
/// ```
pub fn map<S, F, T>(f: F) -> impl Fn(S) -> Map<S, F>
where
    S: Stream,
    F: FnMut(S::Item) -> T + Clone,
{
    move |stream| stream.map(f.clone())
}

/// Transforms by [`StreamExt::filter`].
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let evens = functional::filter(|n: &u32| n % 2 == 0);
/// assert_eq!(evens(pipe(1..=4)).collect::<Vec<_>>().await, [2, 4]);
/// # });
/// ```
pub fn filter<S, P>(predicate: P) -> impl Fn(S) -> Filter<S, P>
where
    S: Stream,
    P: FnMut(&S::Item) -> bool + Clone,
{
    move |stream| stream.filter(predicate.clone())
}

/// Transforms by [`StreamExt::filter_map`].
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let parse = functional::filter_map(|text: &str| text.parse::<u32>().ok());
/// assert_eq!(parse(pipe(["1", "two", "3"])).collect::<Vec<u32>>().await, [1, 3]);
/// # });
/// ```
pub fn filter_map<S, F, T>(f: F) -> impl Fn(S) -> FilterMap<S, F>
where
    S: Stream,
    F: FnMut(S::Item) -> Option<T> + Clone,
{
    move |stream| stream.filter_map(f.clone())
}

/// Transforms by one expansion after the other: [`flat_map_concurrent(1, f)`](flat_map_concurrent),
/// so that no call above stands still, as it would with the plain `flat_map` of streams.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let letters = functional::flat_map(str::chars);
/// assert_eq!(letters(pipe(["ab", "c"])).collect::<Vec<_>>().await, ['a', 'b', 'c']);
/// # });
/// ```
pub fn flat_map<S, F, X, Via>(f: F) -> impl Fn(S) -> FlatMapConcurrent<S, F, X, Via>
where
    S: Stream,
    F: FnMut(S::Item) -> X + Clone,
    X: Expand<Via>,
{
    flat_map_concurrent(1, f)
}

/// Transforms by [`StreamExt::inspect`].
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let print = functional::inspect(|n: &u32| println!("{n}"));
/// assert_eq!(print(pipe([1, 2])).count().await, 2);
/// # });
/// ```
pub fn inspect<S, F>(f: F) -> impl Fn(S) -> Inspect<S, F>
where
    S: Stream,
    F: FnMut(&S::Item) + Clone,
{
    move |stream| stream.inspect(f.clone())
}

/// Transforms by [`StreamExt::take`].
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let two = functional::take(2);
/// assert_eq!(two(pipe(1..)).collect::<Vec<_>>().await, [1, 2]);
/// # });
/// ```
pub fn take<S: Stream>(n: usize) -> impl Fn(S) -> Take<S> {
    move |stream| stream.take(n)
}

/// Transforms by [`FlowExt::map_concurrent`](crate::FlowExt::map_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let double = functional::map_concurrent(20, async |n: u32| 2 * n);
/// assert_eq!(double(pipe([1, 2])).fold(0, |a, b| a + b).await, 6);
/// # });
/// ```
#[track_caller]
pub fn map_concurrent<S, F, Fut, U>(
    limit: impl Into<Concurrency>,
    f: F,
) -> impl Fn(S) -> MapConcurrent<S, F, Fut, S::Item, U>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut + Clone,
    Fut: CallFuture<Output = U>,
{
    let limit = limit.into().checked();
    move |stream| MapConcurrent::new(stream, limit.clone(), f.clone())
}

/// Transforms by [`FlowExt::filter_concurrent`](crate::FlowExt::filter_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let banned = vec![2];
/// let allowed = functional::filter_concurrent(1, async |n: &u32| !banned.contains(n));
/// assert_eq!(allowed(pipe(1..=3)).collect::<Vec<_>>().await, [1, 3]);
/// # });
/// ```
#[track_caller]
pub fn filter_concurrent<S, T, P>(
    limit: impl Into<Concurrency>,
    predicate: P,
) -> impl Transformer<S, Stream = FilterConcurrent<S, P, impl Future<Output = Option<T>>, T>>
where
    S: Stream<Item = T>,
    P: AsyncFn(&T) -> bool + Clone,
{
    let limit = limit.into().checked();
    move |stream| stage::filter_concurrent(stream, limit.clone(), predicate.clone())
}

/// Transforms by [`FlowExt::filter_map_concurrent`](crate::FlowExt::filter_map_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let parse = functional::filter_map_concurrent(1, async |text: &str| text.parse::<u32>().ok());
/// assert_eq!(parse(pipe(["1", "two", "3"])).collect::<Vec<u32>>().await, [1, 3]);
/// # });
/// ```
#[track_caller]
pub fn filter_map_concurrent<S, F, Fut, T>(
    limit: impl Into<Concurrency>,
    f: F,
) -> impl Fn(S) -> FilterMapConcurrent<S, F, Fut, T>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut + Clone,
    Fut: CallFuture<Output = Option<T>>,
{
    let limit = limit.into().checked();
    move |stream| FilterMapConcurrent::new(stream, limit.clone(), f.clone())
}

/// Transforms by [`FlowExt::flat_map_concurrent`](crate::FlowExt::flat_map_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let letters = functional::flat_map_concurrent(8, async |word: &'static str| word.chars());
/// assert_eq!(letters(pipe(["ab", "c"])).count().await, 3);
/// # });
/// ```
#[track_caller]
pub fn flat_map_concurrent<S, F, X, Via>(
    limit: impl Into<Concurrency>,
    f: F,
) -> impl Fn(S) -> FlatMapConcurrent<S, F, X, Via>
where
    S: Stream,
    F: FnMut(S::Item) -> X + Clone,
    X: Expand<Via>,
{
    let limit = limit.into().checked();
    move |stream| FlatMapConcurrent::new(stream, limit.clone(), f.clone())
}

/// Transforms by [`FlowExt::batched`](crate::FlowExt::batched).
///
/// # Panics
///
/// Panics if `size` is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let pairs = functional::batched(2);
/// assert_eq!(pairs(pipe(1..=3)).collect::<Vec<_>>().await, [vec![1, 2], vec![3]]);
/// # });
/// ```
#[track_caller]
pub fn batched<S: Stream>(size: usize) -> impl Fn(S) -> Batched<S> {
    let size = stage::checked_size(size);
    move |stream| Batched::new(stream, size)
}

/// Transforms by [`TryFlowExt::try_map_concurrent`](crate::TryFlowExt::try_map_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let halve = functional::try_map_concurrent(1, async |n: u32| {
///     if n % 2 == 0 { Ok(n / 2) } else { Err("odd") }
/// });
/// let halves: Result<Vec<u32>, _> = halve(pipe([4, 6]).map(Ok)).try_collect().await;
/// assert_eq!(halves, Ok(vec![2, 3]));
/// # });
/// ```
#[track_caller]
pub fn try_map_concurrent<S, F, Fut, T, U, E>(
    limit: impl Into<Concurrency>,
    f: F,
) -> impl Fn(S) -> TryMapConcurrent<S, F, Fut, U, E, T>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(T) -> Fut + Clone,
    Fut: CallFuture<Output = Result<U, E>>,
{
    let limit = limit.into().checked();
    move |stream| TryMapConcurrent::new(stream, limit.clone(), f.clone())
}

/// Transforms by [`TryFlowExt::map_ok_concurrent`](crate::TryFlowExt::map_ok_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let double = functional::map_ok_concurrent(1, async |n: u32| Ok::<_, &str>(2 * n));
/// let doubled: Vec<_> = double(pipe([Ok(1), Err("two")])).collect().await;
/// assert_eq!(doubled, [Ok(2), Err("two")]);
/// # });
/// ```
#[track_caller]
pub fn map_ok_concurrent<S, F, Fut, T, U, E>(
    limit: impl Into<Concurrency>,
    f: F,
) -> impl Fn(S) -> MapOkConcurrent<S, F, Fut, U, E, T>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(T) -> Fut + Clone,
    Fut: CallFuture<Output = Result<U, E>>,
{
    let limit = limit.into().checked();
    move |stream| MapOkConcurrent::new(stream, limit.clone(), f.clone())
}

/// Transforms by [`TryFlowExt::try_filter_concurrent`](crate::TryFlowExt::try_filter_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let evens = functional::try_filter_concurrent(1, async |n: &u32| Ok::<_, String>(n % 2 == 0));
/// let evens: Result<Vec<u32>, _> = evens(pipe(1..=4).map(Ok)).try_collect().await;
/// assert_eq!(evens, Ok(vec![2, 4]));
/// # });
/// ```
#[track_caller]
pub fn try_filter_concurrent<S, T, E, P>(
    limit: impl Into<Concurrency>,
    predicate: P,
) -> impl Transformer<
    S,
    Stream = TryFilterConcurrent<S, P, impl Future<Output = Option<Result<T, E>>>, T, E>,
>
where
    S: Stream<Item = Result<T, E>>,
    P: AsyncFn(&T) -> Result<bool, E> + Clone,
{
    let limit = limit.into().checked();
    move |stream| stage::try_filter_concurrent(stream, limit.clone(), predicate.clone())
}

/// Transforms by
/// [`TryFlowExt::try_filter_map_concurrent`](crate::TryFlowExt::try_filter_map_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// async fn parse(line: &str) -> Result<Option<u32>, std::num::ParseIntError> {
///     if line.starts_with('#') { Ok(None) } else { line.parse().map(Some) }
/// }
/// let parse = functional::try_filter_map_concurrent(1, parse);
/// let numbers = parse(pipe(["# two", "1", "2"]).map(Ok));
/// assert_eq!(numbers.try_collect().await, Ok(vec![1, 2]));
/// # });
/// ```
#[track_caller]
pub fn try_filter_map_concurrent<S, F, Fut, T, U, E>(
    limit: impl Into<Concurrency>,
    f: F,
) -> impl Fn(S) -> TryFilterMapConcurrent<S, F, Fut, U, E, T>
where
    S: Stream<Item = Result<T, E>>,
    F: FnMut(T) -> Fut + Clone,
    Fut: CallFuture<Output = Result<Option<U>, E>>,
{
    let limit = limit.into().checked();
    move |stream| TryFilterMapConcurrent::new(stream, limit.clone(), f.clone())
}

/// Transforms by
/// [`TryFlowExt::try_flat_map_concurrent`](crate::TryFlowExt::try_flat_map_concurrent).
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// async fn letters(word: &str) -> Result<Vec<char>, String> {
///     if word.is_empty() { Err("no word".to_owned()) } else { Ok(word.chars().collect()) }
/// }
/// let letters = functional::try_flat_map_concurrent(1, letters);
/// let letters: Result<Vec<char>, _> = letters(pipe(["ab", "", "c"]).map(Ok)).try_collect().await;
/// assert_eq!(letters, Err("no word".to_owned()));
/// # });
/// ```
#[track_caller]
pub fn try_flat_map_concurrent<S, F, T, X, Via>(
    limit: impl Into<Concurrency>,
    f: F,
) -> impl Fn(S) -> TryFlatMapConcurrent<S, F, X, Via, T>
where
    S: Stream<Item = Result<T, X::Error>>,
    F: FnMut(T) -> X + Clone,
    X: TryExpand<Via>,
{
    let limit = limit.into().checked();
    move |stream| TryFlatMapConcurrent::new(stream, limit.clone(), f.clone())
}

/// Transforms by [`TryFlowExt::try_batched`](crate::TryFlowExt::try_batched).
///
/// # Panics
///
/// Panics if `size` is 0.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let pairs = functional::try_batched(2);
/// let batches: Vec<Result<Vec<u32>, &str>> =
///     pairs(pipe([Ok(1), Err("two"), Ok(3)])).collect().await;
/// assert_eq!(batches, [Ok(vec![1]), Err("two")]);
/// # });
/// ```
#[track_caller]
pub fn try_batched<S, T, E>(size: usize) -> impl Fn(S) -> TryBatched<S, T, E>
where
    S: Stream<Item = Result<T, E>>,
{
    let size = stage::checked_size(size);
    move |stream| TryBatched::new(stream, size)
}

/// Collects all that comes of an iterable or a stream.
///
/// # Examples
///
/// ```
/// use flowlet::functional;
///
/// # futures_lite::future::block_on(async {
/// let double = functional::map(|n: u32| 2 * n);
/// let numbers: Vec<u32> = functional::collect(double(flowlet::pipe([1, 2]))).await;
/// assert_eq!(numbers, [2, 4]);
/// # });
/// ```
pub fn collect<C, S, Via>(source: S) -> impl Future<Output = C> + use<C, S, Via>
where
    S: Source<Via>,
    C: Default + Extend<S::Item>,
{
    source.into_stream().collect()
}

/// Runs an iterable or a stream to its end, for what the stages above do, and discards what comes
/// of it: [`FlowExt::drain`](crate::FlowExt::drain).
///
/// # Examples
///
/// ```
/// use flowlet::{chain, functional};
/// use std::cell::Cell;
///
/// # futures_lite::future::block_on(async {
/// let sum = Cell::new(0);
/// let add = chain!(functional::map_concurrent(2, async |n| sum.set(sum.get() + n)));
/// functional::drain(add([1, 2, 3])).await;
/// assert_eq!(sum.get(), 6);
/// # });
/// ```
pub fn drain<S, Via>(source: S) -> Drain<S::Stream>
where
    S: Source<Via>,
{
    Drain::new(source.into_stream())
}
