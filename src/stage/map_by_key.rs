use std::future::Future;
use std::hash::Hash;

use futures_core::TryStream;
use futures_lite::Stream;

use super::call_future::CallFuture;
use super::keys::Keys;
use super::map::One;
use super::shell::{shell, weighed_by};
use super::styles::styles;
use super::try_call::Try;
use crate::engine::{Asks, Call, Key, Polls, Stage, Weigh, Work, polls, start, try_start};
use crate::{Concurrency, FlowExt, TryFlowExt};

shell! {
    /// Stream returned by [`FlowExt::map_concurrent_by_key`].
    ///
    /// `S` is the upstream, `G` the function that returns keys `K`, `F` the other function and `Fut` the future
    /// of a call. The items `T` and the outputs `U` follow from them. `W` weighs items, or is `()`.
    pub struct MapConcurrentByKey<
        S: Stream,
        G,
        F,
        Fut: CallFuture,
        K,
        T = <S as Stream>::Item,
        U = <Fut as Future>::Output,
        W = (),
    > {
        inner: Stage<S, T, One<Fut>, Keyed<G, F, K, W>, U>,
    }

    type Item = U;
}

impl<S, G, F, Fut, K, T, U> MapConcurrentByKey<S, G, F, Fut, K, T, U>
where
    S: Stream<Item = T>,
    G: FnMut(&T) -> K,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = U>,
    K: Hash + Eq,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency, key: G, f: F) -> Self {
        let inner = keyed(
            stream,
            concurrency,
            key,
            f,
            polls!(|keyed, poll| {
                let Keyed { f, key, keys, .. } = keyed;
                let work = start(|item| One::new(f(item)));
                poll(ByKey { work, key, keys })
            }),
        );
        Self { inner }
    }

    weighed_by! {
        pub fn weighed_by<W>(self, weight: W) -> MapConcurrentByKey<S, G, F, Fut, K, T, U, W>
        where
            W: FnMut(&T) -> usize,
        {
            let inner = self.inner.keyed_weighed(weight, polls!(|keyed, poll| {
                let Keyed { f, key, keys, weight, .. } = keyed;
                let work = start(|item| One::new(f(item)));
                poll(Weigh { work: ByKey { work, key, keys }, weight })
            }));
            MapConcurrentByKey { inner }
        }
    }
}

shell! {
    /// Stream returned by [`TryFlowExt::try_map_concurrent_by_key`].
    ///
    /// `S` is the upstream, `G` the function that returns keys `K`, `F` the other function, `Fut` the future of
    /// a call, and `U` and `E` what it resolves to. The values `T` follow from the upstream. `W` weighs
    /// values, or is `()`.
    pub struct TryMapConcurrentByKey<
        S: TryStream,
        G,
        F,
        Fut,
        K,
        U,
        E,
        T = <S as TryStream>::Ok,
        W = (),
    > {
        inner: Stage<S, Result<T, E>, Try<One<Fut>, E>, Keyed<G, F, K, W>, Result<U, E>>,
    }

    type Item = Result<U, E>;
}

impl<S, G, F, Fut, K, U, E, T> TryMapConcurrentByKey<S, G, F, Fut, K, U, E, T>
where
    S: Stream<Item = Result<T, E>>,
    G: FnMut(&T) -> K,
    F: FnMut(T) -> Fut,
    Fut: CallFuture<Output = Result<U, E>>,
    K: Hash + Eq,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency, key: G, f: F) -> Self {
        let inner = keyed(
            stream,
            concurrency,
            key,
            f,
            polls!(|keyed, poll| {
                let Keyed { f, key, keys, .. } = keyed;
                let work =
                    try_start(|item: Result<T, E>| Try::new(item.map(|item| One::new(f(item)))));
                poll(ByKey { work, key, keys })
            }),
        );
        Self { inner }
    }

    weighed_by! {
        pub fn weighed_by<W>(
            self,
            weight: W,
        ) -> TryMapConcurrentByKey<S, G, F, Fut, K, U, E, T, W>
        where
            W: FnMut(&T) -> usize,
        {
            let inner = self.inner.keyed_weighed(weight, polls!(|keyed, poll| {
                let Keyed { f, key, keys, weight, .. } = keyed;
                let mut call = |item| One::new(f(item));
                let work = try_start(|item: Result<T, E>| Try::new(item.map(&mut call)));
                poll(Weigh { work: ByKey { work, key, keys }, weight })
            }));
            TryMapConcurrentByKey { inner }
        }
    }
}

/// The functions of a stage by key, and the keys in flight.
struct Keyed<G, F, K, W = ()> {
    f: F,
    key: G,
    keys: Keys<K>,
    per_key: usize,
    weight: W,
}

#[track_caller]
fn keyed<S, I, C, G, F, K, U>(
    stream: S,
    concurrency: Concurrency,
    key: G,
    f: F,
    polls: Polls<S, I, C, Keyed<G, F, K>, U>,
) -> Stage<S, I, C, Keyed<G, F, K>, U>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
{
    let keyed = Keyed { f, key, keys: Keys::new(), per_key: 1, weight: () };
    Stage::new(stream, concurrency, keyed, polls).asking(Asks::Key, |keyed| keyed, polls)
}

impl<S, I, C, G, F, K, U> Stage<S, I, C, Keyed<G, F, K>, U> {
    /// Weighs the calls by `weight`.
    #[track_caller]
    fn keyed_weighed<W>(
        self,
        weight: W,
        polls: Polls<S, I, C, Keyed<G, F, K, W>, U>,
    ) -> Stage<S, I, C, Keyed<G, F, K, W>, U>
    where
        S: Stream<Item = I>,
        C: Call<Output = U>,
    {
        let per_key = self.function().per_key;
        let function =
            |Keyed { f, key, keys, per_key, .. }| Keyed { f, key, keys, per_key, weight };
        self.asking(Asks::WeightAndKey, function, polls).per_key(per_key)
    }
}

impl<S, I, C, G, F, K, U, W> Stage<S, I, C, Keyed<G, F, K, W>, U> {
    fn per_key(mut self, calls: usize) -> Self {
        let (engine, keyed) = self.parts();
        keyed.per_key = calls;
        engine.set_per_key(calls);
        self
    }
}

/// Defines the method `per_key` of a stage.
macro_rules! per_key {
    ($name:ident<$($param:ident $(: $bound:path)?),*>) => {
        impl<$($param $(: $bound)?),*> $name<$($param),*> {
            /// Runs up to `calls` calls of a key at once, instead of one.
            ///
            /// They begin in the order of their items. With more than one, the order in which they have their
            /// effects is up to them.
            ///
            /// # Panics
            ///
            /// Panics if `calls` is 0.
            ///
            /// # Examples
            ///
            /// 50 requests at once, and no more than 2 to any host:
            ///
            /// ```
            /// use flowlet::prelude::*;
            ///
            /// async fn fetch(url: &str) -> usize {
            ///     url.len()
            /// }
            /// fn host(url: &str) -> &str {
            ///     url.split('/').next().unwrap_or(url)
            /// }
            ///
            /// # futures_lite::future::block_on(async {
            /// let urls = ["one.example/a", "one.example/b", "two.example/c"];
            /// let lengths: Vec<usize> = pipe(urls)
            ///     .map_concurrent_by_key(50, |url| host(url), fetch)
            ///     .per_key(2)
            ///     .collect()
            ///     .await;
            /// assert_eq!(lengths, [13, 13, 13]);
            /// # });
            /// ```
            #[track_caller]
            pub fn per_key(self, calls: usize) -> Self {
                assert!(calls > 0, "a key must be allowed at least 1 call at once");
                Self { inner: self.inner.per_key(calls) }
            }
        }
    };
}

per_key!(MapConcurrentByKey<S: Stream, G, F, Fut: CallFuture, K, T, U, W>);
per_key!(TryMapConcurrentByKey<S: TryStream, G, F, Fut, K, U, E, T, W>);

/// Work whose items wait for others with the same key.
struct ByKey<'a, W, G, K> {
    work: W,
    key: &'a mut G,
    keys: &'a mut Keys<K>,
}

impl<I, W, G, K> Work<I> for ByKey<'_, W, G, K>
where
    W: Work<I>,
    G: FnMut(&W::Value) -> K,
    K: Hash + Eq,
{
    type Call = W::Call;
    type Value = W::Value;

    fn value(item: &I) -> Option<&W::Value> {
        W::value(item)
    }

    fn key(&mut self, value: &W::Value) -> Option<Key> {
        Some(self.keys.number((self.key)(value)))
    }

    fn forget(&mut self, key: Key) {
        self.keys.forget(key);
    }

    fn start(&mut self, item: I) -> W::Call {
        self.work.start(item)
    }
}

styles! {
    /// Calls `f` on every item, one call of a key at a time: see [`FlowExt::map_concurrent_by_key`].
    fn map_concurrent_by_key(
        limit: impl Into<Concurrency> = limit.into().checked();
        key: G,
        f: F
    );

    flow [U: Send + 'static] U => [G, F, Fut, K, V] V
    where [
        G: Fn(&U) -> K + Send + Sync + 'static,
        F: Fn(U) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = V> + Send + 'static,
        K: Hash + Eq + Send + 'static,
        V: Send + 'static,
    ]
    by |stream| {
        stream.map_concurrent_by_key(limit, move |item| key(item), move |item| f(item))
    };

    functional [S, G, F, Fut, K, V] impl Fn(S) -> MapConcurrentByKey<S, G, F, Fut, K, S::Item, V>
    where [
        S: Stream,
        G: FnMut(&S::Item) -> K + Clone,
        F: FnMut(S::Item) -> Fut + Clone,
        Fut: CallFuture<Output = V>,
        K: Hash + Eq,
    ]
    by |stream| stream.map_concurrent_by_key(limit, key, f);

    /// Calls `f` on every value, one call of a key at a time, up to the first error: see
    /// [`TryFlowExt::try_map_concurrent_by_key`].
    fn try_map_concurrent_by_key(
        limit: impl Into<Concurrency> = limit.into().checked();
        key: G,
        f: F
    );

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [G, F, Fut, K, W] Result<W, E>
    where [
        G: Fn(&V) -> K + Send + Sync + 'static,
        F: Fn(V) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Result<W, E>> + Send + 'static,
        K: Hash + Eq + Send + 'static,
        W: Send + 'static,
    ]
    by |stream| {
        stream.try_map_concurrent_by_key(limit, move |item| key(item), move |item| f(item))
    };

    functional [S, G, F, Fut, K, V, W, E] impl Fn(S) -> TryMapConcurrentByKey<
        S, G, F, Fut, K, W, E, V,
    >
    where [
        S: Stream<Item = Result<V, E>>,
        G: FnMut(&V) -> K + Clone,
        F: FnMut(V) -> Fut + Clone,
        Fut: CallFuture<Output = Result<W, E>>,
        K: Hash + Eq,
    ]
    by |stream| stream.try_map_concurrent_by_key(limit, key, f);
}
