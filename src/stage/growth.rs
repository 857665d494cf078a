//! An upstream that grows while it is processed.
//!
//! It answers as a stage does: its own upstream is polled in every poll, even while found items are taken and nothing
//! is pulled. An error that arrives then goes first. In an advance any item goes first: the downstream stage decides
//! what a kept item means.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::Stream;
use pin_project_lite::pin_project;

use super::entry::{Entry, Shared};
use super::frontier::{Frontier, frontier};
use crate::engine::{Poller, Purpose, Signals, Upstream, answer};
use crate::size_hint::SizeHint;

/// An item, and the entry that adds the items it leads to.
pub(super) type Grown<T> = (T, Entry<T>);

pin_project! {
    /// An upstream of items `I`, and the items `T` that were found while processing them, which go first. Both are
    /// yielded as `O`.
    pub(super) struct Growth<S, T, I, O> {
        #[pin]
        upstream: Upstream<S, I>,
        poller: Poller,
        found: Frontier<T>,
        kind: Kind<T, I, O>,
    }
}

/// How items of either kind become those of a growth.
pub(super) struct Kind<T, I, O> {
    of_upstream: fn(I, &Frontier<T>) -> O,
    of_found: fn(Grown<T>) -> O,

    /// Returns whether an item of upstream goes before those that were found.
    failed: fn(&I) -> bool,
}

impl<T> Kind<T, T, Grown<T>> {
    /// Items as they are.
    pub(super) fn plain() -> Self {
        Self {
            of_upstream: |item, found| (item, found.entry()),
            of_found: |grown| grown,
            failed: |_| false,
        }
    }
}

impl<T, E> Kind<T, Result<T, E>, Result<Grown<T>, E>> {
    /// Items or errors.
    pub(super) fn results() -> Self {
        Self {
            of_upstream: |item, found| item.map(|item| (item, found.entry())),
            of_found: Ok,
            failed: Result::is_err,
        }
    }
}

impl<S: Stream<Item = I>, T, I, O> Growth<S, T, I, O> {
    pub(super) fn new(upstream: S, kind: Kind<T, I, O>) -> Self {
        let signals = Signals::new();
        let upstream = Upstream::new(upstream, &signals);
        Self { upstream, poller: Poller::new(signals), found: frontier([]), kind }
    }

    /// Returns where found items go.
    pub(super) fn found(&self) -> &Arc<Shared<T>> {
        self.found.shared()
    }

    /// Takes a found item, or else an item of upstream. If upstream is not asked for one, its stages still continue.
    fn turn(
        self: Pin<&mut Self>,
        purpose: Purpose,
        budget: &mut usize,
        cx: &Context<'_>,
    ) -> Poll<Option<O>> {
        let mut this = self.project();
        let Kind { of_upstream, of_found, failed } = this.kind;
        let found = this.found.shared();
        let waiting = found.any_waiting();
        let mut upstream = this.upstream.as_mut();
        let advanced = purpose != Purpose::Pull;
        let purpose = if waiting && !advanced { Purpose::Advance } else { purpose };
        let mut polled = upstream.as_mut().poll_next(this.poller, purpose, budget, cx);
        if upstream.any_kept(|item| advanced || failed(item)) {
            polled = Poll::Ready(upstream.take_kept());
        }
        if let Poll::Ready(Some(item)) = polled {
            return Poll::Ready(Some(of_upstream(item, this.found)));
        }
        // A found item waits for a pull, but the end does not.
        if advanced && (waiting || polled.is_pending()) {
            return Poll::Pending;
        }
        found.poll_pop(cx, polled.is_pending()).map(|grown| grown.map(of_found))
    }
}

impl<S: Stream<Item = I>, T, I, O> Stream for Growth<S, T, I, O> {
    type Item = O;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<O>> {
        let answer = answer(cx.waker());
        let mut budget = answer.budget;
        let polled = self.turn(answer.purpose, &mut budget, cx);
        answer.finish(budget, matches!(polled, Poll::Ready(None)));
        polled
    }

    fn size_hint(&self) -> SizeHint {
        let (waiting, none) = self.found.size_hint();
        match self.upstream.size_hint() {
            (_, Some(0)) => (waiting, none),
            // Every item may lead to any number of items.
            (lower, _) => (waiting.saturating_add(lower), None),
        }
    }
}

impl<S: fmt::Debug, T, I, O> fmt::Debug for Growth<S, T, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.upstream.fmt(f)
    }
}
