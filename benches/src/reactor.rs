use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How many events a reactor reports at once, at most.
const EVENTS: usize = 64;

/// Wakes futures from the thread that polls them, in a random but repeatable order, as a reactor
/// does between two polls of the root.
#[derive(Clone, Default, Debug)]
pub struct Reactor {
    shared: Rc<RefCell<Shared>>,
}

#[derive(Default, Debug)]
struct Shared {
    wakers: Vec<Waker>,
    random: u32,
}

impl Reactor {
    /// Makes a future that is ready when the reactor has woken it once.
    pub fn woken_once(&self) -> WokenOnce {
        WokenOnce { reactor: self.clone(), registered: false }
    }

    /// Wakes up to 64 of the futures that wait.
    pub fn turn(&self) {
        for _ in 0..EVENTS {
            let mut shared = self.shared.borrow_mut();
            if shared.wakers.is_empty() {
                return;
            }
            shared.random = shared.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let index = (shared.random >> 8) as usize % shared.wakers.len();
            let waker = shared.wakers.swap_remove(index);
            drop(shared);
            waker.wake();
        }
    }
}

/// Future of [`Reactor::woken_once`].
#[derive(Debug)]
pub struct WokenOnce {
    reactor: Reactor,
    registered: bool,
}

impl Future for WokenOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.registered {
            return Poll::Ready(());
        }
        self.registered = true;
        self.reactor.shared.borrow_mut().wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

/// A future that wakes itself at its first poll, and is ready at its second.
#[derive(Default, Debug)]
pub struct YieldOnce {
    yielded: bool,
}

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
