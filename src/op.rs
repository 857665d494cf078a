//! Flows of one step, to be joined with `|`.
//!
//! `op::map(f)` is `Flow::identity().map(f)`, and so on: the methods of [`Flow`] say what each step
//! does. `pipe(source) | flow` is `pipe(source).through(flow)`, and a [`Pipe`](crate::Pipe) again.
//!
//! ```
//! use flowlet::prelude::*;
//! use flowlet::{Flow, op};
//!
//! async fn find_links(page: String) -> Vec<String> {
//!     page.split(' ').map(str::to_owned).collect()
//! }
//! fn is_internal(link: &String) -> bool {
//!     link.starts_with('/')
//! }
//! fn normalize(link: String) -> String {
//!     link.trim_end_matches('/').to_owned()
//! }
//!
//! # futures_lite::future::block_on(async {
//! let pages = ["/about/ /team https://elsewhere.example".to_owned()];
//!
//! let links: Vec<String> = (pipe(pages.clone())
//!     | op::flat_map(find_links)
//!     | op::filter(is_internal)
//!     | op::map(normalize))
//! .collect()
//! .await;
//! assert_eq!(links, ["/about", "/team"]);
//!
//! // Without a source it is a flow to name, keep and use again.
//! let extract = op::flat_map(find_links) | op::filter(is_internal) | op::map(normalize);
//! let links: Vec<String> = (pipe(pages) | &extract).collect().await;
//! assert_eq!(links, ["/about", "/team"]);
//! # });
//! ```
//!
//! # Closures
//!
//! A closure says what it takes, as in `op::map(|page: Page| page.title)`: Rust looks into it
//! before it looks at what is on the other side of the `|`. The methods of [`Flow`], as in
//! `Flow::<Page>::identity().map(|page| page.title)`, need no types.

use crate::{CallFuture, Concurrency, Expand, Flow, FlowPredicate, TryExpand};

/// The step that calls `f` on every item: [`Flow::map`].
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let numbers: Vec<u32> = (pipe([1, 2]) | op::map(|n: u32| 2 * n)).collect().await;
/// assert_eq!(numbers, [2, 4]);
/// # });
/// ```
pub fn map<T, U, F>(f: F) -> Flow<T, U>
where
    T: 'static,
    U: 'static,
    F: Fn(T) -> U + Send + Sync + 'static,
{
    Flow::identity().map(f)
}

/// The step that keeps the items for which `predicate` says `true`: [`Flow::filter`].
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let numbers: Vec<u32> = (pipe(1..=4) | op::filter(|n| n % 2 == 0)).collect().await;
/// assert_eq!(numbers, [2, 4]);
/// # });
/// ```
pub fn filter<T, P>(predicate: P) -> Flow<T>
where
    T: 'static,
    P: Fn(&T) -> bool + Send + Sync + 'static,
{
    Flow::identity().filter(predicate)
}

/// The step that calls `f` on every item and keeps what is `Some`: [`Flow::filter_map`].
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let texts = pipe(["1", "two", "3"]);
/// let parse = op::filter_map(|text: &str| text.parse::<u32>().ok());
/// let numbers: Vec<u32> = (texts | parse).collect().await;
/// assert_eq!(numbers, [1, 3]);
/// # });
/// ```
pub fn filter_map<T, U, F>(f: F) -> Flow<T, U>
where
    T: 'static,
    U: 'static,
    F: Fn(T) -> Option<U> + Send + Sync + 'static,
{
    Flow::identity().filter_map(f)
}

/// The step that hands on all that comes of an item, one expansion after the other:
/// [`Flow::flat_map`].
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let letters: Vec<char> = (pipe(["ab", "c"]) | op::flat_map(str::chars)).collect().await;
/// assert_eq!(letters, ['a', 'b', 'c']);
/// # });
/// ```
pub fn flat_map<T, F, E, Via>(f: F) -> Flow<T, E::Item>
where
    T: Send + 'static,
    F: Fn(T) -> E + Send + Sync + 'static,
    E: Expand<Via, Stream: Send, Item: Send> + 'static,
    Via: 'static,
{
    Flow::identity().flat_map(f)
}

/// The step that calls `f` on every item as it passes: [`Flow::inspect`].
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let printed = pipe([1, 2]) | op::inspect(|n| println!("{n}"));
/// assert_eq!(printed.count().await, 2);
/// # });
/// ```
pub fn inspect<T, F>(f: F) -> Flow<T>
where
    T: 'static,
    F: Fn(&T) + Send + Sync + 'static,
{
    Flow::identity().inspect(f)
}

/// The step that hands on `n` items and ends: [`Flow::take`].
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let numbers: Vec<u32> = (pipe(1..) | op::take(2)).collect().await;
/// assert_eq!(numbers, [1, 2]);
/// # });
/// ```
pub fn take<T: 'static>(n: usize) -> Flow<T> {
    Flow::identity().take(n)
}

/// The step that calls `f` on every item, with up to `limit` calls running at once:
/// [`Flow::map_concurrent`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let double = op::map_concurrent(20, async |n: u32| 2 * n);
/// assert_eq!((pipe([1, 2]) | double).fold(0, |a, b| a + b).await, 6);
/// # });
/// ```
#[track_caller]
pub fn map_concurrent<T, F, Fut, U>(limit: impl Into<Concurrency>, f: F) -> Flow<T, U>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: CallFuture<Output = U> + Send + 'static,
    U: Send + 'static,
{
    Flow::identity().map_concurrent(limit, f)
}

/// The step that keeps the items for which the asynchronous `predicate` says `true`, with up to
/// `limit` calls running at once: [`Flow::filter_concurrent`].
///
/// An `async` closure that captures goes through `Flow::new(|s| s.filter_concurrent(..))`: see
/// [`FlowPredicate`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// async fn is_even(n: &u32) -> bool {
///     n % 2 == 0
/// }
/// let evens: Vec<u32> = (pipe(1..=4) | op::filter_concurrent(1, is_even)).collect().await;
/// assert_eq!(evens, [2, 4]);
/// # });
/// ```
#[track_caller]
pub fn filter_concurrent<T, P>(limit: impl Into<Concurrency>, predicate: P) -> Flow<T>
where
    T: Send + 'static,
    P: for<'a> FlowPredicate<'a, T, bool>,
{
    Flow::identity().filter_concurrent(limit, predicate)
}

/// The step that calls `f` on every item and keeps what is `Some`, with up to `limit` calls running
/// at once: [`Flow::filter_map_concurrent`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let parse = op::filter_map_concurrent(1, async |text: &str| text.parse::<u32>().ok());
/// let numbers: Vec<u32> = (pipe(["1", "two", "3"]) | parse).collect().await;
/// assert_eq!(numbers, [1, 3]);
/// # });
/// ```
#[track_caller]
pub fn filter_map_concurrent<T, U, F, Fut>(limit: impl Into<Concurrency>, f: F) -> Flow<T, U>
where
    T: Send + 'static,
    U: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: CallFuture<Output = Option<U>> + Send + 'static,
{
    Flow::identity().filter_map_concurrent(limit, f)
}

/// The step that hands on all that comes of an item, with up to `limit` expansions open at once:
/// [`Flow::flat_map_concurrent`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let letters = op::flat_map_concurrent(8, async |word: &'static str| word.chars());
/// assert_eq!((pipe(["ab", "c"]) | letters).count().await, 3);
/// # });
/// ```
#[track_caller]
pub fn flat_map_concurrent<T, F, E, Via>(limit: impl Into<Concurrency>, f: F) -> Flow<T, E::Item>
where
    T: Send + 'static,
    F: Fn(T) -> E + Send + Sync + 'static,
    E: Expand<Via, Stream: Send, Item: Send> + 'static,
    Via: 'static,
{
    Flow::identity().flat_map_concurrent(limit, f)
}

/// The step that collects items into batches of `size`: [`Flow::batched`].
///
/// # Panics
///
/// Panics if `size` is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let batches: Vec<Vec<u32>> = (pipe(1..=3) | op::batched(2)).collect().await;
/// assert_eq!(batches, [vec![1, 2], vec![3]]);
/// # });
/// ```
#[track_caller]
pub fn batched<T: Send + 'static>(size: usize) -> Flow<T, Vec<T>> {
    Flow::identity().batched(size)
}

/// [`map_concurrent`] of `Result`s, up to the first error: [`Flow::try_map_concurrent`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let halve = op::try_map_concurrent(1, async |n: u32| {
///     if n % 2 == 0 { Ok(n / 2) } else { Err("odd") }
/// });
/// let halves: Result<Vec<u32>, _> = (pipe([4, 6]) | op::map(Ok) | halve).try_collect().await;
/// assert_eq!(halves, Ok(vec![2, 3]));
/// # });
/// ```
#[track_caller]
pub fn try_map_concurrent<T, U, E, F, Fut>(
    limit: impl Into<Concurrency>,
    f: F,
) -> Flow<Result<T, E>, Result<U, E>>
where
    T: Send + 'static,
    U: Send + 'static,
    E: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: CallFuture<Output = Result<U, E>> + Send + 'static,
{
    Flow::identity().try_map_concurrent(limit, f)
}

/// [`map_concurrent`] of `Ok`s, which passes errors: [`Flow::map_ok_concurrent`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let double = op::map_ok_concurrent(1, async |n: u32| Ok::<_, &str>(2 * n));
/// let doubled: Vec<_> = (pipe([Ok(1), Err("two")]) | double).collect().await;
/// assert_eq!(doubled, [Ok(2), Err("two")]);
/// # });
/// ```
#[track_caller]
pub fn map_ok_concurrent<T, U, E, F, Fut>(
    limit: impl Into<Concurrency>,
    f: F,
) -> Flow<Result<T, E>, Result<U, E>>
where
    T: Send + 'static,
    U: Send + 'static,
    E: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: CallFuture<Output = Result<U, E>> + Send + 'static,
{
    Flow::identity().map_ok_concurrent(limit, f)
}

/// [`filter_concurrent`] of `Result`s, up to the first error: [`Flow::try_filter_concurrent`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// async fn is_even(n: &u32) -> Result<bool, String> {
///     Ok(n % 2 == 0)
/// }
/// let evens = pipe(1..=4) | op::map(Ok) | op::try_filter_concurrent(1, is_even);
/// assert_eq!(evens.try_collect().await, Ok(vec![2, 4]));
/// # });
/// ```
#[track_caller]
pub fn try_filter_concurrent<T, E, P>(
    limit: impl Into<Concurrency>,
    predicate: P,
) -> Flow<Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
    P: for<'a> FlowPredicate<'a, T, Result<bool, E>>,
{
    Flow::identity().try_filter_concurrent(limit, predicate)
}

/// [`filter_map_concurrent`] of `Result`s, up to the first error:
/// [`Flow::try_filter_map_concurrent`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// async fn parse(line: &str) -> Result<Option<u32>, std::num::ParseIntError> {
///     if line.starts_with('#') { Ok(None) } else { line.parse().map(Some) }
/// }
/// let lines = pipe(["# two", "1", "2"]);
/// let numbers = lines | op::map(Ok) | op::try_filter_map_concurrent(1, parse);
/// assert_eq!(numbers.try_collect().await, Ok(vec![1, 2]));
/// # });
/// ```
#[track_caller]
pub fn try_filter_map_concurrent<T, U, E, F, Fut>(
    limit: impl Into<Concurrency>,
    f: F,
) -> Flow<Result<T, E>, Result<U, E>>
where
    T: Send + 'static,
    U: Send + 'static,
    E: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: CallFuture<Output = Result<Option<U>, E>> + Send + 'static,
{
    Flow::identity().try_filter_map_concurrent(limit, f)
}

/// [`flat_map_concurrent`] of `Result`s, up to the first error:
/// [`Flow::try_flat_map_concurrent`].
///
/// # Panics
///
/// Panics if the limit is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// async fn letters(word: &str) -> Result<Vec<char>, String> {
///     if word.is_empty() { Err("no word".to_owned()) } else { Ok(word.chars().collect()) }
/// }
/// let words = pipe(["ab", "", "c"]);
/// let letters = words | op::map(Ok) | op::try_flat_map_concurrent(1, letters);
/// assert_eq!(letters.try_collect::<_, _, Vec<char>>().await, Err("no word".to_owned()));
/// # });
/// ```
#[track_caller]
pub fn try_flat_map_concurrent<T, E, F, X, Via>(
    limit: impl Into<Concurrency>,
    f: F,
) -> Flow<Result<T, E>, Result<X::Ok, E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Fn(T) -> X + Send + Sync + 'static,
    X: TryExpand<Via, Error = E, Stream: Send, Ok: Send> + 'static,
    Via: 'static,
{
    Flow::identity().try_flat_map_concurrent(limit, f)
}

/// [`batched`] of `Result`s, up to the first error: [`Flow::try_batched`].
///
/// # Panics
///
/// Panics if `size` is 0.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::op;
///
/// # futures_lite::future::block_on(async {
/// let batches: Vec<Result<Vec<u32>, &str>> =
///     (pipe([Ok(1), Err("two"), Ok(3)]) | op::try_batched(2)).collect().await;
/// assert_eq!(batches, [Ok(vec![1]), Err("two")]);
/// # });
/// ```
#[track_caller]
pub fn try_batched<T, E>(size: usize) -> Flow<Result<T, E>, Result<Vec<T>, E>>
where
    T: Send + 'static,
    E: Send + 'static,
{
    Flow::identity().try_batched(size)
}
