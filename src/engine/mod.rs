#![doc = include_str!("README.md")]

mod call;
mod cleanup;
mod fan_in;
mod marks;
mod outputs;
mod permits;
mod ready;
mod row;
mod slots;
mod stage;
mod turn;
mod upstream;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

pub(crate) use self::call::{Call, Step};
pub(crate) use self::fan_in::FanIn;
pub(crate) use self::marks::{Answer, BUDGET, answer, is_advance};
pub(crate) use self::ready::{Poller, Signals};
pub(crate) use self::stage::Stage;
pub(crate) use self::upstream::Upstream;

use self::outputs::{Output, Outputs};
use self::permits::Permits;
use self::row::Row;
use self::slots::Slots;
use self::turn::Turn;
use crate::concurrency::Concurrency;
use crate::size_hint::{SizeHint, add_hints, exactly};

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

    /// The output that this turn hands on. It stays here if the turn ends with a panic.
    hand: Option<Output<U>>,

    /// An item that was pulled and waits for a permit of the semaphore.
    held: Option<I>,

    /// Calls that go on after an output, and wait for a permit of the semaphore.
    paused: VecDeque<u32>,

    row: Row,
    permits: Permits,
    concurrency: Concurrency,
    poller: Poller,
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
        self.outputs.in_flight() == 0 && self.held.is_none()
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
        let signals = Signals::new();
        let upstream = Upstream::new(stream, &signals);
        let core = Core {
            slots: Slots::new(permits.most(), concurrency.ordered || permits.are_shared()),
            outputs: Outputs::new(concurrency.ordered),
            hand: None,
            held: None,
            paused: VecDeque::new(),
            row: Row::none(),
            permits,
            concurrency,
            poller: Poller::new(signals),
        };
        Self { core, upstream }
    }

    /// One turn of the stage: goes on with calls that were woken, starts new ones with `start`, has
    /// the stages above go on if it can start none, and hands on an output if there is one.
    #[inline]
    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        start: impl FnMut(I) -> C,
    ) -> Poll<Option<U>> {
        self.turn(cx, |_| false, Ok, start)
    }

    /// The same for items that may be errors of a stage above: `sort` makes outputs of those that
    /// `failed`.
    #[inline]
    fn turn<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        failed: impl Fn(&I) -> bool,
        sort: impl Fn(I) -> Result<T, U>,
        start: impl FnMut(T) -> C,
    ) -> Poll<Option<U>> {
        let this = self.project();
        let answer = answer(cx.waker());
        let Answer { is_asked, advanced, budget } = answer;
        let mut turn =
            Turn { core: this.core, upstream: this.upstream, is_asked, advanced, budget };
        let polled = turn.run(cx, failed, sort, start);
        answer.finish(turn.budget, matches!(polled, Poll::Ready(None)));
        polled
    }
}

impl<S, I, C, U> Engine<S, I, C, U> {
    /// Returns how many calls run, or are over and have an output that was not handed on.
    pub(crate) fn in_flight(&self) -> usize {
        // A call that panicked is still counted until the next turn.
        self.core.outputs.expected() - usize::from(self.core.slots.any_panicked())
    }

    /// Bounds the number of items that no call was started for.
    pub(crate) fn items_hint(&self) -> SizeHint
    where
        S: Stream,
    {
        add_hints(exactly(usize::from(self.core.held.is_some())), self.upstream.size_hint())
    }

    /// Bounds the number of outputs to come of a stage whose calls have one each.
    pub(crate) fn one_each_hint(&self) -> SizeHint
    where
        S: Stream,
    {
        add_hints(exactly(self.in_flight()), self.items_hint())
    }

    /// Bounds the number of outputs to come of a stage whose calls have one each, or none.
    pub(crate) fn at_most_one_each_hint(&self) -> SizeHint
    where
        S: Stream,
    {
        (self.waiting(), self.one_each_hint().1)
    }

    /// Bounds the number of outputs to come of a stage whose calls have so many each.
    pub(crate) fn many_each_hint(&self, of_call: impl Fn(&C) -> SizeHint) -> SizeHint
    where
        S: Stream,
    {
        let calls = self.core.slots.calls().map(of_call);
        let (lower, upper) = calls.fold(exactly(self.waiting()), add_hints);
        // An item yet to come may expand to anything.
        let none_to_come = self.items_hint().1 == Some(0);
        (lower, upper.filter(|_| none_to_come))
    }

    /// Returns how many outputs wait.
    fn waiting(&self) -> usize {
        self.core.outputs.waiting() + usize::from(self.core.hand.is_some())
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

impl<S, T, E, C, U> Engine<S, Result<T, E>, C, Result<U, E>>
where
    S: Stream<Item = Result<T, E>>,
    C: Call<Output = Result<U, E>>,
{
    /// One turn of a stage that calls its function for items that are no errors. If its calls can
    /// [fail](Call::CAN_FAIL) it ends with the first error, its own or one from upstream, and drops its
    /// calls and upstream before it hands the error on. If not, errors pass.
    #[inline]
    pub(crate) fn try_poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        start: impl FnMut(T) -> C,
    ) -> Poll<Option<Result<U, E>>> {
        self.turn(cx, Result::is_err, |item| item.map_err(Err), start)
    }
}
