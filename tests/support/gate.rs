//! Calls that wait until the test lets them go on.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Is passed by those that wait, and by those that come later, once it was opened.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    open: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    /// Opens the gate, from any thread.
    pub(crate) fn open(&self) {
        let mut state = self.state.lock().unwrap();
        state.open = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until the gate is open.
    pub(crate) fn passed(&self) -> Passed {
        Passed(self.clone())
    }
}

/// Future of [`Gate::passed`].
pub(crate) struct Passed(Gate);

impl Future for Passed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state.lock().unwrap();
        if state.open {
            return Poll::Ready(());
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}
