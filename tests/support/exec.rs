//! An executor that knows a deadlock when it sees one: everything happens on one thread, so a root
//! that is pending, was not woken, and waits for nothing that could still fire, waits for ever.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_lite::future::yield_now;

use super::dice::Dice;
use super::waker::Task;

/// More polls than any pipeline here takes.
const MANY: usize = 100_000;

/// Why a future did not come to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// It is pending and nothing will ever wake it.
    Deadlock,
    /// It is polled again and again without getting anywhere.
    Livelock,
}

/// In which order the world fires its events.
#[derive(Clone, Copy)]
enum Order {
    FirstCome,
    LastCome,
    Any(Dice),
}

thread_local! {
    /// Who waits for the outside world, which is slow: it fires one only when all else is at rest.
    static WORLD: RefCell<VecDeque<Arc<Event>>> = const { RefCell::new(VecDeque::new()) };

    /// Which of them is fired next.
    static ORDER: Cell<Order> = const { Cell::new(Order::FirstCome) };
}

/// Runs `root` to its end, polling it only when it was woken.
///
/// The world fires its events first come first served with seed 0, last come first served with
/// seed 1, and else in an order that depends on the seed alone.
pub(crate) fn run<F: Future>(seed: u64, root: F) -> Result<F::Output, Stall> {
    WORLD.with_borrow_mut(VecDeque::clear);
    ORDER.set(match seed {
        0 => Order::FirstCome,
        1 => Order::LastCome,
        seed => Order::Any(Dice::new(seed)),
    });
    let happen = || next_event().inspect(|event| event.fire()).is_some();
    drive(&Task::new(), pin!(root), MANY, || true, happen).1
}

/// Polls `root` when it was woken and `may` be polled, and else lets something `happen`. Returns how
/// often it was polled, which is no more than `most`, and what it gave.
pub(crate) fn drive<F: Future + ?Sized>(
    task: &Task,
    mut root: Pin<&mut F>,
    most: usize,
    may: impl Fn() -> bool,
    happen: impl Fn() -> bool,
) -> (usize, Result<F::Output, Stall>) {
    let mut polls = 0;
    while polls < most {
        if task.is_woken() && may() {
            polls += 1;
            if let Poll::Ready(output) = task.poll(&mut root) {
                return (polls, Ok(output));
            }
        } else if !happen() && !task.is_woken() {
            return (polls, Err(Stall::Deadlock));
        }
    }
    (polls, Err(Stall::Livelock))
}

fn next_event() -> Option<Arc<Event>> {
    WORLD.with_borrow_mut(|world| match ORDER.get() {
        Order::FirstCome => world.pop_front(),
        Order::LastCome => world.pop_back(),
        Order::Any(mut dice) => {
            let index = dice.roll(world.len().max(1));
            ORDER.set(Order::Any(dice));
            world.swap_remove_back(index)
        }
    })
}

/// Something that the world does once.
#[derive(Default)]
struct Event {
    fired: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Event {
    fn fire(&self) {
        self.fired.store(true, Ordering::Relaxed);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

/// Waits for the outside world.
#[derive(Default)]
struct Wait(Option<Arc<Event>>);

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let event = self.0.get_or_insert_with(|| {
            let event = Arc::new(Event::default());
            WORLD.with_borrow_mut(|world| world.push_back(event.clone()));
            event
        });
        if event.fired.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        *event.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Takes so many turns of waiting, some for the outside world, some only for the next poll.
pub(crate) async fn rest(turns: u32) {
    for turn in 0..turns {
        if (turns + turn) % 3 == 0 {
            yield_now().await;
        } else {
            Wait::default().await;
        }
    }
}
