#![doc = include_str!("README.md")]

mod admission;
mod ahead;
mod call;
mod cleanup;
mod failures;
mod fan_in;
mod in_a_row;
mod marks;
mod outputs;
mod parking;
mod ready;
mod room;
mod slots;
mod spare;
mod stage;
mod turn;
mod upstream;
mod weights;
mod work;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

pub(crate) use self::call::{Call, Step};
pub(crate) use self::fan_in::FanIn;
pub(crate) use self::in_a_row::InARow;
pub(crate) use self::marks::{BUDGET, HandsOn, Purpose, answer, is_advance};
pub(crate) use self::ready::{Poller, Signals};
pub(crate) use self::room::Asks;
pub(crate) use self::stage::{Polls, Stage, polls};
pub(crate) use self::upstream::Upstream;
pub(crate) use self::work::{Key, Weigh, Work, start, try_start};

use self::admission::{Admission, Freed};
#[cfg(debug_assertions)]
use self::ahead::Ahead;
use self::failures::Failures;
use self::outputs::Outputs;
use self::room::Room;
use self::slots::Slots;
use self::turn::Turn;
use crate::concurrency::Concurrency;
use crate::dropped;
use crate::size_hint::{SizeHint, add_hints, exactly, times, until_error};

pin_project! {
    /// The calls of one stage: `C`, of items `I` of the stream `S`, with outputs `U`.
    ///
    /// No field has a type with a projection, such as `S::Item`. In a spawned future, the compiler would have to prove
    /// again that the functions in `S` are functions, with their lifetimes erased, to know what that is. It cannot.
    pub(crate) struct Engine<S, I, C, U> {
        // Before upstream, so that calls are dropped before what they came from.
        core: Core<I, C, U>,

        #[pin]
        upstream: Upstream<S, I>,

        // Last, because it counts what is dropped before it.
        recorder: Option<Box<Recorder>>,
    }
}

#[cfg(feature = "monitor")]
use crate::monitor::Recorder;

/// Nothing is recorded.
#[cfg(not(feature = "monitor"))]
enum Recorder {}

/// An engine without its upstream.
struct Core<I, C, U> {
    slots: Slots<C>,
    outputs: Outputs<U>,

    /// The failures, if calls finish first.
    failures: Failures<U>,

    /// Whether a turn yielded the output of a new call while others were due.
    passed_over: bool,

    room: Room<I>,
    concurrency: Concurrency,
    poller: Poller,
    in_a_row: InARow,

    /// Whether the limit is only a number, and outputs are yielded in completion order.
    is_plain: bool,
}

impl<S, I, C, U> Engine<S, I, C, U> {
    /// Returns whether all outputs were yielded.
    pub(crate) fn is_over(&self) -> bool {
        self.core.is_idle() && self.upstream.is_over() && self.core.failures.is_empty()
    }
}

impl<I, C, U> Core<I, C, U> {
    /// Returns whether nothing that was pulled is still here.
    #[inline]
    fn is_idle(&self) -> bool {
        self.outputs.in_flight() == 0
            && !self.room.as_admission().is_some_and(Admission::holds_item)
    }

    /// Returns how many calls are running, and how many items and outputs are waiting.
    #[cold]
    fn left(&self) -> (usize, usize) {
        let items = self.room.as_admission().map_or(0, Admission::waiting);
        (self.slots.calls().count(), items + self.outputs.waiting())
    }

    /// Ends a turn that panicked: drops the call that panicked, if it was a call. The stage may not be polled again for
    /// long. Returns what remains to be released.
    #[cold]
    fn end_panicked(&mut self) -> Option<Freed> {
        let panicked = self.slots.remove_panicked();
        let Some(admission) = self.room.admission() else {
            let (_, place) = panicked?;
            self.outputs.end(place);
            return None;
        };
        admission.step_aside();
        let (slot, place) = panicked.or_else(|| self.slots.prepared())?;
        let ahead = admission.ahead();
        let waiting = ahead.map_or(0, |ahead| {
            self.outputs.release(ahead.release(slot));
            ahead.end(slot, self.outputs.is_ordered())
        });
        self.outputs.end_ahead(place, waiting);
        Some(admission.give_back(self.slots.take_hold(slot), false))
    }
}

impl<I, C, U> Drop for Core<I, C, U> {
    #[inline]
    fn drop(&mut self) {
        dropped::note(|dropped| {
            dropped.calls += self.slots.calls().count();
            dropped.outputs += self.outputs.waiting() + self.failures.len();
            dropped.items += self.room.as_admission().map_or(0, Admission::waiting);
        });
    }
}

#[cfg(debug_assertions)]
impl<I, C, U> Core<I, C, U> {
    /// Checks the invariants between turns.
    fn check(&self) {
        if self.slots.check() {
            let running = self.slots.calls().count();
            let admission = self.room.as_admission();
            let placed = admission.map_or(0, Admission::placed);
            let ahead = admission.and_then(Admission::as_ahead);
            let left = ahead.map_or(0, Ahead::left);
            let in_flight = self.outputs.in_flight();
            let waiting = self.outputs.over() + placed + left;
            assert_eq!(in_flight, running + waiting, "everything in flight is running or waiting");
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
        let room = Room::new(&concurrency, C::MANY, Asks::Nothing);
        let is_plain = !concurrency.ordered && room.is_plain();
        let signals = Signals::new();
        let upstream = Upstream::new(stream, &signals);
        #[cfg(feature = "monitor")]
        let recorder = concurrency.watched.as_ref().map(|watched| Box::new(watched.recorder()));
        #[cfg(not(feature = "monitor"))]
        let recorder = None;
        let core = Core {
            slots: Slots::new(),
            outputs: Outputs::new(concurrency.ordered),
            failures: Failures::new(),
            passed_over: false,
            room,
            concurrency,
            poller: Poller::new(signals),
            in_a_row: InARow::default(),
            is_plain,
        };
        Self { core, upstream, recorder }
    }

    /// Makes the engine ask its stage for more about each item.
    ///
    /// # Panics
    ///
    /// Panics if the stage holds items.
    #[track_caller]
    pub(crate) fn ask_for(&mut self, asks: Asks) {
        assert!(self.core.is_idle(), "a stage must be set up before it is polled");
        self.core.room = Room::new(&self.core.concurrency, C::MANY, asks);
        self.core.is_plain = false;
    }

    /// One turn of the stage: starts calls as `work` says, continues those that were woken, advances upstream stages if
    /// there is no room, and yields the first output that it can.
    ///
    /// An item that failed upstream becomes a call that ends at once. If calls can [fail](Call::CAN_FAIL) the stage, it
    /// ends with the first error, its own or one from upstream. It drops its calls and upstream before it yields the
    /// error, or lets its calls finish. If calls cannot fail the stage, errors pass.
    #[inline]
    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        work: impl Work<I, Call = C>,
    ) -> Poll<Option<U>> {
        let this = self.project();
        this.core.take_turn(this.upstream, cx, work)
    }

    /// The same for a monitored stage. It is compiled separately, so that other stages do not check for a recorder.
    #[cfg(feature = "monitor")]
    pub(crate) fn poll_watched(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        work: impl Work<I, Call = C>,
    ) -> Poll<Option<U>> {
        let this = self.project();
        let recorder =
            this.recorder.as_mut().expect("only a stage with a recorder is polled this way");
        this.core.take_turn(this.upstream, cx, self::work::Watched { work, recorder })
    }
}

impl<I, C: Call<Output = U>, U> Core<I, C, U> {
    #[inline(always)]
    fn take_turn<S: Stream<Item = I>>(
        &mut self,
        upstream: Pin<&mut Upstream<S, I>>,
        cx: &mut Context<'_>,
        work: impl Work<I, Call = C>,
    ) -> Poll<Option<U>> {
        let answer = answer(cx.waker());
        if self.in_a_row.gives_way(&answer, cx) {
            return Poll::Pending;
        }
        if self.is_plain && !answer.advanced() && self.outputs.none_waits() {
            Turn::<_, _, _, _, _, true>::new(self, upstream, answer, work).take(cx)
        } else {
            Turn::<_, _, _, _, _, false>::new(self, upstream, answer, work).take_out_of_line(cx)
        }
    }
}

impl<S, I, C, U> Engine<S, I, C, U> {
    /// Sets how many calls of a key may run at once.
    pub(crate) fn set_per_key(&mut self, calls: usize) {
        let admission = self.core.room.admission();
        if let Some(parking) = admission.and_then(Admission::parking) {
            parking.set_most(calls);
        }
    }

    pub(super) fn concurrency(&self) -> &Concurrency {
        &self.core.concurrency
    }

    /// Bounds the number of outputs to come.
    pub(crate) fn size_hint(&self) -> SizeHint
    where
        S: Stream,
        C: Call<Output = U>,
    {
        let Core { slots, outputs, failures, room, .. } = &self.core;
        let held = exactly(room.as_admission().map_or(0, Admission::waiting));
        let items = times(add_hints(held, self.upstream.size_hint()), C::OUTPUTS);
        let calls = slots.calls().map(C::size_hint).fold(exactly(outputs.waiting()), add_hints);
        let hint = add_hints(calls, items);
        if C::CAN_FAIL { add_hints(exactly(failures.len()), until_error(hint)) } else { hint }
    }

    /// Writes a stage with the given name, and its contents.
    pub(crate) fn fmt_stage(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        S: fmt::Debug,
    {
        let Core { slots, outputs, failures, concurrency, .. } = &self.core;
        let in_flight = slots.calls().count() + outputs.waiting() + failures.len();
        f.debug_struct(name)
            .field("concurrency", concurrency)
            .field("in_flight", &in_flight)
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}
