//! What a stage has in flight, and the outputs that wait, in completion order or in input order.

use std::collections::VecDeque;
use std::iter;
use std::mem;

use super::ahead::Taken;

/// Everything between "pulled" and "yielded".
pub(super) struct Outputs<T> {
    is_ordered: bool,

    /// Running calls, and ended calls whose output waits. In input order a call without an output counts until its
    /// turn, so that places cannot pile up.
    in_flight: usize,

    /// The place of the first call in flight, in input order, or of the first output that waits, in
    /// completion order. Places wrap.
    first: usize,

    /// How many places are not [`Place::Running`].
    taken: usize,

    /// The states of the calls, or the outputs, by place. The length is a power of two, and places wrap around.
    ring: Vec<Place<T>>,

    /// Outputs that wait behind the one at a place, in input order, with the same index. Empty unless inner streams run
    /// ahead.
    behind: Vec<VecDeque<T>>,

    /// How many outputs wait in addition to the first of each inner stream.
    extra: usize,

    /// For how many more outputs inner streams have reserved room.
    reserved: usize,
}

#[derive(Default)]
enum Place<T> {
    /// The call is running and nothing of it waits, or there is none.
    #[default]
    Running,
    /// The call yielded an output and waits until that is taken, or it has ended.
    Given(Output<T>),
    /// The call has ended, without an output that waits.
    Over,
}

/// An output that waits.
pub(super) struct Output<T> {
    pub(super) value: T,

    pub(super) call: After,
}

/// What happens to a call after its output.
#[derive(Clone, Copy)]
pub(super) enum After {
    /// It continues, in this slot.
    GoesOn(u32),
    /// It has ended.
    Over,
}

/// For how many places room is made at first.
const LIKELY: usize = 4;

impl<T> Outputs<T> {
    pub(super) fn new(is_ordered: bool) -> Self {
        Self {
            is_ordered,
            in_flight: 0,
            first: 0,
            taken: 0,
            ring: Vec::new(),
            behind: Vec::new(),
            extra: 0,
            reserved: 0,
        }
    }

    /// Returns how many calls are running, or have ended and have an output that was not yielded.
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns the same, including all outputs of inner streams that run ahead.
    #[inline]
    pub(super) fn in_window(&self) -> usize {
        self.in_flight + self.extra + self.reserved
    }

    /// Reserves room for one more output.
    pub(super) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// Releases reserved room, if there was any.
    pub(super) fn release(&mut self, was_reserved: bool) {
        self.reserved -= usize::from(was_reserved);
    }

    /// Sets how much room is reserved, after streams were dropped.
    pub(super) fn set_reserved(&mut self, reserved: usize) {
        self.reserved = reserved;
    }

    /// Returns whether no output waits, and every place is running.
    #[inline]
    pub(super) fn none_waits(&self) -> bool {
        self.taken == 0
    }

    /// Counts a call that is about to run, and returns its place in input order.
    #[inline]
    pub(super) fn begin(&mut self) -> usize {
        let place = self.first.wrapping_add(self.in_flight);
        self.in_flight += 1;
        place
    }

    /// Keeps an output of the call at `place`.
    #[inline]
    pub(super) fn give(&mut self, place: usize, output: Output<T>) {
        let place = if self.is_ordered { place } else { self.first.wrapping_add(self.taken) };
        self.set(place, Place::Given(output));
    }

    /// Keeps an output behind others of its inner stream.
    pub(super) fn give_more(&mut self, place: usize, output: Output<T>) {
        self.extra += 1;
        if !self.is_ordered {
            return self.give(place, output);
        }
        if self.behind.len() < self.ring.len() {
            self.behind.resize_with(self.ring.len(), VecDeque::new);
        }
        let index = self.index(place);
        self.behind[index].push_back(output.value);
        self.set_call(place, output.call);
    }

    /// Sets what happens to the call whose outputs wait at `place`, in input order.
    fn set_call(&mut self, place: usize, call: After) {
        let index = self.index(place);
        if let Some(Place::Given(output)) = self.ring.get_mut(index) {
            output.call = call;
        }
    }

    /// Records that the inner stream at `place` has ended, of which `waiting` outputs wait.
    pub(super) fn end_ahead(&mut self, place: usize, waiting: usize) {
        if waiting == 0 {
            self.end(place);
        } else if self.is_ordered {
            self.set_call(place, After::Over);
        } else {
            // Each of them leaves separately.
            self.in_flight += waiting - 1;
            self.extra -= waiting - 1;
        }
    }

    /// Records that an output of an inner stream that runs ahead was yielded, in completion order.
    pub(super) fn taken_ahead(&mut self, taken: &Taken) {
        match taken {
            Taken { is_left: true, .. } => self.leave(),
            Taken { frees: true, .. } => self.extra -= 1,
            _ => {}
        }
    }

    /// Keeps the last output of the stage, behind those of its own call.
    pub(super) fn give_last(&mut self, place: usize, value: T) {
        let output = Output { value, call: After::Over };
        if self.is_ordered && self.any_waits(place) {
            self.give_more(place, output);
        } else {
            self.give(place, output);
        }
    }

    /// Returns whether more outputs wait behind the first one, in input order.
    fn any_behind(&self) -> bool {
        self.behind.get(self.index(self.first)).is_some_and(|behind| !behind.is_empty())
    }

    /// Moves up the outputs that wait behind the first one.
    #[cold]
    fn move_up(&mut self, output: Output<T>) -> Output<T> {
        let index = self.index(self.first);
        if let Some(value) = self.behind[index].pop_front() {
            self.extra -= 1;
            self.set(self.first, Place::Given(Output { value, call: output.call }));
        }
        output
    }

    /// Records that a call has left the stage, in completion order.
    #[inline]
    pub(super) fn leave(&mut self) {
        debug_assert!(!self.is_ordered, "calls leave in input order");
        self.in_flight -= 1;
    }

    /// Records that the call at `place` has ended, and that none of its outputs wait.
    #[inline]
    pub(super) fn end(&mut self, place: usize) {
        if !self.is_ordered {
            self.leave();
        } else if place == self.first {
            self.free_first();
            while let Some(Place::Over) = self.first() {
                self.clear(self.first);
                self.free_first();
            }
        } else {
            self.set(place, Place::Over);
        }
    }

    /// Frees the first place in input order.
    #[inline]
    fn free_first(&mut self) {
        self.first = self.first.wrapping_add(1);
        self.in_flight -= 1;
    }

    /// Sets the state of `place`, which was running so far.
    #[inline]
    fn set(&mut self, place: usize, what: Place<T>) {
        if self.offset(place) >= self.ring.len() {
            self.grow(self.offset(place) + 1);
        }
        self.taken += 1;
        let index = self.index(place);
        self.ring[index] = what;
    }

    /// Takes the state of `place`.
    #[inline]
    fn clear(&mut self, place: usize) -> Place<T> {
        let index = self.index(place);
        let place = self.ring.get_mut(index).map_or(Place::Running, mem::take);
        self.taken -= usize::from(!matches!(place, Place::Running));
        place
    }

    /// Makes room for that many places.
    #[cold]
    fn grow(&mut self, places: usize) {
        let places = places.next_power_of_two().max(LIKELY);
        let mut ring = Vec::from_iter(iter::repeat_with(Place::default).take(places));
        for offset in 0..self.ring.len() {
            let place = self.first.wrapping_add(offset);
            let index = self.index(place);
            ring[place & (places - 1)] = mem::take(&mut self.ring[index]);
        }
        if !self.behind.is_empty() {
            let mut behind = Vec::from_iter(iter::repeat_with(VecDeque::new).take(places));
            for offset in 0..self.behind.len() {
                let place = self.first.wrapping_add(offset);
                let index = self.index(place);
                behind[place & (places - 1)] = mem::take(&mut self.behind[index]);
            }
            self.behind = behind;
        }
        self.ring = ring;
    }

    #[inline]
    fn index(&self, place: usize) -> usize {
        place & self.ring.len().wrapping_sub(1)
    }

    #[inline]
    fn offset(&self, place: usize) -> usize {
        place.wrapping_sub(self.first)
    }

    /// Returns the state of the first place, if it is not running.
    #[inline]
    fn first(&self) -> Option<&Place<T>> {
        self.ring.get(self.index(self.first))
    }

    /// Returns whether an output of the call at `place` would be the next one to yield, so that it need not wait.
    #[inline]
    pub(super) fn is_next(&self, place: usize) -> bool {
        if self.is_ordered { place == self.first } else { self.none_waits() }
    }

    /// Returns the next output to yield, if it is here.
    #[inline]
    pub(super) fn next(&self) -> Option<&Output<T>> {
        match self.first() {
            Some(Place::Given(output)) => Some(output),
            _ => None,
        }
    }

    /// Takes the next output to yield. If its call has ended, the call leaves the stage.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<Output<T>> {
        let Place::Given(output) = self.clear(self.first) else { return None };
        if self.extra > 0 && self.is_ordered && self.any_behind() {
            return Some(self.move_up(output));
        }
        if let After::Over = output.call {
            self.end(self.first);
        }
        if !self.is_ordered {
            self.first = self.first.wrapping_add(1);
        }
        Some(output)
    }

    /// Returns whether outputs are yielded in input order.
    pub(super) fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// Returns whether the failure of the call at `place` also ends the one at `other`: in input order, earlier calls
    /// still get their turn.
    pub(super) fn ends_with(&self, place: usize, other: usize) -> bool {
        !self.is_ordered || self.offset(other) >= self.offset(place)
    }

    /// Ends everything that the failure of the call at `place` ends, and returns what is to be dropped. The failure
    /// itself must still be [given](Self::give).
    ///
    /// In completion order, waiting outputs are ended too, unless they are to be kept.
    pub(super) fn cut(&mut self, place: usize, keep: bool) -> impl Iterator<Item = T> + use<T> {
        let before = match self.is_ordered {
            true => self.offset(place),
            false if keep => self.taken,
            false => 0,
        };
        // In input order, outputs of the call itself come before its failure.
        let kept = before + usize::from(self.is_ordered && self.any_waits(place));
        let mut cut = Vec::new();
        for offset in kept..self.ring.len() {
            let place = self.first.wrapping_add(offset);
            cut.extend(self.clear(place).value());
            let index = self.index(place);
            cut.extend(self.behind.get_mut(index).into_iter().flat_map(mem::take));
        }
        self.in_flight = before + 1;
        self.extra = self.behind.iter().map(VecDeque::len).sum();
        if !self.is_ordered {
            for place in &mut self.ring {
                if let Place::Given(output) = place {
                    output.call = After::Over;
                }
            }
        }
        cut.into_iter()
    }

    /// Returns whether an output of the call at `place` waits, in input order.
    pub(super) fn any_waits(&self, place: usize) -> bool {
        // Places wrap around, and there may be no room for this one yet.
        self.offset(place) < self.ring.len()
            && matches!(self.ring[self.index(place)], Place::Given(_))
    }

    /// Returns how many outputs wait.
    pub(super) fn waiting(&self) -> usize {
        let first = self.count(|place| matches!(place, Place::Given(_)));
        first + self.behind.iter().map(VecDeque::len).sum::<usize>()
    }

    /// Returns how many outputs wait or places have ended, to be yielded or freed in their order.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        if self.is_ordered { self.in_flight } else { self.taken }
    }

    /// Returns how many of those in flight have ended.
    #[cfg(debug_assertions)]
    pub(super) fn over(&self) -> usize {
        self.count(|place| match place {
            Place::Given(output) => matches!(output.call, After::Over),
            Place::Running => false,
            Place::Over => true,
        })
    }

    fn count(&self, such: impl Fn(&Place<T>) -> bool) -> usize {
        self.ring.iter().filter(|place| such(place)).count()
    }
}

impl<T> Place<T> {
    fn value(self) -> Option<T> {
        match self {
            Self::Given(output) => Some(output.value),
            Self::Running | Self::Over => None,
        }
    }
}
