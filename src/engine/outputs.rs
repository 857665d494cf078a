//! Outputs that were not handed on yet, in completion order or in input order.

use std::collections::VecDeque;
use std::fmt;

/// What the stage has in flight, call by call: everything between "pulled" and "handed on".
pub(super) struct Outputs<T> {
    /// Calls that run, and calls that are over whose output waits.
    in_flight: usize,

    order: Order<T>,
}

enum Order<T> {
    /// The outputs that wait, first completed first.
    Completion(VecDeque<Output<T>>),

    /// A place for each call in flight, first pulled first.
    Input {
        places: VecDeque<Place<T>>,

        /// The number of the first place; numbers wrap.
        first: usize,
    },
}

/// The output of a call at the moment it is handed on.
pub(super) struct Output<T> {
    pub(super) value: T,

    pub(super) call: After,
}

/// What becomes of the call that gave an output.
#[derive(Clone, Copy)]
pub(super) enum After {
    /// It goes on, in this slot.
    GoesOn(u32),
    /// It is over.
    Over,
}

pub(super) enum Place<T> {
    /// The call runs and has nothing to hand on.
    Running,
    /// The call gave an output and waits until it is taken, or it is over.
    Given(Output<T>),
    /// The call is over, without an output that waits.
    Over,
}

impl<T> Outputs<T> {
    pub(super) fn new(ordered: bool) -> Self {
        let order = if ordered {
            Order::Input { places: VecDeque::new(), first: 0 }
        } else {
            Order::Completion(VecDeque::new())
        };
        Self { in_flight: 0, order }
    }

    /// Returns how many calls run, or are over and have an output that was not handed on.
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Counts a call that is about to run, and returns its place in input order.
    #[inline]
    pub(super) fn begin(&mut self) -> usize {
        self.in_flight += 1;
        match &mut self.order {
            Order::Completion(_) => 0,
            Order::Input { places, first } => {
                places.push_back(Place::Running);
                first.wrapping_add(places.len() - 1)
            }
        }
    }

    /// Notes an output of the call at `place`.
    pub(super) fn give(&mut self, place: usize, output: Output<T>) {
        match &mut self.order {
            Order::Completion(waiting) => waiting.push_back(output),
            Order::Input { places, first } => {
                places[place.wrapping_sub(*first)] = Place::Given(output);
            }
        }
    }

    /// Notes that the call at `place` is over, without an output.
    pub(super) fn end(&mut self, place: usize) {
        match &mut self.order {
            Order::Completion(_) => self.in_flight -= 1,
            Order::Input { places, first } => {
                places[place.wrapping_sub(*first)] = Place::Over;
                self.free_places();
            }
        }
    }

    /// Frees the first places, as far as their calls are over without an output.
    fn free_places(&mut self) {
        if let Order::Input { places, first } = &mut self.order {
            while let Some(Place::Over) = places.front() {
                places.pop_front();
                *first = first.wrapping_add(1);
                self.in_flight -= 1;
            }
        }
    }

    /// Tells whether an output of the call at `place` would be the next one to hand on, so that it
    /// need not be noted at all.
    #[inline]
    pub(super) fn is_next(&self, place: usize) -> bool {
        match &self.order {
            Order::Completion(waiting) => waiting.is_empty(),
            Order::Input { first, .. } => place == *first,
        }
    }

    /// Tells whether an output of a call that was not [begun](Self::begin) would be the next one to
    /// hand on.
    #[inline]
    pub(super) fn is_next_new(&self) -> bool {
        match &self.order {
            Order::Completion(waiting) => waiting.is_empty(),
            Order::Input { places, .. } => places.is_empty(),
        }
    }

    /// Takes the next output to hand on. It is in flight until [`handed_on`](Self::handed_on).
    #[inline]
    pub(super) fn take(&mut self) -> Option<Output<T>> {
        match &mut self.order {
            Order::Completion(waiting) => waiting.pop_front(),
            Order::Input { places, .. } => {
                let first = places.front_mut()?;
                match std::mem::replace(first, Place::Running) {
                    Place::Given(output) => Some(output),
                    _ => None,
                }
            }
        }
    }

    /// Notes that an output was handed on which [`take`](Self::take) returned, or which
    /// [was next](Self::is_next).
    #[inline]
    pub(super) fn handed_on(&mut self, output: &Output<T>) {
        if let After::Over = output.call {
            match &mut self.order {
                Order::Completion(_) => self.in_flight -= 1,
                Order::Input { places, .. } => {
                    places[0] = Place::Over;
                    self.free_places();
                }
            }
        }
    }

    /// Tells whether outputs are handed on in input order.
    pub(super) fn is_ordered(&self) -> bool {
        matches!(self.order, Order::Input { .. })
    }

    /// Tells whether the failure of the call at `place` ends the one at `other` as well: in input
    /// order those before it still have their turn.
    pub(super) fn ends_with(&self, place: usize, other: usize) -> bool {
        match &self.order {
            Order::Completion(_) => true,
            Order::Input { first, .. } => other.wrapping_sub(*first) >= place.wrapping_sub(*first),
        }
    }

    /// Ends all that the failure of the call at `place` ends, and returns what is to be dropped. The
    /// failure itself is still to be [given](Self::give).
    ///
    /// In completion order the outputs that wait go with the calls, unless they are to be kept. So
    /// many others were taken and not handed on.
    pub(super) fn cut(&mut self, place: usize, keep: bool, taken: usize) -> VecDeque<Place<T>> {
        match &mut self.order {
            Order::Completion(waiting) => {
                let cut = if keep { VecDeque::new() } else { std::mem::take(waiting) };
                waiting.iter_mut().for_each(|output| output.call = After::Over);
                self.in_flight = waiting.len() + taken + 1;
                cut.into_iter().map(Place::Given).collect()
            }
            Order::Input { places, first } => {
                let cut = places.split_off(place.wrapping_sub(*first) + 1);
                self.in_flight = places.len();
                cut
            }
        }
    }

    /// Tells whether [`take`](Self::take) may have something to do.
    #[inline]
    pub(super) fn any(&self) -> bool {
        match &self.order {
            Order::Completion(waiting) => !waiting.is_empty(),
            Order::Input { places, .. } => !matches!(places.front(), None | Some(Place::Running)),
        }
    }

    /// Returns how many of those in flight may still give an output.
    pub(super) fn expected(&self) -> usize {
        let over = match &self.order {
            Order::Completion(_) => 0,
            Order::Input { places, .. } => {
                places.iter().filter(|place| matches!(place, Place::Over)).count()
            }
        };
        self.in_flight - over
    }

    /// Returns how many outputs wait.
    pub(super) fn waiting(&self) -> usize {
        match &self.order {
            Order::Completion(waiting) => waiting.len(),
            Order::Input { places, .. } => {
                places.iter().filter(|place| matches!(place, Place::Given(_))).count()
            }
        }
    }
}

impl<T> fmt::Debug for Outputs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outputs")
            .field("in_flight", &self.in_flight)
            .field("waiting", &self.waiting())
            .finish()
    }
}
