//! What is the same in every stage, around what does the work.

use crate::engine::Stage;

/// Makes the struct of a stage, and its traits from what is in it, which has the methods `poll_next`,
/// `size_hint`, `is_over` and `fmt_as`. Upstream is the parameter `S`.
///
/// With `polled by` it makes `new` too, for a stage that calls a function `F`: how the engine is polled
/// with it, and what has to hold for that.
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

        polled by $poll:expr, where $($where:tt)*
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
            pub(crate) fn new(stream: S, concurrency: crate::Concurrency, f: F) -> Self {
                Self {
                    inner: Stage::new(stream, concurrency, f, $poll),
                    $($field: Default::default(),)?
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

pub(crate) use shell;

impl<S, I, C, F, U> Stage<S, I, C, F, U> {
    pub(super) fn is_over(&self) -> bool {
        self.engine().is_over()
    }
}
