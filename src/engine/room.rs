//! Whether there is room for one more item: one comparison, or an [`Admission`].

use super::admission::Admission;
use crate::concurrency::{Concurrency, Limit};

/// The limit of one stage.
pub(super) struct Room<I> {
    /// How many items may be in flight, if nothing else matters; otherwise zero, so that one comparison shows that
    /// there is room.
    plain: usize,

    admission: Option<Box<Admission<I>>>,
}

/// What a stage asks about each item besides its limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Nothing,
    Weight,
    Key,
    WeightAndKey,
}

impl Asks {
    pub(super) fn weight(self) -> bool {
        matches!(self, Self::Weight | Self::WeightAndKey)
    }

    pub(super) fn key(self) -> bool {
        matches!(self, Self::Key | Self::WeightAndKey)
    }
}

impl<I> Room<I> {
    pub(super) fn new(concurrency: &Concurrency, is_many: bool, asks: Asks) -> Self {
        match concurrency.limit {
            Limit::Private(limit) if concurrency.window.is_none() && asks == Asks::Nothing => {
                Self { plain: limit, admission: None }
            }
            _ => {
                let admission = Admission::new(concurrency, is_many, asks);
                Self { plain: 0, admission: Some(Box::new(admission)) }
            }
        }
    }

    /// Returns whether there is room, if one comparison can tell.
    #[inline]
    pub(super) fn any_plain(&self, in_flight: usize) -> bool {
        in_flight < self.plain
    }

    /// Returns whether an item may be pulled while that many are in flight.
    #[inline]
    pub(super) fn any(&self, in_flight: usize) -> bool {
        self.any_plain(in_flight)
            || self.admission.as_ref().is_some_and(|admission| admission.may_pull(in_flight))
    }

    #[inline]
    pub(super) fn admission(&mut self) -> Option<&mut Admission<I>> {
        self.admission.as_deref_mut()
    }

    #[inline]
    pub(super) fn as_admission(&self) -> Option<&Admission<I>> {
        self.admission.as_deref()
    }

    /// Returns whether nothing may start, however few are in flight.
    #[cold]
    pub(super) fn is_paused(&self) -> bool {
        self.admission.as_ref().is_some_and(|admission| admission.is_paused())
    }

    /// Returns whether inner streams run ahead.
    #[inline]
    pub(super) fn is_ahead(&self) -> bool {
        self.admission.as_ref().is_some_and(|admission| admission.as_ahead().is_some())
    }

    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.admission.is_none()
    }
}
