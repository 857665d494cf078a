use futures_core::TryStream;
use futures_lite::Stream;

use super::call_future::CallFuture;
use super::map::One;
use super::shell::shell;
use super::styles::styles;
use super::try_call::OrError;
use super::weighed::Weighed;
use crate::engine::Stage;
use crate::{Concurrency, TryFlowExt};

shell! {
    /// Stream returned by [`TryFlowExt::map_ok_concurrent`].
    ///
    /// `S` is the upstream, `F` the function, `Fut` the future of a call, and `U` and `E` what it resolves to.
    /// The values `T` follow from the upstream.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::prelude::*;
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut stage = pipe([Ok(1), Err("two"), Ok(3)]).map_ok_concurrent(1, async |n| Ok(n * 10));
    /// assert_eq!(stage.size_hint(), (3, Some(3)));
    /// assert_eq!(stage.next().await, Some(Ok(10)));
    /// assert_eq!(stage.next().await, Some(Err("two")));
    /// assert_eq!(stage.next().await, Some(Ok(30)));
    /// assert_eq!(stage.next().await, None);
    /// # });
    /// ```
    pub struct MapOkConcurrent<S: TryStream, F, Fut, U, E, T = <S as TryStream>::Ok> {
        // Its calls cannot fail the stage, so an upstream error passes.
        inner: Stage<S, Result<T, E>, OrError<One<Fut>, E>, F, Result<U, E>>,
    }

    type Item = Result<U, E>;

    calls try_start(|f, item| OrError::new(item.map(|item| One::new(f(item))))),
    weighed by T as MapOkConcurrent<S, Weighed<F, W>, Fut, U, E, T>,
    where
        S: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> Fut,
        Fut: CallFuture<Output = Result<U, E>>,
}

styles! {
    /// Calls `f` on every value, with up to `limit` calls running at once, and passes errors on: see
    /// [`TryFlowExt::map_ok_concurrent`].
    fn map_ok_concurrent(limit: impl Into<Concurrency> = limit.into().checked(); f: F);

    flow [V: Send + 'static, E: Send + 'static] Result<V, E> => [F, Fut, W] Result<W, E>
    where [
        F: Fn(V) -> Fut + Send + Sync + 'static,
        Fut: CallFuture<Output = Result<W, E>> + Send + 'static,
        W: Send + 'static,
    ]
    by |stream| stream.map_ok_concurrent(limit, move |item| f(item));

    functional [S, F, Fut, V, W, E] impl Fn(S) -> MapOkConcurrent<S, F, Fut, W, E, V>
    where [
        S: Stream<Item = Result<V, E>>,
        F: FnMut(V) -> Fut + Clone,
        Fut: CallFuture<Output = Result<W, E>>,
    ]
    by |stream| stream.map_ok_concurrent(limit, f);
}
