//! The signals of pipelines that are gone, for those to come.
//!
//! A call that waits needs an allocation for its waker, which may outlive it. Long pipelines use it again
//! and again. Short ones would pay for it with every call, and are often set up one after the other.

use std::cell::RefCell;
use std::sync::Arc;

use super::ready::{Signals, SlotSignal};
use crate::sync::SPARE_SIGNALS;

thread_local! {
    /// No more than [`SPARE_SIGNALS`], which no waker holds.
    static SPARE: RefCell<Vec<Arc<SlotSignal>>> = const { RefCell::new(Vec::new()) };
}

/// Makes the signal of a new slot, of a spare one if there is one.
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
    // A thread that ends needs none.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if (0..SPARE_SIGNALS).contains(&spare.len()) {
            spare.push(signal);
        }
    });
}
