//! The pipeline, its source and its calls.

use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use flowlet::prelude::*;
use futures_lite::stream::BoxedLocal;

use super::spec::{Go, Kind, Place, StageSpec};
use super::world::{Item, World};

pub(crate) type Out = Result<Item, Item>;

/// Gives the items that there are by now.
struct Source(Rc<World>);

impl Stream for Source {
    type Item = Out;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        self.0.may_panic(Place::Source);
        let mut state = self.0.state.borrow_mut();
        let source = &mut state.source;
        assert!(!source.is_over, "the source is over and polled");
        if source.available > 0 {
            source.available -= 1;
        } else if source.fails {
            source.is_over = true;
            drop(state);
            return Poll::Ready(Some(Err(self.0.item())));
        } else if source.ends {
            source.is_over = true;
            return Poll::Ready(None);
        } else {
            source.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        Poll::Ready(Some(Ok(self.0.item())))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let source = &mut self.0.state.borrow_mut().source;
        source.is_over = true;
        source.waker = None;
    }
}

/// A key, which is counted.
struct Key(u64, Rc<World>);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        self.1.state.borrow_mut().keys -= 1;
    }
}

/// A call, or an inner stream.
struct Call {
    world: Rc<World>,
    stage: usize,
    seq: usize,
    _item: Item,
    is_over: bool,
}

impl Call {
    fn begin(world: &Rc<World>, stage: usize, item: Item) -> Self {
        let seq = world.begins(stage, &item);
        Self { world: world.clone(), stage, seq, _item: item, is_over: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        assert!(!self.is_over, "a call is polled after its end");
        let mut state = self.world.state.borrow_mut();
        let entry = state.stages[self.stage].entries.get_mut(&self.seq).expect("it runs");
        let Some(go) = entry.goes.pop_front() else {
            entry.waker = Some(cx.waker().clone());
            entry.reserved = entry.waiting > 0;
            return Poll::Pending;
        };
        entry.waker = None;
        drop(state);
        let spec = &self.world.spec;
        let mut output = match go {
            Go::Panic => self.world.throw(),
            Go::End if spec.stages[self.stage].is_many() => {
                self.is_over = true;
                return Poll::Ready(None);
            }
            Go::Fail if spec.tries => Err(self.world.item()),
            _ => Ok(self.world.item()),
        };
        self.is_over = output.is_err() || !spec.stages[self.stage].is_many();
        self.world.gave(self.stage, self.seq, &mut output);
        Poll::Ready(Some(output))
    }
}

impl Future for Call {
    type Output = Out;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Out> {
        Call::poll(&mut self, cx).map(|output| output.expect("a call has an output"))
    }
}

struct Inner(Call);

impl Stream for Inner {
    type Item = Out;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        self.0.poll(cx)
    }
}

/// What goes into a stage.
struct GoesIn(BoxedLocal<Out>, Rc<World>, usize);

impl Stream for GoesIn {
    type Item = Out;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        let Self(above, world, stage) = &mut *self;
        let mut polled = Pin::new(above).poll_next(cx);
        if let Poll::Ready(Some(item)) = &mut polled {
            world.pulled(*stage, item);
        }
        polled
    }
}

/// What comes out of a stage.
struct OutOf(BoxedLocal<Out>, Rc<World>, usize);

impl Stream for OutOf {
    type Item = Out;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        let Self(above, world, stage) = &mut *self;
        world.state.borrow_mut().stages[*stage].is_polled = true;
        let mut polled = Pin::new(above).poll_next(cx);
        if let Poll::Ready(Some(item)) = &mut polled {
            world.yielded(*stage, item);
        }
        polled
    }
}

fn stage(world: &Rc<World>, at: usize, spec: &StageSpec, above: GoesIn) -> BoxedLocal<Out> {
    let limit = world.concurrency(spec);
    let weight = {
        let world = world.clone();
        move |item: &Item| {
            world.may_panic(Place::Weight);
            world.weight(at, item.id)
        }
    };
    let key = {
        let world = world.clone();
        move |item: &Item| {
            world.may_panic(Place::Key);
            world.admitted(at, item.id);
            world.state.borrow_mut().keys += 1;
            Key(world.key(item.id), world.clone())
        }
    };
    let f = {
        let world = world.clone();
        move |item: Item| Call::begin(&world, at, item)
    };
    let ok = |item: Out| item.unwrap_or_else(|_| panic!("there are no errors"));
    let g = f.clone();
    let inner = move |item: Item| Inner(g(item));
    let g = f.clone();
    let plain = move |item: Item| {
        let call = g(item);
        async move { call.await.unwrap_or_else(|_| panic!("there are no errors")) }
    };
    let g = inner.clone();
    let plain_inner = move |item: Item| g(item).map(ok);
    match (world.spec.tries, spec.kind, spec.weighs) {
        (true, Kind::Map, false) => above.try_map_concurrent(limit, f).boxed_local(),
        (true, Kind::Map, true) => {
            above.try_map_concurrent(limit, f).weighed_by(weight).boxed_local()
        }
        (true, Kind::FlatMap, false) => above.try_flat_map_concurrent(limit, inner).boxed_local(),
        (true, Kind::FlatMap, true) => {
            above.try_flat_map_concurrent(limit, inner).weighed_by(weight).boxed_local()
        }
        (true, Kind::ByKey(per_key), false) => {
            above.try_map_concurrent_by_key(limit, key, f).per_key(per_key).boxed_local()
        }
        (true, Kind::ByKey(per_key), true) => above
            .try_map_concurrent_by_key(limit, key, f)
            .per_key(per_key)
            .weighed_by(weight)
            .boxed_local(),
        (false, kind, weighs) => {
            let above = above.map(ok);
            match (kind, weighs) {
                (Kind::Map, false) => above.map_concurrent(limit, plain).map(Ok).boxed_local(),
                (Kind::Map, true) => {
                    above.map_concurrent(limit, plain).weighed_by(weight).map(Ok).boxed_local()
                }
                (Kind::FlatMap, false) => {
                    above.flat_map_concurrent(limit, plain_inner).map(Ok).boxed_local()
                }
                (Kind::FlatMap, true) => above
                    .flat_map_concurrent(limit, plain_inner)
                    .weighed_by(weight)
                    .map(Ok)
                    .boxed_local(),
                (Kind::ByKey(per_key), false) => above
                    .map_concurrent_by_key(limit, key, plain)
                    .per_key(per_key)
                    .map(Ok)
                    .boxed_local(),
                (Kind::ByKey(per_key), true) => above
                    .map_concurrent_by_key(limit, key, plain)
                    .weighed_by(weight)
                    .per_key(per_key)
                    .map(Ok)
                    .boxed_local(),
            }
        }
    }
}

pub(crate) fn build(world: &Rc<World>) -> BoxedLocal<Out> {
    let mut stream = Source(world.clone()).boxed_local();
    for (at, spec) in world.spec.stages.iter().enumerate() {
        let above = GoesIn(stream, world.clone(), at);
        stream = OutOf(stage(world, at, spec, above), world.clone(), at).boxed_local();
    }
    stream
}
