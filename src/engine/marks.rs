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

/// How many polls in a row without an answer it takes to believe that no stage is above. One poll
/// may miss it, because `select` polls its two streams in turn and returns at the first item.
const SILENT: u8 = 2;

/// Whether a stage above answers.
#[derive(Debug)]
pub(super) struct Answers {
    /// How many polls ago a stage answered, up to [`SILENT`].
    silent: u8,
}

impl Answers {
    /// Nobody was asked yet.
    pub(super) fn none() -> Self {
        Self { silent: SILENT }
    }

    /// Tells whether a stage answered of late.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.silent < SILENT
    }
}

/// The marks of one poll of upstream. Dropping this notes whether a stage answered, and puts back
/// the marks that were set before, also when the poll panics.
pub(super) struct Asking<'a> {
    before: Marks,
    answers: &'a mut Answers,
}

impl<'a> Asking<'a> {
    /// Marks the poll that is about to be made with `waker`.
    #[inline]
    pub(super) fn begin(waker: &Waker, advance: bool, answers: &'a mut Answers) -> Self {
        let marks = Marks { poller: waker.data(), advance, answered: false };
        Self { before: MARKS.replace(marks), answers }
    }
}

impl Drop for Asking<'_> {
    #[inline]
    fn drop(&mut self) {
        if MARKS.replace(self.before).answered {
            self.answers.silent = 0;
        } else if self.answers.silent < SILENT {
            self.answers.silent += 1;
        }
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
