//! The parts that are the same in every stage.

use futures_lite::Stream;

use super::Weighed;
use crate::engine::{Asks, Call, Polls, Stage};

/// Defines the struct of a stage, and implements its traits through the methods `poll_next`, `size_hint`, `is_over` and
/// `fmt_as` of its content. The upstream is the parameter `S`.
///
/// With `calls` it also defines `new`, for a stage that calls a function `F`, and `weighed_by`. It takes the call that
/// results from the function and an item, and the bounds for that.
macro_rules! shell {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident<
            $($param:ident $(: $bound:path)? $(= $default:ty)?),* $(,)?
        > {
            inner: $inner:ty,
            $($field:ident: $kept:ty,)?
        }

        type Item = $item:ty;

        calls $start:ident(|$f:ident, $called:ident| $call:expr),
        weighed by $value:ty as $weighed:ty,
        where $($where:tt)*
    ) => {
        shell! {
            $(#[$attribute])*
            pub struct $name<$($param $(: $bound)? $(= $default)?),*> {
                inner: $inner,
                $($field: $kept,)?
            }

            type Item = $item;
        }

        impl<$($param),*> $name<$($param),*>
        where
            $($where)*
        {
            #[track_caller]
            pub(crate) fn new(stream: S, concurrency: crate::Concurrency, function: F) -> Self {
                Self {
                    inner: Stage::new(
                        stream,
                        concurrency,
                        function,
                        crate::engine::polls!(|$f, poll| poll(crate::engine::$start(|$called| $call))),
                    ),
                    $($field: Default::default(),)?
                }
            }

            crate::stage::shell::weighed_by! {
                pub fn weighed_by<W>(self, weight: W) -> $weighed
                where
                    W: FnMut(&$value) -> usize,
                {
                    $name {
                        inner: self.inner.weighed(weight, crate::engine::polls!(|weighed, poll| {
                            let crate::stage::Weighed { f: $f, weight } = weighed;
                            let work = crate::engine::$start(|$called| $call);
                            poll(crate::engine::Weigh { work, weight })
                        })),
                        $($field: self.$field,)?
                    }
                }
            }
        }
    };
    (
        $(#[$attribute:meta])*
        pub struct $name:ident<
            $($param:ident $(: $bound:path)? $(= $default:ty)?),* $(,)?
        > {
            inner: $inner:ty,
            $($field:ident: $kept:ty,)?
        }

        type Item = $item:ty;
    ) => {
        pin_project_lite::pin_project! {
            $(#[$attribute])*
            #[must_use = "streams do nothing unless polled"]
            pub struct $name<$($param $(: $bound)? $(= $default)?),*> {
                #[pin]
                inner: $inner,
                $($field: $kept,)?
            }
        }

        impl<$($param $(: $bound)?),*> futures_core::Stream for $name<$($param),*>
        where
            S: futures_core::Stream,
        {
            type Item = $item;

            fn poll_next(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<$item>> {
                self.project().inner.poll_next(cx)
            }

            fn size_hint(&self) -> crate::size_hint::SizeHint {
                self.inner.size_hint()
            }
        }

        impl<$($param $(: $bound)?),*> futures_core::FusedStream for $name<$($param),*>
        where
            S: futures_core::Stream,
        {
            fn is_terminated(&self) -> bool {
                self.inner.is_over()
            }
        }

        impl<$($param $(: $bound)?),*> std::fmt::Debug for $name<$($param),*>
        where
            S: std::fmt::Debug,
        {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.inner.fmt_as(stringify!($name), f)
            }
        }
    };
}

/// Documents a method `weighed_by`.
macro_rules! weighed_by {
    ($method:item) => {
        /// Bounds the total weight of the calls instead of their number, where `weight` returns the weight of an item.
        ///
        /// Together the running calls weigh at most as much as the limit. So do all items between pulled and yielded,
        /// unless the limit has a [window](crate::Concurrency::window). With a [`Semaphore`](crate::Semaphore) each
        /// call takes as many permits as its item weighs, so several stages can share one budget. An item that is
        /// heavier than the limit runs alone.
        ///
        /// `weight` is called once for each item, before its call. Items that weigh 0 are not bounded:
        /// `|item| item.len().max(1)` bounds their number too.
        ///
        /// # Panics
        ///
        /// Panics if the stage has been polled and holds items.
        ///
        /// # Examples
        ///
        /// ```
        /// use flowlet::Semaphore;
        /// use flowlet::prelude::*;
        ///
        /// struct File {
        ///     megabytes: usize,
        /// }
        ///
        /// # futures_lite::future::block_on(async {
        /// let memory = Semaphore::new(64);
        /// let files = [20, 200, 30].map(|megabytes| File { megabytes });
        /// let load = async |file: File| {
        ///     assert!(memory.in_use() <= 64 || memory.in_use() == file.megabytes);
        ///     file.megabytes
        /// };
        /// let loaded: Vec<usize> = pipe(files)
        ///     .map_concurrent(&memory, load)
        ///     .weighed_by(|file| file.megabytes)
        ///     .collect()
        ///     .await;
        /// assert_eq!(loaded.len(), 3);
        /// # });
        /// ```
        #[track_caller]
        $method
    };
}

pub(crate) use {shell, weighed_by};

impl<S, I, C, F, U> Stage<S, I, C, F, U> {
    pub(super) fn is_over(&self) -> bool {
        self.engine().is_over()
    }

    /// Weighs the calls by `weight`.
    #[track_caller]
    pub(super) fn weighed<W>(
        self,
        weight: W,
        polls: Polls<S, I, C, Weighed<F, W>, U>,
    ) -> Stage<S, I, C, Weighed<F, W>, U>
    where
        S: Stream<Item = I>,
        C: Call<Output = U>,
    {
        self.asking(Asks::Weight, |f| Weighed { f, weight }, polls)
    }
}
