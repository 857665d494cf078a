use futures_lite::Stream;
use futures_lite::stream::Boxed;

use super::Flow;

/// What [`through`](crate::FlowExt::through) takes: a [`Flow`], a reference to one, or a function from a stream to
/// anything.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
///
/// fn sum_of(numbers: impl Stream<Item = u32>) -> impl Future<Output = u32> {
///     numbers.fold(0, |sum, n| sum + n)
/// }
///
/// # futures_lite::future::block_on(async {
/// assert_eq!(pipe([1, 2, 3]).through(sum_of).await, 6);
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not take this stream",
    note = "`through` takes a `Flow<T, U>` or `&Flow<T, U>` where the stream yields `T` and is \
            `Send + 'static`, or a function that takes the stream"
)]
pub trait Through<S> {
    /// The result.
    type Output;

    /// Sends `stream` through.
    fn send(self, stream: S) -> Self::Output;
}

impl<T, U, S> Through<S> for &Flow<T, U>
where
    T: 'static,
    U: 'static,
    S: Stream<Item = T> + Send + 'static,
{
    type Output = Boxed<U>;

    fn send(self, stream: S) -> Boxed<U> {
        self.apply(stream)
    }
}

impl<T, U, S> Through<S> for Flow<T, U>
where
    T: 'static,
    U: 'static,
    S: Stream<Item = T> + Send + 'static,
{
    type Output = Boxed<U>;

    fn send(self, stream: S) -> Boxed<U> {
        self.apply(stream)
    }
}

impl<F, S, R> Through<S> for F
where
    F: FnOnce(S) -> R,
{
    type Output = R;

    fn send(self, stream: S) -> R {
        self(stream)
    }
}
