//! What is put around stages, to see all that happens.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use flowlet::prelude::*;

use super::stage::{At, Item};
use super::world::{Panic, Place, World};
use crate::support::random_runs::mix;

/// Counts what goes into a stage.
pub(crate) struct GoesIn<S>(pub(crate) S, pub(crate) At);

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
            let most = self.1.window().saturating_add(*slack);
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
pub(crate) struct OutOf<S> {
    pub(crate) stream: S,
    pub(crate) at: At,
    /// Whether an item is gone when an output is handed on.
    pub(crate) one_to_one: bool,
}

impl<S: Stream + Unpin> Stream for OutOf<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.at.turns.next();
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
pub(crate) struct Source {
    pub(crate) world: Arc<World>,
    pub(crate) values: std::vec::IntoIter<u64>,
    pub(crate) number: usize,
    pub(crate) pends: bool,
    pub(crate) pending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
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
        if let Some(Panic { call, place: Place::Source }) = this.world.own.panic {
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
