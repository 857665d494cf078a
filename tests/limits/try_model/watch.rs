//! What is put around calls and stages, to see all that happens.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use flowlet::prelude::*;

use super::item::{Goods, Item, Live, Out, out};
use super::model::{Outcome, SOURCE};
use super::spec::Place;
use super::stage::At;
use super::world::World;
use crate::support::random_runs::mix;

/// What goes into a stage.
pub(crate) struct GoesIn<S>(pub(crate) S, pub(crate) At);

impl<S, T: Goods> Stream for GoesIn<S>
where
    S: Stream<Item = Result<T, Item>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Self(above, at) = &mut *self;
        let failed = at.counts(|counts| counts.failed.is_some());
        at.world.expect(!failed, || format!("stage {} failed and asks for more", at.stage));
        let mut item = ready!(above.poll_next(cx));
        match &mut item {
            Some(Ok(item)) => item.enter(at.stage),
            Some(Err(error)) => error.enter(at.stage),
            None => {}
        }
        let held = at.counts(|counts| match &item {
            Some(Err(error)) if at.tries => {
                counts.failed = Some(counts.pulled);
                if at.limit.finishing {
                    counts.errors.push_back(error.value);
                }
                0
            }
            Some(_) => {
                counts.pulled += 1;
                counts.pulled - counts.gone
            }
            None => 0,
        });
        // An adaptor may have given an item that was not asked for.
        let most = at.window().saturating_add(1);
        at.world.expect(held <= most, || format!("stage {} holds {held} of {most}", at.stage));
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// What comes out of a stage.
pub(crate) struct OutOf<S> {
    pub(crate) stream: S,
    pub(crate) at: At,
    /// Whether an item is gone when an output is handed on.
    pub(crate) one_to_one: bool,
}

impl<S: Stream<Item = Out> + Unpin> Stream for OutOf<S> {
    type Item = Out;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        let Self { stream, at, one_to_one } = &mut *self;
        at.turns.next();
        let polled = catch_unwind(AssertUnwindSafe(|| stream.poll_next(cx)));
        at.check_turn();
        let mut polled = polled.unwrap_or_else(|panic| resume_unwind(panic));
        let (failed, over) = at.counts(|counts| (counts.failed.is_some(), counts.over));
        let waits = at.limit.ordered || at.limit.errors_in_turn || at.limit.finishing;
        let at_once = failed && !over && !waits;
        at.world.expect(!at_once || matches!(polled, Poll::Ready(Some(Err(_)))), || {
            format!("stage {} has something before its error", at.stage)
        });
        if let Poll::Ready(Some(item)) = &mut polled {
            let failed = item.is_err();
            let (Ok(handed) | Err(handed)) = item;
            handed.enter(at.stage + 1);
            let value = handed.value;
            at.counts(|counts| {
                counts.gone += usize::from(*one_to_one);
                let place = counts.waiting.iter().position(|(_, value)| *value == handed.value);
                place.map(|place| counts.waiting.remove(place));
            });
            at.world.expect(!over, || format!("stage {} goes on after its error", at.stage));
            if failed && at.tries {
                at.check_over(value);
            }
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

pub(crate) struct Source {
    pub(crate) world: Arc<World>,
    pub(crate) outcomes: std::vec::IntoIter<Outcome>,
    pub(crate) pending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pub(crate) _live: Live,
}

impl Stream for Source {
    type Item = Out;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Out>> {
        let this = &mut *self;
        if this.world.own.spec.source_pends {
            let (world, number) = (this.world.clone(), this.outcomes.len() as u64);
            let way = mix(world.seed, number) % 16;
            // It takes no lock: nobody polls it while there is no room.
            let pending = this.pending.get_or_insert_with(|| {
                Box::pin(async move {
                    if way < 8 {
                        world.pend(way).await;
                    }
                })
            });
            ready!(pending.as_mut().poll(cx));
            this.pending = None;
        }
        // Before the item is taken, so that none is lost.
        this.world.may_panic(Place::Source, SOURCE, []);
        Poll::Ready(this.outcomes.next().map(|outcome| out(&this.world, SOURCE, outcome)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.outcomes.size_hint()
    }
}
