//! Pipelines, built from their specs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flowlet::Flow;
use flowlet::prelude::*;
use futures_lite::stream::{self, Boxed};

use crate::support::kinds::{Kind, Limit};
use crate::support::watched::Turns;

use super::item::{Item, Live, Out, out};
use super::model::{flat, mapped, more};
use super::spec::Stage;
use super::stage::At;
use super::watch::{GoesIn, OutOf};
use super::world::World;

/// Builds stages, numbered from `stage` on, behind `stream`.
pub(crate) fn build(
    world: &Arc<World>,
    stages: &[Stage],
    mut stage: usize,
    mut stream: Boxed<Out>,
) -> Boxed<Out> {
    for spec in stages {
        let own = world.clone();
        let at = |limit: &Limit, tries| At {
            world: world.clone(),
            stage,
            turns: Turns::default(),
            limit: *limit,
            tries,
        };
        stream = match spec {
            Stage::Try(kind, limit) => attempt(at(limit, true), *kind, stream),
            Stage::Map(limit) => map(at(limit, false), stream),
            Stage::MapOk(limit) => map_ok(at(limit, false), stream),
            Stage::Batched(size, kind, limit) => batched(at(limit, true), *size, *kind, stream),
            Stage::Flow(inner) => {
                let inner = inner.clone();
                stream.through(Flow::new(move |s| build(&own, &inner, stage + 1, s.boxed())))
            }
            Stage::Driven => stream.driven().boxed(),
            Stage::SyncMap => {
                stream.map(move |item| item.map(|item| item.map(|v| mapped(stage, v)))).boxed()
            }
            Stage::Zipped => stream.zip(stream::repeat(())).map(|(item, ())| item).boxed(),
            Stage::Chained(_) | Stage::Joined => {
                let live = Live::new(world, stage);
                let more = stream::iter(more(stage)).map(move |value| {
                    let _ = &live;
                    out(&own, stage, Ok(value))
                });
                match spec {
                    Stage::Chained(true) => more.chain(stream).boxed(),
                    Stage::Chained(false) => stream.chain(more).boxed(),
                    _ => futures_util::stream::select(stream, more).boxed(),
                }
            }
        };
        stage += flat(std::slice::from_ref(spec)).len();
    }
    stream
}

/// A `try_` stage of any kind.
pub(crate) fn attempt(at: At, kind: Kind, stream: Boxed<Out>) -> Boxed<Out> {
    let (own, limit, above) = (at.clone(), at.concurrency(), GoesIn(stream, at.clone()));
    let one = move |item: Item| {
        let (own, running) = (own.clone(), own.begin([item.value]));
        own.clone().watch(async move {
            let output = own.one(kind, running, &item).await?;
            Ok(output.map(|value| item.map(|_| value)))
        })
    };
    let own = at.clone();
    let begin = move |item: Item| {
        let (own, running) = (own.clone(), own.begin([item.value]));
        (own, running, item.take())
    };
    let outcomes = move |own: &At, value| own.world.own.spec.outcomes(own.stage, kind, value);
    let ok = |output: Out| output.ok().expect("only its future fails");
    let own = at.clone();
    let stream = match kind {
        Kind::Map => above
            .try_map_concurrent(limit, move |item| {
                let call = one(item);
                async { call.await.map(|output| output.expect("there is one")) }
            })
            .boxed(),
        Kind::Filter => above
            .try_filter_concurrent(limit, async move |item: &Item| {
                let running = own.begin([item.value]);
                own.watch(own.clone().one(kind, running, item)).await.map(|output| output.is_some())
            })
            .boxed(),
        Kind::FilterMap => above.try_filter_map_concurrent(limit, one).boxed(),
        Kind::Iterable => above
            .try_flat_map_concurrent(limit, move |item| {
                let (own, running, value) = begin(item);
                own.iterable(outcomes(&own, value), running)
            })
            .boxed(),
        Kind::Stream => above
            .try_flat_map_concurrent(limit, move |item| {
                let (own, running, value) = begin(item);
                own.streamed(outcomes(&own, value), running)
            })
            .boxed(),
        Kind::FutureOfIterable => above
            .try_flat_map_concurrent(limit, move |item| {
                let (own, running, value) = begin(item);
                own.clone().watch(async move {
                    let (outcomes, running) = own.clone().open(kind, running, value).await?;
                    Ok(own.iterable(outcomes, running).map(ok))
                })
            })
            .boxed(),
        Kind::FutureOfStream => above
            .try_flat_map_concurrent(limit, move |item| {
                let (own, running, value) = begin(item);
                own.clone().watch(async move {
                    let (outcomes, running) = own.clone().open(kind, running, value).await?;
                    Ok(own.streamed(outcomes, running))
                })
            })
            .boxed(),
    };
    let one_to_one = matches!(kind, Kind::Map | Kind::Filter | Kind::FilterMap);
    OutOf { stream, at, one_to_one }.boxed()
}

/// A stage that takes errors for items.
pub(crate) fn map(at: At, stream: Boxed<Out>) -> Boxed<Out> {
    let (own, limit) = (at.clone(), at.concurrency());
    let stream = GoesIn(stream, at.clone()).map_concurrent(limit, move |item: Out| {
        let own = own.clone();
        let mut running = match &item {
            Ok(item) => own.begin([item.value]),
            // An error that a panic took would have ended the stages above all the same.
            Err(_) => own.start(),
        };
        own.clone().watch(async move {
            match item {
                Ok(item) => {
                    let output = own.one(Kind::Map, running, &item).await?;
                    Ok(item.map(|_| output.expect("there is one")))
                }
                Err(error) => {
                    own.world.work(own.stage, error.value).await;
                    running.gave(Some(Err(error.value)));
                    running.end(false);
                    Err(error)
                }
            }
        })
    });
    OutOf { stream: stream.boxed(), at, one_to_one: true }.boxed()
}

/// A stage that errors pass, without a call.
pub(crate) fn map_ok(at: At, stream: Boxed<Out>) -> Boxed<Out> {
    let (own, limit) = (at.clone(), at.concurrency());
    let stream = GoesIn(stream, at.clone()).map_ok_concurrent(limit, move |item: Item| {
        let (own, running) = (own.clone(), own.begin([item.value]));
        own.clone().watch(async move {
            let output = own.one(Kind::Map, running, &item).await?;
            Ok(item.map(|_| output.expect("there is one")))
        })
    });
    OutOf { stream: stream.boxed(), at, one_to_one: true }.boxed()
}

pub(crate) fn batched(at: At, size: usize, kind: Kind, stream: Boxed<Out>) -> Boxed<Out> {
    let (own, limit) = (at.clone(), at.concurrency());
    let came = Arc::new(AtomicUsize::new(0));
    let (left, world, mut last) = (came.clone(), at.world.clone(), false);
    let batches = stream
        .inspect(move |item| {
            came.fetch_add(usize::from(item.is_ok()), Ordering::Relaxed);
        })
        .try_batched(size)
        .inspect(move |batch: &Result<Vec<Item>, Item>| {
            let count = batch.as_ref().map_or(0, Vec::len);
            let left = left.fetch_sub(count, Ordering::Relaxed) - count;
            let right = batch.is_err() && left == 0 || (1..=size).contains(&count) && !last;
            world.expect(right, || format!("a batch of {count} of {size}, {left} are left"));
            last = count < size;
        });
    let stream = GoesIn(batches, at.clone()).try_flat_map_concurrent(limit, move |batch| {
        let running = own.begin(batch.iter().map(|item: &Item| item.value));
        let item = |item: Item| own.world.own.spec.or_error(own.stage, item.take());
        let outcomes = batch.into_iter().map(item).collect();
        match kind {
            Kind::Iterable => stream::iter(own.iterable(outcomes, running)).boxed(),
            _ => own.streamed(outcomes, running),
        }
    });
    OutOf { stream: stream.boxed(), at, one_to_one: false }.boxed()
}
