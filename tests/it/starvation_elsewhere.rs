//! Where someone else's adaptor keeps a stage from being polled, a shared lock does deadlock, as the
//! documentation says. Nothing else goes wrong: nothing is lost, bounds stand, no wake is missed.
//! And the same shapes on `buffer_unordered` show that the tests of starvation can fail.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use flowlet::prelude::*;
use futures_lite::stream::Boxed;
use futures_lite::{future, stream};
use futures_util::stream::{select, select_all};
use futures_util::{self as util, FutureExt};

use crate::support::exec::{Stall, run};
use crate::support::lock::{Fair, HABITS, Habit, Lock, Site, with_each_lock};
use crate::support::open::open;
use crate::support::window::Window;

/// By its path, because the trait's other methods have the names of those of the prelude.
fn buffer_unordered<S>(calls: S, limit: usize) -> util::stream::BufferUnordered<S>
where
    S: Stream<Item: Future>,
{
    util::StreamExt::buffer_unordered(calls, limit)
}

with_each_lock!(
    buffer_unordered_deadlocks,
    flatten_unordered_deadlocks,
    buffer_unordered_deadlocks_in_a_loop,
    what_to_use_instead,
    nothing_else_goes_wrong,
);

fn buffer_unordered_deadlocks<L: Lock>() {
    for (first, second) in [(4, 1), (2, 1), (16, 1)] {
        let lock = L::new();
        let (a, b) = (Site::new(&lock, Habit::First), Site::new(&lock, Habit::First));
        let theirs = buffer_unordered(stream::iter(0..30).map(|n| a.call(n)), first);
        let theirs = buffer_unordered(theirs.map(|n| b.call(n)), second);
        assert_eq!(run(0, theirs.count()), Err(Stall::Deadlock), "{first} {second}");

        let ours = pipe(0..30).map_concurrent(first, |n| a.call(n));
        let ours = ours.map_concurrent(second, |n| b.call(n));
        // The calls that were dropped with the pipeline gave the lock back.
        assert_eq!(run(0, ours.count()), Ok(30));
    }
}

fn flatten_unordered_deadlocks<L: Lock>() {
    let lock = L::new();
    let (a, b) = (Site::new(&lock, Habit::First), Site::new(&lock, Habit::First));
    let theirs = stream::iter(0..30).map(|n| open(&a, n).boxed_local());
    let theirs = util::StreamExt::flatten_unordered(theirs, 4).map(|n| b.call(n));
    assert_eq!(run(0, buffer_unordered(theirs, 1).count()), Err(Stall::Deadlock));

    let ours = pipe(0..30).flat_map_concurrent(4, |n| open(&a, n));
    assert_eq!(run(0, ours.map_concurrent(1, |n| b.call(n)).count()), Ok(60));
}

fn buffer_unordered_deadlocks_in_a_loop<L: Lock>() {
    let lock = L::new();
    let site = Site::new(&lock, Habit::First);
    let looped = run(0, async {
        let mut numbers = buffer_unordered(stream::iter(0..30).map(|n| site.call(n)), 4);
        while let Some(n) = numbers.next().await {
            site.call(n).await;
        }
    });
    assert_eq!(looped, Err(Stall::Deadlock));
}

/// What the executor of these tests calls a deadlock is one: in the real world nothing comes out
/// before a deadline either.
#[test]
fn a_deadlock_is_a_deadlock() {
    fn hangs(pipeline: impl Future<Output = usize> + Send + 'static) -> bool {
        let (sender, receiver) = channel();
        thread::spawn(move || sender.send(future::block_on(pipeline)));
        receiver.recv_timeout(Duration::from_millis(300)) == Err(RecvTimeoutError::Timeout)
    }

    /// Nothing but the next poll is waited for, so that any executor will do.
    async fn call(lock: Fair, n: u32) -> u32 {
        let guard = lock.hold().await;
        future::yield_now().await;
        future::yield_now().await;
        drop(guard);
        n
    }

    let theirs = || {
        let lock = Fair::new();
        let (a, b) = (lock.clone(), lock);
        let above = stream::iter(0..30).map(move |n| call(a.clone(), n));
        let above = buffer_unordered(above, 4).map(move |n| call(b.clone(), n));
        buffer_unordered(above, 1).count()
    };
    let ours = || {
        let lock = Fair::new();
        let (a, b) = (lock.clone(), lock);
        let above = pipe(0..30).map_concurrent(4, move |n| call(a.clone(), n));
        above.map_concurrent(1, move |n| call(b.clone(), n)).count()
    };
    assert_eq!(run(0, theirs()), Err(Stall::Deadlock));
    assert!(hangs(theirs()));

    assert_eq!(run(0, ours()), Ok(30));
    // Success must not depend on the clock.
    assert_eq!(future::block_on(ours()), 30);
}

/// Someone else's ways from a stage to the next that do not poll the stage at times: while a future
/// of their own waits, while an item of theirs waits, or while a waker of their own was not woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Then,
    Filter,
    BufferUnordered,
    /// Hands out an item of the source while the stage is kept from handing on.
    OrSource,
    SelectSource,
    /// Asks for nothing while it has items left.
    FlatMap,
    /// Does not poll one stage while it waits for the other.
    ZipStages,
    /// Polls with wakers of its own, and only what was woken.
    SelectAll,
}

use Way::{BufferUnordered, Filter, FlatMap, OrSource, SelectAll, SelectSource, Then, ZipStages};

const WAYS: [Way; 8] =
    [Then, Filter, BufferUnordered, OrSource, SelectSource, FlatMap, ZipStages, SelectAll];

impl Way {
    /// Whether the numbers come together with as many that are 1000 higher.
    fn doubles(self) -> bool {
        matches!(self, OrSource | SelectSource | FlatMap | SelectAll)
    }

    /// How many items have room in it.
    fn room(self) -> usize {
        match self {
            BufferUnordered => 3,
            // The number that is being doubled, and an item that waits for the next stage because it
            // came unasked.
            FlatMap => 2,
            // What the other stage holds.
            SelectAll => 2,
            ZipStages => 3,
            Then | Filter | OrSource | SelectSource => 1,
        }
    }
}

/// A stage, one of the [`Way`]s, and another stage.
struct Between<L> {
    sites: [Site<L>; 3],
    window: Window,
}

impl<L: Lock> Between<L> {
    /// Each with a lock of its own.
    fn apart(habit: Habit) -> Self {
        Self { sites: [(); 3].map(|()| Site::new(&L::new(), habit)), window: Window::default() }
    }

    /// All with the same lock.
    fn sharing(habit: Habit) -> Self {
        let lock = L::new();
        Self { sites: [(); 3].map(|()| Site::new(&lock, habit)), window: Window::default() }
    }

    fn theirs(&self, way: Way, above: Boxed<u32>) -> Boxed<u32> {
        let site = self.sites[2].clone();
        let more = self.window.source(30).map(|n| n + 1000);
        match way {
            Then => util::StreamExt::then(above, move |n| site.call(n)).boxed(),
            Filter => util::StreamExt::filter(above, move |n| site.call(*n).map(|_| true)).boxed(),
            BufferUnordered => buffer_unordered(above.map(move |n| site.call(n)), 3).boxed(),
            OrSource => above.or(more.chain(stream::pending())).take(60).boxed(),
            SelectSource => select(above, more).boxed(),
            FlatMap => above.flat_map(|n| stream::iter([n, n + 1000])).boxed(),
            ZipStages => {
                let second = self.window.source(30).map_concurrent(2, move |n| site.call(n));
                let window = self.window.clone();
                let leave = move |n| {
                    window.leave();
                    n
                };
                above.zip(second).map(move |(n, _)| leave(n)).boxed()
            }
            SelectAll => {
                select_all([above, more.map_concurrent(2, move |n| site.call(n)).boxed()]).boxed()
            }
        }
    }

    /// What the documentation says to do instead.
    fn ours(&self, way: Way, above: Boxed<u32>) -> Boxed<u32> {
        let site = self.sites[2].clone();
        let more = self.window.source(30).map(|n| n + 1000);
        match way {
            Then => above.map_concurrent(1, move |n| site.call(n)).boxed(),
            Filter => {
                above.filter_concurrent(1, async move |n: &u32| site.call(*n).await == *n).boxed()
            }
            BufferUnordered => above.map_concurrent(3, move |n| site.call(n)).boxed(),
            OrSource => above.or(more.driven().chain(stream::pending())).take(60).boxed(),
            SelectSource => select(above, more.driven()).boxed(),
            FlatMap => above.flat_map_concurrent(1, |n| [n, n + 1000]).boxed(),
            ZipStages => {
                let window = self.window.clone();
                let leave = move |n| {
                    window.leave();
                    n
                };
                let both = above.zip(self.window.source(30)).map(move |(n, _)| leave(n));
                both.map_concurrent(2, move |n| site.call(n)).boxed()
            }
            SelectAll => select(above, more.map_concurrent(2, move |n| site.call(n))).boxed(),
        }
    }

    /// Runs a stage, what `between` makes of it, and another stage; and checks the bounds.
    fn run(
        &self,
        (first, second): (usize, usize),
        seed: u64,
        way: Way,
        between: impl FnOnce(&Self, Way, Boxed<u32>) -> Boxed<u32>,
    ) -> Result<Vec<u32>, Stall> {
        let (a, b) = (self.sites[0].clone(), self.sites[1].clone());
        let above = self.window.source(30).map_concurrent(first, move |n| a.call(n)).boxed();
        let pipeline = between(self, way, above).map_concurrent(second, |n| b.call(n));
        let ran = run(seed, pipeline.inspect(|n| self.leave(way, *n)).collect::<Vec<u32>>());
        let limits = [first, second, 3];
        assert!(self.sites.iter().zip(limits).all(|(site, limit)| site.peak() <= limit));
        let room = first + way.room() + second;
        assert!(self.window.peak().unsigned_abs() <= room, "{way:?} {first} {second}");
        ran
    }

    fn leave(&self, way: Way, n: u32) {
        // One number became two, and leaves once.
        if way != FlatMap || n < 1000 {
            self.window.leave();
        }
    }
}

/// A call of the stage above has the lock and stands still.
#[test]
fn adaptors_that_do_not_poll_upstream_deadlock() {
    for way in WAYS {
        let between = Between::<Fair>::sharing(Habit::First);
        let ran = between.run((4, 1), 0, way, Between::theirs);
        assert_eq!(ran, Err(Stall::Deadlock), "{way:?}");
    }
}

/// `select` does not ask its first stream when the second one had its turn and gave an item. That
/// must not count as "no stage above".
#[test]
fn select_asks_one_stream_at_a_time() {
    for habit in HABITS {
        let lock = Fair::new();
        let (a, b) = (Site::new(&lock, habit), Site::new(&lock, Habit::First));
        let above = pipe(0..30).map_concurrent(2, |n| a.call(n));
        let pipeline = select(above, stream::iter([1000, 1001])).map_concurrent(2, |n| b.call(n));
        assert_eq!(run(0, pipeline.count()), Ok(32));
    }
}

fn what_to_use_instead<L: Lock>() {
    each(|limits, habit, seed, way| {
        let between = Between::<L>::sharing(habit);
        assert_numbers(between.run(limits, seed, way, Between::ours), way);
    });
}

fn nothing_else_goes_wrong<L: Lock>() {
    each(|limits, habit, seed, way| {
        let between = Between::<L>::apart(habit);
        assert_numbers(between.run(limits, seed, way, Between::theirs), way);
    });
}

fn each(mut test: impl FnMut((usize, usize), Habit, u64, Way)) {
    for limits in [(1, 1), (1, 4), (4, 1), (2, 3), (16, 2), (3, 16)] {
        for habit in HABITS {
            for seed in [0, 1, 37] {
                for way in WAYS {
                    test(limits, habit, seed, way);
                }
            }
        }
    }
}

/// Checks that all numbers that [`Between`] has to give are there.
#[track_caller]
fn assert_numbers(outputs: Result<Vec<u32>, Stall>, way: Way) {
    let mut outputs = outputs.unwrap_or_else(|stall| panic!("{stall:?}: {way:?}"));
    outputs.sort_unstable();
    let more = if way.doubles() { 1000..1030 } else { 0..0 };
    assert_eq!(outputs, Vec::from_iter((0..30).chain(more)), "{way:?}");
}
