use std::future::Future;
use std::hash::Hash;
#[cfg(feature = "time")]
use std::time::Duration;

use futures_lite::Stream;
use futures_lite::future::Boxed;

use crate::flow::Through;
#[cfg(feature = "time")]
use crate::stage::BatchedWithin;
use crate::stage::{
    Batched, BatchedByWeight, Drain, Driven, ExpandConcurrent, FilterConcurrent,
    FilterMapConcurrent, FlatMapConcurrent, InspectConcurrent, MapConcurrent, MapConcurrentByKey,
    Prefetch, TakeUntilStopped, filter_concurrent, inspect_concurrent,
};
use crate::{CallFuture, Concurrency, Expand};

/// The stages, as methods of every [`Stream`].
///
/// ```
/// use flowlet::prelude::*;
///
/// async fn fetch(id: u32) -> String {
///     format!("page {id}")
/// }
///
/// # futures_lite::future::block_on(async {
/// let batches: Vec<Vec<String>> =
///     pipe(1..=5).map_concurrent(20, fetch).batched(2).collect().await;
/// assert_eq!(batches.len(), 3);
/// # });
/// ```
///
/// # What all concurrent stages have in common
///
/// **Bound.** A stage with limit `n` never has more than `n` items between "pulled from upstream" and
/// "yielded": running calls plus waiting outputs. See [`Concurrency`] for what a limit can be.
///
/// **Order.** Outputs are yielded as they complete, or with [`ordered`](crate::ordered) in the order of their
/// items.
///
/// **Eagerness.** Nothing happens before the first poll. Whenever the stage is polled, it starts calls up to
/// its limit and yields an output as soon as there is one. A slow source never delays an output.
///
/// **Calls are never starved.** A stage that is full keeps the calls of all upstream stages running, through
/// any synchronous adaptors in between. (The adaptors' own closures run when an item passes, so a full stage
/// holds those back.) While your own code awaits something else, [`driven`](Self::driven) does the same. While
/// nobody polls the pipeline, its calls stall: [`prefetch`](Self::prefetch) polls it in a task.
///
/// **Yielding to other tasks.** A pipeline whose calls never wait returns `Pending` once after 128 outputs in a
/// row, and wakes its task. This gives timeouts, stops and other tasks on the thread a chance to run.
/// [`drain`](Self::drain) does the same.
///
/// **Drop.** Dropping the stream drops every running call at once, then its upstream. Nothing is detached. An
/// upstream that has ended is dropped at once.
///
/// **Panics** in a function, a future or upstream propagate out of the poll that ran them. The call is dropped,
/// the others are unharmed, and the stream can still be polled.
///
/// **Fused.** After `None`, every poll returns `None`.
///
/// **Cancel safety.** All state is kept in the stage, so dropping the future of
/// [`next`](futures_lite::StreamExt::next) loses nothing.
pub trait FlowExt: Stream {
    /// Calls `f` on every item, with up to `limit` calls running at once, and yields what the calls resolve to.
    ///
    /// Outputs are yielded as the calls complete; `ordered(limit)` keeps the order of the items. See
    /// [the trait](FlowExt) for what drop, panics and limits mean. If `f` blocks, wrap it in
    /// [`in_thread`](crate::in_thread).
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
    /// async fn fetch(id: u32) -> String {
    ///     format!("page {id}")
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let pages: Vec<String> = pipe([1, 2, 3]).map_concurrent(ordered(20), fetch).collect().await;
    /// assert_eq!(pages, ["page 1", "page 2", "page 3"]);
    /// # });
    /// ```
    #[track_caller]
    fn map_concurrent<F, Fut, U>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> MapConcurrent<Self, F, Fut, Self::Item, U>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> Fut,
        Fut: CallFuture<Output = U>,
    {
        MapConcurrent::new(self, limit.into(), f)
    }

    /// Calls `f` on every item, with one call per key at a time, in the order of the key's items, and up to
    /// `limit` calls running at once across all keys.
    ///
    /// `key` returns the key of an item. Outputs are yielded as the calls complete, so the outputs of one key
    /// keep the order of its items; `ordered(limit)` keeps the order of all items.
    /// [`per_key`](MapConcurrentByKey::per_key) allows more calls per key, for a limit per host or per customer.
    ///
    /// An item whose key is busy waits in the stage while other items are pulled, so a hot key does not use up
    /// the limit. A [window](Concurrency::window) bounds how many items are between pulled and yielded. It
    /// defaults to 16 times the limit. Once the window is full of items that wait for hot keys, the stage pulls
    /// no more. A key is forgotten when none of its items is left. If a call panics or is dropped, the next
    /// call for its key can start. See [the trait](FlowExt) for what drop, panics and limits mean.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Concurrency;
    /// use flowlet::prelude::*;
    ///
    /// #[derive(Clone)]
    /// struct Event {
    ///     account: u32,
    ///     amount: i64,
    /// }
    ///
    /// async fn book(event: Event) -> i64 {
    ///     event.amount
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let events = [1, 1, 2, 1].map(|account| Event { account, amount: 10 });
    ///
    /// // Eight at once, and no two of one account.
    /// let amounts: Vec<i64> = pipe(events.clone())
    ///     .map_concurrent_by_key(8, |event| event.account, book)
    ///     .collect()
    ///     .await;
    /// assert_eq!(amounts, [10; 4]);
    ///
    /// // The same, with up to 1,000 that were pulled and are not yielded.
    /// let limit = Concurrency::new(8).window(1000);
    /// let booked = pipe(events).map_concurrent_by_key(limit, |event| event.account, book);
    /// assert_eq!(booked.count().await, 4);
    /// # });
    /// ```
    #[track_caller]
    fn map_concurrent_by_key<K, G, F, Fut, U>(
        self,
        limit: impl Into<Concurrency>,
        key: G,
        f: F,
    ) -> MapConcurrentByKey<Self, G, F, Fut, K, Self::Item, U>
    where
        Self: Sized,
        G: FnMut(&Self::Item) -> K,
        F: FnMut(Self::Item) -> Fut,
        Fut: CallFuture<Output = U>,
        K: Hash + Eq,
    {
        MapConcurrentByKey::new(self, limit.into(), key, f)
    }

    /// Keeps the items for which `predicate` resolves to `true`, with up to `limit` calls running at once.
    ///
    /// The predicate borrows the item, even across awaits. Items are yielded as the calls complete;
    /// `ordered(limit)` keeps their order, and then a rejected item counts against the limit until its turn.
    /// See [the trait](FlowExt) for what drop, panics and limits mean.
    ///
    /// The predicate is an `async fn(&T) -> bool` or an `async` closure. In a future that must be `Send`, for
    /// example because it is spawned, the compiler rejects a predicate that borrows its surroundings. Use
    /// [`filter_map_concurrent`](Self::filter_map_concurrent) there: `async |item|
    /// app.is_alive(&item).await.then_some(item)`.
    ///
    /// The stream's type contains a future without a name, which borrows whatever `limit` borrows. Where the
    /// stream must be `'static`, pass `semaphore.clone()` instead of `&semaphore`.
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
    /// async fn is_alive(link: &String) -> bool {
    ///     !link.ends_with("404")
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let links = ["/home".to_owned(), "/404".to_owned()];
    /// let alive: Vec<String> = pipe(links).filter_concurrent(8, is_alive).collect().await;
    /// assert_eq!(alive, ["/home"]);
    ///
    /// // A closure can borrow its surroundings.
    /// let banned = vec![2];
    /// let kept: Vec<u32> =
    ///     pipe([1, 2]).filter_concurrent(8, async |n: &u32| !banned.contains(n)).collect().await;
    /// assert_eq!(kept, [1]);
    /// # });
    /// ```
    #[track_caller]
    fn filter_concurrent<T, P>(
        self,
        limit: impl Into<Concurrency>,
        predicate: P,
    ) -> FilterConcurrent<Self, P, impl Future<Output = Option<T>>, T>
    where
        Self: Stream<Item = T> + Sized,
        P: AsyncFn(&T) -> bool,
    {
        filter_concurrent(self, limit.into(), predicate)
    }

    /// Calls `f` on every item, with up to `limit` calls running at once, and yields the outputs that are
    /// `Some`.
    ///
    /// Outputs are yielded as the calls complete; `ordered(limit)` keeps the order of the items, and then a
    /// `None` counts against the limit until its turn. See [the trait](FlowExt) for what drop, panics and
    /// limits mean.
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
    /// # futures_lite::future::block_on(async {
    /// let numbers: Vec<u32> = pipe(["1", "two", "3"])
    ///     .filter_map_concurrent(1, async |text| str::parse::<u32>(text).ok())
    ///     .collect()
    ///     .await;
    /// assert_eq!(numbers, [1, 3]);
    /// # });
    /// ```
    #[track_caller]
    fn filter_map_concurrent<F, Fut, U>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> FilterMapConcurrent<Self, F, Fut, U>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> Fut,
        Fut: CallFuture<Output = Option<U>>,
    {
        FilterMapConcurrent::new(self, limit.into(), f)
    }

    /// Calls `f` on every item and yields the items of the iterables or streams it returns, with up to `limit`
    /// of them open at once.
    ///
    /// `f` returns an iterable, a stream, or a future of either: see [`Expand`]. As with
    /// [`Iterator::flat_map`], `Result` and `Option` are iterables: if `f` returns one of them, every `Err` or
    /// `None` is silently dropped. To keep errors, use
    /// [`try_flat_map_concurrent`](crate::TryFlowExt::try_flat_map_concurrent) for a function that returns a
    /// `Result` of many items, and [`map_concurrent`](Self::map_concurrent) for a `Result` of one.
    ///
    /// Open inner streams take turns, one output each, while others have outputs ready. They are polled on
    /// demand, so endless inner streams are fine. Only under backpressure does each of them run ahead, until
    /// one output is waiting. With a [window](Concurrency::window), as in `Concurrency::new(4).window(64)`, they
    /// run ahead until the window is full.
    ///
    /// With `ordered(limit)`, inner streams are yielded whole, in the order of their items. Later ones run until
    /// they have their first output. See [the trait](FlowExt) for what drop, panics and limits mean.
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
    /// async fn find_links(page: &str) -> Vec<&str> {
    ///     page.split(' ').collect()
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let links: Vec<&str> =
    ///     pipe(["/a /b", "/c"]).flat_map_concurrent(1, find_links).collect().await;
    /// assert_eq!(links, ["/a", "/b", "/c"]);
    /// # });
    /// ```
    #[track_caller]
    fn flat_map_concurrent<F, X, Via>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> FlatMapConcurrent<Self, F, X, Via>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> X,
        X: Expand<Via>,
    {
        FlatMapConcurrent::new(self, limit.into(), f)
    }

    /// Calls `f` with a reference to every item, with up to `limit` calls running at once, and yields each item
    /// when its call completes.
    ///
    /// The function borrows the item, even across awaits. Items are yielded as the calls complete;
    /// `ordered(limit)` keeps their order. See [the trait](FlowExt) for what drop, panics and limits mean.
    ///
    /// Where [`filter_concurrent`](Self::filter_concurrent) rejects a predicate that borrows its surroundings,
    /// this stage rejects such a function. Use [`map_concurrent`](Self::map_concurrent) there:
    /// `async |item| { app.store(&item).await; item }`.
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
    /// async fn audit(order: &String) {
    ///     println!("{order} is shipped");
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let orders = ["two chairs".to_owned(), "a table".to_owned()];
    /// let shipped: Vec<String> = pipe(orders).inspect_concurrent(8, audit).collect().await;
    /// assert_eq!(shipped.len(), 2);
    /// # });
    /// ```
    #[track_caller]
    fn inspect_concurrent<T, F>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> InspectConcurrent<Self, F, impl Future<Output = T>, T>
    where
        Self: Stream<Item = T> + Sized,
        F: AsyncFn(&T),
    {
        inspect_concurrent(self, limit.into(), f)
    }

    /// Calls `f` on every item and on the new items that `f` returns, with up to `limit` calls running at once,
    /// and yields the outputs.
    ///
    /// `f` resolves to an output and an iterable of new items: `(U, Vec<T>)`, or `(U, Option<T>)` where each item
    /// has at most one successor. The new items go back to `f`. The stream ends when upstream has ended, no call
    /// is running and no item is waiting. If a call panics, its item adds no new items.
    ///
    /// Use this when one function both does the work and finds the next items. When that takes several stages,
    /// as in a crawl that fetches, parses and stores with a limit for each, use
    /// [`frontier`](crate::frontier).
    ///
    /// # Order
    ///
    /// Outputs are yielded as the calls complete, or with `ordered(limit)` in the order in which the calls began.
    /// New items go before those of upstream, in the order in which they were found: breadth first. For the
    /// other order see [`depth_first`](crate::stage::ExpandConcurrent::depth_first).
    ///
    /// # Bound
    ///
    /// At most `limit` calls are running or have an output waiting. The number of new items that wait is
    /// unbounded: it depends on what `f` finds. While any wait, nothing is pulled from upstream.
    ///
    /// See [the trait](FlowExt) for what drop, panics and limits mean.
    ///
    /// # Panics
    ///
    /// Panics if the limit is 0.
    ///
    /// # Examples
    ///
    /// Pages that name the next one:
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn fetch(page: u32) -> (String, Option<u32>) {
    ///     (format!("page {page}"), (page % 10 < 3).then_some(page + 1))
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let pages: Vec<String> = pipe([11, 21]).expand_concurrent(2, fetch).collect().await;
    /// assert_eq!(pages.len(), 6);
    /// # });
    /// ```
    ///
    /// Tasks that start when everything they depend on is done:
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use std::cell::RefCell;
    /// use std::collections::HashMap;
    ///
    /// async fn build(_crate: &str) {}
    ///
    /// # futures_lite::future::block_on(async {
    /// let needed_by = HashMap::from([("core", vec!["alloc", "std"]), ("alloc", vec!["std"])]);
    /// let missing = RefCell::new(HashMap::from([("alloc", 1), ("std", 2)]));
    ///
    /// let built: Vec<&str> = pipe(["core"])
    ///     .expand_concurrent(4, async |name| {
    ///         build(name).await;
    ///         let mut missing = missing.borrow_mut();
    ///         let mut next = needed_by.get(name).cloned().unwrap_or_default();
    ///         next.retain(|other| {
    ///             let missing = missing.get_mut(other).unwrap();
    ///             *missing -= 1;
    ///             *missing == 0
    ///         });
    ///         (name, next)
    ///     })
    ///     .collect()
    ///     .await;
    /// assert_eq!(built, ["core", "alloc", "std"]);
    /// # });
    /// ```
    #[track_caller]
    fn expand_concurrent<F, Fut, U, I>(
        self,
        limit: impl Into<Concurrency>,
        f: F,
    ) -> ExpandConcurrent<Self, F, Fut, U>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> Fut,
        Fut: CallFuture<Output = (U, I)>,
        I: IntoIterator<Item = Self::Item>,
    {
        ExpandConcurrent::new(self, limit.into(), f)
    }

    /// Collects items into batches of `size`. The last batch may be smaller, and is never empty.
    ///
    /// A batch is yielded when it is full, or when the stream has ended. Items in an unfinished batch are lost if
    /// the stream is dropped.
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
    /// let batches: Vec<Vec<u32>> = pipe(1..=5).batched(2).collect().await;
    /// assert_eq!(batches, [vec![1, 2], vec![3, 4], vec![5]]);
    /// # });
    /// ```
    #[track_caller]
    fn batched(self, size: usize) -> Batched<Self>
    where
        Self: Sized,
    {
        Batched::new(self, size)
    }

    /// Collects items into batches of `size`, and yields a smaller batch when `duration` has passed since its
    /// first item arrived.
    ///
    /// A batch is never empty. It is yielded when it is full, when its time is up, or when the stream has ended.
    /// The clock keeps running while the consumer or downstream stages are busy. If the time is up meanwhile,
    /// the batch is the next thing they get. Items in an unfinished batch are lost if the stream is dropped.
    ///
    /// While a later stage is full, a batch whose time is up waits here. It is still filled, with up to `size`
    /// items, so upstream calls can make progress.
    ///
    /// The timer comes from `async-io`, which has a thread of its own and works on every runtime. It may fire
    /// late, but never early. A duration that is too long for it never ends.
    /// [`sleep`](BatchedWithin::sleep) replaces the timer with your own, such as tokio's, whose clock a test can
    /// pause: `.batched_within(100, second).sleep(tokio::time::sleep)`.
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
    /// let (sender, receiver) = async_channel::unbounded();
    /// let mut batches = Box::pin(pipe(receiver).batched_within(3, Duration::from_millis(10)));
    /// for n in 1..=4 {
    ///     sender.send(n).await.unwrap();
    /// }
    /// assert_eq!(batches.next().await, Some(vec![1, 2, 3]));
    /// assert_eq!(batches.next().await, Some(vec![4])); // after 10 ms
    /// # });
    /// ```
    #[cfg(feature = "time")]
    #[track_caller]
    fn batched_within(self, size: usize, duration: Duration) -> BatchedWithin<Self>
    where
        Self: Sized,
    {
        BatchedWithin::new(self, size, duration)
    }

    /// Collects items into batches that weigh at most `max`, where `weight` returns the weight of an item: its
    /// size in bytes, for example.
    ///
    /// An item that would make its batch too heavy becomes the first of the next batch. An item that weighs more
    /// than `max` is a batch by itself. A batch is never empty. It is yielded when it weighs `max`, when the next
    /// item does not fit, or when the stream has ended. Items in an unfinished batch are lost if the stream is
    /// dropped.
    ///
    /// `weight` is called once per item. A batch can hold any number of items that weigh 0:
    /// `|item| item.len().max(1)` bounds their number too.
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
    /// let words = ["one", "two", "three", "a", "seventeen", "b"];
    /// let batches: Vec<Vec<&str>> =
    ///     pipe(words).batched_by_weight(6, |word| word.len()).collect().await;
    /// assert_eq!(batches, [vec!["one", "two"], vec!["three", "a"], vec!["seventeen"], vec!["b"]]);
    /// # });
    /// ```
    #[track_caller]
    fn batched_by_weight<F>(self, max: usize, weight: F) -> BatchedByWeight<Self, F>
    where
        Self: Sized,
        F: FnMut(&Self::Item) -> usize,
    {
        BatchedByWeight::new(self, max, weight)
    }

    /// Yields items until `stop` is ready, then ends: a graceful stop, placed right after the source.
    ///
    /// As soon as `stop` is ready, the stage drops its upstream and pulls nothing more. Everything pulled before
    /// that is finished and yielded: downstream stages complete their calls, batches are flushed, and the
    /// pipeline ends as if the source were exhausted. To stop at once, drop the pipeline instead.
    ///
    /// Place it directly after the source: stages upstream of it are dropped with all their calls. `stop` is any
    /// future. To stop several pipelines, use the `recv` of a channel that gets closed, or the `listen` of an
    /// event. `stop` is polled whenever the pipeline is, even while all stages are full or
    /// [paused](crate::Semaphore::set_limit), or while the consumer is
    /// [busy](crate::stage::Driven::alongside).
    ///
    /// At the end of a pipeline it sets a deadline: it drops what is still in flight, and
    /// [`on_stop`](crate::stage::TakeUntilStopped::on_stop) reports how much that is. To get unfinished items
    /// back, use a [`Remainder`](crate::Remainder).
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let (ctrl_c, stop) = async_channel::bounded::<()>(1);
    ///
    /// let pages: Vec<Vec<u32>> = pipe(1..)
    ///     .take_until_stopped(async move { stop.recv().await })
    ///     .map_concurrent(2, async |id| {
    ///         if id == 5 {
    ///             ctrl_c.close();
    ///         }
    ///         id
    ///     })
    ///     .batched(2)
    ///     .collect()
    ///     .await;
    /// assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
    /// # });
    /// ```
    fn take_until_stopped<Fut>(self, stop: Fut) -> TakeUntilStopped<Self, Fut>
    where
        Self: Sized,
        Fut: Future,
    {
        TakeUntilStopped::new(self, stop)
    }

    /// Records at a [point](crate::Monitor::point) of a [`Monitor`](crate::Monitor) how many items pass, and
    /// whether the pipeline waited for upstream or for downstream.
    ///
    /// Use it where there is no limit to attach a monitor to: after a source, batches,
    /// [`prefetch`](Self::prefetch), [`merge`](crate::merge) or adaptors of other crates. At the end of a pipeline
    /// it shows how long the consumer takes. The stream itself is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Monitor;
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let monitor = Monitor::new();
    /// let rows = pipe(1..=3).monitored(monitor.point("rows"));
    /// assert_eq!(rows.count().await, 3);
    /// assert_eq!(monitor.snapshot().stages[0].yielded, 3);
    /// # });
    /// ```
    #[cfg(feature = "monitor")]
    fn monitored(self, point: crate::monitor::Point) -> crate::stage::Monitored<Self>
    where
        Self: Sized,
    {
        crate::stage::Monitored::new(self, &point)
    }

    /// Sends the stream through a [`Flow`](crate::Flow), a reference to one, or any function from stream to
    /// stream.
    ///
    /// A function may return anything, and its argument and result may be `!Send` or borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::Flow;
    /// use flowlet::prelude::*;
    ///
    /// fn evens(numbers: impl Stream<Item = u32>) -> impl Stream<Item = u32> {
    ///     numbers.filter(|n| n % 2 == 0)
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// let squares: Flow<u32> = Flow::new(|s| s.map_concurrent(1, async |n| n * n));
    ///
    /// let numbers: Vec<u32> = pipe(1..=4).through(evens).through(&squares).collect().await;
    /// assert_eq!(numbers, [4, 16]);
    /// # });
    /// ```
    fn through<X>(self, flow: X) -> X::Output
    where
        Self: Sized,
        X: Through<Self>,
    {
        flow.send(self)
    }

    /// Runs the pipeline to its end for its side effects, and discards the outputs.
    ///
    /// On a stream of `Result`s this discards every `Err` too. To stop at the first error, use
    /// [`try_drain`](crate::TryFlowExt::try_drain).
    ///
    /// This method takes the stream by value. The `drain` of `futures_lite` takes `&mut self` and yields only what
    /// is ready now; where both traits are in scope, call it as `StreamExt::drain(&mut stream)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// use std::cell::Cell;
    ///
    /// # futures_lite::future::block_on(async {
    /// let sum = Cell::new(0);
    /// let add = async |n| sum.set(sum.get() + n);
    /// pipe([1, 2, 3]).map_concurrent(2, add).drain().await;
    /// assert_eq!(sum.get(), 6);
    /// # });
    /// ```
    fn drain(self) -> Drain<Self>
    where
        Self: Sized,
    {
        Drain::new(self)
    }

    /// Keeps calls running while the body of a `while let` loop over the pipeline awaits something else: see
    /// [`Driven::alongside`].
    ///
    /// A pipeline is a stream, and streams do nothing unless polled. While a loop body awaits something else,
    /// started calls stall: their timeouts pass, and a lock that one of them holds stays locked, even if the body
    /// is waiting for it. `alongside` awaits a future and polls the pipeline meanwhile.
    ///
    /// The pipeline is boxed, so it need not be pinned.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// async fn fetch(url: &str) -> String {
    ///     format!("page at {url}")
    /// }
    /// async fn store(page: String) -> Result<(), std::io::Error> {
    ///     Ok(())
    /// }
    ///
    /// # fn main() -> Result<(), std::io::Error> { futures_lite::future::block_on(async {
    /// let mut pages = pipe(["/a", "/b"]).map_concurrent(20, fetch).driven();
    /// while let Some(page) = pages.next().await {
    ///     pages.alongside(store(page)).await?; // the fetches keep running meanwhile
    /// }
    /// # Ok(()) }) }
    /// ```
    fn driven(self) -> Driven<Self>
    where
        Self: Sized,
    {
        Driven::new(self)
    }

    /// Runs everything upstream as a task of its own, which pulls up to `limit` items ahead.
    ///
    /// A pipeline is polled by one task, and so uses one core. With a `prefetch` between two stages it uses two,
    /// with another one three. The task also keeps running while nobody polls the pipeline. To spread the calls
    /// of a single stage over many cores, use [`in_task`](crate::in_task), which also says what `spawn` is for
    /// each executor. Here `spawn` is called once, and what it returns is kept until the end. Items keep their
    /// order.
    ///
    /// Everything upstream moves to another thread, so it must be `Send` and own what it uses. If it is not, use
    /// [`driven`](Self::driven), which needs no task.
    ///
    /// # Bound
    ///
    /// At most `limit` items are between "pulled from upstream" and "yielded". While that many wait, upstream
    /// stages continue the calls they have started.
    ///
    /// # Consumers that stop polling
    ///
    /// A response body is not polled while its client does not read, nor is a stream that is forwarded to a full
    /// sink. Without a task, its calls then stall and keep the permits of a [`Semaphore`](crate::Semaphore) that
    /// others wait for. With `prefetch(n, tokio::spawn)` at its end, the calls run to completion and release their
    /// permits. Their outputs wait: `limit` of them here, and in each stage as many as its limit or its
    /// [window](crate::Concurrency::window) allows. Then nothing new starts until the consumer polls again.
    ///
    /// Place it after the last concurrent stage, because the consumer polls everything downstream of it. Plain
    /// adaptors may follow. The [guide](crate::guide::polling#consumers-that-stop-polling) has an example.
    ///
    /// # Drop
    ///
    /// Nothing is spawned before the first poll. Dropping the stream drops the waiting items and cancels the
    /// task: the task is woken, and the next time the executor polls it, it drops everything upstream without
    /// polling it again. If the task is being polled at that moment, that poll finishes and pulls at most one
    /// more item.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is 0.
    ///
    /// An upstream panic propagates to the consumer with its payload, after the items that were pulled before it.
    /// The executor never sees it. Nothing is pulled until the panic has reached the consumer; if the stream is
    /// polled again, the task continues. Running calls continue meanwhile, until 16 panics are waiting: then the
    /// task pauses until one has reached the consumer.
    ///
    /// The stream also panics if `spawn` does, and if the task is dropped before it has reached the end, by `spawn`
    /// or by an executor that shuts down. The items pulled before that are yielded first.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    /// # fn parse(line: &str) -> u32 { line.len() as u32 }
    /// # fn render(number: u32) -> String { number.to_string() }
    ///
    /// # smol::block_on(async {
    /// let rendered: Vec<String> = pipe(["a line", "one more"])
    ///     .map(parse)
    ///     .prefetch(16, smol::spawn) // `parse` has a core of its own
    ///     .map(render)
    ///     .collect()
    ///     .await;
    /// assert_eq!(rendered, ["6", "8"]);
    /// # });
    /// ```
    #[track_caller]
    fn prefetch<Spawn, H>(self, limit: usize, spawn: Spawn) -> Prefetch<Self, Spawn, H>
    where
        Self: Sized + Send + 'static,
        Self::Item: Send,
        Spawn: FnOnce(Boxed<()>) -> H,
    {
        Prefetch::new(self, limit, spawn)
    }
}

impl<S: Stream + ?Sized> FlowExt for S {}
