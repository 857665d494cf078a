//! The operator `|` of flows and of references to flows.

use std::ops::BitOr;

use futures_lite::Stream;

use super::{Flow, Through};
use crate::{Pipe, pipe, via};

/// A flow, or a reference to one, that takes `T`: what can follow a flow after `|`.
///
/// The trait is sealed.
///
/// # Examples
///
/// ```
/// use flowlet::op;
///
/// let lengths = op::map(str::len);
/// let flow = &lengths | op::filter(|n| *n > 0) | &op::map(|n: usize| n as f64);
/// assert_eq!(format!("{flow:?}"), "Flow [map, filter, map]");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not take `{T}`, which the flow before the `|` yields",
    label = "not a `Flow<{T}, _>`",
    note = "`|` joins a `Flow<T, U>` and a `Flow<U, V>`, or references to them; use `Flow::new` to turn a \
            function of streams into a flow"
)]
pub trait IntoFlow<T>: sealed::IntoFlow<T> {
    /// What the flow yields.
    type Output: 'static;

    /// Converts it into a flow. The flow itself is shared, not copied.
    fn into_flow(self) -> Flow<T, Self::Output>;
}

impl<T: 'static, U: 'static> IntoFlow<T> for Flow<T, U> {
    type Output = U;

    fn into_flow(self) -> Self {
        self
    }
}

impl<T: 'static, U: 'static> IntoFlow<T> for &Flow<T, U> {
    type Output = U;

    fn into_flow(self) -> Flow<T, U> {
        self.clone()
    }
}

/// The same as [`then`](Flow::then).
impl<T, U, X> BitOr<X> for Flow<T, U>
where
    T: 'static,
    U: 'static,
    X: IntoFlow<U>,
{
    type Output = Flow<T, X::Output>;

    fn bitor(self, next: X) -> Self::Output {
        self.then(next.into_flow())
    }
}

/// The same as [`then`](Flow::then).
impl<T, U, X> BitOr<X> for &Flow<T, U>
where
    T: 'static,
    U: 'static,
    X: IntoFlow<U>,
{
    type Output = Flow<T, X::Output>;

    fn bitor(self, next: X) -> Self::Output {
        self.clone() | next
    }
}

/// The same as [`through`](crate::FlowExt::through), but returns a [`Pipe`]. Takes a flow, a reference to one, or a
/// function from stream to stream.
impl<S, X> BitOr<X> for Pipe<S>
where
    S: Stream,
    X: Through<Self, Output: Stream>,
{
    type Output = Pipe<X::Output>;

    fn bitor(self, flow: X) -> Self::Output {
        pipe::<_, via::Stream>(flow.send(self))
    }
}

mod sealed {
    use super::Flow;

    pub trait IntoFlow<T> {}

    impl<T, U> IntoFlow<T> for Flow<T, U> {}

    impl<T, U> IntoFlow<T> for &Flow<T, U> {}
}
