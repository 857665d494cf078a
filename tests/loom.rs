//! The lock-free parts, in every interleaving and with every reordering that the memory model
//! allows, as far as loom can go.
//!
//! The engine's own files are compiled into this test, with loom's atomics in place of std's. No
//! thread is ever parked: a wake is a relaxed store, so that nothing but the code under test makes
//! what happened before a wake visible to the poll that answers it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::{Stream, stream};
use futures_task::ArcWake;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use self::concurrency::Concurrency;
use self::engine::{Call, Engine, Step};
use self::entry::Shared;
use self::handle::{Outcome, task};
use self::ready::{NONE, Signals, SlotSignal};
use self::semaphore::{Acquire, Permit, Semaphore};

#[allow(dead_code, unreachable_pub)]
#[path = "../src/concurrency.rs"]
mod concurrency;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/dropped.rs"]
mod dropped;
#[allow(dead_code, unreachable_pub, unused_imports, unused_macros, clippy::duplicate_mod)]
#[path = "../src/engine/mod.rs"]
mod engine;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/stage/entry.rs"]
mod entry;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/event.rs"]
mod event;
#[allow(dead_code)]
#[path = "../src/place/handle.rs"]
mod handle;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/panics.rs"]
mod panics;
#[allow(dead_code, unreachable_pub, clippy::duplicate_mod)]
#[path = "../src/engine/ready.rs"]
mod ready;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/semaphore/mod.rs"]
mod semaphore;
#[path = "../src/size_hint.rs"]
mod size_hint;

/// Nobody looks here.
#[cfg(feature = "monitor")]
#[allow(dead_code)]
mod monitor {
    use std::sync::Arc;

    use super::event::Event;

    pub(crate) struct Watched;

    pub(crate) struct Recorder;

    impl Watched {
        pub(crate) fn recorder(self: &Arc<Self>) -> Recorder {
            Recorder
        }
    }

    impl Recorder {
        pub(crate) fn record(&mut self, _event: Event) {}
    }
}

/// What `src/sync.rs` gives the crate, made of loom's parts.
mod sync {
    use std::task::Waker;

    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    /// Few enough to be reached here.
    pub(crate) const MANY_WAKES: usize = 8;

    /// What one execution leaves must not get into the next.
    pub(crate) const SPARE_SIGNALS: usize = 0;

    const WAITING: usize = 0;
    const REGISTERING: usize = 1;
    const WAKING: usize = 2;

    /// The algorithm of `atomic_waker::AtomicWaker`, with the same orderings.
    #[derive(Debug)]
    pub(crate) struct AtomicWaker {
        state: AtomicUsize,
        // The algorithm allows one thread at a time in here; that is checked.
        waker: std::sync::Mutex<Option<Waker>>,
    }

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self { state: AtomicUsize::new(WAITING), waker: std::sync::Mutex::new(None) }
        }

        pub(crate) fn register(&self, waker: &Waker) {
            let state = self.state.compare_exchange(
                WAITING,
                REGISTERING,
                Ordering::Acquire,
                Ordering::Acquire,
            );
            match state.unwrap_or_else(|state| state) {
                WAITING => {
                    *self.waker.try_lock().unwrap() = Some(waker.clone());
                    let registered = self.state.compare_exchange(
                        REGISTERING,
                        WAITING,
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    );
                    if registered.is_err() {
                        let waker = self.waker.try_lock().unwrap().take().unwrap();
                        self.state.swap(WAITING, Ordering::AcqRel);
                        waker.wake();
                    }
                }
                WAKING => waker.wake_by_ref(),
                _ => unreachable!("only the stage registers"),
            }
        }

        pub(crate) fn wake(&self) {
            if let Some(waker) = self.take() {
                waker.wake();
            }
        }

        pub(crate) fn take(&self) -> Option<Waker> {
            if self.state.fetch_or(WAKING, Ordering::AcqRel) != WAITING {
                return None;
            }
            let waker = self.waker.try_lock().unwrap().take();
            self.state.fetch_and(!WAKING, Ordering::Release);
            waker
        }
    }
}

/// Runs a model in all interleavings with at most `preemptions` preemptions.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// Whoever polls the stage: remembers that it was woken, and makes nothing visible by it.
struct Poller(AtomicBool);

impl Poller {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(false)))
    }

    fn was_woken(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Poller {
    fn wake(self: Arc<Self>) {
        // A plain store might end up before an earlier `was_woken` in the modification order.
        self.0.swap(true, Ordering::Relaxed);
    }
}

/// Something that happens once, on another thread. Nothing but the wake that follows orders it.
#[derive(Clone)]
struct Happening(Arc<Inner>);

struct Inner {
    happened: AtomicBool,
    /// Given away once, before the thread that uses it is spawned.
    waker: Mutex<Option<Waker>>,
}

impl Happening {
    fn new() -> Self {
        let happened = AtomicBool::new(false);
        Self(Arc::new(Inner { happened, waker: Mutex::new(None) }))
    }

    fn happened(&self) -> bool {
        self.0.happened.load(Ordering::Relaxed)
    }

    /// What a future or a stream does when it waits for it.
    fn poll(&self, cx: &Context<'_>) -> bool {
        self.0.waker.lock().unwrap().get_or_insert_with(|| cx.waker().clone());
        self.happened()
    }

    fn waker(&self) -> Waker {
        self.0.waker.lock().unwrap().clone().expect("it is waited for")
    }

    /// Lets it happen, then wakes.
    fn happen(&self, waker: &Waker) {
        self.0.happened.store(true, Ordering::Relaxed);
        waker.wake_by_ref();
    }

    /// Lets it happen on a thread of its own.
    fn spawn(&self) -> thread::JoinHandle<()> {
        let (this, waker) = (self.clone(), self.waker());
        thread::spawn(move || this.happen(&waker))
    }
}

/// A call that is over when all of its happenings have happened, and gives its number.
struct Waits {
    number: usize,
    all: Vec<Happening>,
}

impl Call for Waits {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<usize>> {
        // All are polled, none short-circuits.
        let missing = self.all.iter().filter(|one| !one.poll(cx)).count();
        if missing == 0 { Poll::Ready(Step::Last(self.number)) } else { Poll::Pending }
    }
}

/// A stage whose items are the numbers of its calls, with who polls it.
struct Stage<S: Stream, C: Call, F> {
    engine: Engine<S, S::Item, C, C::Output>,
    start: F,
    poller: Arc<Poller>,
    outputs: Vec<C::Output>,
    over: bool,
}

impl<S, C, F> Stage<S, C, F>
where
    S: Stream + Unpin,
    C: Call,
    F: FnMut(S::Item) -> C,
{
    fn new(upstream: S, limit: impl Into<Concurrency>, start: F) -> Self {
        let engine = Engine::new(upstream, limit.into());
        Self { engine, start, poller: Poller::new(), outputs: Vec::new(), over: false }
    }

    /// Polls until it is pending or over.
    fn run(&mut self) {
        let waker = Waker::from(self.poller.clone());
        let mut cx = Context::from_waker(&waker);
        while !self.over {
            match Pin::new(&mut self.engine).poll_next(&mut cx, engine::start(&mut self.start)) {
                Poll::Ready(Some(output)) => self.outputs.push(output),
                Poll::Ready(None) => self.over = true,
                Poll::Pending => break,
            }
        }
    }

    /// Polls, at a moment that loom picks, whether it was woken or not.
    fn run_any_time(&mut self) {
        self.poller.was_woken();
        self.run();
    }

    /// With all that was to happen behind: a stage that is not over must have been woken.
    fn finish(&mut self) {
        while !self.over {
            assert!(self.poller.was_woken(), "a wake was lost");
            self.run();
        }
    }
}

/// A stage with one call, which waits until all of these have happened.
fn waiting_stage(
    happenings: &[Happening],
) -> Stage<impl Stream<Item = usize> + Unpin + use<>, Waits, impl FnMut(usize) -> Waits + use<>> {
    let all = happenings.to_vec();
    let start = move |number| Waits { number, all: all.clone() };
    let mut stage = Stage::new(stream::iter(0..1), 1, start);
    stage.run();
    stage
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn wake_of_each_call_is_answered() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let calls = happenings.clone();
        let mut stage = Stage::new(stream::iter(0..2), 2, |number| Waits {
            number,
            all: vec![calls[number].clone()],
        });
        stage.run();
        let threads = happenings.map(|one| one.spawn());
        stage.run_any_time();
        join(threads);
        stage.finish();
        stage.outputs.sort();
        assert_eq!(stage.outputs, [0, 1]);
    });
}

#[test]
fn wakes_while_a_call_is_polled_are_answered() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let mut stage = waiting_stage(&happenings);
        let threads = happenings.map(|one| one.spawn());
        stage.run_any_time();
        stage.run_any_time();
        join(threads);
        stage.finish();
        assert_eq!(stage.outputs, [0]);
    });
}

/// Polls only when woken, as executors do.
#[test]
fn wake_reaches_a_poller_that_waits() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let mut stage = waiting_stage(&happenings);
        let threads = happenings.map(|one| one.spawn());
        for _ in 0..3 {
            thread::yield_now();
            if stage.poller.was_woken() {
                stage.run();
            }
        }
        join(threads);
        stage.finish();
        assert_eq!(stage.outputs, [0]);
    });
}

/// A stage may be polled by another task than before: its wakes go there.
#[test]
fn wake_reaches_whoever_polled_last() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let mut stage = waiting_stage(&happenings);
        let threads = happenings.map(|one| one.spawn());
        for _ in 0..2 {
            stage.poller = Poller::new();
            stage.run();
        }
        join(threads);
        stage.finish();
        assert_eq!(stage.outputs, [0]);
    });
}

#[test]
fn first_woken_is_first_polled() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new(), Happening::new()];
        let calls = happenings.clone();
        let mut stage = Stage::new(stream::iter(0..3), 3, |number| Waits {
            number,
            all: vec![calls[number].clone()],
        });
        stage.run();
        let [first, second, other] = happenings.clone();
        let wakers = [first.waker(), second.waker()];
        let in_order = thread::spawn(move || {
            second.happen(&wakers[1]);
            first.happen(&wakers[0]);
        });
        let other = other.spawn();
        stage.run_any_time();
        join([in_order, other]);
        stage.finish();
        let place = |number| stage.outputs.iter().position(|output| *output == number);
        assert!(place(1) < place(0), "{:?}", stage.outputs);
    });
}

/// The order across threads: what was woken before, in the sense of "happens before", is first.
#[test]
fn first_woken_on_another_thread_is_first_polled() {
    explore(3, || {
        let signals = Signals::new();
        let slots = [0, 1].map(|index| {
            let slot = Arc::new(SlotSignal::new(signals.clone(), index));
            assert!(!slot.end(slot.begin()));
            slot
        });
        let told = Arc::new(AtomicBool::new(false));
        let first = {
            let (slot, told) = (slots[1].clone(), told.clone());
            thread::spawn(move || {
                slot.wake();
                told.store(true, Ordering::Release);
            })
        };
        let second = {
            let slot = slots[0].clone();
            thread::spawn(move || {
                if told.load(Ordering::Acquire) {
                    slot.wake();
                }
            })
        };
        let mut taken = take_all(&signals, &slots);
        join([first, second]);
        taken.extend(take_all(&signals, &slots));
        assert!(taken == [1] || taken == [1, 0], "{taken:?}");
    });
}

/// Takes what was woken, oldest first.
fn take_all(signals: &Signals, slots: &[Arc<SlotSignal>]) -> Vec<u32> {
    let mut taken = Vec::new();
    let mut index = signals.take();
    while index != NONE {
        assert!(taken.len() < slots.len(), "the list has a loop");
        taken.push(index);
        index = slots[index as usize].next();
    }
    taken.reverse();
    taken
}

#[test]
fn slot_is_listed_once_however_often_woken() {
    explore(3, || {
        let signals = Signals::new();
        let slots = [0, 1].map(|index| {
            let slot = Arc::new(SlotSignal::new(signals.clone(), index));
            assert!(!slot.end(slot.begin()));
            slot
        });
        let threads = [(0, 1), (1, 0)].map(|(one, other)| {
            let (one, other) = (slots[one].clone(), slots[other].clone());
            thread::spawn(move || {
                one.clone().wake();
                other.wake();
                one.wake();
            })
        });
        // Nothing is resumed, so each is taken once in all.
        let mut taken = take_all(&signals, &slots);
        join(threads);
        taken.extend(take_all(&signals, &slots));
        taken.sort();
        assert_eq!(taken, [0, 1]);
    });
}

/// What the stage wrote into its list before a poll does not come back after a later wake.
#[test]
fn only_woken_calls_are_polled() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let polls = Arc::new([(); 2].map(|()| std::sync::atomic::AtomicUsize::new(0)));
        let (calls, counted) = (happenings.clone(), polls.clone());
        let mut stage = Stage::new(stream::iter(0..2), 2, move |number| Counted {
            polls: counted.clone(),
            call: Waits { number, all: vec![calls[number].clone()] },
        });
        stage.run();
        let wakers = happenings.each_ref().map(Happening::waker);
        let go = Arc::new(AtomicBool::new(false));
        let waking = {
            let (go, waker) = (go.clone(), wakers[0].clone());
            thread::spawn(move || {
                if go.load(Ordering::Relaxed) {
                    waker.wake();
                }
            })
        };
        // Now the first is linked to the second.
        wakers.iter().for_each(Waker::wake_by_ref);
        stage.run_any_time();
        go.store(true, Ordering::Relaxed);
        stage.run_any_time();
        join([waking]);
        stage.run_any_time();
        let polls = polls.each_ref().map(|polls| polls.load(Ordering::Relaxed));
        assert!(polls[0] <= 3 && polls[1] == 2, "{polls:?}");
    });
}

/// A call whose polls are counted.
struct Counted {
    polls: Arc<[std::sync::atomic::AtomicUsize; 2]>,
    call: Waits,
}

impl Call for Counted {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<usize>> {
        self.polls[self.call.number].fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.call).poll(cx)
    }
}

/// What is listed again after it was taken and polled is a new wake, and none is lost.
#[test]
fn slot_is_listed_again_after_it_was_polled() {
    // Also where the count of wakes starts over.
    for before in [0, sync::MANY_WAKES - 2, sync::MANY_WAKES - 1] {
        explore(3, move || listed_again_after(before));
    }
}

fn listed_again_after(wakes_before: usize) {
    let signals = Signals::new();
    let slot = Arc::new(SlotSignal::new(signals.clone(), 0));
    assert!(!slot.end(slot.begin()));
    (0..wakes_before).for_each(|_| slot.clone().wake());
    let wakes = Arc::new(AtomicUsize::new(0));
    let threads = [(); 2].map(|()| {
        let (slot, wakes) = (slot.clone(), wakes.clone());
        thread::spawn(move || {
            wakes.fetch_add(1, Ordering::Relaxed);
            slot.wake();
        })
    });
    let mut seen = 0;
    let mut poll_if_listed = || {
        while signals.take() != NONE {
            loop {
                let before = slot.begin();
                seen = wakes.load(Ordering::Relaxed);
                if !slot.end(before) {
                    break;
                }
            }
        }
        seen
    };
    poll_if_listed();
    join(threads);
    assert_eq!(poll_if_listed(), 2, "a wake was lost, or what came before it");
}

/// A call that is woken more often than can be counted is neither taken for an idle one, nor for one
/// that nobody woke.
#[test]
fn count_of_wakes_starts_over() {
    explore(3, || {
        let signals = Signals::new();
        let slot = Arc::new(SlotSignal::new(signals.clone(), 0));
        assert!(!slot.end(slot.begin()));
        for _ in 0..3 * sync::MANY_WAKES {
            slot.clone().wake();
        }
        assert_eq!((signals.take(), slot.next()), (0, NONE));
        for wakes_meanwhile in 1..sync::MANY_WAKES - 1 {
            let before = slot.begin();
            for _ in 0..wakes_meanwhile {
                slot.clone().wake();
            }
            assert!(slot.end(before), "{wakes_meanwhile} wakes were not noticed");
            assert_eq!(signals.take(), NONE, "it is not idle, so no wake lists it");
        }
    });
}

/// An event that is woken for by whoever is registered, which a lock orders.
#[derive(Clone)]
struct Event(Arc<loom::sync::Mutex<(bool, Option<Waker>)>>);

impl Event {
    fn new() -> Self {
        Self(Arc::new(loom::sync::Mutex::new((false, None))))
    }

    fn poll(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock().unwrap();
        if !state.0 {
            state.1 = Some(cx.waker().clone());
        }
        state.0
    }

    fn set(&self) -> Option<Waker> {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        state.1.take()
    }
}

/// A call that waits for its event.
struct OnEvent(usize, Event);

impl Call for OnEvent {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<usize>> {
        if self.1.poll(cx) { Poll::Ready(Step::Last(self.0)) } else { Poll::Pending }
    }
}

/// The waker of a call that is over goes on waking, while its slot has another call.
#[test]
fn stale_wakes_do_no_harm() {
    explore(2, || {
        let events = [(); 3].map(|()| Event::new());
        let calls = events.clone();
        let mut stage =
            Stage::new(stream::iter(0..3), 1, |number| OnEvent(number, calls[number].clone()));
        stage.run();
        let [first, second, third] = events;
        let stale = thread::spawn(move || {
            let waker = first.set().expect("the first call waits");
            waker.wake_by_ref();
            waker.wake_by_ref();
            waker.wake();
        });
        let current = thread::spawn(move || {
            for event in [second, third] {
                if let Some(waker) = event.set() {
                    waker.wake();
                }
            }
        });
        stage.run_any_time();
        join([stale, current]);
        stage.finish();
        assert_eq!(stage.outputs, [0, 1, 2]);
    });
}

/// An upstream that yields one number once both happenings have happened.
struct Source {
    all: Vec<Happening>,
    left: bool,
}

impl Stream for Source {
    type Item = usize;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        if !self.left {
            return Poll::Ready(None);
        }
        let missing = self.all.iter().filter(|one| !one.poll(cx)).count();
        if missing > 0 {
            return Poll::Pending;
        }
        self.left = false;
        Poll::Ready(Some(7))
    }
}

#[test]
fn upstream_wakes_are_answered() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let source = Source { all: happenings.to_vec(), left: true };
        let mut stage = Stage::new(source, 1, |number| Waits { number, all: Vec::new() });
        stage.run();
        let threads = happenings.map(|one| one.spawn());
        stage.run_any_time();
        stage.run_any_time();
        join(threads);
        stage.finish();
        assert_eq!(stage.outputs, [7]);
    });
}

#[test]
fn upstream_and_calls_are_woken_at_once() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let [call, upstream] = happenings.clone();
        let source = Source { all: vec![upstream], left: true };
        let source = Box::pin(stream::StreamExt::chain(stream::iter([0]), source));
        let mut stage = Stage::new(source, 2, |number| Waits {
            number,
            all: if number == 0 { vec![call.clone()] } else { Vec::new() },
        });
        stage.run();
        let threads = happenings.map(|one| one.spawn());
        stage.run_any_time();
        join(threads);
        stage.finish();
        stage.outputs.sort();
        assert_eq!(stage.outputs, [0, 7]);
    });
}

/// A stage as a stream.
struct Numbers<S: Stream, C: Call, F>(Engine<S, S::Item, C, C::Output>, F);

impl<S, C, F> Stream for Numbers<S, C, F>
where
    S: Stream + Unpin,
    C: Call,
    F: FnMut(S::Item) -> C + Unpin,
{
    type Item = C::Output;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<C::Output>> {
        let this = &mut *self;
        Pin::new(&mut this.0).poll_next(cx, engine::start(|item| (this.1)(item)))
    }
}

/// Locks that calls give back when they are over, and who waits for them.
#[derive(Clone, Default)]
struct Locks(Arc<Mutex<(usize, Vec<Waker>)>>);

/// A call that gives a lock back when it is over.
struct Gives(Waits, Locks);

impl Call for Gives {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<usize>> {
        let polled = Pin::new(&mut self.0).poll(cx);
        if polled.is_ready() {
            let mut locks = self.1.0.lock().unwrap();
            locks.0 += 1;
            let waiting = mem::take(&mut locks.1);
            drop(locks);
            waiting.into_iter().for_each(Waker::wake);
        }
        polled
    }
}

/// A call that waits until so many locks were given back.
struct Takes(usize, Locks);

impl Call for Takes {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step<()>> {
        let mut locks = self.1.0.lock().unwrap();
        if locks.0 >= self.0 {
            return Poll::Ready(Step::Last(()));
        }
        locks.1.push(cx.waker().clone());
        Poll::Pending
    }
}

/// A stage is full with a call that waits for both calls of the stage above, which other threads
/// wake.
#[test]
fn full_stage_goes_on_with_the_calls_above() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let locks = Locks::default();
        let (calls, given) = (happenings.clone(), locks.clone());
        let above = Engine::new(stream::iter(0..3), Concurrency::from(2));
        let above = Numbers(above, move |number: usize| {
            let all = if number == 0 { Vec::new() } else { vec![calls[number - 1].clone()] };
            Gives(Waits { number, all }, given.clone())
        });
        let mut stage =
            Stage::new(above, 1, |number| Takes(if number == 0 { 3 } else { 0 }, locks.clone()));
        stage.run();
        assert!(stage.outputs.is_empty(), "the call waits");
        let threads = happenings.map(|one| one.spawn());
        stage.run_any_time();
        join(threads);
        stage.finish();
        assert_eq!(stage.outputs.len(), 3);
    });
}

/// Three stages, of which another task polls the last one midway.
#[test]
fn wakes_come_through_two_stages() {
    explore(2, || {
        let happenings = [Happening::new(), Happening::new()];
        let calls = happenings.clone();
        let first = Engine::new(stream::iter(0..2), Concurrency::from(2));
        let first =
            Numbers(first, move |number: usize| Waits { number, all: vec![calls[number].clone()] });
        let second = Engine::new(first, Concurrency::from(2));
        let second = Numbers(second, |number| Waits { number, all: vec![] });
        let mut stage = Stage::new(second, 2, |number| Waits { number, all: vec![] });
        stage.run();
        let threads = happenings.map(|one| one.spawn());
        stage.run_any_time();
        stage.poller = Poller::new();
        stage.run_any_time();
        join(threads);
        stage.finish();
        assert_eq!(stage.outputs.len(), 2);
    });
}

/// A stream that several poll.
struct Lent<T>(Rc<RefCell<T>>);

impl<T: Stream + Unpin> Stream for Lent<T> {
    type Item = T::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

/// A stage that a stage and a task poll in turn.
#[test]
fn wakes_reach_a_stage_or_a_task_whoever_polled_last() {
    for stage_is_last in [true, false] {
        explore(3, move || {
            let happenings = [Happening::new(), Happening::new()];
            let calls = happenings.clone();
            let inner = Engine::new(stream::iter(0..2), Concurrency::from(2));
            let inner = Rc::new(RefCell::new(Numbers(inner, move |number: usize| Waits {
                number,
                all: vec![calls[number].clone()],
            })));
            let mut stage =
                Stage::new(Lent(inner.clone()), 2, |number| Waits { number, all: vec![] });
            let (task, taken) = (Poller::new(), Cell::new(0));
            let waker = Waker::from(task.clone());
            let take_directly = || {
                let mut cx = Context::from_waker(&waker);
                while let Poll::Ready(Some(_)) =
                    Pin::new(&mut *inner.borrow_mut()).poll_next(&mut cx)
                {
                    taken.set(taken.get() + 1);
                }
            };
            stage.run();
            let threads = happenings.map(|one| one.spawn());
            for stage_is_next in [stage_is_last, !stage_is_last, stage_is_last] {
                if stage_is_next {
                    stage.run_any_time();
                } else {
                    task.was_woken();
                    take_directly();
                }
            }
            join(threads);
            loop {
                let (stage_is_woken, task_is_woken) = (stage.poller.was_woken(), task.was_woken());
                if stage_is_woken {
                    stage.run();
                }
                if task_is_woken {
                    take_directly();
                }
                if taken.get() + stage.outputs.len() == 2 {
                    break;
                }
                assert!(stage_is_woken || task_is_woken, "a wake was lost");
            }
        });
    }
}

/// A stage that is dropped while it is woken keeps no waker of whoever polled it.
#[test]
fn dropped_stage_forgets_its_poller() {
    explore(3, || {
        let happenings = [Happening::new(), Happening::new()];
        let mut stage = waiting_stage(&happenings);
        let threads = happenings.clone().map(|one| one.spawn());
        stage.run_any_time();
        let poller = stage.poller.clone();
        drop(stage);
        join(threads);
        assert_eq!(Arc::strong_count(&poller), 1);
        drop(happenings);
    });
}

/// A task is over, or dropped by its executor, while its consumer polls.
#[test]
fn consumer_learns_what_became_of_its_task() {
    for dropped in [false, true] {
        explore(3, move || {
            let (task, mut handle) = task(async { 7 });
            let mut task = Box::pin(task);
            let thread = thread::spawn(move || {
                if !dropped {
                    let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    assert!(polled.is_ready());
                }
            });
            let poller = Poller::new();
            let waker = Waker::from(poller.clone());
            let mut polled = handle.poll(&mut Context::from_waker(&waker));
            join([thread]);
            if polled.is_pending() {
                assert!(poller.was_woken(), "a wake was lost");
                polled = handle.poll(&mut Context::from_waker(&waker));
            }
            match polled {
                Poll::Ready(Outcome::Output(7)) => assert!(!dropped),
                Poll::Ready(Outcome::Dropped) => assert!(dropped),
                _ => panic!("nothing became of it"),
            }
        });
    }
}

/// A consumer goes while its task is polled, which ends by that or waits.
#[test]
fn task_learns_that_its_consumer_is_gone() {
    for ends in [false, true] {
        explore(3, move || {
            let held = Arc::new(());
            let inside = held.clone();
            let (task, handle) = task(std::future::poll_fn(move |_| {
                if ends { Poll::Ready(inside.clone()) } else { Poll::Pending }
            }));
            let mut task = Box::pin(task);
            let poller = Poller::new();
            let waker = Waker::from(poller.clone());
            let thread = thread::spawn(move || drop(handle));
            let mut polled = task.as_mut().poll(&mut Context::from_waker(&waker));
            join([thread]);
            if polled.is_pending() {
                assert!(poller.was_woken(), "a wake was lost");
                polled = task.as_mut().poll(&mut Context::from_waker(&waker));
            }
            assert!(polled.is_ready());
            assert_eq!(Arc::strong_count(&held), 1, "all it held is dropped");
        });
    }
}

/// Polls an `acquire` as a task of its own.
fn acquired(acquire: &mut Acquire, poller: &Arc<Poller>) -> Option<Permit> {
    let waker = Waker::from(poller.clone());
    match Pin::new(acquire).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(permit) => Some(permit),
        Poll::Pending => None,
    }
}

#[test]
fn permit_given_back_on_another_thread_reaches_the_first_that_waits() {
    explore(3, || {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.try_acquire();
        let other = thread::spawn(move || drop(permit));
        let pollers = [Poller::new(), Poller::new()];
        let mut askers = [semaphore.acquire(), semaphore.acquire()];
        let mut first = acquired(&mut askers[0], &pollers[0]);
        let second = acquired(&mut askers[1], &pollers[1]);
        assert!(second.is_none(), "it is the turn of the first");
        join([other]);
        if first.is_none() {
            assert!(pollers[0].was_woken());
            first = acquired(&mut askers[0], &pollers[0]);
        }
        assert!(first.is_some() && !pollers[1].was_woken());
        drop(first);
        assert!(pollers[1].was_woken());
        assert!(acquired(&mut askers[1], &pollers[1]).is_some());
    });
}

#[test]
fn turn_of_one_that_is_dropped_goes_to_the_next() {
    explore(3, || {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.try_acquire();
        let pollers = [Poller::new(), Poller::new()];
        let mut askers = [semaphore.acquire(), semaphore.acquire()];
        for (asker, poller) in askers.iter_mut().zip(&pollers) {
            assert!(acquired(asker, poller).is_none());
        }
        let other = thread::spawn(move || drop(permit));
        let [dropped, mut next] = askers;
        drop(dropped);
        join([other]);
        assert!(pollers[1].was_woken());
        assert!(acquired(&mut next, &pollers[1]).is_some());
        assert_eq!(semaphore.in_use(), 0);
    });
}

#[test]
fn grant_that_a_lower_limit_takes_back_comes_again() {
    explore(3, || {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.try_acquire();
        let (poller, mut asker) = (Poller::new(), semaphore.acquire());
        assert!(acquired(&mut asker, &poller).is_none());
        let others = [thread::spawn(move || drop(permit)), {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                semaphore.set_limit(0);
                semaphore.set_limit(1);
            })
        }];
        let mut permit = None;
        if poller.was_woken() {
            permit = acquired(&mut asker, &poller);
        }
        join(others);
        if permit.is_none() {
            assert!(poller.was_woken(), "nobody told it of its grant");
            permit = acquired(&mut asker, &poller);
        }
        assert!(permit.is_some());
    });
}

#[test]
fn stage_hears_of_its_permit_and_of_a_higher_limit() {
    for pause in [false, true] {
        explore(2, move || {
            let semaphore = Semaphore::new(1);
            let permit = if pause { None } else { semaphore.try_acquire() };
            if pause {
                semaphore.set_limit(0);
            }
            let other = {
                let semaphore = semaphore.clone();
                thread::spawn(move || {
                    drop(permit);
                    semaphore.set_limit(1);
                })
            };
            let start = |number| Waits { number, all: vec![] };
            let mut stage = Stage::new(stream::iter([7]), &semaphore, start);
            stage.run();
            join([other]);
            stage.finish();
            assert_eq!(stage.outputs, [7]);
        });
    }
}

/// Two threads add items and are done, or only done, while the frontier is polled.
#[test]
fn frontier_hears_of_items_and_of_its_end() {
    for adds in [[true, true], [true, false], [false, false]] {
        explore(3, move || {
            let shared = Shared::new([0].into());
            let entries = [shared.entry(), shared.entry()];
            let mut adding = adds.into_iter();
            let threads = entries.map(|entry| {
                let adds = adding.next() == Some(true);
                thread::spawn(move || if adds { entry.expand([1]) } else { drop(entry) })
            });
            let poller = Poller::new();
            let waker = Waker::from(poller.clone());
            let mut items = 0;
            let mut poll = || loop {
                match shared.poll_pop(&Context::from_waker(&waker), false) {
                    Poll::Ready(Some((item, _entry))) => items += item,
                    Poll::Ready(None) => return true,
                    Poll::Pending => return false,
                }
            };
            let mut over = poll();
            join(threads);
            while !over {
                assert!(poller.was_woken(), "a wake was lost");
                over = poll();
            }
            assert_eq!(items, adds.into_iter().filter(|adds| *adds).count());
        });
    }
}

/// Items are added while the frontier is dropped.
#[test]
fn dropped_frontier_keeps_nothing() {
    explore(3, || {
        let shared = Shared::new([].into());
        let entry = shared.entry();
        let item = Arc::new(());
        let added = item.clone();
        let thread = thread::spawn(move || {
            entry.push(added.clone());
            entry.expand([added]);
        });
        let poller = Poller::new();
        let polled = shared.poll_pop(&Context::from_waker(&Waker::from(poller.clone())), false);
        drop(polled);
        shared.close();
        join([thread]);
        assert_eq!(Arc::strong_count(&item), 1);
        assert_eq!(Arc::strong_count(&poller), 1);
    });
}
