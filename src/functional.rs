//! Transformers: functions that return a function from stream to stream.
//!
//! `functional::map_concurrent(20, fetch)` returns a function that takes a stream and returns
//! `stream.map_concurrent(20, fetch)`. [`chain!`](crate::chain) joins several into one. Nothing is boxed, so a
//! chain costs no more than the methods, and works with `!Send` and borrowed data. Pass it to
//! [`through`](crate::FlowExt::through) like any function of streams.
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
//! # Reuse
//!
//! A transformer can be applied repeatedly, to streams of one type. Each time it clones its function, which must
//! be `Clone`: functions are, and so are closures that capture references or `Arc`s. If yours is not, or must be
//! applied to streams of many types, write a function of your own, which has all the methods:
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

use futures_lite::{Stream, StreamExt};

use crate::Source;
use crate::stage::{Drain, Driven, TryDrain};

pub use crate::stage::functional::*;

/// Joins several transformers into one: the output of the first goes into the second, and so on.
///
/// The result is a closure that takes an iterable or a stream. Any function from stream to stream can be used as a
/// transformer, including another chain.
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

/// A function from stream to stream: a transformer, named only by its items.
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
    /// The stream it returns.
    type Stream: Stream;
}

impl<S, R, F> Transformer<S> for F
where
    F: Fn(S) -> R,
    R: Stream,
{
    type Stream = R;
}

/// Keeps the calls of a pipeline running while its consumer awaits something else: see
/// [`FlowExt::driven`](crate::FlowExt::driven).
pub fn driven<S: Stream>() -> impl Fn(S) -> Driven<S> {
    |stream| Driven::new(stream)
}

/// Collects everything from an iterable or a stream.
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

/// Runs an iterable or a stream to its end for the side effects of its stages, and discards the outputs:
/// [`FlowExt::drain`](crate::FlowExt::drain).
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

/// Runs an iterable or a stream of `Result`s to its end or its first error:
/// [`TryFlowExt::try_drain`](crate::TryFlowExt::try_drain).
pub fn try_drain<S, T, E, Via>(source: S) -> TryDrain<S::Stream, E>
where
    S: Source<Via, Item = Result<T, E>>,
{
    TryDrain::new(source.into_stream())
}
