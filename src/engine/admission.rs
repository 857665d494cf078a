//! When a stage may start a call, where one comparison does not tell.
//!
//! - An item is **in flight** from when it was admitted until its last output was yielded. The **window** bounds
//!   what is in flight: it is as large as the limit unless the caller says otherwise. In input order a call
//!   without output stays in flight until its turn, so that places cannot pile up.
//! - The **limit** bounds the calls that run, by their number or by what they weigh: those of this stage, or of
//!   all that share a semaphore, where each call has a permit.
//! - Before it is **admitted** an item has to fit in the window, then it may have to wait for its key, then for
//!   the limit. An item is pulled without a permit, because a stage upstream may need that to produce the item;
//!   then the item is **held** until there is one. One item at most is held, and one is **outside** the
//!   window: while either is there nothing is pulled. Who is outside waits behind all in the window, as
//!   these make room.
//! - A permit is given back after its call was dropped, and by an inner stream whenever it gave an output: it
//!   **pauses**, and takes a permit again to go on.
//! - A stage takes no permit for an inner stream while it has an output to yield. So when it yields it
//!   holds fewer permits than there are, and the stage downstream can have one.
//!
//! # Why turns are fair, and nothing deadlocks
//!
//! A stage waits in the semaphore's line only while
//!
//! 1. it has something to start **in hand**: a held item that waits for nothing else, or an inner stream that
//!    paused; and
//! 2. it is **pending**. A stage whose turn ended with an output may not be polled for long, so it steps
//!    aside until it is polled again. It keeps its place.
//!
//! So a stage that is granted a permit needs nobody else in order to use it. It was woken, its poller polls what was
//! woken, and the next turn takes the permit: a turn starts before it yields. Permits are out
//! for calls that run, which have all that they need and are polled, or are granted for a moment. So each
//! comes back, at any limit, however many stages of one pipeline share the semaphore. And as no stage
//! but one that can go on is ever before another, they are served in the order in which they asked.
//!
//! An item that waits for its key waits for a call that runs, or that is held, and so for no permit but that
//! one's. An inner stream that waits for room in the window has no permit.
//!
//! But a full stage does not poll all that is woken: not what an adaptor joins with a plain stream, once it has
//! kept an item of that. A stage in there could be granted a permit that it cannot take before the full
//! stage has one. So a stage that waits for a permit while its upstream was woken and cannot be let go on is
//! **stuck**. It asks to be polled again, and if a grant is still not taken after some turns, it has that passed
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

/// Who may start, in one stage, and all that waits for it.
pub(super) struct Admission<I> {
    limit: Budget,
    window: Window,

    /// Whether each call needs one permit, and that is all.
    is_simple: bool,

    /// What the calls weigh that run, if the stage alone counts them.
    running: usize,

    /// What the items in flight weigh, if that is not one each.
    weights: Option<Weights>,

    /// An item that was pulled and does not fit in the window yet.
    outside: Option<Held<I>>,

    /// An item in the window that waits for the limit and for nothing else.
    held: Option<Held<I>>,

    /// The items that wait for others of their key, if items have keys.
    parking: Option<Parking<I>>,

    /// The slots of calls that go on after an output and wait for a permit, and what they weigh.
    paused: VecDeque<(u32, usize)>,

    /// The inner streams that run ahead, if the window is for them.
    ahead: Option<Ahead>,

    /// Set while the stage has as many items as the limit allows, and waits for a higher one.
    raised: Option<EventListener>,
}

/// What bounds the calls that run.
enum Budget {
    /// The stage alone counts them.
    Own(usize),
    /// Each needs permits.
    Shared(Waiter),
}

/// What bounds the items in flight.
#[derive(Clone, Copy)]
enum Window {
    /// So many times the limit.
    Limits(usize),
    /// A number of its own.
    Items(usize),
}

/// How many items are in flight for each that may run, where items have keys: some wait for theirs.
const WINDOW_BY_KEY: usize = 16;

/// An item that waits before its call.
pub(super) struct Held<I> {
    pub(super) item: I,
    pub(super) weight: usize,

    /// Its place, once it fits in the window.
    pub(super) place: Option<usize>,

    pub(super) key: Option<Key>,
}

/// What a call has taken, to be given back when it is over.
#[must_use = "it is to be given back"]
pub(super) struct Hold {
    pub(super) weight: usize,
    key: Option<Key>,

    /// There while the call runs, with a semaphore. Not while it is paused.
    pub(super) permit: Option<Permit>,
}

impl<I> Held<I> {
    /// Takes what it has already: its key.
    pub(super) fn take_hold(&mut self) -> Option<Hold> {
        let key = self.key.take()?;
        Some(Hold { weight: 0, key: Some(key), permit: None })
    }
}

/// What there is of a call after it gave back what it had.
pub(super) struct Freed {
    /// To be dropped last, as that wakes others, who may panic.
    pub(super) permit: Option<Permit>,

    /// A key that nothing in flight has any more.
    pub(super) key: Option<Key>,
}

impl Hold {
    /// Says that its call came to its end.
    pub(super) fn end(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.end();
        }
    }

    /// Tells whether to give it back runs code of others.
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

    /// Tells whether each call needs one permit, and that is all.
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

    /// Tells whether an inner stream may wait for room in the window.
    pub(super) fn any_blocked(&self) -> bool {
        self.ahead.as_ref().is_some_and(Ahead::any_blocked)
    }

    /// Tells whether calls need permits.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.limit, Budget::Shared(_))
    }

    fn limit(&self) -> usize {
        match &self.limit {
            Budget::Own(limit) => *limit,
            Budget::Shared(waiter) => waiter.limit(),
        }
    }

    /// What may be in flight.
    fn window(&self) -> usize {
        match self.window {
            Window::Items(items) => items,
            Window::Limits(times) => self.limit().saturating_mul(times),
        }
    }

    /// Tells whether anything more may be in flight.
    #[inline(never)]
    pub(super) fn any_window(&self, in_flight: usize) -> bool {
        match &self.weights {
            None => in_flight < self.window(),
            Some(weights) => weights.is_below(self.window()),
        }
    }

    /// Forgets what weighed that is queued no more, but for so many.
    pub(super) fn keep_weights(&mut self, queued: usize) {
        if let Some(weights) = &mut self.weights {
            weights.keep(queued);
        }
    }

    /// Tells whether an item may be pulled, with so many in flight.
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

    /// Tells whether something could go on if there was a permit.
    pub(super) fn waits_for_permit(&self) -> bool {
        self.is_shared() && (self.held.is_some() || !self.paused.is_empty() || self.is_paused())
    }

    /// Tells whether nothing may run.
    pub(super) fn is_paused(&self) -> bool {
        self.limit() == 0
    }

    /// Tells whether one more could run, as far as this stage knows.
    #[inline(never)]
    fn any_to_run(&self) -> bool {
        match &self.limit {
            Budget::Own(limit) => self.running < *limit,
            Budget::Shared(waiter) => waiter.limit() > 0,
        }
    }

    /// Tells whether an item waits that may start, or one may be pulled.
    #[inline]
    pub(super) fn may_start(&self, in_flight: usize) -> bool {
        self.any_held() || self.may_pull(in_flight)
    }

    /// Returns how many items were pulled and wait before their calls.
    pub(super) fn waiting(&self) -> usize {
        let parked = self.parking.as_ref().map_or(0, Parking::len);
        usize::from(self.held.is_some()) + usize::from(self.outside.is_some()) + parked
    }

    /// Tells whether an item waits that is not in flight yet.
    pub(super) fn holds_item(&self) -> bool {
        self.outside.is_some()
    }

    /// Returns how many of the items in flight wait before their calls.
    #[cfg(debug_assertions)]
    pub(super) fn placed(&self) -> usize {
        self.waiting() - usize::from(self.holds_item())
    }

    /// Tells whether an item waits that has its key, or comes before it.
    #[inline]
    pub(super) fn any_held(&self) -> bool {
        self.held.is_some()
            || self.outside.is_some()
            || self.parking.as_ref().is_some_and(Parking::any_ready)
    }

    /// Takes the item to start next of those that wait. Those in the window come first, as they make room.
    pub(super) fn take_held(&mut self) -> Option<Held<I>> {
        let held = self.held.take();
        let held = held.or_else(|| self.parking.as_mut().and_then(Parking::next_ready));
        held.or_else(|| self.outside.take())
    }

    /// Has an item wait until it can start.
    pub(super) fn hold(&mut self, held: Held<I>) {
        let waits = if held.place.is_some() { &mut self.held } else { &mut self.outside };
        debug_assert!(waits.is_none(), "one item is held at most");
        *waits = Some(held);
    }

    /// Tells whether an item fits in the window that was pulled as there was room.
    #[inline]
    pub(super) fn fits(&self, weight: usize) -> bool {
        let fits = |weights: &Weights| {
            // A heavy item fits under any limit, but not while all is paused.
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

    /// Takes what a call needs to run, if it is there. To take a permit may wake others, who may panic.
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
                // One that goes on and needs more would never have it, if those that need less went before it.
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

    /// Gives back what a call had, which is over. Its output may wait.
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

    /// Has a call wait for a permit to go on.
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

    /// Drops what waits and is not `kept`, as its place has failed. `is_running` tells which calls go on.
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

    /// Takes out the items that wait and are not `kept`, as nothing is pulled any more.
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

    /// Ends a turn that yields. Nobody may poll the stage for long.
    pub(super) fn step_aside(&mut self) {
        self.stop_listening();
        if let Budget::Shared(waiter) = &mut self.limit {
            waiter.step_aside();
        }
    }

    /// Ends a turn that does not. Waits for a permit, if there is anything to start with one, or for room,
    /// if the stage wants some. Returns whether there is no need to wait, or the stage is stuck.
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

    /// Returns what the limit has to be above for the stage to go on, if nothing else can bring that.
    fn listens_above(&self, in_flight: usize, wants_room: bool) -> Option<usize> {
        let held = self.outside.as_ref();
        if held.is_none() && !wants_room {
            return None;
        }
        let times = match self.window {
            Window::Limits(times) => times,
            // The window stays as it is, so all that can be raised is a limit of 0.
            Window::Items(_) => return (self.limit() == 0).then_some(0),
        };
        let needed = match &self.weights {
            None => in_flight,
            Some(weights) => weights.needed(held.map_or(1, |held| held.weight)),
        };
        Some(needed / times)
    }

    /// Stops listening. All are told of a higher limit, so the news is not to be passed on, as dropping a
    /// listener would.
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
