//! A world with a clock of its own, in which only sleeping takes time.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A clock, and everything that waits for it.
#[derive(Clone)]
pub(crate) struct World {
    start: Instant,
    now: Arc<AtomicU64>,
    alarms: Rc<RefCell<Alarms>>,
}

#[derive(Default)]
struct Alarms {
    /// When each alarm rings, in nanoseconds, and its number.
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    wakers: VecDeque<Option<Waker>>,

    /// The number of the first one in `wakers`.
    first: u64,
}

/// A future that the world runs.
pub(crate) type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl World {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), now: Arc::default(), alarms: Rc::default() }
    }

    /// Returns how long the world has existed.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }

    /// Returns its clock, for use on any thread.
    pub(crate) fn clock(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let (start, now) = (self.start, self.now.clone());
        move || start + Duration::from_nanos(now.load(Ordering::Relaxed))
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        let over = self.now() + duration;
        let mut is_set = false;
        poll_fn(|cx| {
            if self.now() >= over {
                return Poll::Ready(());
            }
            // Nobody polls this with two wakers here.
            if !is_set {
                is_set = true;
                self.alarms.borrow_mut().set(over.as_nanos() as u64, cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Runs the tasks for `duration`, and calls `look` whenever anything has happened.
    pub(crate) fn run(&self, duration: Duration, mut tasks: Vec<Task<'_>>, mut look: impl FnMut()) {
        let woken: Vec<Arc<Woken>> = tasks.iter().map(|_| Arc::default()).collect();
        let wakers: Vec<Waker> = woken.iter().map(|woken| woken.clone().into()).collect();
        loop {
            let mut any = false;
            for ((task, woken), waker) in tasks.iter_mut().zip(&woken).zip(&wakers) {
                if !woken.0.swap(true, Ordering::Relaxed) {
                    any = true;
                    let _ = task.as_mut().poll(&mut Context::from_waker(waker));
                }
            }
            look();
            if any {
                continue;
            }
            let next = self.alarms.borrow_mut().next();
            let Some((time, waker)) =
                next.filter(|(time, _)| u128::from(*time) < duration.as_nanos())
            else {
                return;
            };
            self.now.store(time, Ordering::Relaxed);
            waker.wake();
        }
    }
}

impl Alarms {
    fn set(&mut self, time: u64, waker: Waker) {
        let number = self.first + self.wakers.len() as u64;
        self.wakers.push_back(Some(waker));
        self.queue.push(Reverse((time, number)));
    }

    fn next(&mut self) -> Option<(u64, Waker)> {
        let Reverse((time, number)) = self.queue.pop()?;
        let waker = self.wakers[(number - self.first) as usize].take()?;
        while let Some(None) = self.wakers.front() {
            self.wakers.pop_front();
            self.first += 1;
        }
        Some((time, waker))
    }
}

/// Whether a task must not be polled again until it is woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(false, Ordering::Relaxed);
    }
}
