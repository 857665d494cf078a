//! Signals of finished pipelines, for later ones.
//!
//! A call that waits needs an allocation for its waker, which may outlive it. Long pipelines reuse these allocations.
//! Short pipelines would pay for one with every call, and are often created one after the other.

use std::cell::RefCell;
use std::sync::Arc;

use super::ready::{Signals, SlotSignal};
use crate::sync::SPARE_SIGNALS;

thread_local! {
    /// At most [`SPARE_SIGNALS`], none of which is held by a waker.
    static SPARE: RefCell<Vec<Arc<SlotSignal>>> = const { RefCell::new(Vec::new()) };
}

/// Creates the signal of a new slot, from a spare one if there is one.
pub(super) fn signal(signals: Arc<Signals>, index: u32) -> Arc<SlotSignal> {
    let new = SlotSignal::new(signals, index);
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    if let Some(mut spare) = spare {
        if let Some(signal) = Arc::get_mut(&mut spare) {
            *signal = new;
            return spare;
        }
    }
    Arc::new(new)
}

/// Keeps the signal of a slot that is gone, unless a waker holds it, or there are enough.
pub(super) fn keep(mut signal: Arc<SlotSignal>) {
    if Arc::get_mut(&mut signal).is_none() {
        return;
    }
    // A thread that is exiting needs none.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if (0..SPARE_SIGNALS).contains(&spare.len()) {
            spare.push(signal);
        }
    });
}
