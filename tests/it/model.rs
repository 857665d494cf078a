//! Random pipelines against a model of plain iterators, under a manual executor that knows exactly
//! when a pipeline is stuck.
//!
//! Calls stay pending a random number of polls, woken by themselves, later and in any order, twice,
//! early, or when they are handed a lock that calls of all stages share. Everything follows from
//! the spec and a seed, and nothing runs in parallel. `PROPTEST_CASES` raises the number of cases.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use flowlet::prelude::*;
use flowlet::{Concurrency, Flow, Permit, Semaphore, ordered};
use futures_lite::future::FutureExt;
use futures_lite::stream::{self, Boxed};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::proptest;

use crate::support::random_runs::{cases, mix, run_at_random};
use crate::support::waker::Task;

// The spec, from which all follows.

#[derive(Clone, Debug)]
struct Spec {
    items: u64,
    /// How often the source is pending.
    source_pends: bool,
    stages: Vec<Stage>,
    /// The shared semaphore's limit, and what it is changed to meanwhile.
    shared: usize,
    changes: Vec<usize>,
    /// Whether a loop consumes the pipeline that awaits something in its body.
    alongside: bool,
    /// Calls that wait for the lock.
    locks: bool,
    seed: u64,
}

#[derive(Clone, Debug)]
enum Stage {
    Map(Limit),
    Filter(Limit),
    FilterMap(Limit),
    FlatMap(Limit, Expansion),
    /// A call that runs a pipeline of its own.
    Nested(Limit, Vec<Stage>),
    Flow(Vec<Stage>),
    /// Batches, expanded again by a stage if there is a limit, else by an adaptor.
    Batched(usize, Option<Limit>),
    Driven,
    SyncMap,
    SyncFilter,
    Zipped,
    /// With more items, before or after.
    Chained(bool),
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// The shared semaphore if there is none.
    private: Option<usize>,
    ordered: bool,
}

#[derive(Clone, Copy, Debug)]
enum Expansion {
    Iterable,
    Stream,
    FutureOfIterable,
    FutureOfStream,
}

impl Limit {
    fn keeps_order(self) -> bool {
        self.ordered || self.private == Some(1)
    }
}

fn any_limit(shared: bool) -> impl Strategy<Value = Limit> {
    let private = prop_oneof![
        8 => (1..=8_usize).prop_map(Some),
        1 => Just(Some(usize::MAX)),
        if shared { 4 } else { 1 } => Just(if shared { None } else { Some(1) }),
    ];
    (private, any::<bool>()).prop_map(|(private, ordered)| Limit { private, ordered })
}

fn any_stage(depth: u32) -> proptest::strategy::BoxedStrategy<Stage> {
    let shared = depth < 2;
    let expansion = prop_oneof![
        Just(Expansion::Iterable),
        Just(Expansion::Stream),
        Just(Expansion::FutureOfIterable),
        Just(Expansion::FutureOfStream),
    ];
    let flat = prop_oneof![
        6 => any_limit(shared).prop_map(Stage::Map),
        4 => any_limit(shared).prop_map(Stage::Filter),
        3 => any_limit(shared).prop_map(Stage::FilterMap),
        6 => (any_limit(shared), expansion).prop_map(|(limit, kind)| Stage::FlatMap(limit, kind)),
        2 => (1..6_usize, proptest::option::of(any_limit(shared)))
            .prop_map(|(size, limit)| Stage::Batched(size, limit)),
        1 => Just(Stage::Driven),
        1 => Just(Stage::SyncMap),
        1 => Just(Stage::SyncFilter),
        1 => Just(Stage::Zipped),
        1 => any::<bool>().prop_map(Stage::Chained),
    ];
    if depth == 2 {
        return flat.boxed();
    }
    prop_oneof![
        12 => flat,
        // What runs in a call has no part in the shared semaphore, which its call may hold.
        1 => (any_limit(shared), vec(any_stage(2), 1..3))
            .prop_map(|(limit, inner)| Stage::Nested(limit, inner)),
        1 => vec(any_stage(depth + 1), 0..3).prop_map(Stage::Flow),
    ]
    .boxed()
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let world = (1..6_usize, vec(0..6_usize, 0..3), any::<bool>(), any::<bool>(), any::<u64>());
    (0..24_u64, any::<bool>(), vec(any_stage(0), 1..5), world).prop_map(
        |(items, source_pends, mut stages, (shared, changes, alongside, locks, seed))| Spec {
            items,
            source_pends,
            stages: {
                if locks || any_shared(&stages) {
                    expand_by_stages(&mut stages);
                }
                stages
            },
            shared,
            changes,
            alongside,
            locks,
            seed,
        },
    )
}

/// Tells whether calls share the semaphore.
fn any_shared(stages: &[Stage]) -> bool {
    stages.iter().any(|stage| match stage {
        Stage::Map(limit)
        | Stage::Filter(limit)
        | Stage::FilterMap(limit)
        | Stage::FlatMap(limit, _)
        | Stage::Nested(limit, _)
        | Stage::Batched(_, Some(limit)) => limit.private.is_none(),
        Stage::Flow(inner) => any_shared(inner),
        _ => false,
    })
}

/// An adaptor that has items of its own to give, as `flat_map` has, gives them to an advance, which
/// does not get to the calls above then. Calls that wait for each other, for a lock or for a permit,
/// need a stage there.
fn expand_by_stages(stages: &mut [Stage]) {
    for stage in stages {
        match stage {
            Stage::Batched(_, limit @ None) => {
                *limit = Some(Limit { private: Some(2), ordered: true });
            }
            Stage::Flow(inner) | Stage::Nested(_, inner) => expand_by_stages(inner),
            _ => {}
        }
    }
}

// What the stages do to the items, as plain functions.

fn mapped(id: usize, value: u64) -> u64 {
    mix(value, id as u64)
}

fn is_kept(id: usize, value: u64) -> bool {
    mix(value, id as u64) % 3 != 0
}

fn expanded(id: usize, value: u64) -> Vec<u64> {
    (0..mix(value, id as u64) % 4).map(|n| mix(value, n)).collect()
}

fn more(id: usize) -> Vec<u64> {
    (100..103).map(|n| mix(n, id as u64)).collect()
}

fn inner_source(value: u64) -> Vec<u64> {
    (0..3).map(|n| mix(value, n)).collect()
}

/// An item that a panic took, and the stage it was in.
type Lost = Option<(usize, u64)>;

/// What comes out of the stages, in order. Stages are numbered from `id` on.
fn model(stages: &[Stage], id: &mut usize, mut values: Vec<u64>, lost: Lost) -> Vec<u64> {
    for stage in stages {
        let this = *id;
        *id += 1;
        if let Some((stage, lost)) = lost {
            if stage == this {
                let place = values.iter().position(|value| *value == lost);
                values.remove(place.expect("what was lost was there"));
            }
        }
        match stage {
            Stage::Map(_) | Stage::SyncMap => values.iter_mut().for_each(|v| *v = mapped(this, *v)),
            Stage::Filter(_) | Stage::SyncFilter => values.retain(|v| is_kept(this, *v)),
            Stage::FilterMap(_) => {
                values.retain(|v| is_kept(this, *v));
                values.iter_mut().for_each(|v| *v = mapped(this, *v));
            }
            Stage::FlatMap(..) => {
                values = values.into_iter().flat_map(|v| expanded(this, v)).collect();
            }
            Stage::Nested(_, inner) => {
                let sum = |value| {
                    let inner = model(inner, &mut (this + 1), inner_source(value), None);
                    inner.into_iter().fold(0, u64::wrapping_add)
                };
                values = values.into_iter().map(sum).collect();
                *id += count(inner);
            }
            Stage::Flow(inner) => values = model(inner, id, values, lost),
            Stage::Batched(..) | Stage::Driven | Stage::Zipped => {}
            Stage::Chained(true) => values = [more(this), values].concat(),
            Stage::Chained(false) => values.extend(more(this)),
        }
    }
    values
}

/// The number of stages, those in stages included.
fn count(stages: &[Stage]) -> usize {
    let inside = |stage: &Stage| match stage {
        Stage::Nested(_, inner) | Stage::Flow(inner) => count(inner),
        _ => 0,
    };
    stages.iter().map(|stage| 1 + inside(stage)).sum()
}

fn keeps_order(stages: &[Stage]) -> bool {
    stages.iter().all(|stage| match stage {
        Stage::Map(limit)
        | Stage::Filter(limit)
        | Stage::FilterMap(limit)
        | Stage::FlatMap(limit, _)
        | Stage::Nested(limit, _)
        | Stage::Batched(_, Some(limit)) => limit.keeps_order(),
        Stage::Flow(inner) => keeps_order(inner),
        _ => true,
    })
}

// The world the pipelines run in.

struct World {
    seed: u64,
    locks: bool,
    shared: Semaphore,
    /// The highest limit that the semaphore ever has.
    shared_most: usize,
    /// Who takes part in the semaphore and runs.
    shared_running: AtomicUsize,
    state: Mutex<State>,
    lock: Mutex<Lock>,
    /// Items, calls and expansions that are there.
    live: AtomicUsize,
    /// What went against a promise.
    broken: Mutex<Vec<String>>,
    panic: Option<Panic>,
    calls: AtomicUsize,
    /// Counts the stages that were built, those in calls included.
    built: AtomicUsize,
    lost: Mutex<Lost>,
    panics: AtomicUsize,
}

struct State {
    random: u64,
    /// What happens some time.
    events: Vec<Event>,
    /// How often each waker was woken, by its data.
    wakes: HashMap<usize, usize>,
    /// By stage, as built.
    stages: HashMap<usize, Counts>,
}

enum Event {
    Wake(Waker, Option<Arc<AtomicBool>>),
    SetLimit(usize),
    TakePermit,
    GivePermit(#[allow(dead_code)] Permit),
}

#[derive(Default, Clone)]
struct Counts {
    turns: usize,
    running: usize,
    pulled: usize,
    /// Handed on, or known to give nothing.
    gone: usize,
}

/// A lock that is handed over in order.
#[derive(Default)]
struct Lock {
    holder: Option<usize>,
    queue: VecDeque<(usize, Waker)>,
    tickets: usize,
}

/// Where a call panics, counted over all stages. The source does at the item of this number.
#[derive(Clone, Copy, Debug)]
struct Panic {
    call: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Source,
    Closure,
    Future,
}

/// What is thrown.
struct Thrown;

impl World {
    fn new(spec: &Spec, panic: Option<Panic>) -> Arc<Self> {
        let mut events: Vec<_> = spec.changes.iter().map(|n| Event::SetLimit(*n)).collect();
        // The order is random, so what it ends with is for the executor to set.
        events.extend((0..spec.changes.len()).map(|_| Event::TakePermit));
        Arc::new(Self {
            seed: spec.seed,
            locks: spec.locks,
            shared: Semaphore::new(spec.shared),
            shared_most: spec.changes.iter().copied().fold(spec.shared, usize::max),
            shared_running: AtomicUsize::new(0),
            state: Mutex::new(State {
                random: spec.seed,
                events,
                wakes: HashMap::new(),
                stages: HashMap::new(),
            }),
            lock: Mutex::new(Lock::default()),
            live: AtomicUsize::new(0),
            broken: Mutex::new(Vec::new()),
            panic,
            calls: AtomicUsize::new(0),
            built: AtomicUsize::new(0),
            lost: Mutex::new(None),
            panics: AtomicUsize::new(0),
        })
    }

    fn random(&self, below: usize) -> usize {
        let mut state = self.state.lock().unwrap();
        state.random = mix(state.random, 1);
        (state.random % below as u64) as usize
    }

    fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.lock().unwrap().push(what());
        }
    }

    fn counts<T>(&self, stage: usize, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(self.state.lock().unwrap().stages.entry(stage).or_default())
    }

    fn wakes(&self, waker: &Waker) -> usize {
        self.state.lock().unwrap().wakes.get(&(waker.data() as usize)).copied().unwrap_or(0)
    }

    fn wake(&self, waker: Waker) {
        *self.state.lock().unwrap().wakes.entry(waker.data() as usize).or_default() += 1;
        waker.wake();
    }

    fn later(&self, event: Event) {
        self.state.lock().unwrap().events.push(event);
    }

    /// Lets something happen. Returns whether there was anything.
    fn happen(&self) -> bool {
        let many = self.state.lock().unwrap().events.len();
        if many == 0 {
            if self.shared.limit() == 0 {
                self.shared.set_limit(1);
                return true;
            }
            return false;
        }
        let one = self.random(many);
        let event = self.state.lock().unwrap().events.swap_remove(one);
        match event {
            Event::Wake(waker, happened) => {
                if let Some(happened) = happened {
                    happened.store(true, Ordering::Relaxed);
                }
                self.wake(waker);
            }
            Event::SetLimit(limit) => self.shared.set_limit(limit),
            Event::TakePermit => {
                if let Some(permit) = self.shared.try_acquire() {
                    self.later(Event::GivePermit(permit));
                }
            }
            Event::GivePermit(permit) => drop(permit),
        }
        true
    }

    /// Is pending for a while, in one way or another.
    async fn pend(&self, way: u64) {
        let happened = Arc::new(AtomicBool::new(false));
        let mut polled = false;
        poll_fn(|cx| {
            let first = !std::mem::replace(&mut polled, true);
            if happened.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            if first {
                let later = |happened| self.later(Event::Wake(cx.waker().clone(), happened));
                match way {
                    // By itself, while it is polled.
                    0 | 1 => {
                        happened.store(true, Ordering::Relaxed);
                        self.wake(cx.waker().clone());
                    }
                    // Once, some time.
                    2..=4 => later(Some(happened.clone())),
                    // Twice, and the second time it may be something else that is woken.
                    5 => {
                        later(Some(happened.clone()));
                        later(Some(happened.clone()));
                    }
                    // Too early as well.
                    6 => {
                        later(None);
                        later(Some(happened.clone()));
                        self.wake(cx.waker().clone());
                    }
                    _ => {
                        happened.store(true, Ordering::Relaxed);
                        self.wake(cx.waker().clone());
                        later(None);
                    }
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// What a call does before it gives its result.
    async fn work(self: &Arc<Self>, stage: usize, value: u64) {
        let mut random = mix(mix(self.seed, stage as u64), value);
        let mut next = |below: u64| {
            random = mix(random, 2);
            random % below
        };
        let steps = next(4);
        let locks = self.locks && next(2) == 0;
        let before = if locks { next(2) } else { steps };
        for _ in 0..before {
            self.pend(next(8)).await;
        }
        if locks {
            let _locked = Locked::lock(self).await;
            for _ in 0..steps {
                self.pend(next(8)).await;
            }
        }
    }

    /// Counts a call, which may be the one that panics, and where.
    fn call_panics(&self) -> Option<Place> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let panic = self.panic.filter(|panic| panic.call == call && panic.place != Place::Source);
        panic.map(|panic| panic.place)
    }

    fn throw(&self, lost: Lost) -> ! {
        *self.lost.lock().unwrap() = lost;
        self.panics.fetch_add(1, Ordering::Relaxed);
        // Does not call the panic hook.
        resume_unwind(Box::new(Thrown));
    }
}

/// The lock, held.
struct Locked<'a>(&'a World, usize);

impl<'a> Locked<'a> {
    async fn lock(world: &'a World) -> Self {
        let ticket = {
            let mut lock = world.lock.lock().unwrap();
            lock.tickets += 1;
            lock.tickets
        };
        // From here on dropping this gives up the place in the queue, or the lock.
        let locked = Self(world, ticket);
        poll_fn(|cx| {
            let mut lock = world.lock.lock().unwrap();
            if lock.holder.is_none() && lock.queue.is_empty() {
                lock.holder = Some(ticket);
            }
            if lock.holder == Some(ticket) {
                return Poll::Ready(());
            }
            match lock.queue.iter_mut().find(|(waiting, _)| *waiting == ticket) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => lock.queue.push_back((ticket, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await;
        locked
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let mut lock = self.0.lock.lock().unwrap();
        lock.queue.retain(|(waiting, _)| *waiting != self.1);
        if lock.holder == Some(self.1) {
            let next = lock.queue.pop_front();
            lock.holder = next.as_ref().map(|(ticket, _)| *ticket);
            drop(lock);
            if let Some((_, waker)) = next {
                self.0.wake(waker);
            }
        }
    }
}

/// Counts something as long as it is there.
struct Live(Arc<World>);

impl Live {
    fn new(world: &Arc<World>) -> Self {
        world.live.fetch_add(1, Ordering::Relaxed);
        Self(world.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An item.
struct Item {
    value: u64,
    live: Live,
}

impl Item {
    fn new(world: &Arc<World>, value: u64) -> Self {
        Self { value, live: Live::new(world) }
    }

    fn map(self, f: impl FnOnce(u64) -> u64) -> Self {
        Self { value: f(self.value), ..self }
    }
}

/// Counts a call as running.
struct Running {
    at: At,
    _live: Live,
    /// Whether the item is gone with the call.
    gone: bool,
    /// Whether the call has a part in the shared semaphore.
    shares: bool,
}

/// A stage of the pipeline in its world.
#[derive(Clone)]
struct At {
    world: Arc<World>,
    stage: usize,
    /// This one, of all that were built of the stage.
    built: usize,
    limit: Limit,
    /// Whether upstream may give an item that was not asked for.
    slack: usize,
    /// The call that this stage is nested in.
    inside: Lost,
}

impl At {
    fn concurrency(&self) -> Concurrency {
        let concurrency = match self.limit.private {
            Some(limit) => Concurrency::from(limit),
            None => Concurrency::from(&self.world.shared),
        };
        if self.limit.ordered { ordered(concurrency) } else { concurrency }
    }

    fn most(&self) -> usize {
        self.limit.private.unwrap_or(self.world.shared_most)
    }

    fn start(&self) -> Running {
        let most = self.most();
        let running = self.world.counts(self.built, |counts| {
            counts.running += 1;
            counts.running
        });
        self.world.expect(running <= most, || {
            format!("stage {} runs {running} calls, {most} are allowed", self.stage)
        });
        let live = Live::new(&self.world);
        let mut running = Running { at: self.clone(), _live: live, gone: false, shares: false };
        running.go_on();
        running
    }

    fn lost(&self, value: u64) -> Lost {
        self.inside.or(Some((self.stage, value)))
    }

    /// Begins a call in the stage's function, which may panic.
    fn begin(&self, value: u64) -> (Running, bool) {
        let running = self.start();
        let place = self.world.call_panics();
        if place == Some(Place::Closure) {
            self.world.throw(self.lost(value));
        }
        (running, place == Some(Place::Future))
    }

    /// What a call awaits.
    async fn go_on(&self, value: u64, panics: bool) {
        self.world.work(self.stage, value).await;
        if panics {
            self.world.throw(self.lost(value));
        }
    }

    /// Watches how a stage polls a call.
    fn watch<C>(&self, call: C) -> Watched<C> {
        Watched { call: Box::pin(call), at: self.clone(), turn: None, wakes: None }
    }
}

impl Running {
    /// Says that the item is gone with the call.
    fn gone(&mut self, gone: bool) {
        self.gone = gone;
    }

    /// Takes part in the shared semaphore, if the stage does.
    fn go_on(&mut self) {
        if self.at.limit.private.is_none() && !self.shares {
            self.shares = true;
            let world = &self.at.world;
            let running = world.shared_running.fetch_add(1, Ordering::Relaxed) + 1;
            let most = world.shared_most;
            world
                .expect(running <= most, || format!("{running} calls share a semaphore of {most}"));
        }
    }

    /// Leaves the shared semaphore to others: an expansion does between its outputs.
    fn pause(&mut self) {
        if std::mem::take(&mut self.shares) {
            self.at.world.shared_running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.at.world.counts(self.at.built, |counts| {
            counts.running -= 1;
            counts.gone += usize::from(self.gone || std::thread::panicking());
        });
        self.pause();
    }
}

/// A call, or an expansion: polled when it was woken, and once in a turn.
struct Watched<C> {
    call: Pin<Box<C>>,
    at: At,
    turn: Option<usize>,
    wakes: Option<usize>,
}

impl<C> Watched<C> {
    fn before_poll(&mut self, cx: &Context<'_>) {
        let At { world, stage, built, .. } = &self.at;
        let turn = world.counts(*built, |counts| counts.turns);
        world.expect(self.turn != Some(turn), || {
            format!("a call of stage {stage} is polled twice in a turn")
        });
        self.turn = Some(turn);
        let wakes = world.wakes(cx.waker());
        world.expect(self.wakes != Some(wakes), || {
            format!("a call of stage {stage} is polled unwoken")
        });
        self.wakes = Some(wakes);
    }
}

impl<C: Future> Future for Watched<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        self.before_poll(cx);
        self.call.as_mut().poll(cx)
    }
}

impl<C: Stream> Stream for Watched<C> {
    type Item = C::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<C::Item>> {
        self.before_poll(cx);
        let polled = self.call.as_mut().poll_next(cx);
        if polled.is_ready() {
            // It is polled again for the next output.
            self.wakes = None;
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.call.size_hint()
    }
}

/// Counts what goes into a stage.
struct GoesIn<S>(S, At);

impl<S: Stream + Unpin> Stream for GoesIn<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let polled = Pin::new(&mut self.0).poll_next(cx);
        if let Poll::Ready(Some(_)) = polled {
            let At { world, stage, built, slack, .. } = &self.1;
            let held = world.counts(*built, |counts| {
                counts.pulled += 1;
                counts.pulled - counts.gone
            });
            let most = self.1.most().saturating_add(*slack);
            world.expect(held <= most, || {
                format!("stage {stage} holds {held} items, {most} are allowed")
            });
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// Counts what comes out of a stage, and its turns.
struct OutOf<S> {
    stream: S,
    at: At,
    /// Whether an item is gone when an output is handed on.
    one_to_one: bool,
}

impl<S: Stream + Unpin> Stream for OutOf<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.at.world.counts(self.at.built, |counts| counts.turns += 1);
        let polled = Pin::new(&mut self.stream).poll_next(cx);
        if let (Poll::Ready(Some(_)), true) = (&polled, self.one_to_one) {
            self.at.world.counts(self.at.built, |counts| counts.gone += 1);
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

/// The source of a pipeline.
struct Source {
    world: Arc<World>,
    values: std::vec::IntoIter<u64>,
    number: usize,
    pends: bool,
    pending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Stream for Source {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = &mut *self;
        if this.pends {
            let world = this.world.clone();
            let way = mix(world.seed, this.number as u64) % 16;
            let pending = this.pending.get_or_insert_with(|| {
                Box::pin(async move {
                    if way < 8 {
                        world.pend(way).await;
                    }
                })
            });
            std::task::ready!(pending.as_mut().poll(cx));
            this.pending = None;
        }
        this.number += 1;
        if let Some(Panic { call, place: Place::Source }) = this.world.panic {
            // Before the item is taken, so that none is lost.
            if call == this.number - 1 {
                this.world.throw(None);
            }
        }
        Poll::Ready(this.values.next().map(|value| Item::new(&this.world, value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.values.size_hint()
    }
}

// The pipelines.

/// Builds stages, numbered from `id` on, behind `stream`.
///
/// `slack` is whether what is right above may give an item to an advance, because it holds items
/// and is no stage.
fn build(
    world: &Arc<World>,
    stages: &[Stage],
    id: &mut usize,
    mut stream: Boxed<Item>,
    mut slack: usize,
    inside: Lost,
) -> Boxed<Item> {
    for stage in stages {
        let this = *id;
        *id += 1;
        let at = |limit: &Limit| At {
            world: world.clone(),
            stage: this,
            built: world.built.fetch_add(1, Ordering::Relaxed),
            limit: *limit,
            slack,
            inside,
        };
        let own_world = world.clone();
        match stage {
            Stage::Map(limit) => stream = map(at(limit), stream).boxed(),
            Stage::Filter(limit) => stream = filter(at(limit), stream).boxed(),
            Stage::FilterMap(limit) => stream = filter_map(at(limit), stream).boxed(),
            Stage::FlatMap(limit, kind) => stream = flat_map(at(limit), *kind, stream),
            Stage::Nested(limit, inner) => {
                let (at, inner) = (at(limit), inner.clone());
                *id += count(&inner);
                stream = nested(at, inner, stream).boxed();
            }
            Stage::Flow(inner) => {
                let (inner, first) = (inner.clone(), *id);
                *id += count(&inner);
                let flow = Flow::new(move |stream| {
                    build(&own_world, &inner, &mut { first }, stream, slack, inside)
                });
                stream = stream.through(&flow);
            }
            Stage::Batched(size, limit) => {
                let (size, mut over) = (*size, false);
                let batches = stream.batched(size).inspect(move |batch: &Vec<Item>| {
                    let right = (1..=size).contains(&batch.len()) && !over;
                    own_world.expect(right, || format!("a batch of {} of {size}", batch.len()));
                    over = batch.len() < size;
                });
                stream = match limit {
                    Some(limit) => {
                        let concurrency = at(limit).concurrency();
                        batches.flat_map_concurrent(concurrency, |batch| batch).boxed()
                    }
                    None => batches.flat_map(stream::iter).boxed(),
                };
            }
            Stage::Driven => stream = stream.driven().boxed(),
            Stage::SyncMap => {
                stream = stream.map(move |item| item.map(|v| mapped(this, v))).boxed()
            }
            Stage::SyncFilter => {
                stream = stream.filter(move |item| is_kept(this, item.value)).boxed()
            }
            Stage::Zipped => stream = stream.zip(stream::repeat(())).map(|(item, ())| item).boxed(),
            Stage::Chained(before) => {
                let others = more(this).into_iter().map(move |value| Item::new(&own_world, value));
                stream = if *before {
                    stream::iter(others).chain(stream).boxed()
                } else {
                    stream.chain(stream::iter(others)).boxed()
                };
            }
        }
        slack = match stage {
            Stage::Batched(_, None) | Stage::Chained(_) | Stage::Flow(_) => 1,
            Stage::SyncMap | Stage::SyncFilter | Stage::Zipped | Stage::Driven => slack,
            _ => 0,
        };
    }
    stream
}

fn map(at: At, stream: impl Stream<Item = Item> + Unpin) -> impl Stream<Item = Item> {
    let (own, out) = (at.clone(), at.clone());
    let stream = GoesIn(stream, at.clone()).map_concurrent(at.concurrency(), move |item: Item| {
        let (own, (running, panics)) = (own.clone(), own.begin(item.value));
        own.clone().watch(async move {
            let _running = running;
            own.go_on(item.value, panics).await;
            item.map(|value| mapped(own.stage, value))
        })
    });
    OutOf { stream: Box::pin(stream), at: out, one_to_one: true }
}

fn filter(
    at: At,
    stream: impl Stream<Item = Item> + Unpin + Send + 'static,
) -> impl Stream<Item = Item> {
    let (own, out) = (at.clone(), at.clone());
    let stream =
        GoesIn(stream, at.clone()).filter_concurrent(at.concurrency(), async move |item: &Item| {
            let (value, own) = (item.value, own.clone());
            let (mut running, panics) = own.begin(value);
            own.watch(own.go_on(value, panics)).await;
            let keep = is_kept(own.stage, value);
            running.gone(!keep);
            keep
        });
    OutOf { stream: stream.boxed(), at: out, one_to_one: true }
}

fn filter_map(at: At, stream: impl Stream<Item = Item> + Unpin) -> impl Stream<Item = Item> {
    let (own, out) = (at.clone(), at.clone());
    let stream =
        GoesIn(stream, at.clone()).filter_map_concurrent(at.concurrency(), move |item: Item| {
            let (own, (mut running, panics)) = (own.clone(), own.begin(item.value));
            own.clone().watch(async move {
                own.go_on(item.value, panics).await;
                let keep = is_kept(own.stage, item.value);
                running.gone(!keep);
                keep.then(|| item.map(|value| mapped(own.stage, value)))
            })
        });
    OutOf { stream: Box::pin(stream), at: out, one_to_one: true }
}

fn flat_map(
    at: At,
    kind: Expansion,
    stream: impl Stream<Item = Item> + Unpin + Send + 'static,
) -> Boxed<Item> {
    let (own, out) = (at.clone(), at.clone());
    let stream = GoesIn(stream, at.clone());
    let limit = at.concurrency();
    /// An iterator that is counted while it is there.
    fn iterable(
        own: &At,
        value: u64,
        mut running: Running,
    ) -> Box<dyn Iterator<Item = Item> + Send> {
        let own = own.clone();
        Box::new(expanded(own.stage, value).into_iter().map(move |value| {
            running.go_on();
            running.pause();
            Item::new(&own.world, value)
        }))
    }
    fn streamed(own: &At, value: u64, running: Running) -> Boxed<Item> {
        let left = expanded(own.stage, value).into_iter();
        let state = (own.clone(), running, left);
        Box::pin(own.watch(stream::unfold(state, |(own, mut running, mut left)| async move {
            let value = left.next()?;
            running.go_on();
            own.world.work(own.stage, value).await;
            running.pause();
            Some((Item::new(&own.world, value), (own, running, left)))
        })))
    }
    fn begin(own: &At, item: Item) -> (At, u64, Running, bool) {
        let (mut running, panics) = own.begin(item.value);
        running.gone(true);
        (own.clone(), item.value, running, panics)
    }
    let stream: Boxed<Item> = match kind {
        Expansion::Iterable => Box::pin(stream.flat_map_concurrent(limit, move |item| {
            let (own, value, running, panics) = begin(&own, item);
            if panics {
                own.world.throw(own.lost(value));
            }
            iterable(&own, value, running)
        })),
        Expansion::Stream => Box::pin(stream.flat_map_concurrent(limit, move |item| {
            let (own, value, running, panics) = begin(&own, item);
            if panics {
                own.world.throw(own.lost(value));
            }
            streamed(&own, value, running)
        })),
        Expansion::FutureOfIterable => Box::pin(stream.flat_map_concurrent(limit, move |item| {
            let (own, value, running, panics) = begin(&own, item);
            own.clone().watch(async move {
                own.go_on(value, panics).await;
                iterable(&own, value, running)
            })
        })),
        Expansion::FutureOfStream => Box::pin(stream.flat_map_concurrent(limit, move |item| {
            let (own, value, running, panics) = begin(&own, item);
            async move {
                own.go_on(value, panics).await;
                streamed(&own, value, running)
            }
        })),
    };
    OutOf { stream, at: out, one_to_one: false }.boxed()
}

fn nested(
    at: At,
    inner: Vec<Stage>,
    stream: impl Stream<Item = Item> + Unpin,
) -> impl Stream<Item = Item> {
    let (own, out) = (at.clone(), at.clone());
    let stream = GoesIn(stream, at.clone()).map_concurrent(at.concurrency(), move |item: Item| {
        let (own, inner) = (own.clone(), inner.clone());
        let (running, panics) = own.begin(item.value);
        async move {
            let _running = running;
            let lost = own.lost(item.value);
            let source = inner_source(item.value);
            let world = own.world.clone();
            let items = source.into_iter().map(move |value| Item::new(&world, value));
            let mut first = own.stage + 1;
            let items = stream::iter(items).boxed();
            let inner = build(&own.world, &inner, &mut first, items, 0, lost);
            let sum = inner.fold(0, |sum: u64, item| sum.wrapping_add(item.value)).await;
            if panics {
                own.world.throw(lost);
            }
            item.map(|_| sum)
        }
    });
    OutOf { stream: Box::pin(stream), at: out, one_to_one: true }
}

// How they are run.

/// What came out of a pipeline.
#[derive(Default)]
struct Out {
    values: Vec<u64>,
    panics: usize,
    /// The number of items that had come, and the bounds given then.
    hints: Vec<(usize, (usize, Option<usize>))>,
    over: bool,
}

/// A panic that was not thrown here goes on.
fn caught(panic: Box<dyn Any + Send>, out: &Mutex<Out>) {
    if !panic.is::<Thrown>() {
        resume_unwind(panic);
    }
    out.lock().unwrap().panics += 1;
}

/// Takes everything that comes, goes on after panics, and asks again after the end.
async fn consume(world: Arc<World>, stream: Boxed<Item>, alongside: bool, out: Arc<Mutex<Out>>) {
    let take = |item: Item| {
        out.lock().unwrap().values.push(item.value);
        drop(item.live);
    };
    let note_hint = |hint| {
        let mut out = out.lock().unwrap();
        let came = out.values.len();
        out.hints.push((came, hint));
    };
    if alongside {
        let mut stream = stream.driven();
        loop {
            note_hint(stream.size_hint());
            match AssertUnwindSafe(stream.next()).catch_unwind().await {
                Ok(Some(item)) => {
                    let body = world.work(usize::MAX, item.value);
                    take(item);
                    let body = stream.alongside(body);
                    if let Err(panic) = AssertUnwindSafe(body).catch_unwind().await {
                        caught(panic, &out);
                    }
                }
                Ok(None) => break,
                Err(panic) => caught(panic, &out),
            }
        }
        assert!(stream.next().await.is_none(), "it was over");
    } else {
        let mut stream = stream;
        loop {
            note_hint(stream.size_hint());
            match AssertUnwindSafe(stream.next()).catch_unwind().await {
                Ok(Some(item)) => take(item),
                Ok(None) => break,
                Err(panic) => caught(panic, &out),
            }
        }
    }
    out.lock().unwrap().over = true;
}

/// Polls the root when it was woken, and lets things happen, until it is over, is dropped, or is
/// stuck. Returns what came, and how often it was polled.
fn run(
    world: &Arc<World>,
    stream: Boxed<Item>,
    alongside: bool,
    drop_at: Option<usize>,
) -> (Out, usize) {
    let out = Arc::new(Mutex::new(Out::default()));
    let mut root: Pin<Box<dyn Future<Output = ()>>> =
        Box::pin(consume(world.clone(), stream, alongside, out.clone()));
    let task = Task::new();
    let polls =
        run_at_random(&task, root.as_mut(), drop_at, |n| world.random(n), || world.happen());
    drop(root);
    let running = world.state.lock().unwrap().stages.values().map(|counts| counts.running).sum();
    assert_eq!((0_usize, 0), (running, world.live.load(Ordering::Relaxed)), "something is left");
    // With the events go the permits of others, and the wakers of what was alongside.
    drop(std::mem::take(&mut world.state.lock().unwrap().events));
    assert!(!task.is_kept(), "a dropped pipeline holds its waker");
    assert_eq!(world.shared.in_use(), 0);
    let lock = world.lock.lock().unwrap();
    assert!(lock.holder.is_none() && lock.queue.is_empty());
    drop(lock);
    let broken = world.broken.lock().unwrap();
    assert!(broken.is_empty(), "{broken:#?}");
    drop(broken);
    (Arc::into_inner(out).unwrap().into_inner().unwrap(), polls)
}

/// Runs a pipeline in every way, given how it is built and what is to come out.
fn check(
    spec: &Spec,
    panic: Option<Panic>,
    drop_at: usize,
    in_order: bool,
    build: impl Fn(&Arc<World>, Boxed<Item>) -> Boxed<Item>,
    model: impl Fn(Vec<u64>, Lost) -> Vec<u64>,
) {
    let values = Vec::from_iter((0..spec.items).map(|n| mix(n, 0)));
    let source = |world: &Arc<World>| {
        Source {
            world: world.clone(),
            values: values.clone().into_iter(),
            number: 0,
            pends: spec.source_pends,
            pending: None,
        }
        .boxed()
    };

    // To the end.
    let world = World::new(spec, None);
    let (out, polls) = run(&world, build(&world, source(&world)), spec.alongside, None);
    assert!(out.over && out.panics == 0);
    for (came, (lower, upper)) in out.hints {
        let rest = out.values.len() - came;
        assert!(lower <= rest, "{rest} came, at least {lower} were to");
        assert!(upper.is_none_or(|upper| rest <= upper), "{rest} came, at most {upper:?} were to");
    }
    compare(out.values, model(values.clone(), None), in_order);

    // Dropped on the way.
    let world = World::new(spec, None);
    run(&world, build(&world, source(&world)), spec.alongside, Some(drop_at % (polls + 1)));

    // With a panic, to the end and dropped on the way.
    if panic.is_some() {
        let world = World::new(spec, panic);
        let (out, polls) = run(&world, build(&world, source(&world)), spec.alongside, None);
        assert!(out.over);
        assert_eq!(out.panics, world.panics.load(Ordering::Relaxed), "each panic comes out once");
        let lost = *world.lost.lock().unwrap();
        compare(out.values, model(values.clone(), lost), in_order);

        let world = World::new(spec, panic);
        run(&world, build(&world, source(&world)), spec.alongside, Some(drop_at % (polls + 1)));
    }
}

fn compare(mut came: Vec<u64>, mut expected: Vec<u64>, in_order: bool) {
    if !in_order {
        came.sort();
        expected.sort();
    }
    assert_eq!(came, expected);
}

fn any_panic() -> impl Strategy<Value = Option<Panic>> {
    let place = prop_oneof![Just(Place::Source), Just(Place::Closure), Just(Place::Future)];
    proptest::option::of((0..40_usize, place).prop_map(|(call, place)| Panic { call, place }))
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_pipeline_does_what_its_model_does(
        spec in any_spec(),
        panic in any_panic(),
        drop_at in any::<usize>(),
    ) {
        let stages = &spec.stages;
        check(
            &spec,
            panic,
            drop_at,
            keeps_order(stages),
            |world, source| build(world, stages, &mut 0, source, 0, None),
            |values, lost| model(stages, &mut 0, values, lost),
        );
    }
}
