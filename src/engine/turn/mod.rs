//! One turn of a stage.
//!
//! Each `poll_next` is one turn, and ends with the first output that it can yield:
//!
//! 1. **Start.** While there is room, an item is pulled, and its call is created and polled at once.
//! 2. **Continue.** The calls that were due when the turn began are polled, oldest first, once each. A call is due if
//!    it was woken, or can continue after an output. Then step 1 is repeated, in the room that there is by now.
//! 3. **Advance** upstream if there is no room. If this turn makes room by yielding an output, that is left to the next
//!    turn, which pulls: that does all that an advance does. The output of an open inner stream makes no room, so a
//!    flat map advances before step 2.
//! 4. **Yield** a waiting output, or a failure that waited for calls to finish. If there is neither, end or wait.
//!
//! An output is **direct or kept**. Either the poll that got it yields it, and no user code runs in between, or it
//! waits in `outputs`, where no panic can lose it. It waits in an advance, behind other waiting outputs, until its turn
//! in input order, and while a permit is released, which wakes others.
//!
//! If new calls and due calls both have outputs at once, they take turns: a turn that yielded the output of a new call
//! while others were due is followed by one that continues due calls first. Open inner streams take turns too, one
//! output each, because one that yielded an output is queued behind all that are due. So nothing keeps anything else
//! waiting for more than a round.
//!
//! If there is nothing but open inner streams, with nothing to start or to advance, a turn continues the first that is
//! due, and need not split its budget.
//!
//! Most turns are **plain**: of a stage in completion order with a limit of its own, not in an advance, while no output
//! waits. A plain turn need not check for any of that, and is compiled separately.
//!
//! All stages of a pipeline share one budget: 128 calls are polled or started in a poll of the task. A stage's poller
//! tells it what is left, and is told what is left afterwards. If calls are due, half of the budget is theirs, and half
//! is for new calls and upstream stages. When it is used up, the stage wakes itself and returns to its poller. Neither
//! half is ever empty, but nobody gets a second one in a turn: if a stage polled its upstream stage twice on an
//! exhausted budget, each stage would double the work of everything upstream.
//!
//! How a stage fails is in `failing`, and in `finishing` if its calls finish first. Limits that are more than a number
//! are in `admitting`, and inner streams in a window in `running_ahead`.
//!
//! # Panics
//!
//! User code runs in polls of calls, in drops of calls, in the stage's function and in upstream. A call that panics is
//! dropped at once, its slot is vacated, its place ends, and its permit is released. Dropping the `Turn` does that;
//! every turn that ends without a panic forgets it. No output can be lost, because each is yielded at once, or kept
//! before other user code runs. Upstream is polled again.

mod admitting;
mod failing;
mod finishing;
mod running_ahead;

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::Core;
use super::admission::{Admission, Freed};
use super::call::{Call, Step};
use super::marks::{Answer, Purpose};
use super::outputs::{After, Output};
use super::slots::Due;
use super::upstream::Upstream;
use super::work::Work;
use crate::event::{Ended, Event, State};

/// The working state of a turn.
///
/// A `PLAIN` turn is no advance, and belongs to a stage in completion order with a limit of its own, in which no output
/// waits. So each output leaves at once, and no foreign code runs before that. Most turns are plain, and need not check
/// for the rest.
pub(super) struct Turn<'a, S, I, C, U, W: Work<I>, const PLAIN: bool> {
    core: &'a mut Core<I, C, U>,
    upstream: Pin<&'a mut Upstream<S, I>>,

    /// Whether a stage polls this one.
    is_asked: bool,

    /// Whether outputs are to be kept.
    advanced: bool,

    /// How many calls may still be polled or started.
    budget: usize,

    /// How many calls are paused since before this turn, so that they may continue in it.
    resumable: usize,

    /// Whether it yields an output that it has just got, for a monitor.
    is_direct: bool,

    work: W,
}

impl<'a, S, I, C, U, W: Work<I>, const PLAIN: bool> Turn<'a, S, I, C, U, W, PLAIN> {
    #[inline(always)]
    pub(super) fn new(
        core: &'a mut Core<I, C, U>,
        upstream: Pin<&'a mut Upstream<S, I>>,
        answer: Answer,
        work: W,
    ) -> Self {
        let Answer { is_asked, purpose, budget } = answer;
        let advanced = !PLAIN && purpose != Purpose::Pull;
        Self { core, upstream, is_asked, advanced, budget, resumable: 0, is_direct: false, work }
    }
}

/// Only after a panic: a turn that completes forgets this.
impl<S, I, C, U, W: Work<I>, const PLAIN: bool> Drop for Turn<'_, S, I, C, U, W, PLAIN> {
    #[inline(always)]
    fn drop(&mut self) {
        let freed = self.core.end_panicked();
        if W::WATCHED {
            let (running, waiting) = self.core.left();
            self.work.tell(Event::Panicked { running, waiting });
        }
        if let Some(Freed { permit, key }) = freed {
            if let Some(key) = key {
                self.work.forget(key);
            }
            drop(permit);
        }
    }
}

impl<S, I, C, U, W, const PLAIN: bool> Turn<'_, S, I, C, U, W, PLAIN>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
    W: Work<I, Call = C>,
{
    /// Takes the turn.
    #[inline(always)]
    pub(super) fn take(mut self, cx: &mut Context<'_>) -> Poll<Option<U>> {
        self.work.tell(Event::TurnBegins);
        let polled = self.run(cx);
        #[cfg(debug_assertions)]
        self.core.check();
        if W::WATCHED {
            self.tell_end(&polled);
        }
        let Self { is_asked, budget, .. } = self;
        mem::forget(self);
        Answer::finish_as(is_asked, budget, matches!(polled, Poll::Ready(None)));
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
        // An output counts, whatever produced it: downstream may reject it and ask again.
        let most = self.budget - 1;
        let mut due = self.begin();
        if PLAIN && C::MANY && !due.is_empty() {
            if let Some(value) = self.go_on_first(&mut due) {
                return Poll::Ready(Some(value));
            }
        }
        let mut any_due = !due.is_empty();
        // Half of the budget is for due calls, the other for new ones and upstream stages.
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
                    self.is_direct = true;
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
                // Inner streams may yield outputs for long, and none of those makes room.
                self.advance();
                owed = false;
            }
            if let Some(value) = self.go_on_all(&mut due) {
                self.is_direct = true;
                return Poll::Ready(Some(value));
            }
            // Once more for new calls, in the room that there is by now.
            if owed {
                self.budget = self.budget.max(1);
            }
        }

        if !self.frees_place() && !self.any_room() {
            // Upstream stages get a share of an exhausted budget, but not two, or each stage would double the work of
            // everything upstream. Upstream of a flat map they have had it.
            self.budget = self.budget.max(usize::from(!C::MANY));
            self.advance();
        }
        if self.yields().is_some() {
            if let Some(output) = self.core.outputs.take() {
                self.budget = self.budget.min(most);
                self.taken(output.call);
                if self.is_admitting() {
                    self.step_aside();
                }
                return Poll::Ready(Some(output.value));
            }
        }
        if self.core.is_idle() && self.upstream.is_over() {
            if self.is_admitting() {
                self.step_aside();
            }
            let failure = if C::CAN_FAIL { self.core.failures.take() } else { None };
            if failure.is_none() {
                self.core.poller.forget();
            }
            return Poll::Ready(failure);
        }
        self.wait(cx);
        Poll::Pending
    }

    /// Determines what continues in this turn.
    #[inline]
    fn begin(&mut self) -> Due {
        if PLAIN && self.core.outputs.in_flight() == 0 {
            return Due::NONE; // As in all turns of a stage whose calls are ready at once.
        }
        if C::MANY && self.is_admitting() {
            self.begin_admitting();
        }
        self.core.slots.due(&self.core.poller.signals)
    }

    /// Starts calls while there is room, until one has an output to yield.
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

    /// Continues the calls that are due, until one has an output to yield.
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

    /// Continues the first call that is due, if nothing comes before it: most turns of a stage with open inner streams.
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

    /// Returns how a call ends without an output.
    const fn empty() -> Ended {
        if C::MANY { Ended::Closed } else { Ended::Refused }
    }

    /// Continues a call.
    #[inline(always)]
    fn go_on(&mut self, index: u32) -> Option<U> {
        if C::MANY && !PLAIN && self.core.room.is_ahead() && !self.may_go_ahead(index) {
            return None;
        }
        let Core { slots, poller, .. } = &mut *self.core;
        let polled = slots.poll(index, &poller.signals, C::poll);
        self.settle(index, polled)
    }

    /// Processes how far a call got. Returns an output that can be yielded at once.
    #[inline(always)]
    fn settle(&mut self, index: u32, polled: Poll<Step<U>>) -> Option<U> {
        match polled {
            Poll::Ready(Step::Last(value)) if PLAIN && !C::fails(&value) => {
                self.work.tell(Event::Ended(index, Ended::Output));
                self.core.outputs.leave();
                Some(value)
            }
            Poll::Ready(Step::Output(value)) if PLAIN && !C::fails(&value) => {
                self.work.tell(Event::Made);
                self.follow(After::GoesOn(index));
                Some(value)
            }
            Poll::Ready(Step::End) if PLAIN => {
                self.work.tell(Event::Ended(index, Self::empty()));
                self.core.outputs.leave();
                None
            }
            Poll::Ready(step) => self.settle_step(index, step),
            Poll::Pending => {
                if C::MANY && !PLAIN {
                    // It may have been unblocked for room that it does not take.
                    self.unblock();
                }
                None
            }
        }
    }

    /// The same if outputs may have to wait.
    #[inline(always)]
    fn settle_step(&mut self, index: u32, step: Step<U>) -> Option<U> {
        let is_admitting = self.is_admitting();
        let place = self.core.slots.place(index);
        let (value, call) = match step {
            Step::Output(value) => (value, After::GoesOn(index)),
            Step::Last(value) => (value, After::Over),
            Step::End => {
                self.work.tell(Event::Ended(index, Self::empty()));
                self.end(index, place);
                return None;
            }
        };
        if C::fails(&value) {
            self.fail(index, place, value);
            return None;
        }
        self.work.tell(match call {
            After::GoesOn(_) => Event::Made,
            After::Over => Event::Ended(index, Ended::Output),
        });
        let is_next = !self.advanced && self.core.outputs.is_next(place);
        if is_next && !(is_admitting && (self.runs_ahead(index) || self.shares(index))) {
            if is_admitting {
                self.free(index, call, false);
            }
            if let After::Over = call {
                self.core.outputs.end(place);
            }
            self.follow(call);
            if is_admitting {
                self.step_aside();
            }
            return Some(value);
        }
        self.keep(index, place, Output { value, call });
        if is_admitting {
            // Last, because it may wake others, which may panic.
            self.free(index, call, true);
        }
        None
    }

    /// Keeps an output, and continues its call if it may run ahead.
    #[inline(always)]
    fn keep(&mut self, index: u32, place: usize, output: Output<U>) {
        let is_admitting = C::MANY && self.is_admitting();
        let Core { outputs, room, .. } = &mut *self.core;
        let ahead = if is_admitting { room.admission().and_then(Admission::ahead) } else { None };
        let Some(ahead) = ahead else { return outputs.give(place, output) };
        let call = output.call;
        outputs.release(ahead.release(index));
        if ahead.keep(index) {
            outputs.give_more(place, output)
        } else {
            outputs.give(place, output)
        }
        self.follow(call);
    }

    /// Ends a call that has no output left to yield.
    #[inline(always)]
    fn end(&mut self, index: u32, place: usize) {
        if !self.is_admitting() {
            return self.core.outputs.end(place);
        }
        let Core { outputs, room, .. } = &mut *self.core;
        let ahead = room.admission().and_then(Admission::ahead);
        let waiting = ahead.map_or(0, |ahead| {
            outputs.release(ahead.release(index));
            ahead.end(index, outputs.is_ordered())
        });
        outputs.end_ahead(place, waiting);
        self.unblock();
        self.free(index, After::Over, false);
    }

    /// Starts a call, if there is room for one and an item.
    #[inline(always)]
    fn start(&mut self) -> Option<(u32, Poll<Step<U>>)> {
        if self.budget == 0 {
            return None;
        }
        let in_flight = self.core.outputs.in_flight();
        if self.core.room.any_plain(in_flight) {
            let item = self.pull()?;
            self.budget = self.budget.saturating_sub(1);
            Some(self.begin_call(item))
        } else if self.is_admitting() && self.may_start() {
            self.start_admitted()
        } else {
            None
        }
    }

    /// Creates a call, and polls it.
    #[inline(always)]
    fn begin_call(&mut self, item: I) -> (u32, Poll<Step<U>>) {
        self.work.tell(Event::Begins);
        let call = self.work.start(item);
        let core = &mut *self.core;
        let place = core.outputs.begin();
        let place = if PLAIN { None } else { Some(place) };
        let started = core.slots.start(call, place, &core.poller.signals, C::poll);
        self.work.tell(Event::RunsIn(started.0));
        started
    }

    /// Asks upstream for an item.
    #[inline(always)]
    fn pull(&mut self) -> Option<I> {
        let signals = &self.core.poller.signals;
        match self.upstream.as_mut().pull(signals, &mut self.budget) {
            Poll::Ready(Some(item)) => {
                self.work.tell(Event::Pulled);
                Some(item)
            }
            _ => None,
        }
    }

    /// Returns the next call that continues.
    #[inline(always)]
    fn next_due(&mut self, due: &mut Due) -> Option<u32> {
        if self.budget == 0 {
            return None;
        }
        let next = match self.core.slots.next(due) {
            None if C::MANY && self.is_admitting() => self.resume(),
            next => next,
        };
        self.budget -= usize::from(next.is_some());
        next
    }

    /// Continues a call that yielded an output.
    #[inline]
    fn follow(&mut self, call: After) {
        if let After::GoesOn(index) = call {
            let Core { slots, room, poller, .. } = &mut *self.core;
            match room.admission() {
                Some(admission) if !PLAIN && admission.is_shared() => {
                    let hold = slots.hold(index).and_then(|hold| hold.as_ref());
                    admission.pause(index, hold.map_or(0, |hold| hold.weight));
                }
                _ => slots.again(index, &poller.signals),
            }
        }
    }

    /// Continues a call whose output waited and is yielded.
    #[inline]
    fn taken(&mut self, call: After) {
        if C::MANY && self.is_admitting() && self.core.room.is_ahead() {
            self.taken_ahead(call);
        } else {
            self.follow(call);
        }
    }

    /// Lets upstream stages continue, because there is no room.
    #[inline]
    fn advance(&mut self) {
        let signals = &self.core.poller.signals;
        if self.is_paused() {
            self.upstream.as_mut().look(signals, &mut self.budget);
        } else {
            self.upstream.as_mut().advance(signals, &mut self.budget);
        }
        if C::CAN_FAIL && self.upstream.any_kept(|item| W::value(item).is_none()) {
            self.fail_early();
        }
    }

    /// Returns the output that waited and is yielded in this turn. In an advance that is a failure, if there is nothing
    /// before it.
    #[inline]
    fn yields(&self) -> Option<&Output<U>> {
        if PLAIN && !C::CAN_FAIL {
            return None; // In a plain turn at most a failure waits.
        }
        self.core.outputs.next().filter(|output| !self.advanced || C::fails(&output.value))
    }

    /// Returns whether this turn makes room by yielding an output that waited, so that the next one pulls.
    #[inline]
    fn frees_place(&self) -> bool {
        self.yields().is_some_and(|output| matches!(output.call, After::Over))
    }

    /// Returns whether the limit is more than a number.
    #[inline]
    fn is_admitting(&self) -> bool {
        !PLAIN && !self.core.room.is_plain()
    }

    /// Returns whether one more item may be pulled.
    #[inline]
    fn any_room(&self) -> bool {
        let Core { outputs, room, .. } = &*self.core;
        if PLAIN { room.any_plain(outputs.in_flight()) } else { room.any(outputs.in_window()) }
    }

    /// Reports to a monitor how the turn ended.
    #[inline]
    fn tell_end(&mut self, polled: &Poll<Option<U>>) {
        let state = match polled {
            Poll::Ready(Some(value)) => {
                if !C::fails(value) {
                    self.work.tell(Event::Yielded);
                }
                State::Downstream
            }
            Poll::Ready(None) => State::Idle,
            Poll::Pending if self.core.outputs.next().is_some() => State::Downstream,
            Poll::Pending if self.any_room() && !self.upstream.is_over() => State::Upstream,
            Poll::Pending if self.waits_for_permit() => State::Permit,
            Poll::Pending => State::Calls,
        };
        self.work.tell(Event::TurnEnds { state, direct: self.is_direct });
    }

    /// Reports to a monitor what is left after others were dropped.
    #[inline]
    fn tell_left(&mut self) {
        if W::WATCHED {
            let (running, waiting) = self.core.left();
            self.work.tell(Event::Left { running, waiting });
        }
    }

    /// Returns whether something could continue with a permit.
    fn waits_for_permit(&self) -> bool {
        self.core.room.as_admission().is_some_and(Admission::waits_for_permit)
    }

    /// Returns whether the stage is paused, with nothing that could continue.
    #[inline]
    fn is_paused(&self) -> bool {
        self.is_admitting() && self.core.is_idle() && self.core.room.is_paused()
    }

    /// Makes sure that the poller is woken when there is something to do again.
    #[inline]
    fn wait(&mut self, cx: &mut Context<'_>) {
        self.core.in_a_row.pending();
        if self.is_admitting() && self.wait_for_permit(cx)
            || self.budget == 0
            || self.core.slots.any_queued()
        {
            // Nothing else would announce them.
            cx.waker().wake_by_ref();
            return;
        }
        // Check once more after registering, before waiting.
        self.core.poller.register(cx.waker());
        let room = self.any_room();
        let signals = &self.core.poller.signals;
        if signals.any()
            || self.upstream.is_due(signals, room)
            || self.is_paused() && self.upstream.is_due_for(signals, Purpose::Look)
        {
            cx.waker().wake_by_ref();
        }
    }
}
