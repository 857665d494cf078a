//! Calls of random pipelines that see how they are polled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use futures_lite::Stream;

use super::on_wake::on_wake;
use super::world::World;

/// The turns of a stage.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<AtomicUsize>);

impl Turns {
    pub(crate) fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A call, or an expansion: polled when it was woken, and once in a turn of its stage.
pub(crate) struct Watched<C, T> {
    call: Pin<Box<C>>,
    world: Arc<World<T>>,
    stage: usize,
    turns: Turns,
    /// The last turn in which it was polled.
    turn: Option<usize>,
    /// How often its waker was woken before it was polled last, if it has to be woken now.
    wakes: Option<usize>,
    /// What it is polled with, and the waker that was given for that.
    waker: Option<(Waker, Waker)>,
}

impl<C, T> Watched<C, T> {
    pub(crate) fn new(call: C, world: &Arc<World<T>>, stage: usize, turns: &Turns) -> Self {
        let (world, turns) = (world.clone(), turns.clone());
        Self { call: Box::pin(call), world, stage, turns, turn: None, wakes: None, waker: None }
    }

    fn poll_with<O>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<O>,
    ) -> Poll<O> {
        let turn = Some(self.turns.0.load(Ordering::Relaxed));
        self.world.expect(self.turn != turn, || {
            format!("a call of stage {} is polled twice in a turn", self.stage)
        });
        self.turn = turn;
        let count = self.world.wakes(cx.waker());
        let wakes = Some(count.load(Ordering::Relaxed));
        self.world.expect(self.wakes != wakes, || {
            format!("a call of stage {} is polled unwoken", self.stage)
        });
        // The same as long as it can be, so that it is seen to be.
        let same = self.waker.take().filter(|(_, given)| given.will_wake(cx.waker()));
        let (waker, given) = same.unwrap_or_else(|| {
            let wake = cx.waker().clone();
            #[allow(
                clippy::waker_clone_wake,
                reason = "both ways to wake are to be taken, in turns"
            )]
            let counts = move || match count.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => wake.wake_by_ref(),
                _ => wake.clone().wake(),
            };
            (on_wake(counts), cx.waker().clone())
        });
        let polled = poll(self.call.as_mut(), &mut Context::from_waker(&waker));
        self.waker = Some((waker, given));
        // After an output it is polled again for the next.
        self.wakes = wakes.filter(|_| polled.is_pending());
        polled
    }
}

impl<C: Future, T> Future for Watched<C, T> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        self.poll_with(cx, |call, cx| call.poll(cx))
    }
}

impl<C: Stream, T> Stream for Watched<C, T> {
    type Item = C::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<C::Item>> {
        self.poll_with(cx, |call, cx| call.poll_next(cx))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.call.size_hint()
    }
}
