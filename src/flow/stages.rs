//! The stages, as methods of a flow.

use std::sync::Arc;

use futures_lite::StreamExt;

use super::steps::Step;
use super::{Flow, FlowPredicate};
use crate::stage::{Batched, FilterMapConcurrent, FlatMapConcurrent, MapConcurrent, checked_size};
use crate::{CallFuture, Concurrency, Expand};

/// # Stages
///
/// Each adds a step that does what the method of [`FlowExt`](crate::FlowExt) or [`StreamExt`] of the
/// same name does to a stream. What they take is shared by all runs, which may be on several threads
/// at once: functions are `Fn`, `Sync` and `'static`.
impl<T: 'static, U: 'static> Flow<T, U> {
    /// Calls `f` on every item and hands on what it gives.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let double = Flow::<u32>::identity().map(|n| 2 * n);
    /// let numbers: Vec<u32> = pipe([1, 2]).through(&double).collect().await;
    /// assert_eq!(numbers, [2, 4]);
    /// # });
    /// ```
    pub fn map<F, V>(self, f: F) -> Flow<T, V>
    where
        F: Fn(U) -> V + Send + Sync + 'static,
        V: 'static,
    {
        let f = Arc::new(f);
        self.step(Step::plain("map"), move |stream| {
            let f = f.clone();
            stream.map(move |item| f(item))
        })
    }

    /// Keeps the items for which `predicate` says `true`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let evens = Flow::<u32>::identity().filter(|n| n % 2 == 0);
    /// let numbers: Vec<u32> = pipe(1..=4).through(&evens).collect().await;
    /// assert_eq!(numbers, [2, 4]);
    /// # });
    /// ```
    pub fn filter<P>(self, predicate: P) -> Self
    where
        P: Fn(&U) -> bool + Send + Sync + 'static,
    {
        let predicate = Arc::new(predicate);
        self.step(Step::plain("filter"), move |stream| {
            let predicate = predicate.clone();
            stream.filter(move |item| predicate(item))
        })
    }

    /// Calls `f` on every item and hands on what is `Some`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let parse: Flow<&str, u32> = Flow::identity().filter_map(|text: &str| text.parse().ok());
    /// let numbers: Vec<u32> = pipe(["1", "two", "3"]).through(&parse).collect().await;
    /// assert_eq!(numbers, [1, 3]);
    /// # });
    /// ```
    pub fn filter_map<F, V>(self, f: F) -> Flow<T, V>
    where
        F: Fn(U) -> Option<V> + Send + Sync + 'static,
        V: 'static,
    {
        let f = Arc::new(f);
        self.step(Step::plain("filter_map"), move |stream| {
            let f = f.clone();
            stream.filter_map(move |item| f(item))
        })
    }

    /// Calls `f` on every item as it passes.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    ///
    /// # futures_lite::future::block_on(async {
    /// let seen = Arc::new(AtomicUsize::new(0));
    /// let counter = seen.clone();
    /// let count = Flow::<&str>::identity().inspect(move |_| drop(counter.fetch_add(1, Relaxed)));
    ///
    /// pipe(["a", "b"]).through(&count).drain().await;
    /// pipe(["c"]).through(&count).drain().await;
    /// assert_eq!(seen.load(Relaxed), 3);
    /// # });
    /// ```
    pub fn inspect<F>(self, f: F) -> Self
    where
        F: Fn(&U) + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        self.step(Step::plain("inspect"), move |stream| {
            let f = f.clone();
            stream.inspect(move |item| f(item))
        })
    }

    /// Hands on the first `n` items of each run, then ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let three = Flow::<u32>::identity().take(3);
    /// let numbers: Vec<u32> = pipe(1..).through(&three).collect().await;
    /// assert_eq!(numbers, [1, 2, 3]);
    /// # });
    /// ```
    pub fn take(self, n: usize) -> Self {
        self.step(Step::sized("take", n), move |stream| stream.take(n))
    }
}

impl<T: 'static, U: Send + 'static> Flow<T, U> {
    /// Calls `f` on every item and hands on all that comes of it, one expansion after the other.
    ///
    /// `f` gives an iterable, a stream, or a future of one: see [`Expand`]. It is
    /// [`flat_map_concurrent(1, f)`](Self::flat_map_concurrent), and not the plain `flat_map` of
    /// streams, in which the calls of the stages above stand still while an expansion is open.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// fn find_links(page: String) -> Vec<String> {
    ///     page.split(' ').map(str::to_owned).collect()
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let links: Flow<String> = Flow::identity().flat_map(find_links);
    /// let found: Vec<String> = pipe(["/a /b".to_owned()]).through(&links).collect().await;
    /// assert_eq!(found, ["/a", "/b"]);
    /// # });
    /// ```
    pub fn flat_map<F, E, Via>(self, f: F) -> Flow<T, E::Item>
    where
        F: Fn(U) -> E + Send + Sync + 'static,
        E: Expand<Via, Stream: Send, Item: Send> + 'static,
        Via: 'static,
    {
        self.expand(Step::plain("flat_map"), 1.into(), f)
    }

    /// Calls `f` on every item, with up to `limit` calls running at once in each run, and hands on
    /// what their futures give.
    ///
    /// See [`FlowExt::map_concurrent`](crate::FlowExt::map_concurrent).
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::{Flow, ordered};
    ///
    /// async fn fetch(id: u32) -> String {
    ///     format!("page {id}")
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let pages = Flow::<u32>::identity().map_concurrent(ordered(20), fetch);
    /// let pages: Vec<String> = pipe([1, 2]).through(&pages).collect().await;
    /// assert_eq!(pages, ["page 1", "page 2"]);
    /// # });
    /// ```
    #[track_caller]
    pub fn map_concurrent<F, Fut, V>(self, limit: impl Into<Concurrency>, f: F) -> Flow<T, V>
    where
        F: Fn(U) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = V> + Send + 'static,
        V: Send + 'static,
    {
        let (limit, f) = (limit.into().checked(), Arc::new(f));
        self.step(Step::concurrent("map_concurrent", &limit), move |stream| {
            let f = f.clone();
            MapConcurrent::new(stream, limit.clone(), move |item| f(item))
        })
    }

    /// Keeps the items for which `predicate` says `true`, with up to `limit` calls running at once
    /// in each run.
    ///
    /// The predicate is an `async fn(&U) -> bool`, or a closure that gives such a future. An `async`
    /// closure that captures goes through `Flow::new(|s| s.filter_concurrent(..))`: see
    /// [`FlowPredicate`]. [`FlowExt::filter_concurrent`](crate::FlowExt::filter_concurrent) says the
    /// rest.
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
    /// async fn is_alive(link: &String) -> bool {
    ///     !link.ends_with("404")
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let alive = Flow::<String>::identity().filter_concurrent(8, is_alive);
    /// let links = ["/home".to_owned(), "/404".to_owned()];
    /// let links: Vec<String> = pipe(links).through(&alive).collect().await;
    /// assert_eq!(links, ["/home"]);
    /// # });
    /// ```
    #[track_caller]
    pub fn filter_concurrent<P>(self, limit: impl Into<Concurrency>, predicate: P) -> Self
    where
        P: for<'a> FlowPredicate<'a, U, bool>,
    {
        let (limit, predicate) = (limit.into().checked(), Arc::new(predicate));
        self.step(Step::concurrent("filter_concurrent", &limit), move |stream| {
            let predicate = predicate.clone();
            FilterMapConcurrent::new(stream, limit.clone(), move |item| {
                let predicate = predicate.clone();
                async move { predicate(&item).await.then_some(item) }
            })
        })
    }

    /// Calls `f` on every item, with up to `limit` calls running at once in each run, and hands on
    /// what is `Some`.
    ///
    /// See [`FlowExt::filter_map_concurrent`](crate::FlowExt::filter_map_concurrent).
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
    /// let parse: Flow<&str, u32> =
    ///     Flow::identity().filter_map_concurrent(1, async |text: &str| text.parse().ok());
    /// let numbers: Vec<u32> = pipe(["1", "two", "3"]).through(&parse).collect().await;
    /// assert_eq!(numbers, [1, 3]);
    /// # });
    /// ```
    #[track_caller]
    pub fn filter_map_concurrent<F, Fut, V>(self, limit: impl Into<Concurrency>, f: F) -> Flow<T, V>
    where
        F: Fn(U) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Option<V>> + Send + 'static,
        V: Send + 'static,
    {
        let (limit, f) = (limit.into().checked(), Arc::new(f));
        self.step(Step::concurrent("filter_map_concurrent", &limit), move |stream| {
            let f = f.clone();
            FilterMapConcurrent::new(stream, limit.clone(), move |item| f(item))
        })
    }

    /// Calls `f` on every item and hands on all that comes of it, with up to `limit` expansions
    /// open at once in each run.
    ///
    /// `f` gives an iterable, a stream, or a future of one: see [`Expand`]. See
    /// [`FlowExt::flat_map_concurrent`](crate::FlowExt::flat_map_concurrent) for how they take
    /// turns.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use flowlet::{Flow, ordered};
    ///
    /// async fn find_links(page: String) -> Vec<String> {
    ///     page.split(' ').map(str::to_owned).collect()
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let links: Flow<String> = Flow::identity().flat_map_concurrent(ordered(8), find_links);
    /// let pages = ["/a /b".to_owned(), "/c".to_owned()];
    /// let found: Vec<String> = pipe(pages).through(&links).collect().await;
    /// assert_eq!(found, ["/a", "/b", "/c"]);
    /// # });
    /// ```
    #[track_caller]
    pub fn flat_map_concurrent<F, E, Via>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> Flow<T, E::Item>
    where
        F: Fn(U) -> E + Send + Sync + 'static,
        E: Expand<Via, Stream: Send, Item: Send> + 'static,
        Via: 'static,
    {
        let limit = limit.into().checked();
        self.expand(Step::concurrent("flat_map_concurrent", &limit), limit, f)
    }

    fn expand<F, E, Via>(self, step: Step, limit: Concurrency, f: F) -> Flow<T, E::Item>
    where
        F: Fn(U) -> E + Send + Sync + 'static,
        E: Expand<Via, Stream: Send, Item: Send> + 'static,
        Via: 'static,
    {
        let f = Arc::new(f);
        self.step(step, move |stream| {
            let f = f.clone();
            FlatMapConcurrent::new(stream, limit.clone(), move |item| f(item))
        })
    }

    /// Collects items into batches of `size`, the last of which may be smaller, and never empty.
    ///
    /// See [`FlowExt::batched`](crate::FlowExt::batched).
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
    /// let pairs: Flow<u32, Vec<u32>> = Flow::identity().batched(2);
    /// let batches: Vec<Vec<u32>> = pipe(1..=3).through(&pairs).collect().await;
    /// assert_eq!(batches, [vec![1, 2], vec![3]]);
    /// # });
    /// ```
    #[track_caller]
    pub fn batched(self, size: usize) -> Flow<T, Vec<U>> {
        let size = checked_size(size);
        self.step(Step::sized("batched", size), move |stream| Batched::new(stream, size))
    }
}
