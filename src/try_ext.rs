use std::hash::Hash;
#[cfg(feature = "time")]
use std::time::Duration;

use futures_lite::Stream;

#[cfg(feature = "time")]
use crate::stage::TryBatchedWithin;
use crate::stage::{
    MapOkConcurrent, TryBatched, TryBatchedByWeight, TryDrain, TryExpandConcurrent,
    TryFilterConcurrent, TryFilterMapConcurrent, TryFlatMapConcurrent, TryInspectConcurrent,
    TryMapConcurrent, TryMapConcurrentByKey, try_filter_concurrent, try_inspect_concurrent,
};
use crate::{CallFuture, Concurrency, TryExpand, TryItem};

/// The stages that stop at the first error, as methods of every [`Stream`] of `Result`s.
///
/// A pipeline of `Result`s usually starts with a stage that produces them, such as
/// [`map_concurrent`](crate::FlowExt::map_concurrent) with a function that may fail, or with `map(Ok)`. (The
/// methods exist on other streams too, for the sake of a clear compiler message: see [`TryItem`].)
///
/// ```
/// use flowlet::prelude::*;
///
/// async fn fetch(id: u32) -> Result<String, String> {
///     if id == 4 { Err(format!("no page {id}")) } else { Ok(format!("page {id}")) }
/// }
/// async fn store(pages: Vec<String>) -> Result<usize, String> {
///     Ok(pages.len())
/// }
///
/// # futures_lite::future::block_on(async {
/// let stored: Result<Vec<usize>, String> = pipe(1..=9)
///     .map(Ok)
///     .try_map_concurrent(3, fetch)
///     .try_batched(2)
///     .try_map_concurrent(1, store)
///     .try_collect()
///     .await;
/// assert_eq!(stored, Err("no page 4".to_owned()));
/// # });
/// ```
///
/// # What all of them have in common
///
/// Everything about [the stages without errors](crate::FlowExt#what-all-concurrent-stages-have-in-common) holds
/// here too. In addition:
///
/// **The first error ends the stage.** As soon as an error occurs, the stage pulls nothing more, and drops its
/// other calls and everything upstream. Only then does it yield the error: when the consumer sees it, nothing
/// upstream is running. Exactly one error is yielded, and after it always `None`.
///
/// **Calls that must not be interrupted**, such as writes, are completed first with
/// [`finishing`](crate::finishing): their outputs are yielded, then the error, then any further errors that
/// occurred meanwhile.
///
/// **An error from upstream** counts as the stage's own. It goes ahead of running calls, even if the stage is
/// full, and ends the stage in the same way. The function is not called for it.
///
/// **Finished outputs** that were not taken yet, because downstream was busy, are dropped. With
/// [`errors_in_turn`](crate::errors_in_turn) they are yielded first. With [`ordered`](crate::ordered) an error
/// waits for its turn: the calls for earlier items continue until then, and if one of those fails, its error
/// is yielded instead.
///
/// **What an error cannot stop.** A call that [`in_thread`](crate::in_thread) has started in a thread finishes
/// there, and its result is discarded. Stages *downstream* are unaffected until the error reaches them. Then a
/// batch is yielded before it ([`try_batched`](Self::try_batched)), a `try_` stage drops its calls, and any
/// other stage continues its calls.
///
/// **Panics** of calls, outputs or upstream while they are dropped because of an error: everything is dropped
/// all the same. The first panic propagates out of the poll, and the next poll yields the error. A panic in a
/// call is not an error: it propagates, and the stage can still be polled.
///
/// **One error type.** All stages of a pipeline have the same error type. Where types differ, put
/// [`err_into`](crate::ResultStreamExt::err_into) or [`map_err`](crate::ResultStreamExt::map_err) in between, or
/// use `?` in the function.
pub trait TryFlowExt: Stream {
    /// Calls `f` on every item, with up to `limit` calls running at once, and yields what the calls resolve to,
    /// up to the first error.
    ///
    /// Outputs are yielded as the calls complete; `ordered(limit)` keeps the order of the items. See
    /// [the trait](TryFlowExt) for what an error does.
    ///
    /// If it does not compile, the [guide](crate::guide::when_it_does_not_compile) may have the message.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::ordered;
    ///
    /// async fn fetch(id: u32) -> Result<String, String> {
    ///     if id == 3 { Err(format!("no page {id}")) } else { Ok(format!("page {id}")) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut pages = pipe(1..).map(Ok).try_map_concurrent(ordered(20), fetch);
    /// assert_eq!(pages.next().await, Some(Ok("page 1".to_owned())));
    /// assert_eq!(pages.next().await, Some(Ok("page 2".to_owned())));
    /// assert_eq!(pages.next().await, Some(Err("no page 3".to_owned())));
    /// assert_eq!(pages.next().await, None);
    /// # });
    /// ```
    #[track_caller]
    fn try_map_concurrent<T, E, F, Fut, U>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> TryMapConcurrent<Self, F, Fut, U, E, T>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<U, E>>,
    {
        TryMapConcurrent::new(self, limit.into(), f)
    }

    /// Calls `f` on every item, with one call per key at a time, in the order of the key's items, and up to
    /// `limit` calls running at once across all keys, up to the first error.
    ///
    /// See [`map_concurrent_by_key`](crate::FlowExt::map_concurrent_by_key) for keys, and for how many items wait
    /// for theirs. See [the trait](TryFlowExt) for what an error does: it also drops the items that wait.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn book((account, amount): (u32, i64)) -> Result<u32, String> {
    ///     if amount < 0 { Err(format!("account {account} is overdrawn")) } else { Ok(account) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let events = [(1, 10), (2, 10), (1, -10)].map(Ok);
    /// let booked: Result<Vec<u32>, String> =
    ///     pipe(events).try_map_concurrent_by_key(8, |event| event.0, book).try_collect().await;
    /// assert_eq!(booked.unwrap_err(), "account 1 is overdrawn");
    /// # });
    /// ```
    #[track_caller]
    fn try_map_concurrent_by_key<T, E, K, G, F, Fut, U>(
        self,
        limit: impl Into<Concurrency>,
        key: G,
        f: F,
    ) -> TryMapConcurrentByKey<Self, G, F, Fut, K, U, E, T>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        G: FnMut(&T) -> K,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<U, E>>,
        K: Hash + Eq,
    {
        TryMapConcurrentByKey::new(self, limit.into(), key, f)
    }

    /// Calls `f` on every `Ok`, with up to `limit` calls running at once, and passes every `Err` on: here errors
    /// are ordinary items, and end nothing.
    ///
    /// An `Err` is passed on as soon as it is pulled, without a call and without a permit; with `ordered(limit)`
    /// it keeps its place. What `f` resolves to is the output, `Ok` or `Err`. Use this stage where each item has
    /// its own outcome, all the way to the consumer. See
    /// [`FlowExt`](crate::FlowExt#what-all-concurrent-stages-have-in-common) for what drop, panics and limits
    /// mean, and [`try_map_concurrent`](Self::try_map_concurrent) for a stage that ends with the first error.
    ///
    /// If it does not compile, the [guide](crate::guide::when_it_does_not_compile) may have the message.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::ordered;
    ///
    /// async fn download(id: u32) -> Result<String, String> {
    ///     if id == 2 { Err(format!("no page {id}")) } else { Ok(format!("page {id}")) }
    /// }
    /// async fn store(page: String) -> Result<usize, String> {
    ///     Ok(page.len())
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let outcomes: Vec<Result<usize, String>> = pipe(1..=3)
    ///     .map_concurrent(ordered(8), download)
    ///     .map_ok_concurrent(ordered(2), store)
    ///     .collect()
    ///     .await;
    /// assert_eq!(outcomes, [Ok(6), Err("no page 2".to_owned()), Ok(6)]);
    /// # });
    /// ```
    #[track_caller]
    fn map_ok_concurrent<T, E, F, Fut, U>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> MapOkConcurrent<Self, F, Fut, U, E, T>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<U, E>>,
    {
        MapOkConcurrent::new(self, limit.into(), f)
    }

    /// Keeps the items for which `predicate` resolves to `Ok(true)`, with up to `limit` calls running at once, up
    /// to the first error.
    ///
    /// The predicate borrows the item, even across awaits. See
    /// [`filter_concurrent`](crate::FlowExt::filter_concurrent) for the order of the items and the type of the
    /// stream, and [the trait](TryFlowExt) for what an error does.
    ///
    /// If it does not compile, the [guide](crate::guide::when_it_does_not_compile) may have the message.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn is_alive(link: &&str) -> Result<bool, String> {
    ///     match *link {
    ///         "/offline" => Err("no network".to_owned()),
    ///         link => Ok(link != "/404"),
    ///     }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let links = ["/home", "/404", "/offline", "/team"];
    /// let mut alive = Vec::new();
    /// let mut stage = Box::pin(pipe(links).map(Ok).try_filter_concurrent(1, is_alive));
    /// let error = loop {
    ///     match stage.try_next().await {
    ///         Ok(link) => alive.extend(link),
    ///         Err(error) => break error,
    ///     }
    /// };
    /// assert_eq!((alive, error.as_str()), (vec!["/home"], "no network"));
    /// # });
    /// ```
    #[track_caller]
    fn try_filter_concurrent<T, E, P>(
        self,
        limit: impl Into<Concurrency>,
        predicate: P,
    ) -> TryFilterConcurrent<Self, P, impl Future<Output = Option<Result<T, E>>>, T, E>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        P: AsyncFn(&T) -> Result<bool, E>,
    {
        try_filter_concurrent(self, limit.into(), predicate)
    }

    /// Calls `f` on every item, with up to `limit` calls running at once, and yields the outputs that are `Some`,
    /// up to the first error.
    ///
    /// See [`filter_map_concurrent`](crate::FlowExt::filter_map_concurrent) for the order of the outputs, and
    /// [the trait](TryFlowExt) for what an error does.
    ///
    /// If it does not compile, the [guide](crate::guide::when_it_does_not_compile) may have the message.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use std::num::ParseIntError;
    ///
    /// async fn parse(line: &str) -> Result<Option<u32>, ParseIntError> {
    ///     if line.starts_with('#') { Ok(None) } else { line.parse().map(Some) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let lines = |lines: &'static str| pipe(lines.lines()).map(Ok);
    ///
    /// let numbers: Result<Vec<u32>, _> =
    ///     lines("# two\n1\n2").try_filter_map_concurrent(1, parse).try_collect().await;
    /// assert_eq!(numbers, Ok(vec![1, 2]));
    ///
    /// let broken: Result<Vec<u32>, _> =
    ///     lines("1\ntwo\n3").try_filter_map_concurrent(1, parse).try_collect().await;
    /// assert!(broken.is_err());
    /// # });
    /// ```
    #[track_caller]
    fn try_filter_map_concurrent<T, E, F, Fut, U>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> TryFilterMapConcurrent<Self, F, Fut, U, E, T>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<Option<U>, E>>,
    {
        TryFilterMapConcurrent::new(self, limit.into(), f)
    }

    /// Calls `f` on every item and yields the items of the iterables or streams it returns, with up to `limit`
    /// of them open at once, up to the first error.
    ///
    /// `f` returns a future of a `Result` of an iterable, a future of a `Result` of a stream of `Result`s, or an
    /// iterable or a stream of `Result`s: see [`TryExpand`]. An error of an inner stream counts as the stage's
    /// own, as does an error of the future. See [`flat_map_concurrent`](crate::FlowExt::flat_map_concurrent) for
    /// how open inner streams take turns, and how far they run ahead while the consumer is busy: until each has
    /// one output waiting, or a [window](Concurrency::window) is full. See [the trait](TryFlowExt) for what an
    /// error does.
    ///
    /// If it does not compile, the [guide](crate::guide::when_it_does_not_compile) may have the message.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn find_links(page: &str) -> Result<Vec<&str>, String> {
    ///     if page.is_empty() { Err("an empty page".to_owned()) } else { Ok(page.split(' ').collect()) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut links = pipe(["/a /b", "", "/c"]).map(Ok).try_flat_map_concurrent(1, find_links);
    /// assert_eq!(links.next().await, Some(Ok("/a")));
    /// assert_eq!(links.next().await, Some(Ok("/b")));
    /// assert_eq!(links.next().await, Some(Err("an empty page".to_owned())));
    /// assert_eq!(links.next().await, None);
    /// # });
    /// ```
    #[track_caller]
    fn try_flat_map_concurrent<T, E, F, X, Via>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> TryFlatMapConcurrent<Self, F, X, Via, T>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        F: FnMut(T) -> X,
        X: TryExpand<Via, Error = E>,
    {
        TryFlatMapConcurrent::new(self, limit.into(), f)
    }

    /// Checks every item: calls `f` with a reference to it, with up to `limit` calls running at once, and yields
    /// the items for which `f` resolves to `Ok`, up to the first error.
    ///
    /// See [`inspect_concurrent`](crate::FlowExt::inspect_concurrent) for the order of the items and for what the
    /// function may borrow, and [the trait](TryFlowExt) for what an error does.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn check(order: &u32) -> Result<(), String> {
    ///     if *order == 0 { Err("an empty order".to_owned()) } else { Ok(()) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let checked: Result<Vec<u32>, String> =
    ///     pipe([2, 1, 0, 5]).map(Ok).try_inspect_concurrent(8, check).try_collect().await;
    /// assert_eq!(checked, Err("an empty order".to_owned()));
    /// # });
    /// ```
    #[track_caller]
    fn try_inspect_concurrent<T, E, F>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> TryInspectConcurrent<Self, F, impl Future<Output = Result<T, E>>, T, E>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        F: AsyncFn(&T) -> Result<(), E>,
    {
        try_inspect_concurrent(self, limit.into(), f)
    }

    /// Calls `f` on every item and on the new items that `f` returns, with up to `limit` calls running at once,
    /// and yields the outputs, up to the first error.
    ///
    /// `f` resolves to a `Result` of an output and new items. See
    /// [`expand_concurrent`](crate::FlowExt::expand_concurrent) for the order and the bound, and
    /// [the trait](TryFlowExt) for what an error does: it also drops the items that wait.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn fetch(page: u32) -> Result<(String, Option<u32>), String> {
    ///     if page == 3 { Err(format!("no page {page}")) } else { Ok((format!("page {page}"), Some(page + 1))) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let pages = pipe([1]).map(Ok).try_expand_concurrent(2, fetch);
    /// let pages: Vec<_> = pages.collect().await;
    /// assert_eq!(pages, [Ok("page 1".into()), Ok("page 2".into()), Err("no page 3".to_owned())]);
    /// # });
    /// ```
    #[track_caller]
    fn try_expand_concurrent<T, E, F, Fut, U, I>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> TryExpandConcurrent<Self, F, Fut, U, E, T>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<(U, I), E>>,
        I: IntoIterator<Item = T>,
    {
        TryExpandConcurrent::new(self, limit.into(), f)
    }

    /// Collects items into batches of `size`, up to the first error. The last batch may be smaller, and is never
    /// empty.
    ///
    /// No item is lost to an error: the batch it interrupts is yielded first, then the error, then the end.
    /// Upstream is dropped before any of this.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let batches: Vec<Result<Vec<u32>, &str>> =
    ///     pipe([Ok(1), Ok(2), Ok(3), Err("four"), Ok(5)]).try_batched(2).collect().await;
    /// assert_eq!(batches, [Ok(vec![1, 2]), Ok(vec![3]), Err("four")]);
    /// # });
    /// ```
    #[track_caller]
    fn try_batched<T, E>(self, size: usize) -> TryBatched<Self, T, E>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
    {
        TryBatched::new(self, size)
    }

    /// Collects items into batches of `size`, and yields a smaller batch when `duration` has passed since its
    /// first item arrived, up to the first error.
    ///
    /// See [`batched_within`](crate::FlowExt::batched_within) for when a batch is yielded. An error does not wait
    /// for that: the batch it interrupts is yielded at once, then the error, then the end. Upstream is dropped
    /// before any of this.
    ///
    /// # Panics
    ///
    /// Panics if `size` or `duration` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use std::time::Duration;
    ///
    /// # futures_lite::future::block_on(async {
    /// let hour = Duration::from_secs(3600);
    /// let batches: Vec<Result<Vec<u32>, &str>> =
    ///     pipe([Ok(1), Ok(2), Ok(3), Err("four"), Ok(5)]).try_batched_within(2, hour).collect().await;
    /// assert_eq!(batches, [Ok(vec![1, 2]), Ok(vec![3]), Err("four")]);
    /// # });
    /// ```
    #[cfg(feature = "time")]
    #[track_caller]
    fn try_batched_within<T, E>(
        self,
        size: usize,
        duration: Duration,
    ) -> TryBatchedWithin<Self, T, E>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
    {
        TryBatchedWithin::new(self, size, duration)
    }

    /// Collects items into batches that weigh at most `max`, where `weight` returns the weight of an item, up to
    /// the first error.
    ///
    /// See [`batched_by_weight`](crate::FlowExt::batched_by_weight) for what goes into a batch. No item is lost to
    /// an error: the batch it interrupts is yielded first, then the error, then the end. Upstream is dropped
    /// before any of this.
    ///
    /// # Panics
    ///
    /// Panics if `max` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let words = [Ok("one"), Ok("two"), Ok("three"), Err("four"), Ok("five")];
    /// let batches: Vec<Result<Vec<&str>, &str>> =
    ///     pipe(words).try_batched_by_weight(6, |word| word.len()).collect().await;
    /// assert_eq!(batches, [Ok(vec!["one", "two"]), Ok(vec!["three"]), Err("four")]);
    /// # });
    /// ```
    #[track_caller]
    fn try_batched_by_weight<T, E, F>(
        self,
        max: usize,
        weight: F,
    ) -> TryBatchedByWeight<Self, F, T, E>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
        F: FnMut(&T) -> usize,
    {
        TryBatchedByWeight::new(self, max, weight)
    }

    /// Runs the pipeline to its end or its first error for its side effects, and discards the outputs.
    ///
    /// # Errors
    ///
    /// Returns the first error, after the pipeline was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # fn main() -> Result<(), String> { futures_lite::future::block_on(async {
    /// async fn send(mail: &str) -> Result<(), String> {
    ///     Ok(())
    /// }
    /// pipe(["one", "two"]).map(Ok).try_map_concurrent(8, send).try_drain().await?;
    /// # Ok(()) }) }
    /// ```
    fn try_drain<T, E>(self) -> TryDrain<Self, E>
    where
        Self::Item: TryItem<Ok = T, Error = E>,
        Self: Stream<Item = Result<T, E>> + Sized,
    {
        TryDrain::new(self)
    }
}

impl<S: Stream + ?Sized> TryFlowExt for S {}
