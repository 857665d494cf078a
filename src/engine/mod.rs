#![doc = include_str!("README.md")]

mod call;
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
pub(crate) use self::marks::answer;
pub(crate) use self::ready::Signals;
pub(crate) use self::upstream::Upstream;

use self::outputs::{After, Output, Outputs};
use self::permits::Permits;
use self::slots::Slots;
use crate::concurrency::Concurrency;
use crate::semaphore::Permit;
use crate::size_hint::{SizeHint, add_hints, exactly};

/// How many calls a stage goes on with in one turn, and how many it starts, before the executor gets a
/// chance to run something else.
const BUDGET: usize = 256;

pin_project! {
    /// The calls of one stage.
    pub(crate) struct Engine<S: Stream, C: Call> {
        // Before upstream, so that calls are dropped before what they came from.
        slots: Slots<C>,
        outputs: Outputs<C::Output>,

        // The output that this turn hands on. It stays here if the turn ends with a panic.
        hand: Option<Output<C::Output>>,

        // The place of the call that is being polled. It stays here if the call panics.
        polling: Option<usize>,

        // An item that was pulled and waits for a permit of the semaphore.
        held: Option<S::Item>,

        // Calls that go on after an output, and wait for a permit of the semaphore.
        paused: VecDeque<usize>,

        #[pin]
        upstream: Upstream<S>,

        permits: Permits,
        concurrency: Concurrency,
        poller: Poller,
    }
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
        let signals = Signals::new();
        Self {
            slots: Slots::new(),
            outputs: Outputs::new(concurrency.ordered),
            hand: None,
            polling: None,
            held: None,
            paused: VecDeque::new(),
            upstream: Upstream::new(stream, &signals),
            permits: Permits::new(concurrency.limit.clone()),
            concurrency,
            poller: Poller(signals),
        }
    }

    /// One turn of the stage: goes on with calls that were woken, starts new ones with `start`, has
    /// the stages above go on if it can start none, and hands on an output if there is one.
    #[inline]
    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut start: impl FnMut(S::Item) -> C,
    ) -> Poll<Option<C::Output>> {
        let mut this = self.project();
        let signals = &this.poller.0;
        let mut turn = Turn {
            slots: this.slots,
            outputs: this.outputs,
            hand: this.hand,
            polling: this.polling,
            paused: this.paused,
            permits: this.permits,
            signals,
            advanced: answer(cx.waker()),
        };
        if turn.any_due() {
            turn.go_on(cx);
        }

        // At least one call is started, if one can be, whatever there is to hand on: outputs that
        // are always there must not keep new calls from being started, nor the other way round.
        let mut room = true;
        let mut budget = BUDGET;
        while budget > 0 {
            let item = if this.held.is_none() {
                room = turn.permits.any_room(turn.outputs.in_flight());
                if !room {
                    break;
                }
                match this.upstream.as_mut().pull(signals) {
                    Poll::Ready(item) => item,
                    Poll::Pending => None,
                }
            } else {
                this.held.take()
            };
            let Some(item) = item else {
                break;
            };
            let Some(permit) = turn.permits.try_take(cx) else {
                *this.held = Some(item);
                room = false;
                break;
            };
            budget -= 1;
            match turn.slots.poll_new(start(item), signals) {
                // The shortest way: the call was never in flight for anyone to see.
                Poll::Ready(Step::Over(Some(value)))
                    if turn.is_next_new()
                        && turn.permits.any_room(turn.outputs.in_flight() + 1) =>
                {
                    return Poll::Ready(Some(value));
                }
                polled => turn.admit(polled, permit),
            }
            if turn.hands_on() {
                room = turn.permits.any_room(turn.outputs.in_flight());
                break;
            }
        }
        if !room {
            this.upstream.as_mut().advance(signals);
        }

        if turn.hands_on() {
            if let Some(output) = turn.hand.take() {
                turn.outputs.handed_on(&output);
                return Poll::Ready(Some(output.value));
            }
        }
        let in_flight = turn.outputs.in_flight();
        if in_flight == 0 && this.held.is_none() && this.upstream.is_over() {
            return Poll::Ready(None);
        }
        if budget == 0 || turn.slots.any_queued() {
            // Nothing else would announce them.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Between registering and waiting, look once more.
        signals.register(cx.waker());
        let wants_permit = this.held.is_some() || !turn.paused.is_empty();
        let wants_room = !room && !this.upstream.is_over();
        let may_start = if wants_permit {
            turn.permits.poll_permit(cx)
        } else {
            wants_room && turn.permits.poll_room(in_flight, cx)
        };
        if may_start || signals.any() || this.upstream.is_due(signals, room) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Returns how many calls run, or are over and have an output that was not handed on.
    pub(crate) fn in_flight(&self) -> usize {
        // A call that panicked is still counted until the next turn.
        self.outputs.expected() - usize::from(self.polling.is_some())
    }

    /// Bounds the number of items that no call was started for.
    pub(crate) fn items_hint(&self) -> SizeHint {
        add_hints(exactly(usize::from(self.held.is_some())), self.upstream.size_hint())
    }

    /// Bounds the number of outputs of the calls that were started.
    pub(crate) fn outputs_hint(&self) -> SizeHint {
        let waiting = self.outputs.waiting() + usize::from(self.hand.is_some());
        self.slots.calls().map(C::size_hint).fold(exactly(waiting), add_hints)
    }

    /// Writes a stage of the given name, with what is in it.
    pub(crate) fn fmt_stage(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        S: fmt::Debug,
    {
        f.debug_struct(name)
            .field("concurrency", &self.concurrency)
            .field("in_flight", &self.in_flight())
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

/// What one turn works with.
struct Turn<'a, C: Call> {
    slots: &'a mut Slots<C>,
    outputs: &'a mut Outputs<C::Output>,
    hand: &'a mut Option<Output<C::Output>>,
    polling: &'a mut Option<usize>,
    paused: &'a mut VecDeque<usize>,
    permits: &'a mut Permits,
    signals: &'a Arc<Signals>,

    /// Whether outputs are to be kept.
    advanced: bool,
}

impl<C: Call> Turn<'_, C> {
    /// Tells whether there is anything that earlier turns left, or that was woken since.
    #[inline]
    fn any_due(&self) -> bool {
        self.slots.any_due(self.signals)
            || self.outputs.any()
            || self.polling.is_some()
            || !self.paused.is_empty()
    }

    /// Goes on with the calls that were woken, until there is an output to hand on.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        if let Some(place) = self.polling.take() {
            self.outputs.end(place);
        }
        // Those that paused take turns with those that were woken.
        if let Some(index) = self.resume(cx) {
            self.slots.again(index, self.signals);
        }
        self.slots.begin_turn(self.signals);
        self.take_output();
        for _ in 0..BUDGET {
            let Some(index) = self.slots.next().or_else(|| self.resume(cx)) else { break };
            self.poll(index);
            if self.hands_on() {
                break;
            }
        }
    }

    /// Takes the next call that paused, if there is a permit for it to go on with.
    fn resume(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        self.paused.front()?;
        let permit = self.permits.try_take(cx)?;
        let index = self.paused.pop_front()?;
        self.slots.resume(index, permit);
        Some(index)
    }

    /// Goes on with a call, and takes in hand what is next to be handed on.
    #[inline]
    fn poll(&mut self, index: usize) {
        let place = self.slots.place(index);
        *self.polling = Some(place);
        let polled = self.slots.poll(index);
        *self.polling = None;
        match polled {
            Poll::Pending => self.slots.wait(index, self.signals),
            Poll::Ready(Step::Output(value)) => {
                drop(self.slots.take_permit(index));
                self.give(place, Output { value, call: After::GoesOn(index) });
            }
            Poll::Ready(Step::Over(Some(value))) => {
                self.give(place, Output { value, call: After::Over });
            }
            Poll::Ready(Step::Over(None)) => {
                self.outputs.end(place);
                self.take_output();
            }
        }
    }

    /// Takes in what came of the first poll of a call.
    #[inline]
    fn admit(&mut self, polled: Poll<Step<C::Output>>, permit: Option<Permit>) {
        match polled {
            Poll::Pending => {
                let place = self.outputs.begin();
                let index = self.slots.admit(permit, place);
                self.slots.wait(index, self.signals);
            }
            Poll::Ready(Step::Output(value)) => {
                let place = self.outputs.begin();
                drop(permit);
                let index = self.slots.admit(None, place);
                self.give(place, Output { value, call: After::GoesOn(index) });
            }
            Poll::Ready(Step::Over(Some(value))) => {
                let place = self.outputs.begin();
                self.give(place, Output { value, call: After::Over });
            }
            // As if there had been no item.
            Poll::Ready(Step::Over(None)) => {}
        }
    }

    /// Takes an output in hand if it is the next to be handed on, or keeps it.
    fn give(&mut self, place: usize, output: Output<C::Output>) {
        if self.may_take() && self.outputs.is_next(place) {
            self.take_in_hand(output);
        } else {
            self.outputs.give(place, output);
        }
    }

    /// Tells whether the turn has what it is to hand on.
    #[inline]
    fn hands_on(&self) -> bool {
        // In an advance there is an output in hand only if an earlier turn ended with a panic.
        self.hand.is_some() && !self.advanced
    }

    /// Tells whether an output may be taken in hand.
    #[inline]
    fn may_take(&self) -> bool {
        self.hand.is_none() && !self.advanced
    }

    /// Tells whether an output of a call that is not in flight would be the next to be handed on.
    #[inline]
    fn is_next_new(&self) -> bool {
        self.may_take() && self.outputs.is_next_new()
    }

    /// Takes the next output in hand, unless there is one or it has to be kept.
    fn take_output(&mut self) {
        if self.may_take() {
            if let Some(output) = self.outputs.take() {
                self.take_in_hand(output);
            }
        }
    }

    fn take_in_hand(&mut self, output: Output<C::Output>) {
        if let After::GoesOn(slot) = output.call {
            if self.permits.are_shared() {
                self.paused.push_back(slot);
            } else {
                self.slots.again(slot, self.signals);
            }
        }
        *self.hand = Some(output);
    }
}
