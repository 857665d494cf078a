//! How a stage tells the stage above it what a poll is for, through whatever lies between them.
//!
//! A stage polls upstream with a waker of its own. While it does, a thread-local holds that waker's data
//! pointer and whether the poll is an *advance*. A stage is polled by another one exactly if the waker it is
//! polled with is that one. It then **answers**, until it has ended, and obeys the mark. Other people's
//! combinators pass the waker on and know nothing of this.
//!
//! The marks are put back when a poll of upstream ends, also by a panic. A pipeline inside a call is polled
//! with the slot's waker, which no mark names.

use std::cell::Cell;
use std::ptr;
use std::task::Waker;

/// How many calls the stages of a pipeline poll and start, all together, before the executor gets a
/// chance to run something else.
pub(crate) const BUDGET: usize = 128;

/// Each in a cell of its own: copied as a whole they cost more than all else in a poll of upstream,
/// as the processor waits where it loads at once what was stored in parts.
struct Marks {
    /// The data pointer of the waker that a stage is polling upstream with. It is only compared.
    poller: Cell<*const ()>,

    /// Whether that poll is an advance.
    advance: Cell<bool>,

    /// What is left of the budget.
    budget: Cell<usize>,

    /// How many stages recognized the waker, and have not ended.
    answers: Cell<usize>,

    /// Whether a stage has ended.
    ended: Cell<bool>,
}

/// Its address is no waker's data.
static NOBODY: u8 = 0;

thread_local! {
    static MARKS: Marks = const {
        Marks {
            poller: Cell::new(ptr::from_ref(&NOBODY).cast()),
            advance: Cell::new(false),
            budget: Cell::new(BUDGET),
            answers: Cell::new(0),
            ended: Cell::new(false),
        }
    };
}

impl Marks {
    /// Tells whether it is a stage that polls with `waker`.
    #[inline]
    fn asks(&self, waker: &Waker) -> bool {
        self.poller.get() == waker.data()
    }
}

/// The marks that were set before a poll.
struct Before {
    poller: *const (),
    advance: bool,
    budget: usize,
    answers: usize,
    ended: bool,
}

/// How many polls in a row that gave neither an answer nor an item it takes to believe that no stage
/// is above. One poll may miss it, because adaptors such as `select` poll their streams in turn.
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
    before: Before,
    answers: &'a mut Answers,
    budget: &'a mut usize,

    /// Whether the poll may have missed a stage, because an item came from elsewhere.
    pub(super) gave_item: bool,
}

impl<'a> Asking<'a> {
    /// Marks the poll that is about to be made with `waker`.
    #[inline]
    pub(super) fn begin(
        waker: &Waker,
        advance: bool,
        answers: &'a mut Answers,
        budget: &'a mut usize,
    ) -> Self {
        let before = MARKS.with(|marks| Before {
            poller: marks.poller.replace(waker.data()),
            advance: marks.advance.replace(advance),
            budget: marks.budget.replace(*budget),
            answers: marks.answers.replace(0),
            ended: marks.ended.replace(false),
        });
        Self { before, answers, budget, gave_item: true }
    }
}

impl Drop for Asking<'_> {
    #[inline]
    fn drop(&mut self) {
        let before = &self.before;
        let (budget, answers, ended) = MARKS.with(|marks| {
            marks.poller.set(before.poller);
            marks.advance.set(before.advance);
            let budget = marks.budget.replace(before.budget);
            (budget, marks.answers.replace(before.answers), marks.ended.replace(before.ended))
        });
        *self.budget = budget;
        if answers > 0 {
            self.answers.silent = 0;
        } else if ended {
            self.answers.silent = SILENT;
        } else if self.answers.silent < SILENT && !self.gave_item {
            self.answers.silent += 1;
        }
    }
}

/// What a stage is told by whoever polls it.
pub(crate) struct Answer {
    /// Whether a stage polls it, and got an answer.
    pub(crate) is_asked: bool,

    /// Whether this is an advance.
    pub(crate) advanced: bool,

    /// How much it may do.
    pub(crate) budget: usize,
}

/// Answers the stage that polls with `waker`, if one does.
#[inline]
pub(crate) fn answer(waker: &Waker) -> Answer {
    MARKS.with(|marks| {
        if !marks.asks(waker) {
            return Answer { is_asked: false, advanced: false, budget: BUDGET };
        }
        marks.answers.set(marks.answers.get() + 1);
        Answer { is_asked: true, advanced: marks.advance.get(), budget: marks.budget.get() }
    })
}

impl Answer {
    /// Gives back what is left of the budget, and says whether the stage has ended.
    #[inline]
    pub(crate) fn finish(self, budget: usize, ended: bool) {
        if self.is_asked {
            MARKS.with(|marks| {
                marks.budget.set(budget);
                if ended {
                    marks.answers.set(marks.answers.get().saturating_sub(1));
                    marks.ended.set(true);
                }
            });
        }
    }
}

/// Tells whether a poll with `waker` is an advance, without an answer: for what hands the waker on to
/// its upstream, which answers if it is a stage.
#[inline]
pub(crate) fn is_advance(waker: &Waker) -> bool {
    MARKS.with(|marks| marks.asks(waker) && marks.advance.get())
}
