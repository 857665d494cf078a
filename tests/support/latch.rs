//! Threads that wait until the test lets them go on.

use std::sync::{Arc, Condvar, Mutex};

/// Lets all threads pass once it was opened. Until then they block.
#[derive(Clone, Default)]
pub(crate) struct Latch {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Latch {
    pub(crate) fn open(&self) {
        let (open, opened) = &*self.state;
        *open.lock().unwrap() = true;
        opened.notify_all();
    }

    pub(crate) fn wait(&self) {
        let (open, opened) = &*self.state;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
    }
}
