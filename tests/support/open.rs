//! Expansions that take a lock.

use futures_lite::{Stream, stream};

use super::lock::{Lock, Site};

/// A call that opens into two outputs, each of which takes the lock before it is there.
pub(crate) fn open<L: Lock>(site: &Site<L>, n: u32) -> impl Stream<Item = u32> + Send + use<L> {
    stream::unfold((site.clone(), site.begin(), 0), move |(site, running, made)| async move {
        if made == 2 {
            return None;
        }
        site.work(n + made).await;
        Some((n, (site, running, made + 1)))
    })
}
