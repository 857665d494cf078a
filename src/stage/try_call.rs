use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::engine::{Call, Step};
use crate::size_hint::SizeHint;

pin_project! {
    /// A call whose errors end its stage.
    pub(super) struct Try<C> {
        #[pin]
        call: C,
    }
}

impl<C> Try<C> {
    pub(super) fn new(call: C) -> Self {
        Self { call }
    }

    pub(super) fn call(&self) -> &C {
        &self.call
    }
}

impl<C, T, E> Call for Try<C>
where
    C: Call<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    const MANY: bool = C::MANY;

    const CAN_FAIL: bool = true;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<Result<T, E>>> {
        self.project().call.poll(cx)
    }

    #[inline]
    fn fails(output: &Result<T, E>) -> bool {
        output.is_err()
    }
}

/// Of a stream that may end early with an error, which takes the place of an item.
pub(super) fn until_error(items: SizeHint) -> SizeHint {
    (items.0.min(1), items.1)
}
