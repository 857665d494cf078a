//! How a stage fails whose calls finish first.
//!
//! From its first failure on nothing starts: upstream is dropped, and so are the items that wait for their calls.
//! Running calls continue as if nothing had happened, and their outputs are yielded. The one that failed leaves the
//! stage like a call without outputs left. Failures are kept apart. They are yielded when nothing is in flight: all of
//! them, in the order in which they occurred, and in an advance too.

use futures_lite::Stream;

use super::Turn;
use crate::engine::Core;
use crate::engine::call::Call;
use crate::engine::cleanup::Cleanup;
use crate::engine::work::Work;

impl<S, I, C, U, W, const PLAIN: bool> Turn<'_, S, I, C, U, W, PLAIN>
where
    S: Stream<Item = I>,
    C: Call<Output = U>,
    W: Work<I, Call = C>,
{
    /// Fails with the call in a slot, at `place`: ends it, and keeps `value` until all others have ended.
    #[inline(never)]
    pub(super) fn fail_at_the_end(&mut self, index: u32, place: usize, value: U) {
        let mut cleanup = Cleanup::new();
        let is_first = self.core.failures.is_empty();
        // First, so that no panic can lose it.
        self.core.failures.push(value);
        // An inner stream would continue.
        self.core.slots.cancel_at(index, &mut cleanup);
        if is_first {
            self.start_nothing_more(&mut cleanup);
        }
        // Last, because all of this has left room for inner streams, and a permit wakes others.
        cleanup.run(|| self.end(index, place));
        cleanup.finish();
    }

    /// Drops upstream, and everything that waits for its call.
    fn start_nothing_more(&mut self, cleanup: &mut Cleanup) {
        let Core { outputs, room, .. } = &mut *self.core;
        if let Some(admission) = room.admission() {
            for mut held in admission.cut_items(|_| false) {
                if let Some(place) = held.place {
                    outputs.end(place);
                }
                let hold = held.take_hold();
                cleanup.run(|| drop(held));
                if let Some(key) = admission.give_back(hold, false).key {
                    cleanup.run(|| self.work.forget(key));
                }
            }
        }
        self.tell_left();
        self.upstream.as_mut().close(cleanup);
    }
}
