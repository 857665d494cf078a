#![doc = include_str!("README.md")]

mod call;
mod cleanup;
mod fan_in;
mod marks;
mod outputs;
mod permits;
mod ready;
mod slots;
mod spare;
mod stage;
mod turn;
mod upstream;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

pub(crate) use self::call::{Call, Step};
pub(crate) use self::fan_in::FanIn;
pub(crate) use self::marks::{BUDGET, answer, is_advance};
pub(crate) use self::ready::{Poller, Signals};
pub(crate) use self::stage::Stage;
pub(crate) use self::upstream::Upstream;

use self::outputs::Outputs;
use self::permits::Permits;
use self::slots::Slots;
use self::turn::Turn;
use crate::concurrency::Concurrency;
use crate::size_hint::{SizeHint, add_hints, exactly, times, until_error};

pin_project! {
    /// The calls of one stage: `C`, of items `I` of the stream `S`, with outputs `U`.
    ///
    /// Nothing in here is stored as a projection, such as `S::Item`. To know what that is in a future
    /// that is spawned the compiler would have to prove again that the functions in `S` are functions,
    /// with their lifetimes erased, which it cannot.
    pub(crate) struct Engine<S, I, C, U> {
        // Before upstream, so that calls are dropped before what they came from.
        core: Core<I, C, U>,

        #[pin]
        upstream: Upstream<S, I>,
    }
}

/// An engine but for its upstream.
struct Core<I, C, U> {
    slots: Slots<C>,
    outputs: Outputs<U>,

    /// Whether a turn yielded the output of a new call while others were due.
    passed_over: bool,

    permits: Permits<I>,
    concurrency: Concurrency,
    poller: Poller,

    /// Whether calls run without permits, and outputs come in completion order.
    is_plain: bool,
}

impl<S, I, C, U> Engine<S, I, C, U> {
    /// Tells whether all outputs were yielded.
    pub(crate) fn is_over(&self) -> bool {
        self.core.is_idle() && self.upstream.is_over()
    }
}

impl<I, C, U> Core<I, C, U> {
    /// Tells whether nothing that was pulled is still here.
    #[inline]
    fn is_idle(&self) -> bool {
        self.outputs.in_flight() == 0 && !self.permits.holds_item()
    }

    /// Ends a turn that panicked: drops the call that did, if one did, and after that its permit. Nobody may
    /// poll the stage again for long.
    #[cold]
    fn end_panicked(&mut self) {
        if let Some(share) = self.permits.shared() {
            share.step_aside();
        }
        if let Some((place, permit)) = self.slots.remove_panicked() {
            self.outputs.end(place);
            drop(permit);
        }
    }
}

#[cfg(debug_assertions)]
impl<I, C, U> Core<I, C, U> {
    /// Checks what is true between turns.
    fn check(&self) {
        if self.slots.check() {
            let running = self.slots.calls().count();
            let in_flight = self.outputs.in_flight();
            assert_eq!(in_flight, running + self.outputs.over(), "what is in flight runs or waits");
        }
    }
}

impl<S, I, C, U> Engine<S, I, C, U>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
{
    #[track_caller]
    pub(crate) fn new(stream: S, concurrency: Concurrency) -> Self {
        let concurrency = concurrency.checked();
        let permits = Permits::new(concurrency.limit.clone());
        let is_plain = !concurrency.ordered && !permits.are_shared();
        let signals = Signals::new();
        let upstream = Upstream::new(stream, &signals);
        let core = Core {
            slots: Slots::new(),
            outputs: Outputs::new(concurrency.ordered),
            passed_over: false,
            permits,
            concurrency,
            poller: Poller::new(signals),
            is_plain,
        };
        Self { core, upstream }
    }

    /// One turn of the stage: starts calls with `start`, goes on with those that were woken, has the
    /// stages above go on if there is no room, and yields the first output that it can.
    #[inline]
    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        start: impl FnMut(I) -> C,
    ) -> Poll<Option<U>> {
        self.turn(cx, |_| false, start)
    }

    /// The same for items that may have `failed` in a stage above.
    #[inline(always)]
    fn turn(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        failed: fn(&I) -> bool,
        start: impl FnMut(I) -> C,
    ) -> Poll<Option<U>> {
        let answer = answer(cx.waker());
        let this = self.project();
        if this.core.is_plain && !answer.advanced && this.core.outputs.none_waits() {
            Turn::<_, _, _, _, _, true>::new(this.core, this.upstream, answer, failed, start)
                .take(cx)
        } else {
            Turn::<_, _, _, _, _, false>::new(this.core, this.upstream, answer, failed, start)
                .take_out_of_line(cx)
        }
    }
}

impl<S, I, C, U> Engine<S, I, C, U> {
    /// Bounds the number of outputs to come.
    pub(crate) fn size_hint(&self) -> SizeHint
    where
        S: Stream,
        C: Call<Output = U>,
    {
        let Core { slots, outputs, permits, .. } = &self.core;
        let held = exactly(permits.holds_item().into());
        let items = times(add_hints(held, self.upstream.size_hint()), C::OUTPUTS);
        let calls = slots.calls().map(C::size_hint).fold(exactly(outputs.waiting()), add_hints);
        let hint = add_hints(calls, items);
        if C::CAN_FAIL { until_error(hint) } else { hint }
    }

    /// Writes a stage of the given name, with what is in it.
    pub(crate) fn fmt_stage(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        S: fmt::Debug,
    {
        let Core { slots, outputs, concurrency, .. } = &self.core;
        f.debug_struct(name)
            .field("concurrency", concurrency)
            .field("in_flight", &(slots.calls().count() + outputs.waiting()))
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

impl<S, T, E, C, U> Engine<S, Result<T, E>, C, Result<U, E>>
where
    S: Stream<Item = Result<T, E>>,
    C: Call<Output = Result<U, E>>,
{
    /// One turn of a stage whose items may be errors, for which `start` makes a call that is over at
    /// once. If calls can [fail](Call::CAN_FAIL) the stage, it ends with the first error, its own or one
    /// from upstream, and drops its calls and upstream before it yields the error. If not, errors pass.
    #[inline]
    pub(crate) fn try_poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        start: impl FnMut(Result<T, E>) -> C,
    ) -> Poll<Option<Result<U, E>>> {
        self.turn(cx, Result::is_err, start)
    }
}
