//! Threads of a pool that are kept busy.

use std::future::Future;
use std::sync::mpsc;

use flowlet::{ThreadPool, in_pool};

use super::latch::Latch;
use super::once::poll;

/// Keeps a thread of the pool busy until the latch is opened.
pub(crate) fn block(pool: &ThreadPool, latch: &Latch) -> impl Future<Output = ()> + Unpin + use<> {
    let (begun, has_begun) = mpsc::channel();
    let latch = latch.clone();
    let mut call = in_pool(pool, move |()| {
        begun.send(()).unwrap();
        latch.wait();
    })(());
    assert!(poll(&mut call).is_pending());
    has_begun.recv().unwrap();
    call
}
