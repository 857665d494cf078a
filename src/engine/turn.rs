//! One turn of a stage.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::Core;
use super::call::{Call, Step};
use super::cleanup::Cleanup;
use super::outputs::{After, Output};
use super::upstream::Upstream;
use crate::semaphore::Permit;

/// What one turn works with.
pub(super) struct Turn<'a, S, I, C, U> {
    pub(super) core: &'a mut Core<I, C, U>,
    pub(super) upstream: Pin<&'a mut Upstream<S, I>>,

    /// Whether a stage polls this one.
    pub(super) is_asked: bool,

    /// Whether outputs are to be kept.
    pub(super) advanced: bool,

    /// How many calls may still be polled or started.
    pub(super) budget: usize,
}

/// What came of starting calls.
enum Started<T> {
    /// An output that can be handed on at once.
    Output(T),
    /// Whether there is room for more calls.
    Room(bool),
}

impl<S, I, C, U> Turn<'_, S, I, C, U>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
{
    /// Takes the turn. `sort` makes an item that `failed` an output, for which there is no call.
    #[inline]
    pub(super) fn run<T>(
        &mut self,
        cx: &mut Context<'_>,
        failed: impl Fn(&I) -> bool,
        sort: impl Fn(I) -> Result<T, U>,
        mut start: impl FnMut(T) -> C,
    ) -> Poll<Option<U>> {
        if self.budget == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // An output counts, whatever brought it: what is downstream may refuse it and ask again.
        let most = self.budget - 1;
        let mut starts = false;
        let mut due = false;
        if C::MANY && self.stays_in_row() {
            due = true;
            starts = self.starts_first();
            if starts {
                self.core.slots.begin_turn(&self.core.poller.signals);
            } else if let Some(value) = self.continue_row(false) {
                return Poll::Ready(Some(value));
            }
        } else {
            self.core.permits.begin_turn();
            if self.any_due() {
                due = true;
                self.begin(cx);
            }
        }

        let mut room;
        loop {
            if due && !starts {
                self.go_on(cx);
                self.budget = self.budget.max(1); // so that new calls have their turn as well
            }
            // A call is started, if one can be, whatever there is to hand on: outputs that are always
            // there must not keep new calls from being started, nor the other way round. Where a row
            // begins, a later turn does so, at the latest the next one that is not of the row.
            if C::MANY && !starts && self.begins_row() {
                room = self.any_room();
            } else {
                room = match self.start(cx, &failed, &sort, &mut start) {
                    Started::Output(value) => return Poll::Ready(Some(value)),
                    Started::Room(any) => any,
                };
            }
            if !room && !self.frees_place() {
                self.advance(&failed, &sort);
            }
            if !starts || self.hands_on() {
                break;
            }
            if let Some(value) = self.continue_row(true) {
                return Poll::Ready(Some(value));
            }
            starts = false;
        }

        if self.hands_on() {
            if let Some(output) = self.core.hand.take() {
                self.budget = self.budget.min(most);
                self.core.outputs.handed_on(&output);
                if let After::GoesOn(index) = output.call {
                    self.follow(index);
                }
                return Poll::Ready(Some(output.value));
            }
        }
        if self.core.is_idle() && self.upstream.is_over() {
            self.core.poller.forget();
            return Poll::Ready(None);
        }
        self.wait(room, cx);
        Poll::Pending
    }

    /// Starts calls while there is room, until one gives an output to hand on.
    #[inline]
    fn start<T>(
        &mut self,
        cx: &mut Context<'_>,
        failed: impl Fn(&I) -> bool,
        sort: impl Fn(I) -> Result<T, U>,
        mut start: impl FnMut(T) -> C,
    ) -> Started<U> {
        while self.budget > 0 {
            // Only where permits are shared is an item held, and there is never private room.
            let in_flight = self.core.outputs.in_flight();
            let item = if self.core.permits.any_private_room(in_flight) {
                self.pull()
            } else if self.core.held.is_some() {
                self.core.held.take()
            } else if self.any_room() {
                self.pull()
            } else {
                return Started::Room(false);
            };
            let Some(item) = item else { break };
            let permit = if failed(&item) {
                None
            } else if let Some(permit) = self.core.permits.try_take(cx) {
                permit
            } else {
                self.core.held = Some(item);
                return Started::Room(false);
            };
            self.budget = self.budget.saturating_sub(1);
            let item = match sort(item) {
                Ok(item) => item,
                Err(error) => {
                    self.pass_on(error);
                    if self.hands_on() {
                        return Started::Room(self.any_room());
                    }
                    continue;
                }
            };
            match self.core.slots.poll_new(|| start(item), &self.core.poller.signals) {
                // The shortest way: the call was never in flight for anyone to see. Not with a permit:
                // to give it back wakes others, who may panic.
                Poll::Ready(Step::Over(Some(value)))
                    if permit.is_none() && self.is_next_new() && !C::fails(&value) =>
                {
                    return Started::Output(value);
                }
                polled => self.admit(polled, permit),
            }
            if self.hands_on() {
                return Started::Room(self.any_room());
            }
        }
        Started::Room(true)
    }

    /// Asks upstream for an item.
    #[inline]
    fn pull(&mut self) -> Option<I> {
        let signals = &self.core.poller.signals;
        match self.upstream.as_mut().pull(signals, &mut self.budget) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// Has the stages above go on, as there is no room.
    #[inline]
    fn advance<T>(&mut self, failed: impl Fn(&I) -> bool, sort: impl Fn(I) -> Result<T, U>) {
        self.upstream.as_mut().advance(&self.core.poller.signals, &mut self.budget);
        // A failure waits for no room, but in input order an item that is held comes first.
        if C::CAN_FAIL && self.upstream.any_kept(failed) {
            if self.core.held.is_some() && self.core.outputs.is_ordered() {
                self.upstream.as_mut().end();
            } else if let Some(Err(failure)) = self.upstream.as_mut().take_kept().map(sort) {
                self.pass_on(failure);
            }
        }
    }

    /// Has the poller woken when there is something to do again.
    #[inline]
    fn wait(&mut self, room: bool, cx: &mut Context<'_>) {
        if self.budget == 0 || self.core.slots.any_queued() {
            // Nothing else would announce them.
            cx.waker().wake_by_ref();
            return;
        }
        // Between registering and waiting, look once more.
        self.core.poller.register(cx.waker(), self.is_asked);
        let signals = &self.core.poller.signals;
        let wants_permit = self.core.held.is_some() || !self.core.paused.is_empty();
        let wants_room = !room && !self.upstream.is_over();
        let may_start = if wants_permit {
            self.core.permits.poll_room(0, cx)
        } else {
            wants_room && self.core.permits.poll_room(self.core.outputs.in_flight(), cx)
        };
        if may_start || signals.any() || self.upstream.is_due(signals, room) {
            cx.waker().wake_by_ref();
        }
    }

    /// Tells whether there is anything that earlier turns left, or that was woken since.
    #[inline]
    fn any_due(&self) -> bool {
        // All of it has to do with calls in flight.
        self.core.outputs.in_flight() > 0
            && (self.core.slots.any_due(&self.core.poller.signals)
                || self.core.outputs.any()
                || self.core.slots.any_panicked()
                || !self.core.paused.is_empty())
    }

    /// Tells whether one more item may be pulled.
    #[inline]
    pub(super) fn any_room(&mut self) -> bool {
        self.core.permits.any_room(self.core.outputs.in_flight())
    }

    /// Gathers what was woken before the turn, which goes on with that.
    fn begin(&mut self, cx: &mut Context<'_>) {
        if let Some(index) = self.core.slots.free_panicked() {
            self.core.outputs.end(self.core.slots.place(index));
        }
        // Those that paused take turns with those that were woken.
        if let Some(index) = self.resume(cx) {
            self.core.slots.again(index, &self.core.poller.signals);
        }
        self.core.slots.begin_turn(&self.core.poller.signals);
    }

    /// Goes on with the calls that were woken, until there is an output to hand on.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        self.take_output();
        // At least half of it is for new calls and for the stages above, of which each does the same.
        let half = self.budget / 2;
        while self.budget > half {
            let Some(index) = self.core.slots.next().or_else(|| self.resume(cx)) else { break };
            self.budget -= 1;
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
        let polled = self.core.slots.poll(index);
        self.settle(index, polled);
    }

    /// Takes in what came of a poll of a call.
    #[inline]
    pub(super) fn settle(&mut self, index: u32, polled: Poll<Step<U>>) {
        let place = self.core.slots.place(index);
        match polled {
            Poll::Pending => {
                self.core.slots.wait(index, &self.core.poller.signals);
            }
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
    fn admit(&mut self, polled: Poll<Step<U>>, permit: Option<Permit>) {
        match polled {
            Poll::Pending => {
                let place = self.core.outputs.begin();
                let index = self.core.slots.admit(permit, place);
                if self.core.slots.wait(index, &self.core.poller.signals) && C::MANY {
                    self.cut_row();
                }
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
    fn give(&mut self, place: usize, output: Output<U>) {
        if C::fails(&output.value) {
            self.fail(place, output.value);
        } else if self.may_take() && self.core.outputs.is_next(place) {
            self.core.hand = Some(output);
        } else {
            self.core.outputs.give(place, output);
        }
    }

    /// Takes an error that came instead of an item. It fails the stage if its outputs can, and is an
    /// output like others if not.
    fn pass_on(&mut self, error: U) {
        let place = self.core.outputs.begin();
        self.give(place, Output { value: error, call: After::Over });
    }

    /// Fails: drops the calls that are not before the one at `place`, and upstream, then keeps
    /// `value` as the last output.
    #[cold]
    fn fail(&mut self, place: usize, value: U) {
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
    pub(super) fn hands_on(&self) -> bool {
        // In an advance an output is in hand because it is a failure, which nothing holds back, or
        // because an earlier turn ended with a panic.
        self.core.hand.as_ref().is_some_and(|output| !self.advanced || C::fails(&output.value))
    }

    /// Tells whether an output may be taken in hand.
    #[inline]
    pub(super) fn may_take(&self) -> bool {
        self.core.hand.is_none() && !self.advanced
    }

    /// Tells whether an output of a call that is not in flight would be the next to be handed on.
    #[inline]
    fn is_next_new(&self) -> bool {
        let outputs = &self.core.outputs;
        let any_before = outputs.in_flight() > 0 && !(self.may_take() && outputs.is_next_new());
        !any_before && !self.advanced
    }

    /// Tells whether this turn makes room by yielding the output in hand, so that the next one pulls.
    #[inline]
    fn frees_place(&self) -> bool {
        self.hands_on() && matches!(&self.core.hand, Some(Output { call: After::Over, .. }))
    }

    /// Takes the next output in hand, unless there is one or it has to be kept.
    #[inline]
    fn take_output(&mut self) {
        if self.may_take() && self.core.outputs.any() {
            if let Some(output) = self.core.outputs.take() {
                self.core.hand = Some(output);
            }
        }
    }
}
