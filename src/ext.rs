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
/// **Bound.** A stage with limit `n` never has more than `n` items between "pulled from upstream"
/// and "handed on": calls that run plus outputs that wait. See [`Concurrency`] for what a limit can
/// be.
///
/// **Order.** Outputs come as they complete, or with [`ordered`](crate::ordered) as their items came.
///
/// **Eagerness.** Nothing happens before the first poll. Whenever the stage is polled it starts
/// calls up to its limit and hands out an output as soon as there is one; a slow source never holds
/// an output back.
///
/// **Calls are never starved.** While a stage is full it has the stages above it go on with their
/// calls, through any synchronous adaptors in between. (The adaptors' own closures run when an item
/// passes: a full stage holds those back.) While your own code awaits something else,
/// [`driven`](Self::driven) does the same. While nobody polls the pipeline, its calls stand still:
/// [`prefetch`](Self::prefetch) polls it in a task.
///
/// **Giving way.** A pipeline whose calls never wait is pending once after 128 outputs in a row, and wakes its
/// task, so that a time-out, a stop or another task of the thread has its turn. So does [`drain`](Self::drain).
///
/// **Drop.** Dropping the stream drops every running call at once, then what is above it. Nothing is
/// detached. An upstream that has ended is dropped at once.
///
/// **Panics** in a function, a future or upstream come out of the poll that ran them. The call is
/// dropped; the others are unharmed, and the stream can be polled on.
///
/// **Fused.** After `None` always `None`.
///
/// **Cancel safety.** A stage keeps everything in itself, so dropping the future of
/// [`next`](futures_lite::StreamExt::next) loses nothing.
pub trait FlowExt: Stream {
    /// Calls `f` on every item, with up to `limit` calls running at once, and hands on what their
    /// futures give.
    ///
    /// The outputs come as the calls complete; `ordered(limit)` keeps the order of the items. See
    /// [the trait](FlowExt) for what drop, panics and limits mean. For a blocking `f` there is
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

    /// Calls `f` on every item, one call of a key at a time and in the order of its items, with up to `limit`
    /// calls running at once over all keys.
    ///
    /// `key` says to which key an item belongs. Outputs come as the calls complete, so those of one key come in
    /// the order of its items; `ordered(limit)` keeps the order of all. More calls of a key at a time are had by
    /// [`per_key`](MapConcurrentByKey::per_key), for a limit per host or per customer.
    ///
    /// An item whose key is busy waits in the stage, and others are pulled meanwhile, so a hot key does not fill
    /// the limit. How many items are between pulled and yielded is bounded by a
    /// [window](Concurrency::window), which defaults to 16 times the limit: once as many items of hot keys
    /// wait, the stage pulls no more. A key of which no item is left is forgotten. A call that panics or is
    /// dropped lets the next of its key begin. See [the trait](FlowExt) for what drop, panics and limits mean.
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

    /// Keeps the items for which `predicate` says `true`, with up to `limit` calls running at once.
    ///
    /// The predicate borrows the item, across awaits too. Items come as the calls complete;
    /// `ordered(limit)` keeps their order, and then one that was refused counts against the limit
    /// until its turn. See [the trait](FlowExt) for what drop, panics and limits mean.
    ///
    /// The predicate is an `async fn(&T) -> bool` or an `async` closure. In a future that is spawned, or
    /// that must be `Send` for another reason, the compiler refuses one that borrows its surroundings, and
    /// [`filter_map_concurrent`](Self::filter_map_concurrent) takes its place: `async |item|
    /// app.is_alive(&item).await.then_some(item)`.
    ///
    /// The future in the stream's type has no name, and borrows whatever `limit` borrows: where the
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
    /// // A closure can borrow its surroundings as well.
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

    /// Calls `f` on every item, with up to `limit` calls running at once, and hands on what is
    /// `Some`.
    ///
    /// Outputs come as the calls complete; `ordered(limit)` keeps the order of the items, and then a
    /// `None` counts against the limit until its turn. See [the trait](FlowExt) for what drop,
    /// panics and limits mean.
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

    /// Calls `f` on every item and hands on all that comes of it, with up to `limit` expansions open
    /// at once.
    ///
    /// `f` gives an iterable, a stream, a future of an iterable or a future of a stream: see
    /// [`Expand`]. A `Result` and an `Option` are iterables too, as they are for [`Iterator::flat_map`]: of
    /// a function that returns one every `Err`, or every `None`, is dropped without a word. To keep
    /// errors write [`try_flat_map_concurrent`](crate::TryFlowExt::try_flat_map_concurrent) for a function
    /// that returns a `Result` of many, and [`map_concurrent`](Self::map_concurrent) for a `Result` of one.
    ///
    /// Open inner streams take turns, an output each, as long as others have some ready. An output is asked
    /// for when it is to be yielded, so nothing is stored of an inner stream without end. Only under
    /// backpressure does each of them go on until it has one output waiting, and no further. With a
    /// [window](Concurrency::window), as in `Concurrency::new(4).window(64)`, they run ahead until that is full.
    ///
    /// With `ordered(limit)` expansions come out whole, in the order of their items, while the later
    /// ones go on until they have their first output. See [the trait](FlowExt) for what drop, panics
    /// and limits mean.
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

    /// Calls `f` with a reference to every item, with up to `limit` calls running at once, and yields the
    /// item when its call is done.
    ///
    /// The function borrows the item, across awaits too. Items come as the calls complete;
    /// `ordered(limit)` keeps their order. See [the trait](FlowExt) for what drop, panics and limits mean.
    ///
    /// Where [`filter_concurrent`](Self::filter_concurrent) refuses a predicate that borrows its
    /// surroundings, this refuses such a function. [`map_concurrent`](Self::map_concurrent) takes its place:
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

    /// Calls `f` on every item and on those that it finds, with up to `limit` calls running at once, and
    /// yields the outputs.
    ///
    /// `f` resolves to an output and more items, in any iterable: `(U, Vec<T>)`, or `(U, Option<T>)` where each
    /// has one successor at most. They go back to `f`, until there are none. The stream ends when upstream has
    /// ended, no call runs and no item waits. An item whose call panics has found nothing.
    ///
    /// Where it takes several stages to find the next items, there is [`frontier`](crate::frontier).
    ///
    /// # Order
    ///
    /// Outputs are yielded as the calls complete; with `ordered(limit)` in the order in which the calls began.
    /// Items that were found go before those of upstream, and are worked off in the order in which they were
    /// found, breadth first; see [`depth_first`](crate::stage::ExpandConcurrent::depth_first).
    ///
    /// # Bound
    ///
    /// Never more than `limit` calls run or have their output waiting. How many items wait to be worked off
    /// depends on what `f` finds. Meanwhile nothing is pulled from upstream.
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
    /// Tasks, each of which is begun when all that it depends on are done:
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

    /// Collects items into batches of `size`, the last of which may be smaller, and never empty.
    ///
    /// A batch is handed on when it is full, or when the stream has ended. Items that wait for their
    /// batch to fill are lost if the stream is dropped.
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

    /// Collects items into batches of `size`, and hands on what there is when `duration` has passed
    /// since the first item of a batch came.
    ///
    /// A batch is never empty. It is handed on when it is full, when its time has come, or when the
    /// stream has ended. The time of a batch goes on while the consumer or the stages below are busy;
    /// if it comes meanwhile, the batch is what they get next. Items that wait for their batch are
    /// lost if the stream is dropped.
    ///
    /// While a later stage is full, a batch whose time has come waits here and is still filled, with
    /// up to `size` items, so that the calls above can go on.
    ///
    /// The timer is one of `async-io`, which has a thread of its own and works on every runtime. It
    /// may be late, and is never early. A duration that is too long for it has no end.
    /// [`sleep`](BatchedWithin::sleep) replaces it by one of your own, such as tokio's, whose clock a
    /// test can pause: `.batched_within(100, second).sleep(tokio::time::sleep)`.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0, or `duration` is.
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

    /// Collects items into batches that weigh `max` at most, by the sum of what `weight` says of each
    /// item: its bytes, for example.
    ///
    /// An item that would make its batch too heavy is the first of the next one, and one that weighs
    /// more than `max` comes alone. A batch is never empty. It is handed on when it weighs `max`, when
    /// the next item does not fit, or when the stream has ended. Items that wait for their batch are
    /// lost if the stream is dropped.
    ///
    /// `weight` is called once for each item. Of items that weigh nothing, any number are in one
    /// batch: `|item| item.len().max(1)` bounds their number too.
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

    /// Takes items until `stop` is ready, then ends: a graceful stop, right behind the source.
    ///
    /// From the moment `stop` is ready no item is pulled from this stream, which is dropped. All that
    /// was pulled before finishes and comes out: the stages below go on with their calls, batches are
    /// flushed, and then the pipeline ends as it does when a source is exhausted. To stop at once
    /// instead, drop the pipeline.
    ///
    /// Put it directly behind the source: stages above it are dropped with all their calls. `stop` is any
    /// future; one that is shared by several pipelines can be the `recv` of a channel that is closed, or
    /// the `listen` of an event. It is heard while the pipeline is polled, also while all stages are full or
    /// [paused](crate::Semaphore::set_limit), or the consumer is [busy](crate::stage::Driven::alongside).
    ///
    /// At the end of a pipeline it sets a deadline: it drops what is still in flight, and
    /// [`on_stop`](crate::stage::TakeUntilStopped::on_stop) is told how much that is. A
    /// [`Remainder`](crate::Remainder) has items back that were not finished.
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

    /// Has the stream seen at a [point](crate::Monitor::point) of a [`Monitor`](crate::Monitor): how many items pass, and
    /// whether upstream or downstream was waited for.
    ///
    /// It is for what has no limit to ride on: a source, batches, [`prefetch`](Self::prefetch),
    /// [`merge`](crate::merge), adaptors of other crates; at the end of a pipeline it shows how long the consumer takes.
    /// The stream is the same otherwise.
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

    /// Sends the stream through a [`Flow`](crate::Flow), a reference to one, or any function from
    /// stream to stream.
    ///
    /// A function may give anything, and may take and give what is `!Send` or borrowed.
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

    /// Runs the pipeline to its end, for what its stages do, and discards what comes out.
    ///
    /// Of a stream of `Result`s that is every `Err` too. For the first of them there is
    /// [`try_drain`](crate::TryFlowExt::try_drain).
    ///
    /// This takes the stream. The `drain` of `futures_lite`, which takes `&mut` and gives what is
    /// ready now, is `StreamExt::drain(&mut stream)` where both traits are in scope.
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

    /// Ends a pipeline that is consumed by a loop with awaits in its body, so that the calls can go
    /// on meanwhile: see [`Driven::alongside`].
    ///
    /// A pipeline is a stream, and streams do nothing unless polled. While the body of a loop awaits
    /// something else, started calls stand still: their time-outs pass, and a lock that one of them
    /// holds is not given back, for which the body may be waiting. `alongside` awaits and drives.
    ///
    /// The pipeline is boxed, so that it need not be pinned.
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
    ///     pages.alongside(store(page)).await?; // the fetches go on meanwhile
    /// }
    /// # Ok(()) }) }
    /// ```
    fn driven(self) -> Driven<Self>
    where
        Self: Sized,
    {
        Driven::new(self)
    }

    /// Runs everything above as a task of its own, which pulls up to `limit` items ahead, so that
    /// the stages above and those below run on several cores.
    ///
    /// A pipeline is polled by one task, and so shares one core. With a `prefetch` between two
    /// stages it shares two, with another one three. Besides, what is above goes on while nobody
    /// polls the pipeline. For one stage whose calls are to spread over many cores there is
    /// [`in_task`](crate::in_task), which also says what `spawn` is for each executor; here it is
    /// called once, and what it returns is kept until the end. Items keep their order. What is above goes to another thread, so it must be
    /// `Send` and own what it uses; for what is not there is [`driven`](Self::driven), which needs
    /// no task.
    ///
    /// # Bound
    ///
    /// Never more than `limit` items are between "pulled from upstream" and "handed on". While that
    /// many wait, the stages above go on with the calls they started.
    ///
    /// # Consumers that stop polling
    ///
    /// A response body is not polled while its client does not read, nor is a stream that is forwarded to a
    /// full sink. Without a task its calls stand still then, and keep the permits of a
    /// [`Semaphore`](crate::Semaphore) that others wait for. With `prefetch(n, tokio::spawn)` at its end they go
    /// on until they are over, and give their permits back. Their outputs wait: `limit` of them here, and in
    /// each stage as many as its limit or its [window](crate::Concurrency::window) allows. Then nothing new
    /// starts until the consumer polls again.
    ///
    /// It has to come after the last concurrent stage, because the consumer polls what is below. Plain adaptors
    /// may follow. The [guide](crate::guide::polling#consumers-that-stop-polling) has an example.
    ///
    /// # Drop
    ///
    /// Nothing is spawned before the first poll. Dropping the stream drops the items that wait, and
    /// cancels the task: it is woken, and in its next turn on the executor drops all that is above
    /// without polling it again. If the task has a thread at that moment it goes on until it would
    /// have to wait, and pulls no more than one item.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is 0.
    ///
    /// A panic in what is above comes out of the stream, with its payload, after the items that were
    /// pulled before it. The executor never sees it. Nothing is pulled until the panic has come out;
    /// if the stream is polled again, the task goes on. Calls that run go on meanwhile, until 16 panics
    /// wait: more of them hold up the task until one has come out.
    ///
    /// The stream also panics if `spawn` does; and if the task is dropped before it has reached the
    /// end, by `spawn` or by an executor that is shut down, after the items that it had pulled.
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
