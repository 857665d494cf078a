//! How a stage holds its upstream: the two ways to poll it, and when to use them.
//!
//! A stage polls upstream in two ways: by a **pull** when there is room, and by an **advance** when there is none, so
//! that upstream calls continue. Both are `poll_next` with the stage's own waker, and [`marks`](super::marks) tell the
//! upstream stage which it is. A stage that is advanced does all that it does in a turn, but keeps its outputs, and
//! returns `Pending` (or its failure, or `None` at its end).
//!
//! Two kinds of advance go further. To **begin** is for a pipeline that has never been polled. It is not known yet
//! which of its upstreams are stages, so plain sources are polled too. To **look** is for a stage that is paused with
//! nothing in flight, which would not notice that a plain source has ended. A look does not pass through what can be
//! stopped, so that no item is in the way of a stop.
//!
//! Why no source is pulled past the bound:
//!
//! - Only what **answers** is advanced. An upstream counts as a plain source if all its stages have ended, or if it
//!   twice gave neither an answer nor an item. (Twice, because `select` polls its two streams in turn, and an item may
//!   have come from the other one.)
//! - If an advance produces an item all the same, because an adaptor merges a stage with a plain stream, the item is
//!   **kept**: it is the next to be pulled, and until then nothing is advanced.
//!
//! Why no call is starved:
//!
//! - After upstream yielded an item, it counts as woken: it may hold woken calls that it did not poll.
//! - After an advance the next pull is always made, woken or not: there may be kept outputs that no wake announces.
//!
//! A stage that is **no engine** passes its poller's waker through, and the upstream stage answers for it. If it has
//! something to yield that needs no item (a batch whose time is up, or that its first item filled), it must not yield
//! it in an advance: the downstream stage would keep it, and advance nothing any more. It waits for the pull that
//! follows. And it polls its upstream before it yields something, so that no two polls pass without an answer.

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

        // An item that an advance produced, because no stage held it back.
        kept: Kept<T>,

        // The waker with which upstream is polled: the stage's signals.
        waker: Waker,

        // The number of wakes when upstream was last polled.
        seen: usize,

        due: DueFor,

        // Whether there is a stage upstream.
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

/// How upstream must be polled without a wake.
#[derive(Clone, Copy, PartialEq)]
enum DueFor {
    /// Not at all.
    Nothing,
    /// By a pull: it has never been polled.
    First,
    /// By a pull: it was advanced, and may keep outputs that no wake announces.
    Pull,
    /// In either way: it yielded an item, and may have more, or calls that were woken and not polled.
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
    /// Returns whether all items were yielded.
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

    /// Lets the calls of upstream stages continue, although there is no room for an item.
    #[inline]
    pub(crate) fn advance(self: Pin<&mut Self>, signals: &Signals, budget: &mut usize) {
        if self.can_advance() && self.woken(signals) {
            self.ask_and_keep(signals, Purpose::Advance, budget);
        }
    }

    /// The same while nothing may start. A plain source is polled too, because it may have ended. If it yields an item
    /// instead, that is kept.
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

    /// Returns whether upstream has never been polled.
    pub(super) fn is_new(&self) -> bool {
        self.due == DueFor::First
    }

    /// Returns whether an advance produced such an item.
    #[inline]
    pub(crate) fn any_kept(&self, such: impl FnOnce(&T) -> bool) -> bool {
        self.kept.0.as_ref().is_some_and(such)
    }

    /// Takes the item that an advance produced.
    pub(crate) fn take_kept(self: Pin<&mut Self>) -> Option<T> {
        self.project().kept.0.take()
    }

    /// Drops upstream before its end. An item that an advance produced can still be pulled.
    pub(super) fn end(self: Pin<&mut Self>) {
        self.project().stream.set(None);
    }

    /// Drops upstream before its end, with every item that it produced.
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
        // Acquires what the wakers did before: an upstream stage relies on this when it waits.
        *this.seen = signals.upstream_wakes();
        // If the poll panics, upstream must be polled again.
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

    /// Returns whether upstream may have something to do since it was last polled.
    #[inline]
    fn woken(&self, signals: &Signals) -> bool {
        self.due == DueFor::Either || self.seen != signals.upstream_wakes()
    }

    /// Returns whether a pull may yield an item.
    #[inline]
    fn may_pull(&self, signals: &Signals) -> bool {
        self.due != DueFor::Nothing || self.seen != signals.upstream_wakes()
    }

    /// Returns whether an advance would stop at a stage, instead of pulling a source that must wait.
    #[inline]
    pub(super) fn can_advance(&self) -> bool {
        self.answers.any() && self.kept.0.is_none() && self.stream.is_some()
    }

    /// Returns whether upstream was woken, and cannot continue without room.
    pub(super) fn is_stuck(&self, signals: &Signals) -> bool {
        self.stream.is_some() && !self.can_advance() && self.seen != signals.upstream_wakes()
    }

    /// Returns whether upstream is due to be polled, by a pull if there is room, else by an advance.
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

    /// Returns whether a poll that is no pull reaches what it is for.
    pub(super) fn reaches(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Pull | Purpose::Advance => self.can_advance(),
            Purpose::Begin => self.is_new() || self.can_advance(),
            Purpose::Look => self.kept.0.is_none() && self.stream.is_some(),
        }
    }

    /// Pulls or advances, for callers that do nothing else. If nothing arrives, the poller is woken when upstream is
    /// due again.
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
                // What has been polled has begun already.
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
            // Check once more after registering, before waiting.
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
