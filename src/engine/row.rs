//! Outputs of one call in a row.
//!
//! To look for all that may be due costs several times what an output of an open expansion does. So a
//! call that gave an output is asked for the next one at once, a few times in a row, while all else
//! that is due is calls that take turns with it. Whatever was woken ends the row, and a call that can be
//! started comes first, unless one did in the last turn.

use std::mem;
use std::task::Poll;

use futures_lite::Stream;

use super::call::{Call, Step};
use super::ready::NONE;
use super::turn::Turn;

/// How many outputs there are in a row, while others have some too.
const ROW: u8 = 8;

/// The row that a stage is in.
pub(super) struct Row {
    /// The slot of the call that gave the last output and may give another at once, which no list
    /// holds; or [`NONE`].
    slot: u32,

    /// How many more outputs there may be.
    left: u8,

    /// Whether the last turn handed on the output of a new call instead.
    started: bool,
}

impl Row {
    pub(super) fn none() -> Self {
        Self { slot: NONE, left: 0, started: false }
    }
}

impl<S: Stream, C: Call> Turn<'_, S, C> {
    /// Tells whether the output in hand can be the first of a row.
    #[inline]
    pub(super) fn begins_row(&self) -> bool {
        self.hands_on() && !self.core.permits.are_shared() && !self.core.outputs.any()
    }

    /// Has a call whose output is handed on give the next one: in a row, if it can.
    pub(super) fn follow(&mut self, index: u32) {
        if self.core.permits.are_shared() {
            self.core.paused.push_back(index);
        } else if self.core.row.slot == NONE && !self.core.outputs.any() {
            self.core.row = Row { slot: index, left: ROW - 1, started: false };
        } else {
            self.core.slots.again(index, &self.core.poller.signals);
        }
    }

    /// Tells whether the stage is in a row, and stays in it for this turn.
    #[inline]
    pub(super) fn stays_in_row(&mut self) -> bool {
        let Row { slot, left, .. } = self.core.row;
        if slot == NONE {
            return false;
        }
        let stays = left > 0 && self.may_take() && !self.core.poller.signals.any();
        if !stays {
            self.core.row.slot = NONE;
            self.core.slots.again(slot, &self.core.poller.signals);
        }
        stays
    }

    /// Tells whether this turn of the row starts a call first, if one can be.
    #[inline]
    pub(super) fn starts_first(&mut self) -> bool {
        let room = self.any_room();
        let core = &mut *self.core;
        core.row.started = !core.row.started && self.upstream.is_due(&core.poller.signals, room);
        core.row.started
    }

    /// Goes on with the call of the row, in a turn that has `begun` or is to begin if the row ends.
    /// Returns its output, which is to be handed on.
    #[inline]
    pub(super) fn continue_row(&mut self, begun: bool) -> Option<C::Output> {
        let index = mem::replace(&mut self.core.row.slot, NONE);
        if C::CAN_FAIL && !self.core.slots.is_running(index) {
            return None; // It was cancelled after it gave an output.
        }
        self.budget = self.budget.saturating_sub(1);
        self.core.row.left -= 1;
        self.core.row.started = false;
        match self.core.slots.poll(index) {
            Poll::Ready(Step::Output(value)) if !C::fails(&value) => {
                self.core.row.slot = index;
                Some(value)
            }
            polled => {
                if !begun {
                    self.core.slots.begin_turn(&self.core.poller.signals);
                }
                self.settle(index, self.core.slots.place(index), polled);
                None
            }
        }
    }
}
