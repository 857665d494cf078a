#![doc = include_str!("README.md")]

mod call;
mod cleanup;
mod fan_in;
mod marks;
mod outputs;
mod permits;
mod ready;
mod slots;
mod upstream;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

pub(crate) use self::call::{Call, Step};
pub(crate) use self::fan_in::FanIn;
pub(crate) use self::marks::{BUDGET, answer, is_advance};
pub(crate) use self::ready::Signals;
pub(crate) use self::upstream::Upstream;

use self::cleanup::Cleanup;
use self::outputs::{After, Output, Outputs};
use self::permits::Permits;
use self::slots::Slots;
use crate::concurrency::Concurrency;
use crate::semaphore::Permit;
use crate::size_hint::{SizeHint, add_hints, exactly};

pin_project! {
    /// The calls of one stage.
    pub(crate) struct Engine<S: Stream, C: Call> {
        // Before upstream, so that calls are dropped before what they came from.
        core: Core<S::Item, C>,

        #[pin]
        upstream: Upstream<S>,
    }
}

/// An engine but for its upstream.
struct Core<I, C: Call> {
    slots: Slots<C>,
    outputs: Outputs<C::Output>,

    /// The output that this turn hands on. It stays here if the turn ends with a panic.
    hand: Option<Output<C::Output>>,

    /// The place of the call that is being polled. It stays here if the call panics.
    polling: Option<usize>,

    /// An item that was pulled and waits for a permit of the semaphore.
    held: Option<I>,

    /// Calls that go on after an output, and wait for a permit of the semaphore.
    paused: VecDeque<u32>,

    permits: Permits,
    concurrency: Concurrency,
    poller: Poller,
}

/// A stage's hold on its signals: they forget the poller when the stage goes.
#[derive(Debug)]
pub(crate) struct Poller(pub(crate) Arc<Signals>);

impl Drop for Poller {
    fn drop(&mut self) {
        self.0.forget_poller();
    }
}

impl<S: Stream, C: Call> Engine<S, C> {
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency) -> Self {
        let concurrency = concurrency.checked();
        let permits = Permits::new(concurrency.limit.clone());
        let signals = Signals::new();
        let upstream = Upstream::new(stream, &signals);
        let core = Core {
            slots: Slots::new(concurrency.ordered || permits.are_shared()),
            outputs: Outputs::new(concurrency.ordered),
            hand: None,
            polling: None,
            held: None,
            paused: VecDeque::new(),
            permits,
            concurrency,
            poller: Poller(signals),
        };
        Self { core, upstream }
    }

    /// One turn of the stage: goes on with calls that were woken, starts new ones with `start`, has
    /// the stages above go on if it can start none, and hands on an output if there is one.
    #[inline]
    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        start: impl FnMut(S::Item, C::Leftover) -> C,
    ) -> Poll<Option<C::Output>> {
        self.turn(cx, |_| false, Ok, start)
    }

    /// The same for items that may be the failure of a stage above: `sort` makes those that `failed`
    /// the failure of this one.
    #[inline]
    fn turn<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        failed: impl Fn(&S::Item) -> bool,
        sort: impl Fn(S::Item) -> Result<T, C::Output>,
        start: impl FnMut(T, C::Leftover) -> C,
    ) -> Poll<Option<C::Output>> {
        let answer = answer(cx.waker());
        let mut budget = answer.budget;
        let polled = self.turn_within(&mut budget, answer.advanced, cx, failed, sort, start);
        answer.finish(budget, matches!(polled, Poll::Ready(None)));
        polled
    }

    #[inline]
    fn turn_within<T>(
        self: Pin<&mut Self>,
        budget: &mut usize,
        advanced: bool,
        cx: &mut Context<'_>,
        failed: impl Fn(&S::Item) -> bool,
        sort: impl Fn(S::Item) -> Result<T, C::Output>,
        mut start: impl FnMut(T, C::Leftover) -> C,
    ) -> Poll<Option<C::Output>> {
        if *budget == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let this = self.project();
        let mut turn = Turn { core: this.core, upstream: this.upstream, advanced };
        turn.core.permits.begin_turn();
        if turn.any_due() {
            turn.go_on(budget, cx);
            *budget = (*budget).max(1); // so that new calls have their turn as well
        }

        // At least one call is started, if one can be, whatever there is to hand on: outputs that
        // are always there must not keep new calls from being started, nor the other way round.
        let mut room = true;
        while *budget > 0 {
            let item = if turn.core.held.is_none() {
                room = turn.any_room();
                if !room {
                    break;
                }
                match turn.upstream.as_mut().pull(&turn.core.poller.0, budget) {
                    Poll::Ready(item) => item,
                    Poll::Pending => None,
                }
            } else {
                turn.core.held.take()
            };
            let Some(item) = item else {
                break;
            };
            let permit = if failed(&item) {
                None
            } else if let Some(permit) = turn.core.permits.try_take(cx) {
                permit
            } else {
                turn.core.held = Some(item);
                room = false;
                break;
            };
            *budget = budget.saturating_sub(1);
            let item = match sort(item) {
                Ok(item) => item,
                Err(failure) => {
                    turn.pass_on(failure);
                    break;
                }
            };
            let start = |leftover| start(item, leftover);
            match turn.core.slots.poll_new(start, &turn.core.poller.0) {
                // The shortest way: the call was never in flight for anyone to see.
                Poll::Ready(Step::Over(Some(value)))
                    if turn.is_next_new()
                        && turn.core.permits.any_room(turn.core.outputs.in_flight() + 1)
                        && !C::fails(&value) =>
                {
                    return Poll::Ready(Some(value));
                }
                polled => turn.admit(polled, permit),
            }
            if turn.hands_on() {
                room = turn.any_room();
                break;
            }
        }
        if !room {
            turn.upstream.as_mut().advance(&turn.core.poller.0, budget);
            // A failure waits for no room, but in input order an item that is held comes first.
            if turn.upstream.any_kept(failed) {
                if turn.core.held.is_some() && turn.core.outputs.is_ordered() {
                    turn.upstream.as_mut().end();
                } else if let Some(Err(failure)) = turn.upstream.as_mut().take_kept().map(sort) {
                    turn.pass_on(failure);
                }
            }
        }

        if turn.hands_on() {
            if let Some(output) = turn.core.hand.take() {
                turn.core.outputs.handed_on(&output);
                return Poll::Ready(Some(output.value));
            }
        }
        let in_flight = turn.core.outputs.in_flight();
        if in_flight == 0 && turn.core.held.is_none() && turn.upstream.is_over() {
            return Poll::Ready(None);
        }
        if *budget == 0 || turn.core.slots.any_queued() {
            // Nothing else would announce them.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Between registering and waiting, look once more.
        let signals = &turn.core.poller.0;
        signals.register(cx.waker());
        let wants_permit = turn.core.held.is_some() || !turn.core.paused.is_empty();
        let wants_room = !room && !turn.upstream.is_over();
        let may_start = if wants_permit {
            turn.core.permits.poll_room(0, cx)
        } else {
            wants_room && turn.core.permits.poll_room(in_flight, cx)
        };
        if may_start || signals.any() || turn.upstream.is_due(signals, room) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Returns how many calls run, or are over and have an output that was not handed on.
    pub(crate) fn in_flight(&self) -> usize {
        // A call that panicked is still counted until the next turn.
        self.core.outputs.expected() - usize::from(self.core.polling.is_some())
    }

    /// Bounds the number of items that no call was started for.
    pub(crate) fn items_hint(&self) -> SizeHint {
        add_hints(exactly(usize::from(self.core.held.is_some())), self.upstream.size_hint())
    }

    /// Bounds the number of outputs of the calls that were started.
    pub(crate) fn outputs_hint(&self) -> SizeHint {
        let waiting = self.core.outputs.waiting() + usize::from(self.core.hand.is_some());
        self.core.slots.calls().map(C::size_hint).fold(exactly(waiting), add_hints)
    }

    /// Bounds the number of outputs to come of a stage whose calls have one each, or none.
    pub(crate) fn at_most_one_each_hint(&self) -> SizeHint {
        let (lower, _) = self.outputs_hint();
        let (_, upper) = add_hints(exactly(self.in_flight()), self.items_hint());
        (lower, upper)
    }

    /// Writes a stage of the given name, with what is in it.
    pub(crate) fn fmt_stage(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        S: fmt::Debug,
    {
        f.debug_struct(name)
            .field("concurrency", &self.core.concurrency)
            .field("in_flight", &self.in_flight())
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

impl<S, T, E, U, C> Engine<S, C>
where
    S: Stream<Item = Result<T, E>>,
    C: Call<Output = Result<U, E>>,
{
    /// One turn of a stage that ends with the first error, its own or one from upstream, and drops
    /// its calls and upstream before it hands the error on.
    #[inline]
    pub(crate) fn try_poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        start: impl FnMut(T, C::Leftover) -> C,
    ) -> Poll<Option<Result<U, E>>> {
        self.turn(cx, Result::is_err, |item| item.map_err(Err), start)
    }
}

/// What one turn works with.
struct Turn<'a, S: Stream, C: Call> {
    core: &'a mut Core<S::Item, C>,
    upstream: Pin<&'a mut Upstream<S>>,

    /// Whether outputs are to be kept.
    advanced: bool,
}

impl<S: Stream, C: Call> Turn<'_, S, C> {
    /// Tells whether there is anything that earlier turns left, or that was woken since.
    #[inline]
    fn any_due(&self) -> bool {
        self.core.slots.any_due(&self.core.poller.0)
            || self.core.outputs.any()
            || self.core.polling.is_some()
            || !self.core.paused.is_empty()
    }

    /// Tells whether one more item may be pulled.
    #[inline]
    fn any_room(&mut self) -> bool {
        self.core.permits.any_room(self.core.outputs.in_flight())
    }

    /// Goes on with the calls that were woken, until there is an output to hand on.
    fn go_on(&mut self, budget: &mut usize, cx: &mut Context<'_>) {
        if let Some(place) = self.core.polling.take() {
            self.core.outputs.end(place);
        }
        // Those that paused take turns with those that were woken.
        if let Some(index) = self.resume(cx) {
            self.core.slots.again(index, &self.core.poller.0);
        }
        self.core.slots.begin_turn(&self.core.poller.0);
        self.take_output();
        // At least half of it is for new calls and for the stages above, of which each does the same.
        let half = *budget / 2;
        while *budget > half {
            let Some(index) = self.core.slots.next().or_else(|| self.resume(cx)) else { break };
            *budget -= 1;
            self.poll(index);
            if self.hands_on() {
                break;
            }
        }
    }

    /// Takes the next call that paused, if there is a permit for it to go on with.
    #[inline]
    fn resume(&mut self, cx: &mut Context<'_>) -> Option<u32> {
        if self.core.paused.is_empty() { None } else { self.resume_first(cx) }
    }

    fn resume_first(&mut self, cx: &mut Context<'_>) -> Option<u32> {
        // The stage below may need the permit for what it is about to be handed.
        if !self.advanced && (self.core.hand.is_some() || self.core.outputs.any()) {
            return None;
        }
        self.core.paused.front()?;
        let permit = self.core.permits.try_take(cx)?;
        let index = self.core.paused.pop_front()?;
        self.core.slots.resume(index, permit);
        Some(index)
    }

    /// Goes on with a call, and takes in hand what is next to be handed on.
    #[inline]
    fn poll(&mut self, index: u32) {
        if C::CAN_FAIL && !self.core.slots.is_running(index) {
            return; // It was cancelled after it was woken.
        }
        let place = self.core.slots.place(index);
        self.core.polling = Some(place);
        let polled = self.core.slots.poll(index);
        self.core.polling = None;
        match polled {
            Poll::Pending => self.core.slots.wait(index, &self.core.poller.0),
            Poll::Ready(Step::Output(value)) => {
                let permit = self.core.slots.take_permit(index);
                self.give(place, Output { value, call: After::GoesOn(index) });
                // Last, as it wakes others, who may panic.
                drop(permit);
            }
            Poll::Ready(Step::Over(Some(value))) => {
                self.give(place, Output { value, call: After::Over });
            }
            Poll::Ready(Step::Over(None)) => {
                self.core.outputs.end(place);
                self.take_output();
            }
        }
    }

    /// Takes in what came of the first poll of a call.
    #[inline]
    fn admit(&mut self, polled: Poll<Step<C::Output>>, permit: Option<Permit>) {
        match polled {
            Poll::Pending => {
                let place = self.core.outputs.begin();
                let index = self.core.slots.admit(permit, place);
                self.core.slots.wait(index, &self.core.poller.0);
            }
            Poll::Ready(Step::Output(value)) => {
                let place = self.core.outputs.begin();
                let index = self.core.slots.admit(None, place);
                self.give(place, Output { value, call: After::GoesOn(index) });
                drop(permit);
            }
            Poll::Ready(Step::Over(Some(value))) => {
                let place = self.core.outputs.begin();
                self.give(place, Output { value, call: After::Over });
            }
            // As if there had been no item.
            Poll::Ready(Step::Over(None)) => {}
        }
    }

    /// Takes an output in hand if it is the next to be handed on, or keeps it.
    #[inline]
    fn give(&mut self, place: usize, output: Output<C::Output>) {
        if C::fails(&output.value) {
            self.fail(place, output.value);
        } else if self.may_take() && self.core.outputs.is_next(place) {
            self.take_in_hand(output);
        } else {
            self.core.outputs.give(place, output);
        }
    }

    /// Makes a failure that came instead of an item the stage's own.
    #[cold]
    fn pass_on(&mut self, failure: C::Output) {
        let place = self.core.outputs.begin();
        self.fail(place, failure);
    }

    /// Fails: drops the calls that are not before the one at `place`, and upstream, then keeps
    /// `value` as the last output.
    #[cold]
    fn fail(&mut self, place: usize, value: C::Output) {
        let mut cleanup = Cleanup::new();
        let keep = self.core.concurrency.errors_in_turn;
        let outputs = &mut self.core.outputs;
        self.core.slots.cancel(|other| outputs.ends_with(place, other), &mut cleanup);
        self.core.paused.retain(|index| self.core.slots.is_running(*index));
        if !outputs.is_ordered() {
            match &mut self.core.hand {
                Some(output) if keep => output.call = After::Over,
                hand => cleanup.run(|| *hand = None),
            }
        }
        for cut in outputs.cut(place, keep, usize::from(self.core.hand.is_some())) {
            cleanup.run(|| drop(cut));
        }
        cleanup.run(|| self.core.held = None);
        self.upstream.as_mut().close(&mut cleanup);

        // Not even an advance keeps it, if there is nothing before it.
        let failure = Output { value, call: After::Over };
        if self.core.hand.is_none() && self.core.outputs.is_next(place) {
            self.core.hand = Some(failure);
        } else {
            self.core.outputs.give(place, failure);
        }
        cleanup.finish();
    }

    /// Tells whether the turn has what it is to hand on.
    #[inline]
    fn hands_on(&self) -> bool {
        // In an advance an output is in hand because it is a failure, which nothing holds back, or
        // because an earlier turn ended with a panic.
        self.core.hand.as_ref().is_some_and(|output| !self.advanced || C::fails(&output.value))
    }

    /// Tells whether an output may be taken in hand.
    #[inline]
    fn may_take(&self) -> bool {
        self.core.hand.is_none() && !self.advanced
    }

    /// Tells whether an output of a call that is not in flight would be the next to be handed on.
    #[inline]
    fn is_next_new(&self) -> bool {
        self.may_take() && self.core.outputs.is_next_new()
    }

    /// Takes the next output in hand, unless there is one or it has to be kept.
    #[inline]
    fn take_output(&mut self) {
        if self.may_take() && self.core.outputs.any() {
            if let Some(output) = self.core.outputs.take() {
                self.take_in_hand(output);
            }
        }
    }

    fn take_in_hand(&mut self, output: Output<C::Output>) {
        if let After::GoesOn(slot) = output.call {
            if self.core.permits.are_shared() {
                self.core.paused.push_back(slot);
            } else {
                self.core.slots.again(slot, &self.core.poller.0);
            }
        }
        self.core.hand = Some(output);
    }
}
