use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::engine::{Call, Step};
use crate::size_hint::SizeHint;

pin_project! {
    /// A call of a predicate, with the item as its output or none.
    ///
    /// The future of an asynchronous closure borrows the closure and the item and has no name, so the
    /// call's future owns a share of the one and all of the other. It gives the share back, and the
    /// slot keeps that for the next call: cloned for each, it would cost as much as the call.
    pub(super) struct Tested<P, Fut> {
        #[pin]
        future: Fut,
        predicate: Option<Arc<P>>,
    }
}

impl<P, Fut> Tested<P, Fut> {
    /// Starts a call with the share that was left over, or with one more of `predicate`.
    #[inline]
    pub(super) fn new(
        leftover: Option<Arc<P>>,
        predicate: &Arc<P>,
        start: impl FnOnce(Arc<P>) -> Fut,
    ) -> Self {
        let share = leftover.unwrap_or_else(|| predicate.clone());
        Self { future: start(share), predicate: None }
    }
}

impl<P, Fut, T> Call for Tested<P, Fut>
where
    Fut: Future<Output = (Arc<P>, Option<T>)>,
{
    type Output = T;
    type Leftover = Option<Arc<P>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<T>> {
        let this = self.project();
        this.future.poll(cx).map(|(predicate, output)| {
            *this.predicate = Some(predicate);
            Step::Over(output)
        })
    }

    #[inline]
    fn leftover(self: Pin<&mut Self>) -> Option<Arc<P>> {
        self.project().predicate.take()
    }

    fn size_hint(&self) -> SizeHint {
        (0, Some(1))
    }
}
