//! A reactor for calls: it wakes from the thread that polls, between two polls of the root, in a
//! random but repeatable order.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// How many events are reported at once, at most.
const EVENTS: usize = 64;

/// How many turns in a row no further future has to come before the first one is woken.
const CALM: usize = 16;

thread_local! {
    static WAITING: RefCell<Waiting> = const {
        RefCell::new(Waiting { wakers: Vec::new(), random: 0, most: 0, calm: CALM })
    };
}

struct Waiting {
    wakers: Vec<Waker>,
    random: u32,
    /// The most that waited so far in this run, and for how many turns.
    most: usize,
    calm: usize,
}

impl Waiting {
    /// Tells whether as many wait as will, some of them since the last turns.
    fn is_full(&mut self) -> bool {
        if self.calm < CALM {
            let more = self.wakers.len() > self.most;
            self.calm = if more { 0 } else { self.calm + 1 };
            self.most = self.wakers.len();
        }
        self.calm == CALM
    }

    fn take_one(&mut self) -> Option<Waker> {
        if self.wakers.is_empty() {
            return None;
        }
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let index = (u64::from(self.random) * self.wakers.len() as u64) >> 32;
        Some(self.wakers.swap_remove(index as usize))
    }
}

/// Begins a run, in which none is woken before as many wait as will: so that as many are in flight as
/// the workload says, however many a contender starts at once.
pub fn begin() {
    WAITING.with_borrow_mut(|waiting| (waiting.most, waiting.calm) = (0, 0));
}

/// Wakes up to 64 of the futures that wait.
pub fn turn() {
    if !WAITING.with_borrow_mut(Waiting::is_full) {
        return;
    }
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
