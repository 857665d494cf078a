use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Permit, Semaphore, Taker, Waiter};

/// Future returned by [`Semaphore::acquire`].
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
}

impl Acquire {
    pub(super) fn new(semaphore: Semaphore) -> Self {
        Self { waiter: Waiter::new(semaphore, Taker::Holder) }
    }
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        loop {
            if let Some(permit) = self.waiter.try_take(1) {
                return Poll::Ready(permit);
            }
            if self.waiter.wait(1, cx.waker()) {
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
