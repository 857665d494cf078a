//! A server with a fixed number of workers. Calls beyond that queue.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::simulation::Scenario;
use super::world::World;

/// The calls, and who answers them.
pub(crate) struct Server {
    world: World,

    /// How many calls are answered at once: the knee.
    pub(crate) workers: Cell<usize>,

    /// How many times as long an answer takes now as at first.
    pub(crate) slowness: Cell<u32>,

    /// The range of the duration of an answer, in microseconds.
    micros: Range<u64>,

    /// How many calls may queue. Others are rejected.
    longest_queue: usize,

    busy: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Turn>>>,
    dice: Cell<u64>,
}

/// A call's place in the queue.
#[derive(Default)]
struct Turn {
    has_come: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// What a rejected call gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused;

/// How long a rejection takes.
const REFUSAL: Duration = Duration::from_millis(1);

impl Server {
    pub(crate) fn new(world: World, scenario: &Scenario, seed: u64) -> Self {
        let (from, to) = scenario.millis;
        Self {
            world,
            workers: Cell::new(scenario.knee),
            slowness: Cell::new(1),
            micros: 1000 * from..1000 * to,
            longest_queue: scenario.longest_queue,
            busy: Cell::new(0),
            queue: RefCell::default(),
            dice: Cell::new(seed),
        }
    }

    /// Waits for the answer to one call.
    pub(crate) async fn answer(&self) -> Result<(), Refused> {
        if self.busy.get() < self.workers.get() {
            self.busy.set(self.busy.get() + 1);
        } else if self.queue.borrow().len() < self.longest_queue {
            let turn = Rc::new(Turn::default());
            self.queue.borrow_mut().push_back(turn.clone());
            poll_fn(|cx| {
                if turn.has_come.get() {
                    return Poll::Ready(());
                }
                turn.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
        } else {
            self.world.sleep(REFUSAL).await;
            return Err(Refused);
        }
        let answer = Duration::from_micros(self.roll()) * self.slowness.get();
        self.world.sleep(answer).await;
        self.busy.set(self.busy.get() - 1);
        self.go_on();
        Ok(())
    }

    /// Assigns queued calls to free workers.
    pub(crate) fn go_on(&self) {
        while self.busy.get() < self.workers.get() {
            let Some(turn) = self.queue.borrow_mut().pop_front() else { return };
            self.busy.set(self.busy.get() + 1);
            turn.has_come.set(true);
            if let Some(waker) = turn.waker.take() {
                waker.wake();
            }
        }
    }

    /// How long the next answer takes: pseudo-random, and the same each time.
    fn roll(&self) -> u64 {
        // SplitMix64.
        let dice = self.dice.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.dice.set(dice);
        let mut mixed = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        self.micros.start + mixed % (self.micros.end - self.micros.start)
    }
}
