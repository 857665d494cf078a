//! Pipelines compile where their users put them: every way to begin before every way to go on, with
//! functions that borrow their surroundings, in futures and streams that must be `Send`.
//!
//! All of it is decided by the compiler. None of these functions is ever called.
#![allow(dead_code, unused_variables)]

use std::sync::Arc;
use std::time::Duration;

use flowlet::prelude::*;
use flowlet::{
    Concurrency, ResultStreamExt, Semaphore, frontier, in_blocking, in_task, in_thread, merge,
    ordered, with,
};
use futures_lite::stream;

/// What the functions of the pipelines borrow.
struct App {
    name: String,
    one: u32,
    list: Vec<u32>,
    limit: Semaphore,
}

#[derive(Debug)]
struct Error;

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an error")
    }
}

impl std::error::Error for Error {}

impl App {
    async fn get(&self, n: u32) -> u32 {
        futures_lite::future::yield_now().await;
        n + self.one
    }

    async fn look(&self, n: &u32) -> u32 {
        futures_lite::future::yield_now().await;
        n + self.one
    }

    async fn maybe(&self, n: u32) -> Option<u32> {
        Some(self.get(n).await)
    }

    async fn many(&self, n: u32) -> Vec<u32> {
        vec![self.get(n).await; 2]
    }

    fn inner(&self, n: u32) -> impl Stream<Item = u32> + Send {
        stream::iter(&self.list).map(move |m| m + n)
    }

    async fn open(&self, n: u32) -> impl Stream<Item = u32> + Send {
        self.inner(n)
    }

    async fn is_over(&self) {
        self.get(1).await;
    }

    async fn check(&self, n: u32) -> Result<u32, Error> {
        Ok(self.get(n).await)
    }

    async fn check_maybe(&self, n: u32) -> Result<Option<u32>, Error> {
        Ok(Some(self.get(n).await))
    }

    async fn check_many(&self, n: u32) -> Result<Vec<u32>, Error> {
        Ok(self.many(n).await)
    }

    fn check_inner(&self, n: u32) -> impl Stream<Item = Result<u32, Error>> + Send {
        self.inner(n).map(Ok)
    }

    async fn check_open(
        &self,
        n: u32,
    ) -> Result<impl Stream<Item = Result<u32, Error>> + Send, Error> {
        Ok(self.check_inner(n))
    }

    async fn grow(&self, n: u32) -> (u32, Vec<u32>) {
        (n, self.many(n).await)
    }

    async fn check_grow(&self, n: u32) -> Result<(u32, Vec<u32>), Error> {
        Ok(self.grow(n).await)
    }

    async fn store(&self, batch: Vec<u32>) -> u32 {
        self.get(batch.len() as u32).await
    }
}

async fn is_even(n: &u32) -> bool {
    n % 2 == 0
}

async fn check_even(n: &u32) -> Result<bool, Error> {
    Ok(n % 2 == 0)
}

async fn look(_: &u32) {}

async fn check(_: &u32) -> Result<(), Error> {
    Ok(())
}

fn evens(numbers: impl Stream<Item = u32>) -> impl Stream<Item = u32> {
    numbers.filter_concurrent(2, is_even)
}

fn double(n: u32) -> u32 {
    2 * n
}

async fn double_later(n: u32) -> u32 {
    2 * n
}

const SECOND: Duration = Duration::from_secs(1);

/// Every way to begin before every way to go on. What goes on is given as one token tree, because a
/// macro cannot repeat one list for each element of another.
macro_rules! matrix {
    ($row:ident, $app:ident, $stream:ident, [$($begin:ident: $source:expr;)*], $all:tt) => { $(
        mod $begin {
            use super::*;
            $row!($app, $stream, $source, $all);
        }
    )* };
}

/// In an async method that borrows `self` and must be `Send`, as of `#[async_trait]`.
macro_rules! in_method {
    ($app:ident, $stream:ident, $source:expr, [$($goes_on:ident: $rest:expr;)*]) => { $(
        fn $goes_on<'a>($app: &'a App) -> impl Future<Output = ()> + Send + 'a {
            async move {
                let $stream = $source;
                let _ = $rest;
            }
        }
    )* };
}

/// In a spawned task, where closures borrow what the task owns.
macro_rules! in_task {
    ($app:ident, $stream:ident, $source:expr, [$($goes_on:ident: $rest:expr;)*]) => { $(
        fn $goes_on($app: Arc<App>) -> impl Future<Output = ()> + Send + 'static {
            async move {
                let $stream = $source;
                let _ = $rest;
            }
        }
    )* };
}

/// As values: a stream to be returned, boxed, stored or spawned.
macro_rules! as_value {
    ($app:ident, $stream:ident, $source:expr, [$($goes_on:ident: $rest:expr;)*]) => { $(
        mod $goes_on {
            use super::*;

            fn returned<'a>($app: &'a App) -> impl Stream<Item: Send + 'a> + Send + 'a {
                let $stream = $source;
                $rest
            }

            fn spawned($app: &'static App) {
                let $stream = $source;
                smol::spawn(FlowExt::drain($rest)).detach();
            }

            struct Stored<S>(S);

            fn stored<'a>($app: &'a App) -> Stored<impl Stream<Item: Send + 'a> + Send + 'a> {
                let $stream = $source;
                Stored($rest)
            }

            fn boxed<'a>($app: &'a App) -> impl Send + 'a {
                let $stream = $source;
                Box::pin($rest.boxed())
            }
        }
    )* };
}

macro_rules! plain {
    ($row:ident, $app:ident, $s:ident, $all:tt) => {
        matrix!($row, $app, $s, [
            a_closure: pipe(0..9).map_concurrent(4, async |n| $app.get(n).await);
            a_method: pipe(0..9).map_concurrent(4, |n| $app.get(n));
            a_block: { let borrowed = &*$app; pipe(0..9).map_concurrent(4, move |n| async move { borrowed.get(n).await }) };
            a_formatted_name: pipe(0..9).map_concurrent(4, async |n| format!("{} {n}", $app.name).len() as u32);
            in_order: pipe(0..9).map_concurrent(ordered(4), async |n| $app.get(n).await);
            with_a_semaphore: pipe(0..9).map_concurrent(&$app.limit, async |n| $app.get(n).await);
            with_a_semaphore_in_order: pipe(0..9).map_concurrent(ordered(&$app.limit), |n| $app.get(n));
            a_limit_of_its_own: { let limit: Concurrency = 4.into(); pipe(0..9).map_concurrent(limit, |n| $app.get(n)) };
            a_filter: pipe(0..9).map_concurrent(4, |n| $app.get(n)).filter_concurrent(4, is_even);
            in_order_with_a_window: pipe(0..9).map_concurrent(ordered(4).window(9), async |n| $app.get(n).await);
            weighed: pipe(0..9).map_concurrent(4, async |n| $app.get(n).await).weighed_by(|n| (*n + $app.one) as usize);
            weighed_by_method: pipe(0..9).map_concurrent(&$app.limit, |n| $app.get(n)).weighed_by(|n| *n as usize);
            a_weighed_filter: pipe(0..9).filter_concurrent(4, is_even).weighed_by(|n| (*n + $app.one) as usize);
            a_weighed_flat_map: pipe(0..9).flat_map_concurrent(4, |n| $app.inner(n)).weighed_by(|n| (*n + $app.one) as usize);
            by_key: pipe(0..9).map_concurrent_by_key(4, |n| *n % (1 + $app.one), async |n| $app.get(n).await);
            by_key_and_method: pipe(0..9).map_concurrent_by_key(&$app.limit, |n| n % 2, |n| $app.get(n));
            by_key_and_weighed: pipe(0..9).map_concurrent_by_key(4, |n| format!("{} {n}", $app.name), |n| $app.get(n)).per_key(2).weighed_by(|n| *n as usize);
            by_key_of_borrowed_items: pipe(&$app.list).map_concurrent_by_key(4, |n| **n, async |n| $app.get(*n).await);
            a_filter_that_owns: { let one = $app.one; pipe(0..9).filter_concurrent(4, async move |n: &u32| *n > one) };
            an_inspection: pipe(0..9).map_concurrent(4, |n| $app.get(n)).inspect_concurrent(4, look);
            an_inspection_that_owns: { let one = $app.one; pipe(0..9).inspect_concurrent(4, async move |n: &u32| assert!(*n >= one)) };
            a_filter_map: pipe(0..9).filter_map_concurrent(4, async |n| $app.maybe(n).await);
            a_filter_map_by_method: pipe(0..9).filter_map_concurrent(4, |n| $app.maybe(n));
            a_filter_map_as_filter: pipe(0..9).filter_map_concurrent(4, async |n: u32| ($app.look(&n).await > 1).then_some(n));
            a_flat_map_of_vectors: pipe(0..9).flat_map_concurrent(4, async |n| $app.many(n).await);
            a_flat_map_of_streams: pipe(0..9).flat_map_concurrent(4, |n| $app.inner(n));
            a_flat_map_of_streams_to_open: pipe(0..9).flat_map_concurrent(4, |n| $app.open(n));
            a_batch: pipe(0..9).map(|n| n + $app.one).batched(3).map_concurrent(2, |batch| $app.store(batch));
            a_batch_by_weight: pipe(0..9).batched_by_weight(3, |n| (*n + $app.one) as usize).map_concurrent(2, async |batch| $app.store(batch).await);
            a_frontier: frontier([1]).map_concurrent(4, async |(n, entry)| ($app.get(n).await, entry)).map(|(n, entry)| { entry.expand([n + $app.one].into_iter().filter(|n| *n < 9)); n });
            an_expansion: pipe(0..9).expand_concurrent(4, async |n| ($app.get(n).await, (n < 9).then_some(n + 1)));
            an_expansion_by_method: pipe(0..9).expand_concurrent(4, |n| $app.grow(n));
            merged: merge([1, 2].map(|k| pipe(0..9).map_concurrent(4, move |n| double_later(n * k))));
            merged_and_borrowing: { let borrowed = &*$app; merge([1, 2].map(|k| pipe(0..9).map_concurrent(4, move |n| borrowed.get(n * k)))) };
            stopped: pipe(0..9).take_until_stopped($app.is_over());
            borrowed_items: pipe(&$app.list).map_concurrent(4, async |n| $app.get(*n).await);
            borrowed_items_by_method: pipe(&$app.list).map_concurrent(4, |n| $app.look(n));
            in_threads: pipe(0..9).map_concurrent(4, in_thread(double));
            in_tasks: pipe(0..9).map_concurrent(4, in_task(smol::spawn, double_later));
            in_tokio_tasks: pipe(0..9).map_concurrent(4, in_task(tokio::spawn, double_later));
            on_another_pool: pipe(0..9).map_concurrent(4, in_blocking(tokio::task::spawn_blocking, double));
            with_state: pipe(0..9).map_concurrent(4, with($app.limit.clone(), async |limit: Semaphore, n| n + limit.limit() as u32));
            a_batch_within: pipe(0..9).batched_within(3, SECOND).map_concurrent(2, |batch| $app.store(batch));
            a_batch_by_another_timer: pipe(0..9).batched_within(3, SECOND).sleep(tokio::time::sleep).map_concurrent(2, |batch| $app.store(batch));
            plain_adaptors: pipe(0..9).map(|n| n + $app.one).filter(|n| *n > $app.one);
            fetched_ahead: pipe(0..9).map_concurrent(4, double_later).prefetch(2, tokio::spawn);
            driven: pipe(0..9).map_concurrent(4, |n| $app.get(n)).driven();
            by_a_function: evens(pipe(0..9).map_concurrent(4, |n| $app.get(n)));
            boxed: pipe(0..9).map_concurrent(4, |n| $app.get(n)).boxed();
            four_stages: pipe(0..9).map_concurrent(4, |n| $app.get(n)).filter_map_concurrent(4, |n| $app.maybe(n)).flat_map_concurrent(4, |n| $app.many(n)).map_concurrent(4, |n| $app.get(n));
        ], $all);
    };
}

macro_rules! fallible {
    ($row:ident, $app:ident, $s:ident, $all:tt) => {
        matrix!($row, $app, $s, [
            a_try_closure: pipe(0..9).map(Ok).try_map_concurrent(4, async |n| $app.check(n).await);
            a_try_method: pipe(0..9).map(Ok).try_map_concurrent(4, |n| $app.check(n));
            a_try_in_order: pipe(0..9).map(Ok).try_map_concurrent(ordered(4), |n| $app.check(n));
            a_try_with_a_semaphore: pipe(0..9).map(Ok).try_map_concurrent(&$app.limit, |n| $app.check(n));
            a_weighed_try: pipe(0..9).map(Ok).try_map_concurrent(4, async |n| $app.check(n).await).weighed_by(|n| (*n + $app.one) as usize);
            a_try_by_key: pipe(0..9).map(Ok).try_map_concurrent_by_key(4, |n| *n % (1 + $app.one), async |n| $app.check(n).await);
            a_try_by_key_and_weighed: pipe(0..9).map(Ok).try_map_concurrent_by_key(4, |n| n % 2, |n| $app.check(n)).weighed_by(|n| *n as usize).per_key(2);
            a_map_of_oks: pipe(0..9).map_concurrent(4, |n| $app.check(n)).map_ok_concurrent(2, |n| $app.check(n));
            a_try_flat_map_of_streams_to_open: pipe(0..9).map(Ok).try_flat_map_concurrent(4, |n| $app.check_open(n));
            plain_adaptors_of_results: pipe(0..9).map_concurrent(4, |n| $app.check(n)).map_ok(|n| n + $app.one).map_err(|error| error).inspect_err(|_| assert!(!$app.name.is_empty())).err_into::<Error>();
            a_try_batch_within: pipe(0..9).map_concurrent(4, |n| $app.check(n)).try_batched_within(2, SECOND).try_map_concurrent(2, async |batch| Ok($app.store(batch).await));
            a_map_to_results: pipe(0..9).map_concurrent(4, |n| $app.check(n));
            a_try_filter: pipe(0..9).map_concurrent(4, |n| $app.check(n)).try_filter_concurrent(2, check_even);
            a_try_inspection: pipe(0..9).map_concurrent(4, |n| $app.check(n)).try_inspect_concurrent(2, check);
            a_try_filter_map: pipe(0..9).map(Ok).try_filter_map_concurrent(4, |n| $app.check_maybe(n));
            a_try_flat_map: pipe(0..9).map(Ok).try_flat_map_concurrent(4, |n| $app.check_many(n));
            a_try_flat_map_of_streams: pipe(0..9).map(Ok).try_flat_map_concurrent(4, |n| $app.check_inner(n));
            a_try_frontier: frontier([1]).map_concurrent(4, async |(n, entry)| Ok::<_, Error>(($app.check(n).await?, entry))).map_ok(|(n, entry)| { entry.expand((n < $app.one).then_some(n + 1)); n });
            a_try_expansion: pipe(0..9).map(Ok).try_expand_concurrent(4, async |n| Ok::<_, Error>(($app.check(n).await?, vec![n])));
            a_try_expansion_by_method: pipe(0..9).map(Ok).try_expand_concurrent(4, |n| $app.check_grow(n));
            a_try_batch: pipe(0..9).map_concurrent(4, |n| $app.check(n)).try_batched(2).try_map_concurrent(2, async |batch| Ok($app.store(batch).await));
            a_try_batch_by_weight: pipe(0..9).map_concurrent(4, |n| $app.check(n)).try_batched_by_weight(2, |n| (*n + $app.one) as usize).try_map_concurrent(2, async |batch| Ok($app.store(batch).await));
        ], $all);
    };
}

// A closure or function that takes references, in the upstream itself: behind these no adaptor that keeps
// items compiles, of whatever crate, as the compiler cannot prove again that it is a function.
macro_rules! with_references {
    ($row:ident, $app:ident, $s:ident, $all:tt) => {
        matrix!($row, $app, $s, [
            a_flat_map_of_iterators: pipe(0..9).flat_map_concurrent(4, |n| $app.list.iter().map(move |m| m + n));
        ], $all);
    };
}

macro_rules! fallible_with_references {
    ($row:ident, $app:ident, $s:ident, $all:tt) => {
        matrix!($row, $app, $s, [
            try_borrowed_items: pipe(&$app.list).map(Ok).try_map_concurrent(4, async |n| $app.check(*n).await);
        ], $all);
    };
}

/// Adaptors of other crates that keep items.
macro_rules! to_adaptors_that_keep {
    ($begin:ident, $row:ident) => {
        $begin!($row, app, s, [
            to_zip: s.zip(pipe(1..));
            to_zip_as_the_second: pipe(1..).zip(s);
            to_zip_of_batches: s.batched(2).zip(pipe(1..));
            to_flatten: s.map(|n| pipe([n])).flatten();
            to_futures_peekable: futures_util::StreamExt::peekable(s);
            to_futures_chunks: futures_util::StreamExt::chunks(s, 2);
            to_futures_filter: futures_util::StreamExt::filter(s, |n| std::future::ready(*n > 1));
            to_futures_take_while: futures_util::StreamExt::take_while(s, |n| std::future::ready(*n > 1));
            to_futures_skip_while: futures_util::StreamExt::skip_while(s, |n| std::future::ready(*n > 1));
            to_futures_buffered: futures_util::StreamExt::buffered(s.map(|n| app.get(n)), 2);
            to_futures_buffer_unordered: futures_util::StreamExt::buffer_unordered(s.map(|n| app.get(n)), 2);
            to_futures_flatten_unordered: futures_util::StreamExt::flatten_unordered(s.map(|n| Box::pin(app.inner(n))), 2);
        ]);
    };
}

macro_rules! ends_that_keep {
    ($begin:ident, $row:ident) => {
        $begin!($row, app, s, [
            last: s.last().await;
            zipped: s.zip(pipe(1..)).count().await;
            peeked: futures_util::StreamExt::peekable(s).drain().await;
            in_chunks: futures_util::StreamExt::chunks(s, 2).drain().await;
            filtered_by_futures: futures_util::StreamExt::filter(s, |n| std::future::ready(*n > 1)).drain().await;
            buffered_by_futures: futures_util::StreamExt::buffered(s.map(|n| app.get(n)), 2).drain().await;
        ]);
    };
}

macro_rules! try_ends_that_keep {
    ($begin:ident, $row:ident) => {
        $begin!($row, app, s, [
            peeked: futures_util::StreamExt::peekable(s).drain().await;
            zipped: s.zip(pipe(1..)).drain().await;
            in_chunks: futures_util::TryStreamExt::try_chunks(s, 2).drain().await;
            filtered_by_futures: futures_util::TryStreamExt::try_filter(s, |n| std::future::ready(*n > 1)).drain().await;
        ]);
    };
}

macro_rules! onwards {
    ($begin:ident, $row:ident) => {
        $begin!($row, app, s, [
            to_map: s.map_concurrent(2, async |n| app.get(n).await);
            to_map_by_method: s.map_concurrent(2, |n| app.get(n));
            to_map_in_order: s.map_concurrent(ordered(2), |n| app.get(n));
            to_map_weighed: s.map_concurrent(2, async |n| app.get(n).await).weighed_by(|n| (*n + app.one) as usize);
            to_map_by_key: s.map_concurrent_by_key(2, |n| *n % (1 + app.one), async |n| app.get(n).await).per_key(2);
            to_map_by_key_and_method: s.map_concurrent_by_key(2, |n| n % 2, |n| app.get(n));
            to_map_by_key_weighed: s.map_concurrent_by_key(2, |n| n % 2, |n| app.get(n)).weighed_by(|n| *n as usize);
            to_filter_weighed: s.filter_concurrent(2, is_even).weighed_by(|n| (*n + app.one) as usize);
            to_flat_map_weighed: s.flat_map_concurrent(2, |n| app.inner(n)).weighed_by(|n| (*n + app.one) as usize);
            to_map_with_a_semaphore: s.map_concurrent(&app.limit, async |n| app.get(n).await);
            to_map_in_threads: s.map_concurrent(2, in_thread(double));
            to_map_in_tasks: s.map_concurrent(2, in_task(tokio::spawn, double_later));
            to_map_on_another_pool: s.map_concurrent(2, in_blocking(tokio::task::spawn_blocking, double));
            to_map_with_state: s.map_concurrent(2, with(app.limit.clone(), async |limit: Semaphore, n| n + limit.limit() as u32));
            to_filter: s.filter_concurrent(2, is_even);
            to_filter_that_owns: { let one = app.one; s.filter_concurrent(2, async move |n: &u32| *n > one) };
            to_inspection: s.inspect_concurrent(2, look);
            to_inspection_that_owns: { let one = app.one; s.inspect_concurrent(2, async move |n: &u32| assert!(*n >= one)) };
            to_filter_map: s.filter_map_concurrent(2, async |n| app.maybe(n).await);
            to_flat_map: s.flat_map_concurrent(2, async |n| app.many(n).await);
            to_flat_map_of_iterators: s.flat_map_concurrent(2, |n| app.list.iter().map(move |m| m + n));
            to_flat_map_of_streams: s.flat_map_concurrent(2, |n| app.inner(n));
            to_flat_map_of_streams_to_open: s.flat_map_concurrent(2, |n| app.open(n));
            to_expansion: s.expand_concurrent(2, async |n| (app.get(n).await, (n < app.one).then_some(n + 1)));
            to_expansion_by_method: s.expand_concurrent(2, |n| app.grow(n)).depth_first();
            to_batches: s.batched(2);
            to_batches_within: s.batched_within(2, SECOND);
            to_batches_by_another_timer: s.batched_within(2, SECOND).sleep(tokio::time::sleep);
            to_batches_by_weight: s.batched_by_weight(3, |n| (*n + app.one) as usize);
            to_merge: merge([s]);
            to_driven: s.driven();
            to_stop: s.take_until_stopped(app.is_over());
            to_adaptors: s.map(|n| n + app.one).enumerate().take(3);
            to_flat_map_of_adaptors: s.flat_map(|n| app.inner(n));
            to_chain: s.chain(stream::once(app.one));
            to_results: s.map(Ok).try_map_concurrent(2, |n| app.check(n));
            to_function: s.through(evens);
            to_box: s.boxed();
            to_three_stages: s.map_concurrent(2, |n| app.get(n)).batched(2).map_concurrent(2, async |batch| app.store(batch).await);
        ]);
    };
}

macro_rules! try_onwards {
    ($begin:ident, $row:ident) => {
        $begin!($row, app, s, [
            to_try_map: s.try_map_concurrent(2, async |n| app.check(n).await);
            to_try_map_weighed: s.try_map_concurrent(2, async |n| app.check(n).await).weighed_by(|n| (*n + app.one) as usize);
            to_try_map_by_key: s.try_map_concurrent_by_key(2, |n| *n % (1 + app.one), async |n| app.check(n).await).per_key(2);
            to_try_map_by_key_weighed: s.try_map_concurrent_by_key(2, |n| n % 2, |n| app.check(n)).weighed_by(|n| *n as usize);
            to_try_map_by_method: s.try_map_concurrent(2, |n| app.check(n));
            to_try_map_with_a_semaphore: s.try_map_concurrent(ordered(&app.limit), |n| app.check(n));
            to_try_filter: s.try_filter_concurrent(2, check_even);
            to_try_filter_that_owns: { let one = app.one; s.try_filter_concurrent(2, async move |n: &u32| Ok(*n > one)) };
            to_try_inspection: s.try_inspect_concurrent(2, check);
            to_try_inspection_that_owns: { let one = app.one; s.try_inspect_concurrent(2, async move |n: &u32| { assert!(*n >= one); Ok(()) }) };
            to_try_filter_map: s.try_filter_map_concurrent(2, async |n| app.check_maybe(n).await);
            to_try_flat_map: s.try_flat_map_concurrent(2, async |n| app.check_many(n).await);
            to_try_flat_map_of_streams: s.try_flat_map_concurrent(2, |n| app.check_inner(n));
            to_map_of_oks: s.map_ok_concurrent(2, async |n| app.check(n).await);
            to_try_flat_map_of_streams_to_open: s.try_flat_map_concurrent(2, |n| app.check_open(n));
            to_adaptors_of_results: s.map_ok(|n| n + app.one).inspect_ok(|n| assert!(*n >= app.one));
            to_another_error: s.err_into::<Box<dyn std::error::Error + Send + Sync>>().try_map_concurrent(2, async |n| Ok(app.check(n).await?));
            to_try_expansion: s.try_expand_concurrent(2, async |n| Ok((app.check(n).await?, vec![n])));
            to_try_expansion_by_method: s.try_expand_concurrent(2, |n| app.check_grow(n)).depth_first();
            to_try_batches: s.try_batched(2);
            to_try_batches_within: s.try_batched_within(2, SECOND).sleep(tokio::time::sleep);
            to_try_batches_by_weight: s.try_batched_by_weight(3, |n| (*n + app.one) as usize);
            to_map_of_results: s.map_concurrent(2, async |r: Result<u32, Error>| match r { Ok(n) => app.check(n).await, Err(error) => Err(error) });
            to_merge_of_results: merge([s]);
            to_driven_results: s.driven();
            to_two_try_stages: s.try_map_concurrent(2, |n| app.check(n)).try_batched(2).try_map_concurrent(2, async |batch| Ok::<_, Error>(app.store(batch).await));
        ]);
    };
}

/// What ends a pipeline in a future.
macro_rules! ends {
    ($begin:ident, $row:ident) => {
        $begin!($row, app, s, [
            drained: s.drain().await;
            collected: s.collect::<Vec<u32>>().await;
            counted: s.count().await;
            folded: s.fold(0, |sum, n| sum + n + app.one).await;
            each: s.for_each(|n| assert!(n >= app.one)).await;
            first: Box::pin(s).next().await;
            looped: {
                let mut s = std::pin::pin!(s);
                while let Some(n) = s.next().await {
                    app.get(n).await;
                }
            };
            looped_alongside: {
                let mut s = s.driven();
                while let Some(n) = s.next().await {
                    s.alongside(app.get(n)).await;
                }
            };
            in_a_race: futures_lite::future::or(app.is_over(), s.drain()).await;
            after_two_stages: s.map_concurrent(2, |n| app.get(n)).batched(2).map_concurrent(2, |batch| app.store(batch)).drain().await;
            after_a_filter: s.filter_concurrent(2, is_even).map_concurrent(2, |n| app.get(n)).drain().await;
            after_a_merge: merge([s]).map_concurrent(2, |n| app.get(n)).drain().await;
        ]);
    };
}

macro_rules! try_ends {
    ($begin:ident, $row:ident) => {
        $begin!($row, app, s, [
            try_drained: s.try_drain().await;
            try_collected: s.try_collect::<u32, Error, Vec<u32>>().await;
            try_looped: {
                let mut s = std::pin::pin!(s);
                while let Ok(Some(n)) = s.try_next().await {
                    app.get(n).await;
                }
            };
            drained_results: s.drain().await;
            question_mark: {
                let result: Result<(), Error> = async {
                    s.try_map_concurrent(2, |n| app.check(n)).try_drain().await?;
                    Ok(())
                }
                .await;
                result
            };
        ]);
    };
}

mod awaited_in_methods {
    use super::*;
    mod stages {
        use super::*;
        onwards!(plain, in_method);
    }
    mod try_stages {
        use super::*;
        try_onwards!(fallible, in_method);
    }
    mod sinks {
        use super::*;
        ends!(plain, in_method);
    }
    mod try_sinks {
        use super::*;
        try_ends!(fallible, in_method);
    }
    mod keep {
        use super::*;
        ends_that_keep!(plain, in_method);
    }
    mod try_keep {
        use super::*;
        try_ends_that_keep!(fallible, in_method);
    }
    mod references {
        use super::*;
        onwards!(with_references, in_method);
    }
    mod try_references {
        use super::*;
        try_onwards!(fallible_with_references, in_method);
    }
    mod references_ended {
        use super::*;
        ends!(with_references, in_method);
    }
    mod try_references_ended {
        use super::*;
        try_ends!(fallible_with_references, in_method);
    }
}

mod awaited_in_tasks {
    use super::*;
    mod stages {
        use super::*;
        onwards!(plain, in_task);
    }
    mod try_stages {
        use super::*;
        try_onwards!(fallible, in_task);
    }
    mod sinks {
        use super::*;
        ends!(plain, in_task);
    }
    mod try_sinks {
        use super::*;
        try_ends!(fallible, in_task);
    }
    mod keep {
        use super::*;
        ends_that_keep!(plain, in_task);
    }
    mod try_keep {
        use super::*;
        try_ends_that_keep!(fallible, in_task);
    }
    mod references {
        use super::*;
        onwards!(with_references, in_task);
    }
    mod try_references {
        use super::*;
        try_onwards!(fallible_with_references, in_task);
    }
    mod references_ended {
        use super::*;
        ends!(with_references, in_task);
    }
    mod try_references_ended {
        use super::*;
        try_ends!(fallible_with_references, in_task);
    }
}

mod values {
    use super::*;
    mod stages {
        use super::*;
        onwards!(plain, as_value);
    }
    mod try_stages {
        use super::*;
        try_onwards!(fallible, as_value);
    }
    mod keep {
        use super::*;
        to_adaptors_that_keep!(plain, as_value);
    }
    mod references {
        use super::*;
        onwards!(with_references, as_value);
    }
}
