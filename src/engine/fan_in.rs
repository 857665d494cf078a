//! Many upstreams at once.
//!
//! Each is held as a stage holds its one upstream, in a slot of its own, and polled only when it was woken. An advance
//! is passed on to branches that were woken and answer. Branches that it passes over, and those that it advanced, are
//! recorded and pulled next, woken or not.
//!
//! A branch that panics is queued like one that was woken: a stage continues with its other calls, or yields the error
//! for which it dropped them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::call::Step;
use super::in_a_row::InARow;
use super::marks::{Answer, Purpose, answer};
use super::ready::{Poller, Signals};
use super::slots::Slots;
use super::upstream::Upstream;
use crate::size_hint::{SizeHint, add_hints, exactly};

/// Upstreams that take turns.
pub(crate) struct FanIn<S, T> {
    branches: Slots<Branch<S, T>>,

    /// How many have not ended.
    open: usize,

    /// The branches that the next pull polls, woken or not. What to do with each is recorded there.
    to_pull: Vec<u32>,

    /// Whether an item was ever asked for. Until then branches begin in an advance; later, new ones wait for a pull.
    pulled: bool,

    poller: Poller,
    in_a_row: InARow,
}

pin_project! {
    /// One of the upstreams.
    struct Branch<S, T> {
        #[pin]
        upstream: Upstream<S, T>,
        poller: Poller,

        // What an advance left for the next pull.
        left: Option<Left>,
    }
}

/// Why a branch must be pulled although nothing woke it.
#[derive(Clone, Copy)]
enum Left {
    /// It was advanced, and may keep outputs. It waits for its wakers.
    Advanced,
    /// It was woken and must be pulled. It is not queued.
    PassedOver,
}

impl<S: Stream, T> FanIn<S, T> {
    /// Bounds the number of items still to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.branches.calls().map(|branch| branch.upstream.size_hint()).fold(exactly(0), add_hints)
    }
}

impl<S, T> FanIn<S, T> {
    /// The signals through which the branches wake the poller.
    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.poller.signals
    }
}

impl<S: Stream<Item = T>, T> FanIn<S, T> {
    pub(crate) fn new() -> Self {
        Self {
            branches: Slots::new(),
            open: 0,
            to_pull: Vec::new(),
            pulled: false,
            poller: Poller::new(Signals::new()),
            in_a_row: InARow::default(),
        }
    }

    /// Adds a branch, to be polled in the next turn.
    pub(crate) fn add(&mut self, stream: S) {
        let signals = Signals::new();
        let upstream = Upstream::new(stream, &signals);
        let branch = Branch { upstream, poller: Poller::new(signals), left: None };
        let signals = &self.poller.signals;
        let (index, _) =
            self.branches.start(branch, None, signals, |_, _| Poll::<Step<T>>::Pending);
        self.branches.wake(index, signals);
        self.open += 1;
    }

    /// Returns whether all branches have ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// One turn: polls the branches that were woken, once each, until one of them yields an item.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        #[cfg(debug_assertions)]
        self.branches.check();
        let answer = answer(cx.waker());
        if self.in_a_row.gives_way(&answer, cx) {
            return Poll::Pending;
        }
        let polled = self.turn(answer, cx);
        self.in_a_row.note(&polled);
        polled
    }

    fn turn(&mut self, answer: Answer, cx: &mut Context<'_>) -> Poll<T> {
        let mut budget = answer.budget;
        if !answer.advanced() {
            self.pulled = true;
            self.queue_those_left();
        }
        let mut due = self.branches.due(&self.poller.signals);
        while budget > 0 {
            let Some(index) = self.branches.next(&mut due) else { break };
            if answer.advanced() {
                self.advance(index, answer.purpose, &mut budget);
            } else if let Poll::Ready(item) = self.pull(index, &mut budget) {
                answer.finish(budget, false);
                return Poll::Ready(item);
            }
            budget = budget.saturating_sub(1);
        }
        answer.finish(budget, self.is_empty());
        // Check once more after registering, before waiting.
        self.poller.register(cx.waker());
        if self.branches.any_queued() || self.poller.signals.any() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Asks a branch for its next item.
    fn pull(&mut self, index: u32, budget: &mut usize) -> Poll<T> {
        match self.poll(index, Purpose::Pull, budget) {
            Poll::Ready(Step::Output(item)) => {
                self.branches.again(index, &self.poller.signals);
                Poll::Ready(item)
            }
            _ => Poll::Pending,
        }
    }

    /// Polls a branch, in one way or the other. One that panics is to be polled again.
    fn poll(&mut self, index: u32, purpose: Purpose, budget: &mut usize) -> Poll<Step<T>> {
        let Self { branches, poller, .. } = self;
        let mut panicked = None;
        // Caught in the slot, which would have to be vacated otherwise.
        let turn = |branch: Pin<&mut Branch<S, T>>, cx: &mut Context<'_>| {
            let turn = AssertUnwindSafe(|| branch.turn(purpose, budget, cx));
            catch_unwind(turn).unwrap_or_else(|panic| {
                panicked = Some(panic);
                Poll::Pending
            })
        };
        let polled = branches.poll(index, &poller.signals, turn);
        if let Some(panic) = panicked {
            branches.wake(index, &poller.signals);
            resume_unwind(panic);
        }
        if let Poll::Ready(Step::End) = polled {
            self.open -= 1;
        }
        polled
    }

    /// Lets the stages of a branch continue.
    fn advance(&mut self, index: u32, purpose: Purpose, budget: &mut usize) {
        let Some(branch) = self.branches.call(index) else { return };
        // It was added after the others began.
        let begins = purpose == Purpose::Advance && branch.upstream.is_new() && !self.pulled;
        let purpose = if begins { Purpose::Begin } else { purpose };
        let is_reached = branch.upstream.reaches(purpose);
        let left = if is_reached { Left::Advanced } else { Left::PassedOver };
        if branch.project().left.replace(left).is_none() {
            self.to_pull.push(index);
        }
        if is_reached {
            let _ = self.poll(index, purpose, budget);
        }
    }

    /// Queues the branches that an advance left for this pull.
    fn queue_those_left(&mut self) {
        for index in self.to_pull.drain(..) {
            // A branch that has ended may have been followed by another one.
            let left = self.branches.call(index).and_then(|branch| branch.project().left.take());
            match left {
                Some(Left::Advanced) => self.branches.wake(index, &self.poller.signals),
                Some(Left::PassedOver) => self.branches.again(index, &self.poller.signals),
                None => {}
            }
        }
    }

    /// Returns how many branches have not ended.
    pub(crate) fn count(&self) -> usize {
        self.open
    }
}

impl<S: Stream<Item = T>, T> Branch<S, T> {
    /// Asks for the next item, or only lets the stages continue.
    fn turn(
        self: Pin<&mut Self>,
        purpose: Purpose,
        budget: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Step<T>> {
        let this = self.project();
        let polled = this.upstream.poll_next(this.poller, purpose, budget, cx);
        polled.map(|item| item.map_or(Step::End, Step::Output))
    }
}
