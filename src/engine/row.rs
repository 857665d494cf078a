//! Outputs of one call in a row.
//!
//! To look for all that may be due costs several times what an output of an open expansion does. So a
//! call that gave an output is asked for the next one at once, a few times in a row, while all else
//! that is due is calls that take turns with it. Whatever was woken ends the row, and a call that can be
//! started comes first, unless the last turn handed on the output of a new one.

use std::mem;
use std::task::Poll;

use futures_lite::Stream;

use super::call::{Call, Step};
use super::ready::NONE;
use super::turn::Turn;

/// How many outputs of a call there are in a row, before others that have some are looked for.
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

    /// Whether a turn began a row and started no call, and none has had its chance since. The row may
    /// end before it has.
    owes_start: bool,
}

impl Row {
    pub(super) fn none() -> Self {
        Self { slot: NONE, left: 0, started: false, owes_start: false }
    }
}

impl<S, I, C, U> Turn<'_, S, I, C, U>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
{
    /// Tells whether the output in hand is the first of a row, and the next turn starts a call.
    #[inline]
    pub(super) fn begins_row(&mut self) -> bool {
        let begins = !self.core.row.owes_start
            && self.hands_on()
            && !self.core.permits.are_shared()
            && !self.core.outputs.any();
        self.core.row.owes_start = begins;
        begins
    }

    /// Has a call whose output is handed on give the next one: in a row, if it can.
    pub(super) fn follow(&mut self, index: u32) {
        if self.core.permits.are_shared() {
            self.core.paused.push_back(index);
        } else if self.core.row.slot == NONE && !self.core.outputs.any() {
            let owes_start = self.core.row.owes_start;
            self.core.row = Row { slot: index, left: ROW - 1, started: false, owes_start };
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
        core.row.owes_start &= !core.row.started;
        core.row.started
    }

    /// Ends the row with this turn, for a call that is queued and that no wake will announce.
    #[inline]
    pub(super) fn cut_row(&mut self) {
        self.core.row.left = 0;
    }

    /// Goes on with the call of the row, in a turn that has `begun` or is to begin if the row ends.
    /// Returns its output, which is to be handed on.
    #[inline]
    pub(super) fn continue_row(&mut self, begun: bool) -> Option<U> {
        let index = mem::replace(&mut self.core.row.slot, NONE);
        if C::CAN_FAIL && !self.core.slots.is_running(index) {
            return None; // It was cancelled after it gave an output.
        }
        self.budget = self.budget.saturating_sub(1);
        // None are left if the row was cut in this turn.
        self.core.row.left = self.core.row.left.saturating_sub(1);
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
                self.settle(index, polled);
                None
            }
        }
    }
}
