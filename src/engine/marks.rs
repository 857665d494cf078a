//! How a stage tells the stage above it what a poll is for, through whatever lies between them.
//!
//! A stage polls upstream with a waker of its own. While it does, a thread-local says whose waker
//! that is and whether the poll is an *advance*. A stage above recognizes the waker, answers, and
//! obeys the mark. Other people's combinators pass the waker on and know nothing of this.

use std::cell::Cell;
use std::ptr;
use std::task::Waker;

#[derive(Clone, Copy)]
struct Marks {
    /// The data pointer of the waker that a stage is polling upstream with. It is only compared.
    poller: *const (),

    /// Whether that poll is an advance.
    advance: bool,

    /// Whether a stage above recognized the waker.
    answered: bool,
}

thread_local! {
    static MARKS: Cell<Marks> = const {
        Cell::new(Marks { poller: ptr::null(), advance: false, answered: false })
    };
}

/// The marks of one poll of upstream. Dropping this puts back those that were set before, also
/// when the poll panics.
pub(super) struct Asking {
    before: Marks,
}

impl Asking {
    /// Marks the poll that is about to be made with `waker`.
    #[inline]
    pub(super) fn begin(waker: &Waker, advance: bool) -> Self {
        let marks = Marks { poller: waker.data(), advance, answered: false };
        Self { before: MARKS.replace(marks) }
    }

    /// Tells whether a stage answered.
    #[inline]
    pub(crate) fn answered(&self) -> bool {
        MARKS.get().answered
    }
}

impl Drop for Asking {
    #[inline]
    fn drop(&mut self) {
        MARKS.set(self.before);
    }
}

/// Answers the stage that polls with `waker`, if one does, and returns whether this is an advance.
#[inline]
pub(crate) fn answer(waker: &Waker) -> bool {
    let marks = MARKS.get();
    let asked = marks.poller == waker.data() && !marks.poller.is_null();
    if asked && !marks.answered {
        MARKS.set(Marks { answered: true, ..marks });
    }
    asked && marks.advance
}
