use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{CountedBy, Permit, Semaphore, Waiter};

/// Future returned by [`Semaphore::acquire`] and [`Semaphore::acquire_many`].
///
/// # Examples
///
/// ```
/// use flowlet::{Permit, Semaphore};
///
/// # futures_lite::future::block_on(async {
/// let semaphore = Semaphore::new(1);
/// let acquire: flowlet::Acquire = semaphore.acquire();
/// let permit: Permit = acquire.await;
/// # drop(permit);
/// # });
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Acquire {
    waiter: Waiter,
    permits: usize,
}

impl Acquire {
    pub(super) fn new(semaphore: Semaphore, permits: usize) -> Self {
        Self { waiter: Waiter::new(semaphore, CountedBy::Permits), permits }
    }
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let Self { waiter, permits } = &mut *self;
        loop {
            if let Some(permit) = waiter.try_take(*permits) {
                return Poll::Ready(permit);
            }
            if waiter.wait(*permits, cx.waker()) {
                return Poll::Pending;
            }
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let semaphore = self.waiter.semaphore();
        f.debug_struct("Acquire").field("semaphore", semaphore).finish_non_exhaustive()
    }
}
