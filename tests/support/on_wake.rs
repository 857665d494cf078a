//! Wakers that do something of the test's own.

use std::sync::Arc;
use std::task::{Wake, Waker};

/// Makes a waker that calls `f`, and drops it with the last of its clones.
pub(crate) fn on_wake(f: impl Fn() + Send + Sync + 'static) -> Waker {
    struct OnWake<F>(F);

    impl<F: Fn() + Send + Sync + 'static> Wake for OnWake<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    Arc::new(OnWake(f)).into()
}
