//! Adaptors that change one half of a `Result` on its way, without waiting.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::FusedStream;
use futures_lite::Stream;
use pin_project_lite::pin_project;

/// The plain adaptors of streams of `Result`s that `futures_lite` lacks.
///
/// They are those of `futures::TryStreamExt`, which conflicts with the prelude: both have a `try_collect`, and the
/// compiler reports "multiple applicable items in scope" (E0034). For the same reason this trait is not in the prelude.
/// Import it by name:
/// reason this trait is not in the prelude. Import it by name:
///
/// ```
/// use flowlet::ResultStreamExt;
/// use flowlet::prelude::*;
///
/// async fn read(id: u32) -> Result<String, std::io::Error> {
///     Ok(id.to_string())
/// }
/// async fn parse(text: String) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # futures_lite::future::block_on(async {
/// type Error = Box<dyn std::error::Error + Send + Sync>; // or `anyhow::Error`
///
/// let mut failures = 0;
/// let numbers: Vec<u32> = pipe(1..=3)
///     .map_concurrent(4, read)
///     .err_into::<Error>() // all later stages have this error type
///     .try_map_concurrent(4, async |text| Ok(parse(text).await?))
///     .map_ok(|n| 10 * n)
///     .inspect_err(|error| eprintln!("{error}"))
///     .try_collect()
///     .await?;
/// assert_eq!(numbers.iter().sum::<u32>(), 60);
/// # Ok(()) }) }
/// ```
pub trait ResultStreamExt<T, E>: Stream<Item = Result<T, E>> {
    /// Calls `f` on every value, and passes errors on.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{ResultStreamExt, prelude::*};
    ///
    /// # futures_lite::future::block_on(async {
    /// let doubled = pipe([Ok(1), Err("two")]).map_ok(|n| 2 * n);
    /// assert_eq!(doubled.collect::<Vec<_>>().await, [Ok(2), Err("two")]);
    /// # });
    /// ```
    fn map_ok<F, U>(self, f: F) -> MapOk<Self, F>
    where
        Self: Sized,
        F: FnMut(T) -> U,
    {
        MapOk { stream: self, f }
    }

    /// Calls `f` on every error, and passes values on.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{ResultStreamExt, prelude::*};
    ///
    /// # futures_lite::future::block_on(async {
    /// let counted = pipe([Ok(1), Err("two")]).map_err(str::len);
    /// assert_eq!(counted.collect::<Vec<_>>().await, [Ok(1), Err(3)]);
    /// # });
    /// ```
    fn map_err<F, D>(self, f: F) -> MapErr<Self, F>
    where
        Self: Sized,
        F: FnMut(E) -> D,
    {
        MapErr { stream: self, f }
    }

    /// Converts every error, as `?` does, from the error type of one stage to that of the next.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{ResultStreamExt, prelude::*};
    ///
    /// # futures_lite::future::block_on(async {
    /// let owned = pipe([Ok(1), Err("two")]).err_into::<String>();
    /// assert_eq!(owned.collect::<Vec<_>>().await, [Ok(1), Err("two".to_owned())]);
    /// # });
    /// ```
    fn err_into<D>(self) -> ErrInto<Self, D>
    where
        Self: Sized,
        E: Into<D>,
    {
        ErrInto { stream: self, error: PhantomData }
    }

    /// Calls `f` on every value as it passes.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{ResultStreamExt, prelude::*};
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut sum = 0;
    /// let numbers = pipe([Ok(1), Err("two"), Ok(3)]).inspect_ok(|n| sum += n);
    /// assert_eq!(numbers.count().await, 3);
    /// assert_eq!(sum, 4);
    /// # });
    /// ```
    fn inspect_ok<F>(self, f: F) -> InspectOk<Self, F>
    where
        Self: Sized,
        F: FnMut(&T),
    {
        InspectOk { stream: self, f }
    }

    /// Calls `f` on every error as it passes.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{ResultStreamExt, prelude::*};
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut failures = 0;
    /// let numbers = pipe([Ok(1), Err("two"), Ok(3)]).inspect_err(|_| failures += 1);
    /// assert_eq!(numbers.count().await, 3);
    /// assert_eq!(failures, 1);
    /// # });
    /// ```
    fn inspect_err<F>(self, f: F) -> InspectErr<Self, F>
    where
        Self: Sized,
        F: FnMut(&E),
    {
        InspectErr { stream: self, f }
    }
}

impl<S, T, E> ResultStreamExt<T, E> for S where S: Stream<Item = Result<T, E>> + ?Sized {}

/// Defines an adaptor: its struct, and its stream, by what becomes of a `Result`.
macro_rules! adaptor {
    (
        $(#[$attribute:meta])*
        $name:ident<$parameter:ident> { $field:ident: $kept:ty },
        [$($generics:ident),*] where [$($bounds:tt)*]
        |$item:ident, $f:ident| $becomes:expr => $output:ty
    ) => {
        pin_project! {
            $(#[$attribute])*
            #[must_use = "streams do nothing unless polled"]
            pub struct $name<S, $parameter> {
                #[pin]
                stream: S,
                $field: $kept,
            }
        }

        impl<S, T, E, $($generics),*> Stream for $name<S, $parameter>
        where
            S: Stream<Item = Result<T, E>>,
            $($bounds)*
        {
            type Item = $output;

            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<$output>> {
                let this = self.project();
                let $f = this.$field;
                this.stream.poll_next(cx).map(|item| item.map(|$item| $becomes))
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.stream.size_hint()
            }
        }

        impl<S: FusedStream, $parameter> FusedStream for $name<S, $parameter>
        where
            Self: Stream,
        {
            fn is_terminated(&self) -> bool {
                self.stream.is_terminated()
            }
        }

        impl<S: Clone, $parameter> Clone for $name<S, $parameter>
        where
            $kept: Clone,
        {
            fn clone(&self) -> Self {
                Self { stream: self.stream.clone(), $field: self.$field.clone() }
            }
        }

        impl<S: fmt::Debug, $parameter> fmt::Debug for $name<S, $parameter> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("upstream", &self.stream)
                    .finish_non_exhaustive()
            }
        }
    };
}

adaptor! {
    /// Stream returned by [`ResultStreamExt::map_ok`].
    MapOk<F> { f: F }, [F, U] where [F: FnMut(T) -> U,]
    |item, f| item.map(f) => Result<U, E>
}

adaptor! {
    /// Stream returned by [`ResultStreamExt::map_err`].
    MapErr<F> { f: F }, [F, D] where [F: FnMut(E) -> D,]
    |item, f| item.map_err(f) => Result<T, D>
}

adaptor! {
    /// Stream returned by [`ResultStreamExt::err_into`].
    ErrInto<D> { error: PhantomData<fn() -> D> }, [D] where [E: Into<D>,]
    |item, _f| item.map_err(Into::into) => Result<T, D>
}

adaptor! {
    /// Stream returned by [`ResultStreamExt::inspect_ok`].
    InspectOk<F> { f: F }, [F] where [F: FnMut(&T),]
    |item, f| item.inspect(f) => Result<T, E>
}

adaptor! {
    /// Stream returned by [`ResultStreamExt::inspect_err`].
    InspectErr<F> { f: F }, [F] where [F: FnMut(&E),]
    |item, f| item.inspect_err(f) => Result<T, E>
}
