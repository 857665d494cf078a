//! What a stage holds its upstream in: the two ways to poll it, and when to.
//!
//! A stage polls upstream in two ways: a **pull** when there is room, an **advance** when there is none, so
//! that the calls above go on. Both are `poll_next` with the stage's own waker, and [`marks`](super::marks)
//! tell the stage above which it is. A stage that is advanced does all that it does in a turn, but keeps its
//! outputs, and returns `Pending` (or its failure, or `None` at its end).
//!
//! Two kinds of advance go further. To **begin** is for a pipeline that nobody has polled: which of its upstreams are
//! stages is not known yet, so plain sources are asked as well. To **look** is for a stage that is paused with
//! nothing in flight: it would not hear that a plain source has ended. What can be stopped is not looked through, so
//! that no item is in the way of a stop.
//!
//! Why no source is pulled past the bound:
//!
//! - Only what **answers** is advanced. An upstream in which all stages have ended, or that twice gave neither
//!   an answer nor an item, is a plain source. (Twice, because `select` polls its two streams in turn; and an
//!   item may have come from the other one.)
//! - Where an advance brings out an item all the same, because an adaptor joins a stage with a plain
//!   stream, the item is **kept**: it is the next to be pulled, and until it was, nothing is advanced.
//!
//! Why no call is starved:
//!
//! - After upstream gave an item it counts as woken: it may hold woken calls that it did not poll.
//! - After an advance the next pull is always made, woken or not: outputs may be kept that nothing
//!   announces.
//!
//! A stage that is **no engine** hands its poller's waker through, and the stage above answers for it. If it
//! has something to yield that needs no item (a batch whose time has come, or that its first item
//! filled), it must not do so in an advance: the stage below would keep it, and advance nothing any more.
//! It waits for the pull that follows. And it polls its upstream before it yields something, so that no
//! two polls go without an answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::cleanup::Cleanup;
use super::marks::{Answers, Asking, Purpose};
use super::ready::{Poller, Signals};
use crate::dropped;
use crate::size_hint::{add_hints, exactly};

pin_project! {
    /// An upstream that is pulled when there is room, and advanced when there is none.
    pub(crate) struct Upstream<S, T> {
        // Dropped as soon as it has ended.
        #[pin]
        stream: Option<S>,

        // An item that came out of an advance, because no stage held it back.
        kept: Kept<T>,

        // The waker that upstream is polled with: the stage's signals.
        waker: Waker,

        // The number of wakes when upstream was last polled.
        seen: usize,

        due: DueFor,

        // Whether a stage is above.
        answers: Answers,
    }
}

/// An item that waits to be pulled.
struct Kept<T>(Option<T>);

impl<T> Drop for Kept<T> {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            dropped::note(|dropped| dropped.items += 1);
        }
    }
}

/// What upstream is due for without a wake.
#[derive(Clone, Copy, PartialEq)]
enum DueFor {
    /// Nothing.
    Nothing,
    /// A pull: nobody has polled it.
    First,
    /// A pull: it was advanced, and may keep outputs that nothing announces.
    Pull,
    /// Either: it gave an item, and may have more, or calls that were woken and not polled.
    Either,
}

impl<S: Stream, T> Upstream<S, T> {
    /// Bounds the number of items still to come.
    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        let hint = self.stream.as_ref().map_or((0, Some(0)), Stream::size_hint);
        add_hints(hint, exactly(usize::from(self.kept.0.is_some())))
    }
}

impl<S, T> Upstream<S, T> {
    /// Tells whether all items were handed out.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.stream.is_none() && self.kept.0.is_none()
    }
}

impl<S: Stream<Item = T>, T> Upstream<S, T> {
    pub(crate) fn new(stream: S, signals: &Arc<Signals>) -> Self {
        Self {
            stream: Some(stream),
            kept: Kept(None),
            waker: Waker::from(signals.clone()),
            seen: 0,
            due: DueFor::First,
            answers: Answers::none(),
        }
    }

    /// Asks for the next item, for which there is room.
    #[inline]
    pub(crate) fn pull(
        self: Pin<&mut Self>,
        signals: &Signals,
        budget: &mut usize,
    ) -> Poll<Option<T>> {
        if self.kept.0.is_some() {
            return Poll::Ready(self.take_kept());
        }
        if !self.may_pull(signals) && self.stream.is_some() {
            return Poll::Pending;
        }
        self.ask(signals, Purpose::Pull, budget)
    }

    /// Lets the calls of the stages above go on, although there is no room for an item.
    #[inline]
    pub(crate) fn advance(self: Pin<&mut Self>, signals: &Signals, budget: &mut usize) {
        if self.can_advance() && self.woken(signals) {
            self.ask_and_keep(signals, Purpose::Advance, budget);
        }
    }

    /// The same while nothing may start. A plain source is asked as well: it may have ended. If not, an item of
    /// it is kept.
    #[cold]
    pub(super) fn look(self: Pin<&mut Self>, signals: &Signals, budget: &mut usize) {
        if self.is_due_for(signals, Purpose::Look) {
            self.ask_and_keep(signals, Purpose::Look, budget);
        }
    }

    #[inline]
    fn ask_and_keep(
        mut self: Pin<&mut Self>,
        signals: &Signals,
        purpose: Purpose,
        budget: &mut usize,
    ) {
        if let Poll::Ready(item) = self.as_mut().ask(signals, purpose, budget) {
            self.project().kept.0 = item;
        }
    }

    /// Tells whether nobody has polled upstream.
    pub(super) fn is_new(&self) -> bool {
        self.due == DueFor::First
    }

    /// Tells whether an advance brought out such an item.
    #[inline]
    pub(crate) fn any_kept(&self, such: impl FnOnce(&T) -> bool) -> bool {
        self.kept.0.as_ref().is_some_and(such)
    }

    /// Takes the item that an advance brought out.
    pub(crate) fn take_kept(self: Pin<&mut Self>) -> Option<T> {
        self.project().kept.0.take()
    }

    /// Drops upstream before its end. An item that an advance brought out is still to be pulled.
    pub(super) fn end(self: Pin<&mut Self>) {
        self.project().stream.set(None);
    }

    /// Drops upstream before its end, with all that came out of it.
    pub(super) fn close(mut self: Pin<&mut Self>, cleanup: &mut Cleanup) {
        cleanup.run(|| self.as_mut().end());
        cleanup.run(|| self.project().kept.0 = None);
    }

    /// Polls upstream.
    #[inline]
    fn ask(
        self: Pin<&mut Self>,
        signals: &Signals,
        purpose: Purpose,
        budget: &mut usize,
    ) -> Poll<Option<T>> {
        let mut this = self.project();
        let Some(stream) = this.stream.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        // Acquires what those who woke did before: a stage above relies on it as it waits.
        *this.seen = signals.upstream_wakes();
        // Should the poll panic, upstream is still to be asked again.
        *this.due = DueFor::Either;
        let mut asking = Asking::begin(this.waker, purpose, this.answers, budget);
        let polled = stream.poll_next(&mut Context::from_waker(this.waker));
        *this.due = match polled {
            Poll::Ready(Some(_)) => DueFor::Either,
            _ if purpose == Purpose::Pull => DueFor::Nothing,
            _ => DueFor::Pull,
        };
        asking.gave_item = *this.due == DueFor::Either;
        drop(asking);
        if let Poll::Ready(None) = polled {
            this.stream.set(None);
        }
        polled
    }

    /// Tells whether upstream may have something to do since it was last polled.
    #[inline]
    fn woken(&self, signals: &Signals) -> bool {
        self.due == DueFor::Either || self.seen != signals.upstream_wakes()
    }

    /// Tells whether a pull may give an item.
    #[inline]
    fn may_pull(&self, signals: &Signals) -> bool {
        self.due != DueFor::Nothing || self.seen != signals.upstream_wakes()
    }

    /// Tells whether an advance would stop at a stage, rather than pull a source that must wait.
    #[inline]
    pub(super) fn can_advance(&self) -> bool {
        self.answers.any() && self.kept.0.is_none() && self.stream.is_some()
    }

    /// Tells whether upstream was woken, and cannot be let go on without room.
    pub(super) fn is_stuck(&self, signals: &Signals) -> bool {
        self.stream.is_some() && !self.can_advance() && self.seen != signals.upstream_wakes()
    }

    /// Tells whether polling upstream is due, by a pull if there is room, else by an advance.
    #[inline]
    pub(super) fn is_due(&self, signals: &Signals, room: bool) -> bool {
        if room {
            self.kept.0.is_some() || self.stream.is_some() && self.may_pull(signals)
        } else {
            self.can_advance() && self.woken(signals)
        }
    }

    /// The same for any purpose.
    pub(super) fn is_due_for(&self, signals: &Signals, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Pull | Purpose::Advance => self.is_due(signals, purpose == Purpose::Pull),
            _ => self.reaches(purpose) && (self.is_new() || self.woken(signals)),
        }
    }

    /// Tells whether a poll that is no pull gets to whom it is for.
    pub(super) fn reaches(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Pull | Purpose::Advance => self.can_advance(),
            Purpose::Begin => self.is_new() || self.can_advance(),
            Purpose::Look => self.kept.0.is_none() && self.stream.is_some(),
        }
    }

    /// Pulls, or advances, for who has no more to do than that. If nothing comes, the poller is woken
    /// when it is due again.
    pub(crate) fn poll_next(
        mut self: Pin<&mut Self>,
        poller: &mut Poller,
        purpose: Purpose,
        budget: &mut usize,
        cx: &Context<'_>,
    ) -> Poll<Option<T>> {
        let signals = &poller.signals;
        let polled = if let Purpose::Pull = purpose {
            self.as_mut().pull(signals, budget)
        } else {
            if self.is_due_for(signals, purpose) {
                // What was polled already has begun.
                let begun = purpose == Purpose::Begin && !self.is_new();
                let purpose = if begun { Purpose::Advance } else { purpose };
                self.as_mut().ask_and_keep(signals, purpose, budget);
            }
            if self.is_over() { Poll::Ready(None) } else { Poll::Pending }
        };
        if let Poll::Ready(None) = polled {
            poller.forget();
        }
        if polled.is_pending() {
            // Between registering and waiting, look once more.
            poller.register(cx.waker());
            if self.is_due_for(&poller.signals, purpose) {
                cx.waker().wake_by_ref();
            }
        }
        polled
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Upstream<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stream {
            Some(stream) => stream.fmt(f),
            None => f.write_str("Ended"),
        }
    }
}
