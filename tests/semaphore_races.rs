//! A permit that is given back in the very moment in which another begins to wait is not missed.
//! Apart, because other tests at the same time would take the processors that a race needs.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use flowlet::prelude::*;
use flowlet::{Permit, Semaphore};
use futures_lite::stream;

#[allow(dead_code, reason = "other tests have use for the rest")]
mod support {
    pub(crate) mod waker;
    pub(crate) mod woken;
}

use support::waker::Task;

const ROUNDS: usize = 40_000;

/// What comes after all rounds.
const OVER: usize = usize::MAX;

/// How long a stream that begins a round waits, so that the other thread can be first.
const LEAD: usize = 50;

fn spin(times: usize) {
    (0..times).for_each(|_| spin_loop());
}

/// How often a thread looks before it makes way for others.
const MANY: u32 = 500;

/// Where there are too few processors for both threads a round takes long, and shows little. No outcome
/// depends on this, only how much is tried.
const LONG_ENOUGH: Duration = Duration::from_millis(800);

/// A permit, and another thread that gives it back.
struct Race {
    semaphore: Semaphore,
    given: Mutex<Option<Permit>>,
    begun: AtomicUsize,
    done: AtomicUsize,

    /// How long the other thread waits before it does so.
    delay: AtomicUsize,
}

impl Race {
    fn new() -> Self {
        Self {
            semaphore: Semaphore::new(1),
            given: Mutex::new(None),
            begun: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            delay: AtomicUsize::new(0),
        }
    }

    /// Waits until the other thread has come so far. It may need this processor for that.
    fn wait_until(&self, counter: &AtomicUsize, count: usize) {
        for spins in 1_u32.. {
            if counter.load(Ordering::Acquire) >= count {
                return;
            }
            if spins % MANY == 0 {
                thread::yield_now();
            } else {
                spin_loop();
            }
        }
    }

    /// Takes the permit and has the other thread give it back.
    fn begin(&self) {
        *self.given.lock().unwrap() = self.semaphore.try_acquire();
        self.begun.fetch_add(1, Ordering::Release);
        spin(LEAD);
    }

    /// Gives the permit back in every round.
    fn give_back(&self) {
        for round in 1.. {
            self.wait_until(&self.begun, round);
            if self.begun.load(Ordering::Relaxed) == OVER {
                return;
            }
            let permit = self.given.lock().unwrap().take();
            spin(self.delay.load(Ordering::Relaxed));
            drop(permit);
            self.done.store(round, Ordering::Release);
        }
    }

    /// Polls a stream once in each round, which begins as that is made or polled.
    fn run<S: Stream + Unpin>(&self, make: impl Fn() -> S) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _processors = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = thread::scope(|scope| {
            scope.spawn(|| self.give_back());
            let begun = Instant::now();
            let missed = (1..=ROUNDS)
                .find(|&round| begun.elapsed() < LONG_ENOUGH && !self.is_heard(round, make()));
            self.begun.store(OVER, Ordering::Release);
            missed
        });
        assert_eq!(missed, None, "the round in which it was missed");
    }

    /// Runs a round. Returns whether the stream, or its task, heard of the permit.
    fn is_heard<S: Stream + Unpin>(&self, round: usize, mut stream: S) -> bool {
        let task = Task::new();
        let polled = task.poll_next(&mut stream);
        let was_late = !task.is_woken();
        self.wait_until(&self.done, round);
        // Later and later, until it comes after the poll: so it comes at every point of that.
        let delay = self.delay.load(Ordering::Relaxed);
        let delay = if was_late { delay / 2 } else { delay + 1 };
        self.delay.store(delay, Ordering::Relaxed);
        polled.is_ready() || !task.settle(&mut stream).0.is_empty()
    }
}

#[test]
fn by_one_that_acquires() {
    let race = Race::new();
    race.run(|| {
        race.begin();
        Box::pin(stream::once_future(race.semaphore.acquire()))
    });
}

/// An item is pulled as a permit seems free, and its source takes that.
#[test]
fn by_a_stage() {
    let race = Race::new();
    race.run(|| {
        let source = stream::iter([7]).inspect(|_| race.begin());
        Box::pin(source.map_concurrent(&race.semaphore, async |n: u32| n))
    });
}
