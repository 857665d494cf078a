//! Inner streams in a window: see [`ahead`](crate::engine::ahead).

use futures_lite::Stream;

use super::Turn;
use crate::engine::Core;
use crate::engine::admission::Admission;
use crate::engine::ahead::Ahead;
use crate::engine::call::Call;
use crate::engine::outputs::After;
use crate::engine::work::Work;

impl<S, I, C, U, W, const PLAIN: bool> Turn<'_, S, I, C, U, W, PLAIN>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
    W: Work<I, Call = C>,
{
    /// Returns whether outputs of an inner stream wait.
    #[inline(always)]
    pub(super) fn runs_ahead(&self, index: u32) -> bool {
        if !C::MANY || PLAIN {
            return false;
        }
        self.core.room.is_ahead() && self.any_waits_ahead(index)
    }

    #[cold]
    pub(super) fn any_waits_ahead(&self, index: u32) -> bool {
        let ahead = self.core.room.as_admission().and_then(Admission::as_ahead);
        ahead.is_some_and(|ahead| ahead.waiting(index) > 0)
    }

    /// Returns whether one more output may wait.
    pub(super) fn any_window(&self) -> bool {
        let in_window = self.core.outputs.in_window();
        self.core.room.as_admission().is_some_and(|admission| admission.any_window(in_window))
    }

    /// Returns whether an inner stream has to wait for room in the window.
    pub(super) fn is_blocked(&self, index: u32) -> bool {
        let ahead = self.core.room.as_admission().and_then(Admission::as_ahead);
        ahead.is_some_and(|ahead| ahead.needs_room(index)) && !self.any_window()
    }

    /// Reserves the room that an inner stream needs to continue, or makes it wait for some.
    #[cold]
    pub(super) fn may_go_ahead(&mut self, index: u32) -> bool {
        if self.is_blocked(index) {
            self.block(index);
            return false;
        }
        let Core { outputs, room, .. } = &mut *self.core;
        if let Some(ahead) = room.admission().and_then(Admission::ahead) {
            if ahead.needs_room(index) {
                ahead.reserve(index);
                outputs.reserve();
            }
        }
        true
    }

    /// Makes an inner stream wait for room in the window.
    #[cold]
    pub(super) fn block(&mut self, index: u32) {
        if let Some(ahead) = self.core.room.admission().and_then(Admission::ahead) {
            ahead.block(index);
        }
        let hold = self.core.slots.hold(index).and_then(|hold| hold.as_mut());
        drop(hold.and_then(|hold| hold.permit.take()));
    }

    /// The same where inner streams may run ahead.
    #[inline(never)]
    pub(super) fn taken_ahead(&mut self, call: After) {
        let Core { outputs, room, .. } = &mut *self.core;
        let Some(ahead) = room.admission().and_then(Admission::ahead) else {
            return self.follow(call);
        };
        if let After::GoesOn(index) = call {
            let taken = ahead.take(index);
            outputs.release(taken.released);
            if !outputs.is_ordered() {
                outputs.taken_ahead(&taken);
            }
            if taken.unblocked {
                self.follow(call);
            }
        }
        self.unblock();
    }

    /// Continues the first inner stream that waits for room in the window, if there is some.
    pub(super) fn unblock(&mut self) {
        if C::MANY
            && self.core.room.as_admission().is_some_and(Admission::any_blocked)
            && self.any_window()
        {
            let ahead = self.core.room.admission().and_then(Admission::ahead);
            if let Some(index) = ahead.and_then(Ahead::unblock) {
                self.follow(After::GoesOn(index));
            }
        }
    }
}
