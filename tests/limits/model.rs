//! Random pipelines against a model of plain iterators, under a manual executor that knows exactly
//! when a pipeline is stuck.
//!
//! Calls stay pending a random number of polls, woken by themselves, later and in any order, twice,
//! early, or when they are handed a lock that calls of all stages share. Everything follows from
//! the spec and a seed, and nothing runs in parallel. `PROPTEST_CASES` raises the number of cases.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use flowlet::prelude::*;
use futures_lite::future::FutureExt;
use futures_lite::stream::Boxed;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::proptest;

use crate::support::random_runs::{cases, mix, run_at_random};
use crate::support::waker::Task;

mod build;
mod plain;
mod spec;
mod stage;
mod watch;
mod world;

use build::build;
use plain::{Lost, keeps_order, model};
use spec::{Spec, any_spec};
use stage::Item;
use watch::Source;
use world::{Panic, Place, Thrown, World};

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
        run_at_random(&task, root.as_mut(), drop_at, |n| world.random(n), || world.goes_on());
    drop(root);
    let running =
        world.own.stages.lock().unwrap().values().map(|counts| counts.running).sum::<usize>();
    assert_eq!((0, 0), (running, world.own.live.load(Ordering::Relaxed)), "something is left");
    world.check_left();
    assert!(!task.is_kept(), "a dropped pipeline holds its waker");
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
    let world = World::of(spec, None);
    let (out, polls) = run(&world, build(&world, source(&world)), spec.alongside, None);
    assert!(out.over && out.panics == 0);
    for (came, (lower, upper)) in out.hints {
        let rest = out.values.len() - came;
        assert!(lower <= rest, "{rest} came, at least {lower} were to");
        assert!(upper.is_none_or(|upper| rest <= upper), "{rest} came, at most {upper:?} were to");
    }
    compare(out.values, model(values.clone(), None), in_order);

    // Dropped on the way.
    let world = World::of(spec, None);
    run(&world, build(&world, source(&world)), spec.alongside, Some(drop_at % (polls + 1)));

    // With a panic, to the end and dropped on the way.
    if panic.is_some() {
        let world = World::of(spec, panic);
        let (out, polls) = run(&world, build(&world, source(&world)), spec.alongside, None);
        assert!(out.over);
        assert_eq!(
            out.panics,
            world.own.panics.load(Ordering::Relaxed),
            "each panic comes out once"
        );
        let lost = *world.own.lost.lock().unwrap();
        compare(out.values, model(values.clone(), lost), in_order);

        let world = World::of(spec, panic);
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
