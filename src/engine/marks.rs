//! How a stage tells its upstream stage what a poll is for, through whatever lies between them.
//!
//! A stage polls upstream with a waker of its own. While it does, a thread-local holds that waker's data pointer and
//! the purpose of the poll: a pull, or some kind of *advance*. A stage is polled by another one exactly if the waker it
//! is polled with is that one. Until it has ended, it then **answers**, and obeys the mark. Foreign combinators pass
//! the waker on and know nothing about this.
//!
//! The marks are restored when a poll of upstream ends, even by a panic. A pipeline inside a call is polled with the
//! slot's waker, which no mark names.

use std::cell::Cell;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, Waker};

use futures_lite::Stream;

/// How many calls the stages of a pipeline together poll and start before the executor gets a chance to run something
/// else.
pub(crate) const BUDGET: usize = 128;

/// What a poll of a stage is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To get the next item, for which there is room.
    Pull,
    /// To let calls continue, because there is no room.
    Advance,
    /// The same, and stages that were never polled begin.
    Begin,
    /// The same while nothing may start, to see whether upstream has ended. A plain source is polled too, which may
    /// produce an item, but nothing that can be stopped.
    Look,
}

/// Each is in a cell of its own. Copied as a whole they cost more than everything else in a poll of upstream, because
/// the processor stalls when it loads at once what was stored in parts.
struct Marks {
    /// The data pointer of the waker with which a stage is polling upstream. It is only compared.
    poller: Cell<*const ()>,

    /// The purpose of that poll.
    purpose: Cell<Purpose>,

    /// What is left of the budget.
    budget: Cell<usize>,

    /// How many stages have recognized the waker, and have not ended.
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
            purpose: Cell::new(Purpose::Pull),
            budget: Cell::new(BUDGET),
            answers: Cell::new(0),
            ended: Cell::new(false),
        }
    };
}

impl Marks {
    /// Returns whether a stage polls with `waker`.
    #[inline]
    fn asks(&self, waker: &Waker) -> bool {
        self.poller.get() == waker.data()
    }

    /// Withdraws the answer of a stage that has ended.
    #[inline]
    fn end(&self, ended: bool) {
        if ended {
            self.answers.set(self.answers.get().saturating_sub(1));
            self.ended.set(true);
        }
    }
}

/// The marks that were set before a poll.
struct Before {
    poller: *const (),
    purpose: Purpose,
    budget: usize,
    answers: usize,
    ended: bool,
}

/// After this many polls in a row without an answer or an item, there is no stage upstream. One poll may miss a stage,
/// because adaptors such as `select` poll their streams in turn.
const SILENT: u8 = 2;

/// Whether an upstream stage answers.
#[derive(Debug)]
pub(super) struct Answers {
    /// How many polls ago a stage answered, up to [`SILENT`].
    silent: u8,
}

impl Answers {
    /// No poll has been made yet.
    pub(super) fn none() -> Self {
        Self { silent: SILENT }
    }

    /// Returns whether a stage has answered recently.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.silent < SILENT
    }

    /// Records the result of a poll.
    #[inline]
    fn note(&mut self, answers: usize, ended: bool, gave_item: bool) {
        if answers > 0 {
            self.silent = 0;
        } else if ended {
            self.silent = SILENT;
        } else if self.silent < SILENT && !gave_item {
            self.silent += 1;
        }
    }
}

/// The marks of one poll of upstream. On drop it records whether a stage answered, and restores the previous marks,
/// even if the poll panics.
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
        purpose: Purpose,
        answers: &'a mut Answers,
        budget: &'a mut usize,
    ) -> Self {
        let before = MARKS.with(|marks| Before {
            poller: marks.poller.replace(waker.data()),
            purpose: marks.purpose.replace(purpose),
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
            marks.purpose.set(before.purpose);
            let budget = marks.budget.replace(before.budget);
            (budget, marks.answers.replace(before.answers), marks.ended.replace(before.ended))
        });
        *self.budget = budget;
        self.answers.note(answers, ended, self.gave_item);
    }
}

/// What a stage that is no engine knows about its upstream, which it polls with the waker that it is polled with.
#[derive(Debug)]
pub(crate) struct HandsOn {
    answers: Answers,
}

impl HandsOn {
    pub(crate) fn new() -> Self {
        Self { answers: Answers::none() }
    }

    /// Polls upstream as the stage is polled, except a plain source in a poll that asks for nothing.
    pub(crate) fn poll_next<S: Stream>(
        &mut self,
        upstream: Pin<&mut S>,
        answer: &Answer,
        cx: &mut Context<'_>,
    ) -> Poll<Option<S::Item>> {
        if !answer.is_asked {
            return upstream.poll_next(cx);
        }
        let purpose = match answer.purpose {
            Purpose::Pull | Purpose::Begin => answer.purpose,
            Purpose::Advance | Purpose::Look if self.answers.any() => Purpose::Advance,
            Purpose::Advance | Purpose::Look => return Poll::Pending,
        };
        let mut asking = HandingOn::begin(purpose, &mut self.answers);
        let polled = upstream.poll_next(cx);
        asking.gave_item = matches!(polled, Poll::Ready(Some(_)));
        polled
    }
}

/// The marks of one poll that is passed on. On drop its answers are added to those of the enclosing poll.
struct HandingOn<'a> {
    purpose: Purpose,
    before: (usize, bool),
    answers: &'a mut Answers,
    gave_item: bool,
}

impl<'a> HandingOn<'a> {
    fn begin(purpose: Purpose, answers: &'a mut Answers) -> Self {
        MARKS.with(|marks| Self {
            purpose: marks.purpose.replace(purpose),
            before: (marks.answers.replace(0), marks.ended.replace(false)),
            answers,
            gave_item: true,
        })
    }
}

impl Drop for HandingOn<'_> {
    fn drop(&mut self) {
        let (answers, ended) = MARKS.with(|marks| {
            marks.purpose.set(self.purpose);
            let (before, had_ended) = self.before;
            let (answers, ended) = (marks.answers.get(), marks.ended.get());
            marks.answers.set(before + answers);
            marks.ended.set(had_ended || ended);
            (answers, ended)
        });
        self.answers.note(answers, ended, self.gave_item);
    }
}

/// What a stage learns from whatever polls it.
pub(crate) struct Answer {
    /// Whether a stage polls it, and got an answer.
    pub(crate) is_asked: bool,

    /// The purpose of the poll.
    pub(crate) purpose: Purpose,

    /// How many calls it may poll and start.
    pub(crate) budget: usize,
}

/// Answers the stage that polls with `waker`, if there is one.
#[inline]
pub(crate) fn answer(waker: &Waker) -> Answer {
    MARKS.with(|marks| {
        if !marks.asks(waker) {
            return Answer { is_asked: false, purpose: Purpose::Pull, budget: BUDGET };
        }
        marks.answers.set(marks.answers.get() + 1);
        Answer { is_asked: true, purpose: marks.purpose.get(), budget: marks.budget.get() }
    })
}

impl Answer {
    /// Returns whether outputs are to be kept.
    #[inline]
    pub(crate) fn advanced(&self) -> bool {
        self.purpose != Purpose::Pull
    }

    /// Returns what is left of the budget to the polling stage, and tells it whether this stage has ended.
    #[inline]
    pub(crate) fn finish(self, budget: usize, ended: bool) {
        Self::finish_as(self.is_asked, budget, ended);
    }

    /// The same for callers that remember only whether a stage polls them.
    #[inline]
    pub(super) fn finish_as(is_asked: bool, budget: usize, ended: bool) {
        if is_asked {
            MARKS.with(|marks| {
                marks.budget.set(budget);
                marks.end(ended);
            });
        }
    }

    /// The same for callers that have spent nothing of it.
    pub(crate) fn finish_unspent(self, ended: bool) {
        if self.is_asked {
            MARKS.with(|marks| marks.end(ended));
        }
    }
}

/// Returns whether a poll with `waker` is an advance, without answering: for adaptors that pass the waker on to their
/// upstream, which answers if it is a stage.
#[inline]
pub(crate) fn is_advance(waker: &Waker) -> bool {
    MARKS.with(|marks| marks.asks(waker) && marks.purpose.get() != Purpose::Pull)
}
