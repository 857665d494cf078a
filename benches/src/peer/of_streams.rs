//! Those whose concurrent stages take a stream and return one: workloads are written once for all.

use std::future::{Future, ready};

use futures_util::{Stream, StreamExt};

use crate::Executor;

/// A crate whose concurrent stages take a stream and return one.
pub trait Peer: 'static {
    /// The name of the crate.
    const NAME: &'static str;

    /// What polls it where the workload leaves the choice.
    const EXECUTOR: Executor;

    /// Calls `f` on every item, with up to `limit` calls at once; outputs come as calls complete.
    fn map<S, F, Fut>(
        stream: S,
        limit: usize,
        f: F,
    ) -> impl Stream<Item = Fut::Output> + Send + 'static
    where
        S: Stream<Item: Send> + Send + 'static,
        F: Fn(S::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static;

    /// The same in the order of the items.
    fn ordered<S, F, Fut>(
        stream: S,
        limit: usize,
        f: F,
    ) -> impl Stream<Item = Fut::Output> + Send + 'static
    where
        S: Stream<Item: Send> + Send + 'static,
        F: Fn(S::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static;

    /// Calls `f` on every item like `map`, and keeps what is in the options. By hand, unless the
    /// crate has that.
    fn filter_map<S, F, Fut, T>(
        stream: S,
        limit: usize,
        f: F,
    ) -> impl Stream<Item = T> + Send + 'static
    where
        S: Stream<Item: Send> + Send + 'static,
        F: Fn(S::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<T>> + Send + 'static,
        T: Send + 'static,
    {
        Self::map(stream, limit, f).filter_map(ready)
    }
}

/// A peer with what its `map` and `ordered` come to, and what else it has.
macro_rules! peer {
    (
        $(#[$doc:meta])* $peer:ident, $name:literal, $executor:ident,
        |$stream:ident, $limit:ident, $f:ident| map: $map:expr, ordered: $ordered:expr,
        $($more:tt)*
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $peer;

        impl $crate::peer::Peer for $peer {
            const NAME: &'static str = $name;
            const EXECUTOR: $crate::Executor = $crate::Executor::$executor;

            $crate::peer::of_streams::peer!(@map($stream, $limit, $f) $map);
            $crate::peer::of_streams::peer!(@ordered($stream, $limit, $f) $ordered);
            $($more)*
        }
    };
    (@$stage:ident($stream:ident, $limit:ident, $f:ident) $outputs:expr) => {
        fn $stage<S, F, Fut>(
            $stream: S,
            $limit: usize,
            $f: F,
        ) -> impl futures_util::Stream<Item = Fut::Output> + Send + 'static
        where
            S: futures_util::Stream<Item: Send> + Send + 'static,
            F: Fn(S::Item) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: Send + 'static> + Send + 'static,
        {
            $outputs
        }
    };
}
pub(super) use peer;
