//! The plain adaptors of streams that a flow has in addition to the stages.

use futures_lite::stream::{Filter, FilterMap, Inspect, Map, Take};
use futures_lite::{Stream, StreamExt};

use super::styles::styles;

styles! {
    /// Calls `f` on every item and yields what it returns: see [`StreamExt::map`].
    fn map(; f: F);

    flow [U: 'static] U => [F, V] V
    where [F: Fn(U) -> V + Send + Sync + 'static, V: 'static]
    by |stream| stream.map(move |item| f(item));

    functional [S, F, V] impl Fn(S) -> Map<S, F>
    where [S: Stream, F: FnMut(S::Item) -> V + Clone]
    by |stream| stream.map(f);

    /// Keeps the items for which `predicate` returns `true`: see [`StreamExt::filter`].
    fn filter(; predicate: P);

    flow [U: 'static] U => [P] U
    where [P: Fn(&U) -> bool + Send + Sync + 'static]
    by |stream| stream.filter(move |item| predicate(item));

    functional [S, P] impl Fn(S) -> Filter<S, P>
    where [S: Stream, P: FnMut(&S::Item) -> bool + Clone]
    by |stream| stream.filter(predicate);

    /// Calls `f` on every item and yields the results that are `Some`: see [`StreamExt::filter_map`].
    fn filter_map(; f: F);

    flow [U: 'static] U => [F, V] V
    where [F: Fn(U) -> Option<V> + Send + Sync + 'static, V: 'static]
    by |stream| stream.filter_map(move |item| f(item));

    functional [S, F, V] impl Fn(S) -> FilterMap<S, F>
    where [S: Stream, F: FnMut(S::Item) -> Option<V> + Clone]
    by |stream| stream.filter_map(f);

    /// Calls `f` on every item as it passes: see [`StreamExt::inspect`].
    fn inspect(; f: F);

    flow [U: 'static] U => [F] U
    where [F: Fn(&U) + Send + Sync + 'static]
    by |stream| stream.inspect(move |item| f(item));

    functional [S, F] impl Fn(S) -> Inspect<S, F>
    where [S: Stream, F: FnMut(&S::Item) + Clone]
    by |stream| stream.inspect(f);

    /// Yields the first `n` items, then ends: see [`StreamExt::take`].
    fn take(n: usize;);

    flow [U: 'static] U => [] U
    where []
    by |stream| stream.take(n);

    functional [S] impl Fn(S) -> Take<S>
    where [S: Stream]
    by |stream| stream.take(n);
}
