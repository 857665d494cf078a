//! One or two stages of any limit against what they promise, driven by hand: at each step a call goes on, the
//! source has more, the limit changes, something panics, or the stage is polled, by a consumer that wants an item
//! or by one that is busy. What is checked at each of them is in `world`.
//!
//! Everything follows from the spec. `PROPTEST_CASES` raises the number of cases.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use flowlet::Permit;
use flowlet::prelude::*;
use flowlet::stage::Driven;
use futures_lite::stream::BoxedLocal;
use proptest::proptest;

use crate::support::random_runs::{cases, mix};
use crate::support::waker::Task;

mod build;
mod spec;
mod world;

use build::{Out, build};
use spec::{Event, Go, Spec, any_spec};
use world::{Entry, Phase, Thrown, World};

/// More polls than anything here asks for.
const MANY: usize = 10_000;

/// A pipeline that is run.
struct Run {
    world: Rc<World>,
    stream: Driven<BoxedLocal<Out>>,
    task: Task,
    permits: Vec<Permit>,
    is_over: bool,
    failed: bool,
    panics: usize,
    /// Whether it was polled last by a consumer that is busy, or never.
    is_advanced: bool,
    is_polled: bool,
}

impl Run {
    fn new(spec: &Spec) -> Self {
        let world = World::new(spec);
        let stream = build(&world).driven();
        Self {
            world,
            stream,
            task: Task::new(),
            permits: Vec::new(),
            is_over: false,
            failed: false,
            panics: 0,
            is_advanced: false,
            is_polled: false,
        }
    }

    fn poll(&mut self, advance: bool) {
        self.is_advanced = advance;
        self.is_polled |= !advance;
        let Self { stream, task, .. } = self;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if advance {
                let polled = task.poll(&mut pin!(stream.alongside(pending::<()>())));
                assert!(polled.is_pending());
                None
            } else {
                Some(task.poll_next(stream))
            }
        }));
        let thrown = self.world.state.borrow().thrown;
        match polled {
            Ok(polled) => {
                assert_eq!(self.panics, thrown, "a panic is swallowed");
                match polled {
                    Some(Poll::Ready(Some(item))) => {
                        assert!(!self.is_over, "it goes on after its end");
                        // Then only more of them may come.
                        assert!(!self.failed || item.is_err(), "it goes on after its error");
                        self.failed |= item.is_err();
                        self.is_over |= item.is_err() && !self.world.finishes();
                    }
                    Some(Poll::Ready(None)) => {
                        self.is_over = true;
                        self.check_over();
                    }
                    _ => {}
                }
                self.world.check();
                if self.is_polled && !self.task.is_woken() {
                    self.world.check_eager();
                }
            }
            Err(panic) if panic.is::<Thrown>() => {
                self.panics += 1;
                assert_eq!(self.panics, thrown);
                // Who catches it polls again.
                self.task.wake();
                self.world.check();
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Tells whether a consumer that wants an item has reason to poll.
    fn asks(&self) -> bool {
        self.task.is_woken() || self.is_advanced
    }

    /// Lets the call at some place go on.
    fn go(&mut self, at: usize, go: Go, count: usize) -> bool {
        let mut state = self.world.state.borrow_mut();
        let entries = state.stages.iter_mut().flat_map(|stage| stage.entries.values_mut());
        let idle = |entry: &&mut Entry| entry.phase == Phase::Runs && entry.goes.is_empty();
        let mut entries: Vec<_> = entries.filter(idle).collect();
        if entries.is_empty() {
            return false;
        }
        let at = at % entries.len();
        let entry = &mut entries[at];
        entry.goes.extend((0..count.max(1)).map(|_| go));
        let waker = entry.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
            assert!(self.task.is_woken(), "a call was woken, and its pipeline was not");
        }
        true
    }

    fn source(&mut self, change: impl FnOnce(&mut world::Source)) {
        let mut state = self.world.state.borrow_mut();
        if state.source.ends || state.source.fails {
            return;
        }
        change(&mut state.source);
        let waker = state.source.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
            assert!(self.task.is_woken(), "the source was woken, and its pipeline was not");
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Poll if self.asks() => self.poll(false),
            Event::Advance if self.task.is_woken() => self.poll(true),
            Event::Poll | Event::Advance => {}
            Event::PollAnyway => self.poll(false),
            Event::Go(at, go, count) => {
                self.go(at, go, count);
            }
            Event::Items(count) => self.source(|source| source.available += count),
            Event::SourceEnds => self.source(|source| source.ends = true),
            Event::SourceFails => {
                let tries = self.world.spec.tries;
                self.source(|source| if tries { source.fails = true } else { source.ends = true });
            }
            Event::SetLimit(limit) => self.world.set_limit(limit),
            Event::Panic(place) => self.world.state.borrow_mut().panics = Some(place),
            Event::Take(permits) => {
                if let Some(permit) = self.world.shared.try_acquire_many(permits) {
                    self.world.state.borrow_mut().taken += permit.count();
                    self.permits.push(permit);
                }
            }
            Event::GiveBack => {
                if let Some(permit) = self.permits.pop() {
                    self.world.state.borrow_mut().taken -= permit.count();
                }
            }
            Event::Drop => unreachable!("there is nothing after it"),
        }
    }

    /// Lets everything happen that is needed to come to an end.
    fn finish(&mut self) {
        while !self.permits.is_empty() {
            self.happen(Event::GiveBack);
        }
        self.world.state.borrow_mut().panics = None;
        if self.world.shared.limit() == 0 {
            self.world.set_limit(1);
        }
        self.source(|source| source.ends = true);
        let mut random = self.world.spec.seed;
        for _ in 0..MANY {
            if self.is_over {
                if !self.failed {
                    self.check_over();
                }
                for _ in 0..3 {
                    assert!(self.task.poll_next(&mut self.stream).is_ready());
                }
                return;
            }
            random = mix(random, 3);
            if self.asks() {
                self.poll(self.task.is_woken() && random % 4 == 0);
            } else {
                let go = if random % 3 == 0 { Go::Output } else { Go::End };
                assert!(self.go(random as usize / 16, go, 1), "it is stuck");
            }
        }
        panic!("it turns in circles");
    }

    /// Checks that nothing is lost, as all was yielded.
    fn check_over(&self) {
        let state = self.world.state.borrow();
        for stage in &state.stages {
            assert!(stage.entries.is_empty(), "something is lost");
        }
        assert_eq!((state.outside, state.keys), (0, 0));
        assert_eq!(self.world.shared.in_use(), state.taken, "permits are left");
    }

    fn drop(self) {
        let Self { world, stream, permits, task, .. } = self;
        drop(stream);
        let state = world.state.borrow();
        assert!(state.stages.iter().all(|stage| stage.entries.is_empty()), "items are left");
        assert_eq!((state.outside, state.keys), (0, 0), "something is left");
        assert!(state.source.is_over, "the source is left");
        drop(permits);
        assert_eq!(world.shared.in_use(), 0, "permits are left");
        assert!(!task.is_kept(), "a dropped pipeline holds its waker");
    }
}

fn run(spec: &Spec) {
    let mut run = Run::new(spec);
    for event in &spec.events {
        if let Event::Drop = event {
            return run.drop();
        }
        run.happen(*event);
        // Whoever is done with something polls, as a busy consumer may not for long.
        if run.is_over {
            break;
        }
    }
    run.finish();
    run.drop();
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn any_limit_keeps_to_what_it_promises(spec in any_spec()) {
        run(&spec);
    }
}
