//! When a stage may start a call, in cases that one comparison cannot decide.
//!
//! - An item is **in flight** from when it was admitted until its last output was yielded. The **window** bounds what
//!   is in flight: it is as large as the limit unless the caller sets it. In input order a call without an output stays
//!   in flight until its turn, so that places cannot pile up.
//! - The **limit** bounds the running calls, by number or by weight: those of this stage, or of all stages that share a
//!   semaphore, where each call has a permit.
//! - Before it is **admitted**, an item has to fit in the window. Then it may have to wait for its key, and then for
//!   the limit. An item is pulled without a permit, because an upstream stage may need that permit to produce the item.
//!   Then the item is **held** until there is a permit. At most one item is held, and at most one is **outside** the
//!   window: while there is either, nothing is pulled. The one outside waits behind all in the window, because these
//!   make room.
//! - A permit is released after its call was dropped. An inner stream releases it whenever it yielded an output: it
//!   **pauses**, and takes a permit again to continue.
//! - A stage takes no permit for an inner stream while it has an output to yield. So when it yields, it holds fewer
//!   permits than there are, and the downstream stage can have one.
//!
//! # Why turns are fair, and nothing deadlocks
//!
//! A stage waits in the semaphore's line only while
//!
//! 1. it has something to start **in hand**: a held item that waits for nothing else, or a paused inner stream; and
//! 2. it is **pending**. A stage whose turn ended with an output may not be polled for long, so it steps aside until it
//!    is polled again. It keeps its place.
//!
//! So a stage that is granted a permit needs nobody else in order to use it. It was woken, its poller polls what was
//! woken, and the next turn takes the permit, because a turn starts calls before it yields. Permits are taken by
//! running calls, which have all that they need and are polled, or are granted for a moment. So each one comes back, at
//! any limit, no matter how many stages of one pipeline share the semaphore. And because only stages that can continue
//! are ever ahead of others, they are served in the order in which they asked.
//!
//! An item that waits for its key waits for a call that is running or held, and so for no other permit than that
//! call's. An inner stream that waits for room in the window has no permit.
//!
//! But a full stage does not poll everything that is woken: once it has kept an item of a plain stream, it polls
//! nothing that an adaptor merges with that stream. A stage in there could be granted a permit that it cannot take
//! before the full stage has one. So a stage that waits for a permit while its upstream was woken and cannot continue
//! is **stuck**. It asks to be polled again. If a grant is still not claimed after some turns, it has that grant passed
//! over.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Context;
use std::thread;

use event_listener::{EventListener, Listener};

use super::ahead::Ahead;
use super::parking::Parking;
use super::room::Asks;
use super::weights::Weights;
use super::work::Key;
use crate::concurrency::{Concurrency, Limit};
use crate::semaphore::{CountedBy, Permit, Waiter};

/// What may start in one stage, and everything that waits for it.
pub(super) struct Admission<I> {
    limit: Budget,
    window: Window,

    /// Whether each call needs exactly one permit, and nothing else.
    is_simple: bool,

    /// The total weight of the running calls, if only this stage counts them.
    running: usize,

    /// The weights of the items in flight, if they are not all 1.
    weights: Option<Weights>,

    /// An item that was pulled and does not fit in the window yet.
    outside: Option<Held<I>>,

    /// An item in the window that waits only for the limit.
    held: Option<Held<I>>,

    /// The items that wait for others of their key, if items have keys.
    parking: Option<Parking<I>>,

    /// The slots of calls that wait for a permit to continue after an output, and their weights.
    paused: VecDeque<(u32, usize)>,

    /// The inner streams that run ahead, if the window is for them.
    ahead: Option<Ahead>,

    /// Set while the stage has as many items as the limit allows, and waits for a higher limit.
    raised: Option<EventListener>,
}

/// What bounds the running calls.
enum Budget {
    /// Only this stage counts them.
    Own(usize),
    /// Each needs permits.
    Shared(Waiter),
}

/// What bounds the items in flight.
#[derive(Clone, Copy)]
enum Window {
    /// This many times the limit.
    Limits(usize),
    /// A number of its own.
    Items(usize),
}

/// The default window by key, per call that may run: some items wait for their key.
const WINDOW_BY_KEY: usize = 16;

/// An item that waits before its call.
pub(super) struct Held<I> {
    pub(super) item: I,
    pub(super) weight: usize,

    /// Its place, once it fits in the window.
    pub(super) place: Option<usize>,

    pub(super) key: Option<Key>,
}

/// What a call has taken, and must release when it ends.
#[must_use = "it must be released"]
pub(super) struct Hold {
    pub(super) weight: usize,
    key: Option<Key>,

    /// With a semaphore, `Some` while the call is running, except while it is paused.
    pub(super) permit: Option<Permit>,
}

impl<I> Held<I> {
    /// Takes what it has already: its key.
    pub(super) fn take_hold(&mut self) -> Option<Hold> {
        let key = self.key.take()?;
        Some(Hold { weight: 0, key: Some(key), permit: None })
    }
}

/// What is left after a call released what it had.
pub(super) struct Freed {
    /// To be dropped last, because that wakes others, which may panic.
    pub(super) permit: Option<Permit>,

    /// A key that nothing in flight has any more.
    pub(super) key: Option<Key>,
}

impl Hold {
    /// Records that its call has ended.
    pub(super) fn end(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.end();
        }
    }

    /// Returns whether releasing it runs foreign code.
    pub(super) fn is_shared(&self) -> bool {
        self.permit.is_some() || self.key.is_some()
    }
}

impl<I> Admission<I> {
    pub(super) fn new(concurrency: &Concurrency, is_many: bool, asks: Asks) -> Self {
        let limit = match &concurrency.limit {
            Limit::Private(limit) => Budget::Own(*limit),
            Limit::Shared(semaphore) => {
                Budget::Shared(Waiter::new(semaphore.clone(), CountedBy::Line))
            }
        };
        let window = match concurrency.window {
            Some(items) => Window::Items(items.get()),
            None if asks.key() => Window::Limits(WINDOW_BY_KEY),
            None => Window::Limits(1),
        };
        let runs_ahead = is_many && concurrency.window.is_some();
        let is_shared = matches!(limit, Budget::Shared(_));
        let is_simple = is_shared && concurrency.window.is_none() && asks == Asks::Nothing;
        Self {
            limit,
            window,
            is_simple,
            running: 0,
            // A window for outputs counts those.
            weights: (asks.weight() && !runs_ahead).then(|| Weights::new(concurrency.ordered)),
            outside: None,
            held: None,
            parking: asks.key().then(Parking::new),
            paused: VecDeque::new(),
            ahead: runs_ahead.then(Ahead::default),
            raised: None,
        }
    }

    /// Returns whether each call needs exactly one permit, and nothing else.
    pub(super) fn is_simple(&self) -> bool {
        self.is_simple
    }

    pub(super) fn parking(&mut self) -> Option<&mut Parking<I>> {
        self.parking.as_mut()
    }

    pub(super) fn ahead(&mut self) -> Option<&mut Ahead> {
        self.ahead.as_mut()
    }

    pub(super) fn as_ahead(&self) -> Option<&Ahead> {
        self.ahead.as_ref()
    }

    /// Returns whether an inner stream may wait for room in the window.
    pub(super) fn any_blocked(&self) -> bool {
        self.ahead.as_ref().is_some_and(Ahead::any_blocked)
    }

    /// Returns whether calls need permits.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.limit, Budget::Shared(_))
    }

    fn limit(&self) -> usize {
        match &self.limit {
            Budget::Own(limit) => *limit,
            Budget::Shared(waiter) => waiter.limit(),
        }
    }

    /// Returns how much may be in flight.
    fn window(&self) -> usize {
        match self.window {
            Window::Items(items) => items,
            Window::Limits(times) => self.limit().saturating_mul(times),
        }
    }

    /// Returns whether anything more may be in flight.
    #[inline(never)]
    pub(super) fn any_window(&self, in_flight: usize) -> bool {
        match &self.weights {
            None => in_flight < self.window(),
            Some(weights) => weights.is_below(self.window()),
        }
    }

    /// Forgets weights that are no longer queued, except for `queued` of them.
    pub(super) fn keep_weights(&mut self, queued: usize) {
        if let Some(weights) = &mut self.weights {
            weights.keep(queued);
        }
    }

    /// Returns whether an item may be pulled while that many are in flight.
    #[inline]
    pub(super) fn may_pull(&self, in_flight: usize) -> bool {
        if self.is_simple {
            return self.held.is_none() && in_flight < self.limit();
        }
        self.held.is_none()
            && self.outside.is_none()
            && self.any_to_run()
            && self.any_window(in_flight)
    }

    /// Returns whether something could continue with a permit.
    pub(super) fn waits_for_permit(&self) -> bool {
        self.is_shared() && (self.held.is_some() || !self.paused.is_empty() || self.is_paused())
    }

    /// Returns whether nothing may run.
    pub(super) fn is_paused(&self) -> bool {
        self.limit() == 0
    }

    /// Returns whether one more call could run, as far as this stage knows.
    #[inline(never)]
    fn any_to_run(&self) -> bool {
        match &self.limit {
            Budget::Own(limit) => self.running < *limit,
            Budget::Shared(waiter) => waiter.limit() > 0,
        }
    }

    /// Returns whether a waiting item may start, or one may be pulled.
    #[inline]
    pub(super) fn may_start(&self, in_flight: usize) -> bool {
        self.any_held() || self.may_pull(in_flight)
    }

    /// Returns how many pulled items are waiting for their calls.
    pub(super) fn waiting(&self) -> usize {
        let parked = self.parking.as_ref().map_or(0, Parking::len);
        usize::from(self.held.is_some()) + usize::from(self.outside.is_some()) + parked
    }

    /// Returns whether there is a waiting item that is not in flight yet.
    pub(super) fn holds_item(&self) -> bool {
        self.outside.is_some()
    }

    /// Returns how many of the items in flight are waiting for their calls.
    #[cfg(debug_assertions)]
    pub(super) fn placed(&self) -> usize {
        self.waiting() - usize::from(self.holds_item())
    }

    /// Returns whether there is a waiting item that has its key, or comes before it.
    #[inline]
    pub(super) fn any_held(&self) -> bool {
        self.held.is_some()
            || self.outside.is_some()
            || self.parking.as_ref().is_some_and(Parking::any_ready)
    }

    /// Takes the waiting item to start next. Those in the window come first, because they make room.
    pub(super) fn take_held(&mut self) -> Option<Held<I>> {
        let held = self.held.take();
        let held = held.or_else(|| self.parking.as_mut().and_then(Parking::next_ready));
        held.or_else(|| self.outside.take())
    }

    /// Makes an item wait until it can start.
    pub(super) fn hold(&mut self, held: Held<I>) {
        let waits = if held.place.is_some() { &mut self.held } else { &mut self.outside };
        debug_assert!(waits.is_none(), "at most one item is held");
        *waits = Some(held);
    }

    /// Returns whether an item that was pulled fits in the window.
    #[inline]
    pub(super) fn fits(&self, weight: usize) -> bool {
        let fits = |weights: &Weights| {
            // A heavy item fits under any limit, but not while everything is paused.
            self.limit() > 0 && weights.fits(weight, self.window())
        };
        self.weights.as_ref().is_none_or(fits)
    }

    /// Counts an item as in flight.
    pub(super) fn admit(&mut self, weight: usize) {
        if let Some(weights) = &mut self.weights {
            weights.admit(weight);
        }
    }

    /// Takes what a call needs to run, if it is available. Taking a permit may wake others, which may panic.
    #[inline]
    pub(super) fn take(&mut self, weight: usize, key: Option<Key>) -> thread::Result<Option<Hold>> {
        let permit = match &mut self.limit {
            Budget::Own(limit) => {
                let sum = self.running.checked_add(weight);
                if self.running > 0 && sum.is_none_or(|sum| sum > *limit) {
                    return Ok(None);
                }
                self.running += weight;
                None
            }
            Budget::Shared(waiter) => {
                // One that continues and needs more would never get it if those that need less went first.
                if self.paused.front().is_some_and(|(_, paused)| *paused > weight) {
                    return Ok(None);
                }
                match catch_unwind(AssertUnwindSafe(|| waiter.try_take(weight)))? {
                    Some(permit) => Some(permit),
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Hold { weight, key, permit }))
    }

    /// Releases what an ended call had. Its output may wait.
    #[inline]
    pub(super) fn give_back(&mut self, hold: Option<Hold>, waits: bool) -> Freed {
        let (weight, key, permit) = match hold {
            Some(Hold { weight, key, permit }) => (weight, key, permit),
            None => (0, None, None),
        };
        if let Budget::Own(_) = self.limit {
            self.running -= weight;
        }
        if let Some(weights) = &mut self.weights {
            weights.end(weight, waits);
        }
        Freed { permit, key: key.filter(|key| self.give_back_key(*key)) }
    }

    #[cold]
    fn give_back_key(&mut self, key: Key) -> bool {
        self.parking.as_mut().is_some_and(|parking| parking.give_back(key))
    }

    /// Makes a call wait for a permit to continue.
    pub(super) fn pause(&mut self, slot: u32, weight: usize) {
        self.paused.push_back((slot, weight));
    }

    /// Returns how many calls are paused.
    pub(super) fn paused(&self) -> usize {
        self.paused.len()
    }

    /// Returns the call that paused first.
    pub(super) fn first_paused(&self) -> Option<u32> {
        self.paused.front().map(|(slot, _)| *slot)
    }

    pub(super) fn skip_paused(&mut self) {
        self.paused.pop_front();
    }

    /// Takes the permit for the call that paused first.
    pub(super) fn resume(&mut self) -> Option<(u32, Permit)> {
        let Budget::Shared(waiter) = &mut self.limit else { return None };
        let (slot, weight) = *self.paused.front()?;
        let permit = waiter.try_take(weight)?;
        self.paused.pop_front();
        Some((slot, permit))
    }

    /// Drops what waits and is not `kept`, because its place has failed. `is_running` returns which calls continue.
    pub(super) fn cut(
        &mut self,
        kept: impl Fn(usize) -> bool,
        is_running: impl Fn(u32) -> bool,
    ) -> Vec<Held<I>> {
        self.paused.retain(|(slot, _)| is_running(*slot));
        if let Some(ahead) = &mut self.ahead {
            ahead.cut(&is_running);
        }
        self.cut_items(kept)
    }

    /// Takes out the waiting items that are not `kept`, because nothing is pulled any more.
    pub(super) fn cut_items(&mut self, kept: impl Fn(usize) -> bool) -> Vec<Held<I>> {
        let kept = |held: &Held<I>| held.place.is_some_and(&kept);
        let mut cut = self.parking.as_mut().map_or_else(Vec::new, |parking| parking.cut(kept));
        if self.held.as_ref().is_some_and(|held| !kept(held)) {
            cut.extend(self.held.take());
        }
        cut.extend(self.outside.take());
        self.weights = None;
        cut
    }

    /// Ends a turn that yields. The stage may not be polled for long.
    pub(super) fn step_aside(&mut self) {
        self.stop_listening();
        if let Budget::Shared(waiter) = &mut self.limit {
            waiter.step_aside();
        }
    }

    /// Ends a turn that does not yield. Waits for a permit, if there is anything to start with one, or for room, if the
    /// stage wants some. Returns whether there is no need to wait, or the stage is stuck.
    pub(super) fn poll_wait(
        &mut self,
        in_flight: usize,
        wants_room: bool,
        is_stuck: bool,
        cx: &mut Context<'_>,
    ) -> bool {
        let listens_above = self.listens_above(in_flight, wants_room);
        let Budget::Shared(waiter) = &mut self.limit else { return false };
        let paused = self.paused.front().map(|(_, weight)| *weight);
        let held = self.held.as_ref().map(|held| held.weight);
        if let Some(permits) = paused.or(held) {
            self.stop_listening();
            let Budget::Shared(waiter) = &mut self.limit else { return false };
            let waits = waiter.wait(permits, cx.waker());
            return !waits || is_stuck && waiter.pass_over();
        }
        waiter.leave();
        let Some(count) = listens_above else {
            self.stop_listening();
            return false;
        };
        loop {
            match &mut self.raised {
                Some(listener) => {
                    if Pin::new(listener).poll(cx).is_pending() {
                        return false;
                    }
                    self.raised = None;
                }
                None => {
                    self.raised = waiter.listen_above(count);
                    if self.raised.is_none() {
                        return true;
                    }
                }
            }
        }
    }

    /// Returns what the limit has to exceed for the stage to continue, if nothing else can achieve that.
    fn listens_above(&self, in_flight: usize, wants_room: bool) -> Option<usize> {
        let held = self.outside.as_ref();
        if held.is_none() && !wants_room {
            return None;
        }
        let times = match self.window {
            Window::Limits(times) => times,
            // The window stays as it is, so only a limit of 0 can be raised to any effect.
            Window::Items(_) => return (self.limit() == 0).then_some(0),
        };
        let needed = match &self.weights {
            None => in_flight,
            Some(weights) => weights.needed(held.map_or(1, |held| held.weight)),
        };
        Some(needed / times)
    }

    /// Stops listening. All listeners are told of a higher limit, so the notification need not be passed on, as
    /// dropping a listener would.
    fn stop_listening(&mut self) {
        if let Some(listener) = self.raised.take() {
            listener.discard();
        }
    }
}

impl<I> Drop for Admission<I> {
    fn drop(&mut self) {
        self.stop_listening();
    }
}
