//! Pipelines, built from their specs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flowlet::Flow;
use flowlet::prelude::*;
use futures_lite::stream::{self, Boxed};

use super::plain::{Lost, count, expanded, inner_source, is_kept, mapped, more};
use super::spec::Stage;
use super::stage::{At, Item, Running};
use super::watch::{GoesIn, OutOf};
use super::world::World;
use crate::support::kinds::{Kind, Limit};
use crate::support::watched::Turns;

/// Builds stages, numbered from `id` on, behind `stream`.
///
/// `slack` is whether what is right above may give an item to an advance, because it holds items
/// and is no stage.
pub(crate) fn build(
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
            built: world.own.built.fetch_add(1, Ordering::Relaxed),
            turns: Turns::default(),
            limit: *limit,
            slack,
            inside,
        };
        let own_world = world.clone();
        match stage {
            Stage::Of(Kind::Map, limit) => stream = map(at(limit), stream).boxed(),
            Stage::Of(Kind::Filter, limit) => stream = filter(at(limit), stream).boxed(),
            Stage::Of(Kind::FilterMap, limit) => stream = filter_map(at(limit), stream).boxed(),
            Stage::Of(kind, limit) => stream = flat_map(at(limit), *kind, stream),
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

pub(crate) fn map(at: At, stream: impl Stream<Item = Item> + Unpin) -> impl Stream<Item = Item> {
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

pub(crate) fn filter(
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

pub(crate) fn filter_map(
    at: At,
    stream: impl Stream<Item = Item> + Unpin,
) -> impl Stream<Item = Item> {
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

pub(crate) fn flat_map(
    at: At,
    kind: Kind,
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
        Kind::Iterable => Box::pin(stream.flat_map_concurrent(limit, move |item| {
            let (own, value, running, panics) = begin(&own, item);
            if panics {
                own.world.throw(own.lost(value));
            }
            iterable(&own, value, running)
        })),
        Kind::Stream => Box::pin(stream.flat_map_concurrent(limit, move |item| {
            let (own, value, running, panics) = begin(&own, item);
            if panics {
                own.world.throw(own.lost(value));
            }
            streamed(&own, value, running)
        })),
        Kind::FutureOfIterable => Box::pin(stream.flat_map_concurrent(limit, move |item| {
            let (own, value, running, panics) = begin(&own, item);
            own.clone().watch(async move {
                own.go_on(value, panics).await;
                iterable(&own, value, running)
            })
        })),
        Kind::FutureOfStream => Box::pin(stream.flat_map_concurrent(limit, move |item| {
            let (own, value, running, panics) = begin(&own, item);
            own.clone().watch(async move {
                own.go_on(value, panics).await;
                streamed(&own, value, running)
            })
        })),
        Kind::Map | Kind::Filter | Kind::FilterMap => unreachable!("{kind:?} expands nothing"),
    };
    OutOf { stream, at: out, one_to_one: false }.boxed()
}

pub(crate) fn nested(
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
