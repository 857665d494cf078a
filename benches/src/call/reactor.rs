//! A reactor for calls: it wakes from the thread that polls, between two polls of the root, in a
//! random but repeatable order.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// How many events are reported at once, at most.
const EVENTS: usize = 64;

thread_local! {
    static WAITING: RefCell<Waiting> = const {
        RefCell::new(Waiting { wakers: Vec::new(), random: 0 })
    };
}

struct Waiting {
    wakers: Vec<Waker>,
    random: u32,
}

impl Waiting {
    fn take_one(&mut self) -> Option<Waker> {
        if self.wakers.is_empty() {
            return None;
        }
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let index = (u64::from(self.random) * self.wakers.len() as u64) >> 32;
        Some(self.wakers.swap_remove(index as usize))
    }
}

/// Wakes up to 64 of the futures that wait.
pub fn turn() {
    for _ in 0..EVENTS {
        if !wake_one() {
            return;
        }
    }
}

/// Wakes one of the futures that wait, and tells whether there was one.
pub fn wake_one() -> bool {
    let waker = WAITING.with_borrow_mut(Waiting::take_one);
    waker.map(Waker::wake).is_some()
}

/// Makes room for so many futures that wait, so that none is made while something is measured.
pub fn reserve(calls: usize) {
    WAITING.with_borrow_mut(|waiting| waiting.wakers.reserve(calls));
}

/// Makes a future that is ready when the reactor has woken it.
pub fn woken() -> Woken {
    Woken { registered: false }
}

/// Future of [`woken`].
#[derive(Debug)]
pub struct Woken {
    registered: bool,
}

impl Future for Woken {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.registered {
            return Poll::Ready(());
        }
        self.registered = true;
        WAITING.with_borrow_mut(|waiting| waiting.wakers.push(cx.waker().clone()));
        Poll::Pending
    }
}
