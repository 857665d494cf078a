//! The stages that end at the first error, as methods of a flow.

use std::sync::Arc;

use super::steps::Step;
use super::{Flow, FlowPredicate};
use crate::stage::{
    MapOkConcurrent, TryBatched, TryFilterMapConcurrent, TryFlatMapConcurrent, TryMapConcurrent,
    checked_size,
};
use crate::{CallFuture, Concurrency, TryExpand};

/// # Stages that end at the first error
///
/// Each adds a step that does what the method of [`TryFlowExt`](crate::TryFlowExt) of the same name
/// does to a stream of `Result`s. An error ends the run, and no other.
impl<T, V, E> Flow<T, Result<V, E>>
where
    T: 'static,
    V: Send + 'static,
    E: Send + 'static,
{
    /// Calls `f` on every item, with up to `limit` calls running at once in each run, and hands on
    /// what their futures give, up to the first error.
    ///
    /// See [`TryFlowExt::try_map_concurrent`](crate::TryFlowExt::try_map_concurrent).
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// async fn fetch(id: u32) -> Result<String, String> {
    ///     if id == 3 { Err(format!("no page {id}")) } else { Ok(format!("page {id}")) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let pages = Flow::<u32>::identity().map(Ok).try_map_concurrent(20, fetch);
    /// let pages: Result<Vec<String>, String> = pipe(1..).through(&pages).try_collect().await;
    /// assert_eq!(pages, Err("no page 3".to_owned()));
    /// # });
    /// ```
    #[track_caller]
    pub fn try_map_concurrent<F, Fut, W>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> Flow<T, Result<W, E>>
    where
        F: Fn(V) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Result<W, E>> + Send + 'static,
        W: Send + 'static,
    {
        let (limit, f) = (limit.into().checked(), Arc::new(f));
        self.step(Step::concurrent("try_map_concurrent", &limit), move |stream| {
            let f = f.clone();
            TryMapConcurrent::new(stream, limit.clone(), move |item| f(item))
        })
    }

    /// Calls `f` on every `Ok`, with up to `limit` calls at once in each run of the flow, and passes
    /// every `Err`.
    ///
    /// See [`TryFlowExt::map_ok_concurrent`](crate::TryFlowExt::map_ok_concurrent).
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let store = Flow::<Result<u32, &str>>::identity().map_ok_concurrent(1, async |n| Ok(2 * n));
    /// let stored: Vec<_> = pipe([Ok(1), Err("two")]).through(&store).collect().await;
    /// assert_eq!(stored, [Ok(2), Err("two")]);
    /// # });
    /// ```
    #[track_caller]
    pub fn map_ok_concurrent<F, Fut, W>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> Flow<T, Result<W, E>>
    where
        F: Fn(V) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Result<W, E>> + Send + 'static,
        W: Send + 'static,
    {
        let (limit, f) = (limit.into().checked(), Arc::new(f));
        self.step(Step::concurrent("map_ok_concurrent", &limit), move |stream| {
            let f = f.clone();
            MapOkConcurrent::new(stream, limit.clone(), move |item| f(item))
        })
    }

    /// Keeps the items for which `predicate` says `Ok(true)`, with up to `limit` calls running at
    /// once in each run, up to the first error.
    ///
    /// The predicate is an `async fn(&V) -> Result<bool, E>`, or a closure that gives such a future.
    /// An `async` closure that captures goes through `Flow::new(|s| s.try_filter_concurrent(..))`:
    /// see [`FlowPredicate`].
    /// [`TryFlowExt::try_filter_concurrent`](crate::TryFlowExt::try_filter_concurrent) says the rest.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// async fn is_alive(link: &String) -> Result<bool, String> {
    ///     Ok(!link.ends_with("404"))
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let alive = Flow::<String>::identity().map(Ok).try_filter_concurrent(8, is_alive);
    /// let links = ["/home".to_owned(), "/404".to_owned()];
    /// let links: Result<Vec<String>, String> = pipe(links).through(&alive).try_collect().await;
    /// assert_eq!(links, Ok(vec!["/home".to_owned()]));
    /// # });
    /// ```
    #[track_caller]
    pub fn try_filter_concurrent<P>(self, limit: impl Into<Concurrency>, predicate: P) -> Self
    where
        P: for<'a> FlowPredicate<'a, V, Result<bool, E>>,
    {
        let (limit, predicate) = (limit.into().checked(), Arc::new(predicate));
        self.step(Step::concurrent("try_filter_concurrent", &limit), move |stream| {
            let predicate = predicate.clone();
            TryFilterMapConcurrent::new(stream, limit.clone(), move |item| {
                let predicate = predicate.clone();
                async move { Ok(predicate(&item).await?.then_some(item)) }
            })
        })
    }

    /// Calls `f` on every item, with up to `limit` calls running at once in each run, and hands on
    /// what is `Some`, up to the first error.
    ///
    /// See [`TryFlowExt::try_filter_map_concurrent`](crate::TryFlowExt::try_filter_map_concurrent).
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    /// use std::num::ParseIntError;
    ///
    /// async fn parse(line: &str) -> Result<Option<u32>, ParseIntError> {
    ///     if line.starts_with('#') { Ok(None) } else { line.parse().map(Some) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let parse = Flow::<&str>::identity().map(Ok).try_filter_map_concurrent(1, parse);
    /// let numbers: Result<Vec<u32>, _> =
    ///     pipe("# two\n1\n2".lines()).through(&parse).try_collect().await;
    /// assert_eq!(numbers, Ok(vec![1, 2]));
    /// # });
    /// ```
    #[track_caller]
    pub fn try_filter_map_concurrent<F, Fut, W>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> Flow<T, Result<W, E>>
    where
        F: Fn(V) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Result<Option<W>, E>> + Send + 'static,
        W: Send + 'static,
    {
        let (limit, f) = (limit.into().checked(), Arc::new(f));
        self.step(Step::concurrent("try_filter_map_concurrent", &limit), move |stream| {
            let f = f.clone();
            TryFilterMapConcurrent::new(stream, limit.clone(), move |item| f(item))
        })
    }

    /// Calls `f` on every item and hands on all that comes of it, with up to `limit` expansions
    /// open at once in each run, up to the first error.
    ///
    /// `f` returns a future of a `Result` of an iterable, a future of a `Result` of a stream of `Result`s,
    /// or an iterable or a stream of `Result`s: see [`TryExpand`]. See
    /// [`TryFlowExt::try_flat_map_concurrent`](crate::TryFlowExt::try_flat_map_concurrent).
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// async fn find_links(page: &str) -> Result<Vec<&str>, String> {
    ///     if page.is_empty() { Err("an empty page".to_owned()) } else { Ok(page.split(' ').collect()) }
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let links = Flow::<&str>::identity().map(Ok).try_flat_map_concurrent(1, find_links);
    /// let found: Result<Vec<&str>, _> = pipe(["/a /b", "/c"]).through(&links).try_collect().await;
    /// assert_eq!(found, Ok(vec!["/a", "/b", "/c"]));
    /// # });
    /// ```
    #[track_caller]
    pub fn try_flat_map_concurrent<F, X, Via>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> Flow<T, Result<X::Ok, E>>
    where
        F: Fn(V) -> X + Send + Sync + 'static,
        X: TryExpand<Via, Error = E, Stream: Send, Ok: Send> + 'static,
        Via: 'static,
    {
        let (limit, f) = (limit.into().checked(), Arc::new(f));
        self.step(Step::concurrent("try_flat_map_concurrent", &limit), move |stream| {
            let f = f.clone();
            TryFlatMapConcurrent::new(stream, limit.clone(), move |item| f(item))
        })
    }

    /// Collects items into batches of `size`, the last of which may be smaller, and never empty, up
    /// to the first error, before which the batch comes out that it breaks off.
    ///
    /// See [`TryFlowExt::try_batched`](crate::TryFlowExt::try_batched).
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let pairs = Flow::<Result<u32, &str>>::identity().try_batched(2);
    /// let batches: Vec<Result<Vec<u32>, &str>> =
    ///     pipe([Ok(1), Ok(2), Ok(3), Err("four"), Ok(5)]).through(&pairs).collect().await;
    /// assert_eq!(batches, [Ok(vec![1, 2]), Ok(vec![3]), Err("four")]);
    /// # });
    /// ```
    #[track_caller]
    pub fn try_batched(self, size: usize) -> Flow<T, Result<Vec<V>, E>> {
        let size = checked_size(size);
        self.step(Step::sized("try_batched", size), move |stream| TryBatched::new(stream, size))
    }
}
