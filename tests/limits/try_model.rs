//! Random pipelines of `Result`s against a model: exactly one error comes out, one that the model
//! allows, and nothing of the pipeline is left when it does.
//!
//! Errors come from the source, from calls and from expansions, panics from whatever is ours, also
//! while it is dropped. Everything follows from the spec and a seed, under an executor that knows
//! when a pipeline is stuck. `PROPTEST_CASES` raises the number of cases.

use std::any::Any;
use std::collections::HashSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use flowlet::prelude::*;
use futures_lite::future::FutureExt;
use futures_lite::stream::Boxed;
use proptest::prelude::any;
use proptest::proptest;

use crate::support::kinds::Limit;
use crate::support::random_runs::{cases, run_at_random};
use crate::support::waker::Task;

mod build;
mod item;
mod model;
mod spec;
mod stage;
mod watch;
mod world;

use build::build;
use item::{Item, Live, Out};
use model::{Lost, Outcome, SOURCE, value_of};
use spec::{Spec, any_spec};
use watch::Source;
use world::{Thrown, World};

/// The whole pipeline, with what came out.
struct Whole {
    stream: Boxed<Out>,
    world: Arc<World>,
    came: Arc<Mutex<Came>>,
}

#[derive(Default)]
struct Came {
    outcomes: Vec<Outcome>,
    /// How many polls panicked, and how many of these panics arrived.
    panicked: usize,
    caught: usize,
    /// The number of items that had come, and the bounds given then.
    hints: Vec<(usize, (usize, Option<usize>))>,
    over: bool,
}

impl Stream for Whole {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let Self { stream, world, came } = &mut *self;
        let hint = stream.size_hint();
        let before = world.known().thrown;
        let polled = catch_unwind(AssertUnwindSafe(|| stream.poll_next(cx)));
        let thrown = world.known().thrown - before;
        let mut came = came.lock().unwrap();
        let count = came.outcomes.len();
        came.hints.push((count, hint));
        match polled {
            Ok(polled) => {
                world.expect(thrown == 0, || "a panic is swallowed".into());
                Poll::Ready(ready!(polled).map(|item| {
                    let failed = item.is_err();
                    let outcome = item.map(Item::take).map_err(Item::take);
                    came.outcomes.push(outcome);
                    let last = world.own.spec.last_finishes();
                    let errors = last.map_or(0, |last| world.known().stages[last].errors.len());
                    let live = if failed { world.live(usize::MAX - 1) - errors } else { 0 };
                    world.expect(live == 0, || format!("{live} are left beside the error"));
                    value_of(&outcome)
                }))
            }
            Err(panic) => {
                let first = panic.downcast_ref().is_none_or(|Thrown(number)| *number == before);
                world.expect(first, || "not the first panic comes out".into());
                came.panicked += 1;
                drop(came);
                resume_unwind(panic);
            }
        }
    }
}

/// A panic that was not thrown here goes on.
fn caught(panic: Box<dyn Any + Send>, came: &Mutex<Came>) {
    if !panic.is::<Thrown>() {
        resume_unwind(panic);
    }
    came.lock().unwrap().caught += 1;
}

/// Waits for the next item, through panics.
async fn next(stream: &mut (impl Stream<Item = u64> + Unpin), came: &Mutex<Came>) -> Option<u64> {
    loop {
        match AssertUnwindSafe(stream.next()).catch_unwind().await {
            Ok(item) => return item,
            Err(panic) => caught(panic, came),
        }
    }
}

/// Takes everything that comes, and asks again after the end.
async fn consume(mut whole: Whole) {
    let (world, came) = (whole.world.clone(), whole.came.clone());
    if world.own.spec.alongside {
        let mut whole = whole.driven();
        while let Some(value) = next(&mut whole, &came).await {
            let body = whole.alongside(world.work(usize::MAX, value));
            if let Err(panic) = AssertUnwindSafe(body).catch_unwind().await {
                caught(panic, &came);
            }
        }
        assert!(next(&mut whole, &came).await.is_none(), "it was over");
    } else {
        while next(&mut whole, &came).await.is_some() {}
        assert!(next(&mut whole, &came).await.is_none(), "it was over");
    }
    came.lock().unwrap().over = true;
}

/// Polls the root when it was woken, and lets things happen, until it is over, is dropped, or is
/// stuck. Returns how often it was polled.
fn run(spec: &Spec, drop_at: Option<usize>) -> usize {
    let world = World::of(spec);
    let source = Source {
        world: world.clone(),
        outcomes: spec.source().into_iter(),
        pending: None,
        _live: Live::new(&world, SOURCE),
    };
    let stream = build(&world, &spec.stages, SOURCE + 1, source.boxed());
    let came = Arc::new(Mutex::new(Came::default()));
    let whole = Whole { stream, world: world.clone(), came: came.clone() };
    let mut root: Pin<Box<dyn Future<Output = ()>>> = Box::pin(consume(whole));
    let task = Task::new();
    let polls =
        run_at_random(&task, root.as_mut(), drop_at, |n| world.random(n), || world.happen());
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(root))) {
        assert!(panic.is::<Thrown>());
    }
    world.check_left();
    assert!(!task.is_kept(), "a dropped pipeline holds its waker");
    assert_eq!(world.live(usize::MAX - 1), 0, "something is left");
    let state = world.known();
    check(spec, &state.lost, &came.lock().unwrap());
    polls
}

/// Holds what came out against the model.
fn check(spec: &Spec, lost: &Lost, came: &Came) {
    let model = spec.model(lost);
    let errors = came.outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert!(errors <= 1 || spec.last_finishes().is_some());
    assert!(came.outcomes[came.outcomes.len() - errors..].iter().all(Result::is_err));
    let distinct = HashSet::<_>::from_iter(&came.outcomes);
    assert_eq!(distinct.len(), came.outcomes.len(), "something came twice");
    assert!(distinct.is_subset(&HashSet::from_iter(&model)), "something came from nowhere");

    let end = model.iter().position(Result::is_err).unwrap_or(model.len());
    if spec.any_finishes() {
        if spec.in_order(Limit::keeps_order) {
            // Outputs come from behind an error too.
            let mut model = model.iter();
            let oks = &came.outcomes[..came.outcomes.len() - errors];
            assert!(oks.iter().all(|output| model.any(|other| other == output)), "out of order");
        }
    } else if spec.in_order(|limit| limit.ordered) {
        let first = &model[..model.len().min(end + 1)];
        assert!(first.starts_with(&came.outcomes), "{:?} of {first:?}", came.outcomes);
        assert!(!came.over || came.outcomes == first, "{:?} of {first:?}", came.outcomes);
    } else if spec.in_order(Limit::keeps_order) {
        assert!(model[..end].starts_with(&came.outcomes[..came.outcomes.len() - errors]));
    }
    if came.over {
        assert_eq!(came.caught, came.panicked, "a panic is lost");
        assert!(errors >= 1 || came.outcomes.len() == model.len(), "something is lost");
        if spec.panics.is_empty() {
            for (count, (lower, upper)) in &came.hints {
                let rest = came.outcomes.len() - count;
                assert!((*lower..=upper.unwrap_or(rest)).contains(&rest), "{rest} came");
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn one_error_comes_out_and_nothing_is_left(spec in any_spec(), drop_at in any::<usize>()) {
        let calm = Spec { panics: Vec::new(), ..spec.clone() };
        for spec in [calm, spec] {
            let polls = run(&spec, None);
            run(&spec, Some(drop_at % (polls + 1)));
        }
    }
}
