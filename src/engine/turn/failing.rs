//! How a stage fails.
//!
//! If outputs can [fail](Call::fails) their stage, as errors do in the `try_` stages, a failure ends it the moment the
//! engine gets it, in a pull or in an advance. Calls are dropped, then waiting outputs, then the held item, then
//! upstream, and the failure is the last output. `fail` is the one place for that. If the limit says so, calls
//! [finish](super::finishing) first.
//!
//! - In **input order** only what comes after the failure is dropped. Earlier calls continue, earlier items that wait
//!   for their key start, and a failure of one of them cuts again. Slots whose calls were dropped may still be queued,
//!   and are skipped. They are in no list of vacant slots, so they are not reused.
//! - A **failed item** from upstream becomes a call that ends at its first poll. It needs neither room nor a permit: a
//!   full stage finds it as the kept item of an advance.
//! - So that it gets there, a failure with nothing before it is yielded in an **advance** too. It is the only output
//!   that is. A downstream stage that is no `try_` stage keeps it as it keeps any item, and may stop advancing: nothing
//!   upstream is left that could continue.
//! - A **panic** of what is dropped is caught. It resumes when everything is dropped and the failure is in its place,
//!   so that the next poll yields the failure.

use futures_lite::Stream;

use super::Turn;
use crate::engine::Core;
use crate::engine::admission::{Admission, Freed};
use crate::engine::ahead::Ahead;
use crate::engine::call::Call;
use crate::engine::cleanup::Cleanup;
use crate::engine::work::Work;
use crate::event::{Ended, Event};

impl<S, I, C, U, W, const PLAIN: bool> Turn<'_, S, I, C, U, W, PLAIN>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
    W: Work<I, Call = C>,
{
    /// Fails with the item that an advance produced. It does not wait for room, but in input order a held item comes
    /// first, unless it is to be dropped.
    #[cold]
    pub(super) fn fail_early(&mut self) {
        let admission = self.core.room.as_admission();
        let holds_item = admission.is_some_and(Admission::holds_item);
        let comes_first = holds_item && !self.core.concurrency.finishing;
        if comes_first && self.core.outputs.is_ordered() {
            self.upstream.as_mut().end();
        } else if let Some(item) = self.upstream.as_mut().take_kept() {
            self.work.tell(Event::Pulled);
            let (index, polled) = self.begin_failed(item);
            let yielded = self.settle(index, polled);
            debug_assert!(yielded.is_none(), "a failure waits");
        }
    }

    /// Fails: drops upstream and the calls that are not before the one in a slot, at `place`, then keeps `value` as the
    /// last output.
    #[cold]
    pub(super) fn fail(&mut self, index: u32, place: usize, value: U) {
        self.work.tell(Event::Ended(index, Ended::Failed));
        if self.core.concurrency.finishing {
            return self.fail_at_the_end(index, place, value);
        }
        let mut cleanup = Cleanup::new();
        let keep = self.core.concurrency.errors_in_turn;
        let Core { slots, outputs, room, .. } = &mut *self.core;
        let mut own = slots.take_hold(index);
        if let Some(hold) = &mut own {
            hold.end();
        }
        let holds = slots.cancel(|other| outputs.ends_with(place, other), &mut cleanup);
        for cut in outputs.cut(place, keep) {
            cleanup.run(|| drop(cut));
        }
        if let Some(admission) = room.admission() {
            let kept = |other| !outputs.ends_with(place, other);
            let mut keys = Vec::new();
            for mut cut in admission.cut(kept, |slot| slots.is_running(slot)) {
                keys.extend(cut.take_hold());
                cleanup.run(|| drop(cut));
            }
            outputs.set_reserved(admission.as_ahead().map_or(0, Ahead::reserved));
            for hold in own.into_iter().chain(holds).chain(keys) {
                let Freed { permit, key } = admission.give_back(Some(hold), false);
                if let Some(key) = key {
                    cleanup.run(|| self.work.forget(key));
                }
                cleanup.run(|| drop(permit));
            }
        }
        self.upstream.as_mut().close(&mut cleanup);
        self.tell_left();
        self.work.tell(Event::KeepsFailure);
        self.core.outputs.give_last(place, value);
        // What was dropped has left room for earlier ones.
        self.unblock();
        cleanup.finish();
    }
}
