use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::engine::{Call, Step};
use crate::size_hint::{SizeHint, exactly};

pin_project! {
    /// A call, or the error that arrived instead of its item.
    #[project = OrErrorProjection]
    pub(super) enum OrError<C, E> {
        Call { #[pin] call: C },
        // `Some` until it is polled.
        Error { error: Option<E> },
    }
}

impl<C, E> OrError<C, E> {
    pub(super) fn new(call: Result<C, E>) -> Self {
        match call {
            Ok(call) => Self::Call { call },
            Err(error) => Self::Error { error: Some(error) },
        }
    }
}

impl<C, T, E> Call for OrError<C, E>
where
    C: Call<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    const MANY: bool = C::MANY;

    const OUTPUTS: SizeHint = C::OUTPUTS;

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Call { call } => call.size_hint(),
            Self::Error { error } => exactly(error.is_some().into()),
        }
    }

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Result<T, E>>> {
        match self.project() {
            OrErrorProjection::Call { call } => call.poll(cx),
            OrErrorProjection::Error { error } => {
                Poll::Ready(error.take().map_or(Step::End, |error| Step::Last(Err(error))))
            }
        }
    }
}

pin_project! {
    /// A call whose errors end its stage, as does an error that arrived instead of an item.
    pub(super) struct Try<C, E> {
        #[pin]
        call: OrError<C, E>,
    }
}

impl<C, E> Try<C, E> {
    pub(super) fn new(call: Result<C, E>) -> Self {
        Self { call: OrError::new(call) }
    }
}

impl<C, T, E> Call for Try<C, E>
where
    C: Call<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    const MANY: bool = C::MANY;

    const OUTPUTS: SizeHint = C::OUTPUTS;

    const CAN_FAIL: bool = true;

    fn size_hint(&self) -> SizeHint {
        self.call.size_hint()
    }

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Result<T, E>>> {
        self.project().call.poll(cx)
    }

    #[inline]
    fn fails(output: &Result<T, E>) -> bool {
        output.is_err()
    }
}
