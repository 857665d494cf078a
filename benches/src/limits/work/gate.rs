//! Semaphores, whosever they are.

use std::sync::Arc;

/// A semaphore.
pub(crate) trait Gate: 'static {
    const NAME: &'static str;

    type Permit<'a>;

    fn new(permits: usize) -> Self;

    fn acquire(&self) -> impl Future<Output = Self::Permit<'_>>;

    fn try_acquire(&self) -> Option<Self::Permit<'_>>;
}

/// Ours. A permit owns its share of the semaphore.
pub(crate) struct Flowlet(flowlet::Semaphore);

impl Gate for Flowlet {
    const NAME: &'static str = "flowlet";

    type Permit<'a> = flowlet::Permit;

    fn new(permits: usize) -> Self {
        Self(flowlet::Semaphore::new(permits))
    }

    fn acquire(&self) -> impl Future<Output = flowlet::Permit> {
        self.0.acquire()
    }

    fn try_acquire(&self) -> Option<flowlet::Permit> {
        self.0.try_acquire()
    }
}

/// tokio's, with permits that own their shares.
pub(crate) struct TokioOwned(Arc<tokio::sync::Semaphore>);

impl Gate for TokioOwned {
    const NAME: &'static str = "tokio, owned";

    type Permit<'a> = tokio::sync::OwnedSemaphorePermit;

    fn new(permits: usize) -> Self {
        Self(Arc::new(tokio::sync::Semaphore::new(permits)))
    }

    async fn acquire(&self) -> Self::Permit<'_> {
        self.0.clone().acquire_owned().await.expect("nobody closes it")
    }

    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// tokio's, with permits that borrow.
pub(crate) struct Tokio(tokio::sync::Semaphore);

impl Gate for Tokio {
    const NAME: &'static str = "tokio, borrowed";

    type Permit<'a> = tokio::sync::SemaphorePermit<'a>;

    fn new(permits: usize) -> Self {
        Self(tokio::sync::Semaphore::new(permits))
    }

    async fn acquire(&self) -> Self::Permit<'_> {
        self.0.acquire().await.expect("nobody closes it")
    }

    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.0.try_acquire().ok()
    }
}

/// async-lock's, with permits that borrow.
pub(crate) struct AsyncLock(async_lock::Semaphore);

impl Gate for AsyncLock {
    const NAME: &'static str = "async-lock, borrowed";

    type Permit<'a> = async_lock::SemaphoreGuard<'a>;

    fn new(permits: usize) -> Self {
        Self(async_lock::Semaphore::new(permits))
    }

    fn acquire(&self) -> impl Future<Output = Self::Permit<'_>> {
        self.0.acquire()
    }

    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.0.try_acquire()
    }
}

/// None at all: what the users take by themselves.
pub(crate) struct Open;

impl Gate for Open {
    const NAME: &'static str = "no limit";

    type Permit<'a> = ();

    fn new(_: usize) -> Self {
        Self
    }

    async fn acquire(&self) {}

    fn try_acquire(&self) -> Option<()> {
        Some(())
    }
}
