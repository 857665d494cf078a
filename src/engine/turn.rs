//! One turn of a stage.
//!
//! Each `poll_next` is one turn, and ends with the first output that it can yield:
//!
//! 1. **Start.** While there is room an item is pulled, and its call made and polled at once.
//! 2. **Go on.** The calls that were due when the turn began are polled, oldest first, each once. A call is
//!    due if it was woken, or can go on after an output. Then step 1 comes once more, in the room that there
//!    is by now.
//! 3. **Advance** upstream if there is no room. Not if this turn makes some by yielding an output: then the
//!    next turn pulls, which is an advance and more. The output of an open expansion makes no room, so a
//!    stage of those advances before step 2.
//! 4. **Yield** an output that waits, or end, or wait.
//!
//! An output is **direct or kept**. Either the poll that got it yields it, and no user code runs in between; or it
//! waits in `outputs`, where no panic can lose it. It waits in an advance, behind others
//! that wait, until its turn in input order, and while a permit is given back, which wakes others.
//!
//! If new calls and those that are due both have outputs at once, they take turns: a turn that yielded the
//! output of a new call while others were due is followed by one that goes on first. Open expansions take
//! turns as well, an output each, as one that gave an output is queued behind all that is due. So nothing
//! keeps anything else waiting for more than a round.
//!
//! If open expansions are all there is, with nothing to start or to advance, a turn goes on with the first
//! that is due, and need not split its budget.
//!
//! Most turns are **plain**: of a stage in completion order with a limit of its own, not in an advance, while
//! no output waits. A plain turn need not ask about any of that, and is compiled by itself.
//!
//! All stages of a pipeline share one budget, 128 calls polled or started in a poll of the task: who polls
//! a stage tells it what is left, and is told what is left afterwards. If calls are due then half of it is
//! theirs, and half is for new ones and the stages above. Where it ends, the stage wakes itself and lets
//! others run. Neither half is ever empty, but nobody gets a second one in a turn: a stage that polled the one
//! above twice on a spent budget would double the work of all above it.
//!
//! # Failing
//!
//! Where outputs can [fail](Call::fails) their stage, as errors do in the `try_` stages, a failure ends
//! it the moment the engine gets it, in a pull or in an advance: calls are dropped, then outputs that
//! wait, then the held item, then upstream, and the failure is the last output. `Turn::fail` is the one
//! place for that.
//!
//! - In **input order** only what comes after the failure is dropped. The calls before it go on, and a
//!   failure of one of them cuts again. Slots whose calls were dropped may still be queued, and are
//!   skipped; they are not used again, because nothing is started any more.
//! - A **failed item** from upstream becomes a call that is over at its first poll. It needs neither room
//!   nor a permit: a full stage finds it as the kept item of an advance.
//! - So that it gets there, a failure with nothing before it is yielded in an **advance** too. It is the
//!   only output that is. A stage below that is no `try_` stage keeps it as it keeps any item, and may
//!   stop advancing: there is nothing left above that could go on.
//! - A **panic** of what is dropped is caught, and goes on when all is dropped and the failure is in its
//!   place, so that the next poll yields it.
//!
//! # Panics
//!
//! User code runs in polls of calls, in drops of calls, in the stage's function and in upstream. A call
//! that panics is dropped at once, its slot vacated and its place ended, and its permit given back: dropping
//! the `Turn` does that, which every turn that ends without a panic forgets. No
//! output can be lost, as each is yielded at once or kept before other user code runs. Upstream is asked again.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::Core;
use super::call::{Call, Step};
use super::cleanup::Cleanup;
use super::marks::Answer;
use super::outputs::{After, Output};
use super::slots::Due;
use super::upstream::Upstream;
use crate::semaphore::Permit;

/// What one turn works with.
///
/// A `PLAIN` one is of a stage in completion order with a limit of its own, in which no output waits, and
/// is not an advance. So each output leaves at once, and nothing of others' runs before it has. Most
/// turns are, and need not look at the rest.
pub(super) struct Turn<'a, S, I, C, U, F, const PLAIN: bool> {
    core: &'a mut Core<I, C, U>,
    upstream: Pin<&'a mut Upstream<S, I>>,

    /// Whether a stage polls this one.
    is_asked: bool,

    /// Whether outputs are to be kept.
    advanced: bool,

    /// How many calls may still be polled or started.
    budget: usize,

    /// Tells whether an item failed above. It needs no permit, as its call is over at once.
    failed: fn(&I) -> bool,

    /// Makes a call of an item.
    start: F,
}

impl<'a, S, I, C, U, F, const PLAIN: bool> Turn<'a, S, I, C, U, F, PLAIN> {
    #[inline(always)]
    pub(super) fn new(
        core: &'a mut Core<I, C, U>,
        upstream: Pin<&'a mut Upstream<S, I>>,
        answer: Answer,
        failed: fn(&I) -> bool,
        start: F,
    ) -> Self {
        let Answer { is_asked, advanced, budget } = answer;
        Self { core, upstream, is_asked, advanced: !PLAIN && advanced, budget, failed, start }
    }
}

/// Only after a panic: who has taken the turn forgets this.
impl<S, I, C, U, F, const PLAIN: bool> Drop for Turn<'_, S, I, C, U, F, PLAIN> {
    #[inline(always)]
    fn drop(&mut self) {
        self.core.end_panicked();
    }
}

impl<S, I, C, U, F, const PLAIN: bool> Turn<'_, S, I, C, U, F, PLAIN>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
    F: FnMut(I) -> C,
{
    /// Takes the turn.
    #[inline(always)]
    pub(super) fn take(mut self, cx: &mut Context<'_>) -> Poll<Option<U>> {
        let polled = self.run(cx);
        #[cfg(debug_assertions)]
        self.core.check();
        let Self { is_asked, advanced, budget, .. } = self;
        mem::forget(self);
        Answer { is_asked, advanced, budget }.finish(budget, matches!(polled, Poll::Ready(None)));
        polled
    }

    /// The same for turns that are rare.
    #[inline(never)]
    pub(super) fn take_out_of_line(self, cx: &mut Context<'_>) -> Poll<Option<U>> {
        self.take(cx)
    }

    #[inline(always)]
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<Option<U>> {
        if self.budget == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // An output counts, whatever brought it: what is downstream may refuse it and ask again.
        let most = self.budget - 1;
        let mut due = self.begin();
        if PLAIN && C::MANY && !due.is_empty() {
            if let Some(value) = self.go_on_first(&mut due) {
                return Poll::Ready(Some(value));
            }
        }
        let mut any_due = !due.is_empty();
        // Half of the budget is for those that are due, the other for new ones and the stages above.
        let mut rest = 0;
        if any_due {
            rest = self.budget / 2;
            self.budget -= rest;
        }
        loop {
            // If both have outputs at once, they take turns.
            let mut owed = any_due && mem::take(&mut self.core.passed_over);
            if !owed {
                if let Some(value) = self.start_all() {
                    if any_due {
                        self.core.passed_over = true;
                    }
                    return Poll::Ready(Some(value));
                }
            }
            if !mem::take(&mut any_due) {
                break;
            }
            self.budget = (self.budget + mem::take(&mut rest)).max(1);
            if C::MANY && !self.any_room() {
                // Expansions may give outputs for long, and none of those makes room.
                self.advance();
                owed = false;
            }
            if let Some(value) = self.go_on_all(&mut due) {
                return Poll::Ready(Some(value));
            }
            // Once more for new ones, in the room that there is by now.
            if owed {
                self.budget = self.budget.max(1);
            }
        }

        if !self.frees_place() && !self.any_room() {
            // Those above have a part of a spent budget, but not two, or each stage would double the work of
            // all above it. Above expansions they have had it.
            self.budget = self.budget.max(usize::from(!C::MANY));
            self.advance();
        }
        if self.yields().is_some() {
            if let Some(output) = self.core.outputs.take() {
                self.budget = self.budget.min(most);
                self.follow(output.call);
                if self.are_shared() {
                    self.step_aside();
                }
                return Poll::Ready(Some(output.value));
            }
        }
        if self.core.is_idle() && self.upstream.is_over() {
            if self.are_shared() {
                self.step_aside();
            }
            self.core.poller.forget();
            return Poll::Ready(None);
        }
        self.wait(cx);
        Poll::Pending
    }

    /// Gathers what goes on in this turn.
    #[inline]
    fn begin(&mut self) -> Due {
        if PLAIN && self.core.outputs.in_flight() == 0 {
            return Due::NONE; // As in all turns of a stage whose calls are ready at once.
        }
        if self.are_shared() {
            self.begin_shared();
        }
        self.core.slots.due(&self.core.poller.signals)
    }

    #[cold]
    fn begin_shared(&mut self) {
        // Those that paused take turns with those that were woken.
        if let Some(index) = self.resume() {
            self.core.slots.again(index, &self.core.poller.signals);
        }
    }

    /// Starts calls while there is room, until one gives an output to yield.
    #[inline(always)]
    fn start_all(&mut self) -> Option<U> {
        while let Some((index, polled)) = self.start() {
            let value = self.settle(index, polled);
            if value.is_some() || self.yields().is_some() {
                return value;
            }
        }
        None
    }

    /// Goes on with the calls that are due, until one gives an output to yield.
    #[inline(always)]
    fn go_on_all(&mut self, due: &mut Due) -> Option<U> {
        while let Some(index) = self.next_due(due) {
            let value = self.go_on(index);
            if value.is_some() || self.yields().is_some() {
                return value;
            }
        }
        None
    }

    /// Goes on with the first call that is due, if nothing comes before it: most turns of a stage with
    /// open expansions.
    #[inline(always)]
    fn go_on_first(&mut self, due: &mut Due) -> Option<U> {
        let room = self.any_room();
        if !self.core.passed_over && self.upstream.is_due(&self.core.poller.signals, room) {
            return None;
        }
        self.core.passed_over = false;
        let index = self.next_due(due)?;
        self.go_on(index)
    }

    /// Goes on with a call.
    #[inline(always)]
    fn go_on(&mut self, index: u32) -> Option<U> {
        let Core { slots, poller, .. } = &mut *self.core;
        let polled = slots.poll(index, &poller.signals, C::poll);
        self.settle(index, polled)
    }

    /// Takes in how far a call got. Returns an output that can be yielded at once.
    #[inline(always)]
    fn settle(&mut self, index: u32, polled: Poll<Step<U>>) -> Option<U> {
        match polled {
            Poll::Ready(Step::Last(value)) if PLAIN && !C::fails(&value) => {
                self.core.outputs.leave();
                Some(value)
            }
            Poll::Ready(Step::Output(value)) if PLAIN && !C::fails(&value) => {
                self.follow(After::GoesOn(index));
                Some(value)
            }
            Poll::Ready(Step::End) if PLAIN => {
                self.core.outputs.leave();
                None
            }
            Poll::Ready(step) => self.settle_step(index, step),
            Poll::Pending => None,
        }
    }

    /// The same where outputs may have to wait.
    #[inline(always)]
    fn settle_step(&mut self, index: u32, step: Step<U>) -> Option<U> {
        let is_shared = self.are_shared();
        let Core { slots, outputs, .. } = &mut *self.core;
        let place = slots.place(index);
        let permit = if is_shared { slots.take_permit(index).map(Permit::over) } else { None };
        let (value, call) = match step {
            Step::Output(value) => (value, After::GoesOn(index)),
            Step::Last(value) => (value, After::Over),
            Step::End => {
                outputs.end(place);
                return None;
            }
        };
        if C::fails(&value) {
            self.fail(place, value);
        } else if permit.is_none() && !self.advanced && outputs.is_next(place) {
            if let After::Over = call {
                outputs.end(place);
            }
            self.follow(call);
            if is_shared {
                self.step_aside();
            }
            return Some(value);
        } else {
            outputs.give(place, Output { value, call });
        }
        // Last, as it wakes others, who may panic.
        drop(permit);
        None
    }

    /// Starts a call, if there is room for one and an item.
    #[inline(always)]
    fn start(&mut self) -> Option<(u32, Poll<Step<U>>)> {
        if self.budget == 0 {
            return None;
        }
        let in_flight = self.core.outputs.in_flight();
        let (item, permit) = if self.core.permits.any_private_room(in_flight) {
            (self.pull()?, None)
        } else if self.are_shared() {
            self.pull_shared()?
        } else {
            return None;
        };
        self.budget = self.budget.saturating_sub(1);
        Some(self.begin_call(item, permit))
    }

    /// Makes a call, and polls it.
    #[inline(always)]
    fn begin_call(&mut self, item: I, permit: Option<Permit>) -> (u32, Poll<Step<U>>) {
        let call = (self.start)(item);
        let core = &mut *self.core;
        let place = core.outputs.begin();
        if let Some(permit) = permit {
            core.slots.give_next(permit, &core.poller.signals);
        }
        let place = if PLAIN { None } else { Some(place) };
        core.slots.start(call, place, &core.poller.signals, C::poll)
    }

    /// Asks upstream for an item.
    #[inline(always)]
    fn pull(&mut self) -> Option<I> {
        let signals = &self.core.poller.signals;
        match self.upstream.as_mut().pull(signals, &mut self.budget) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// Asks for an item and a permit, which an item that `failed` does without.
    #[inline(never)]
    fn pull_shared(&mut self) -> Option<(I, Option<Permit>)> {
        let in_flight = self.core.outputs.in_flight();
        let share = self.core.permits.shared()?;
        let item = match share.held.take() {
            Some(item) => item,
            None if share.any_room(in_flight) => self.pull()?,
            None => return None,
        };
        if (self.failed)(&item) {
            return Some((item, None));
        }
        let share = self.core.permits.shared()?;
        let permit = share.try_take();
        if permit.is_none() {
            share.held = Some(item);
            return None;
        }
        Some((item, permit))
    }

    /// Returns the next call that goes on.
    #[inline(always)]
    fn next_due(&mut self, due: &mut Due) -> Option<u32> {
        if self.budget == 0 {
            return None;
        }
        let next = match self.core.slots.next(due) {
            None if self.are_shared() => self.resume(),
            next => next,
        };
        self.budget -= usize::from(next.is_some());
        next
    }

    /// Takes the next call that paused, if there is a permit for it to go on with.
    #[cold]
    fn resume(&mut self) -> Option<u32> {
        // The stage below may need the permit for what it is about to be handed.
        if self.yields().is_some() {
            return None;
        }
        let share = self.core.permits.shared()?;
        if share.paused.is_empty() {
            return None;
        }
        let permit = share.try_take()?;
        let index = share.paused.pop_front()?;
        self.core.slots.set_permit(index, permit);
        Some(index)
    }

    /// Has a call whose output is yielded go on.
    #[inline]
    fn follow(&mut self, call: After) {
        if let After::GoesOn(index) = call {
            match self.core.permits.shared() {
                Some(share) if !PLAIN => share.paused.push_back(index),
                _ => self.core.slots.again(index, &self.core.poller.signals),
            }
        }
    }

    /// Has the stages above go on, as there is no room.
    #[inline]
    fn advance(&mut self) {
        self.upstream.as_mut().advance(&self.core.poller.signals, &mut self.budget);
        if C::CAN_FAIL && self.upstream.any_kept(self.failed) {
            self.fail_early();
        }
    }

    /// Fails with the item that an advance brought out. It waits for no room, but in input order an
    /// item that is held comes first.
    #[cold]
    fn fail_early(&mut self) {
        if self.core.permits.holds_item() && self.core.outputs.is_ordered() {
            self.upstream.as_mut().end();
        } else if let Some(item) = self.upstream.as_mut().take_kept() {
            let (index, polled) = self.begin_call(item, None);
            let yielded = self.settle(index, polled);
            debug_assert!(yielded.is_none(), "a failure waits");
        }
    }

    /// Fails: drops the calls that are not before the one at `place`, and upstream, then keeps
    /// `value` as the last output.
    #[cold]
    fn fail(&mut self, place: usize, value: U) {
        let mut cleanup = Cleanup::new();
        let keep = self.core.concurrency.errors_in_turn;
        let Core { slots, outputs, permits, .. } = &mut *self.core;
        slots.cancel(|other| outputs.ends_with(place, other), &mut cleanup);
        for cut in outputs.cut(place, keep) {
            cleanup.run(|| drop(cut));
        }
        if let Some(share) = permits.shared() {
            share.paused.retain(|index| slots.is_running(*index));
            cleanup.run(|| share.held = None);
        }
        self.upstream.as_mut().close(&mut cleanup);
        outputs.give(place, Output { value, call: After::Over });
        cleanup.finish();
    }

    /// Returns the output that waited and is yielded in this turn. In an advance a failure is, if there is
    /// nothing before it.
    #[inline]
    fn yields(&self) -> Option<&Output<U>> {
        if PLAIN && !C::CAN_FAIL {
            return None; // In a plain turn at most a failure waits.
        }
        self.core.outputs.next().filter(|output| !self.advanced || C::fails(&output.value))
    }

    /// Tells whether this turn makes room by yielding an output that waited, so that the next one pulls.
    #[inline]
    fn frees_place(&self) -> bool {
        self.yields().is_some_and(|output| matches!(output.call, After::Over))
    }

    /// Tells whether calls need permits of a semaphore.
    #[inline]
    fn are_shared(&self) -> bool {
        !PLAIN && self.core.permits.are_shared()
    }

    /// Tells whether one more item may be pulled.
    #[inline]
    fn any_room(&self) -> bool {
        let in_flight = self.core.outputs.in_flight();
        let permits = &self.core.permits;
        if PLAIN { permits.any_private_room(in_flight) } else { permits.any_room(in_flight) }
    }

    /// Leaves the turn in the semaphore to others, as nobody may poll the stage for long.
    #[inline(never)]
    fn step_aside(&mut self) {
        if let Some(share) = self.core.permits.shared() {
            share.step_aside();
        }
    }

    /// Waits for a permit, or for room. Returns whether there is no need to.
    #[inline(never)]
    fn wait_for_permit(&mut self, cx: &mut Context<'_>) -> bool {
        let wants_room = !self.any_room() && !self.upstream.is_over();
        let in_flight = self.core.outputs.in_flight();
        let Core { permits, poller, .. } = &mut *self.core;
        let is_stuck = self.upstream.is_stuck(&poller.signals);
        let share = permits.shared();
        share.is_some_and(|share| share.poll_wait(in_flight, wants_room, is_stuck, cx))
    }

    /// Has the poller woken when there is something to do again.
    #[inline]
    fn wait(&mut self, cx: &mut Context<'_>) {
        if self.are_shared() && self.wait_for_permit(cx)
            || self.budget == 0
            || self.core.slots.any_queued()
        {
            // Nothing else would announce them.
            cx.waker().wake_by_ref();
            return;
        }
        // Between registering and waiting, look once more.
        self.core.poller.register(cx.waker());
        let room = self.any_room();
        let signals = &self.core.poller.signals;
        if signals.any() || self.upstream.is_due(signals, room) {
            cx.waker().wake_by_ref();
        }
    }
}
