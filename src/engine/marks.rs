//! How a stage tells the stage above it what a poll is for, through whatever lies between them.
//!
//! A stage polls upstream with a waker of its own. While it does, a thread-local holds that waker's data
//! pointer and what the poll is for: a pull, or some kind of *advance*. A stage is polled by another one exactly
//! if the waker it is polled with is that one. It then **answers**, until it has ended, and obeys the mark.
//! Other people's combinators pass the waker on and know nothing of this.
//!
//! The marks are put back when a poll of upstream ends, also by a panic. A pipeline inside a call is polled
//! with the slot's waker, which no mark names.

use std::cell::Cell;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, Waker};

use futures_lite::Stream;

/// How many calls the stages of a pipeline poll and start, all together, before the executor gets a
/// chance to run something else.
pub(crate) const BUDGET: usize = 128;

/// What a poll of a stage is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The next item, for which there is room.
    Pull,
    /// That calls go on, as there is no room.
    Advance,
    /// The same, but who was never polled begins.
    Begin,
    /// The same while nothing may start, to see whether upstream has ended. A plain source is asked as well,
    /// which may bring out an item, but nothing that can be stopped.
    Look,
}

/// Each in a cell of its own: copied as a whole they cost more than all else in a poll of upstream,
/// as the processor waits where it loads at once what was stored in parts.
struct Marks {
    /// The data pointer of the waker that a stage is polling upstream with. It is only compared.
    poller: Cell<*const ()>,

    /// What that poll is for.
    purpose: Cell<Purpose>,

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
            purpose: Cell::new(Purpose::Pull),
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

    /// Takes back the answer of a stage that has ended.
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

    /// Notes what came of a poll.
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

/// What a stage that is no engine knows of its upstream, which it polls with the waker that it is polled with.
#[derive(Debug)]
pub(crate) struct HandsOn {
    answers: Answers,
}

impl HandsOn {
    pub(crate) fn new() -> Self {
        Self { answers: Answers::none() }
    }

    /// Polls upstream as the stage is polled, but for a plain source that is asked for nothing.
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

/// The marks of one poll that is handed on. Dropping this adds its answers to those of the poll that it is part of.
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

/// What a stage is told by whoever polls it.
pub(crate) struct Answer {
    /// Whether a stage polls it, and got an answer.
    pub(crate) is_asked: bool,

    /// What it is polled for.
    pub(crate) purpose: Purpose,

    /// How much it may do.
    pub(crate) budget: usize,
}

/// Answers the stage that polls with `waker`, if one does.
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
    /// Tells whether outputs are to be kept.
    #[inline]
    pub(crate) fn advanced(&self) -> bool {
        self.purpose != Purpose::Pull
    }

    /// Gives back what is left of the budget, and says whether the stage has ended.
    #[inline]
    pub(crate) fn finish(self, budget: usize, ended: bool) {
        Self::finish_as(self.is_asked, budget, ended);
    }

    /// The same for who remembers no more than whether a stage polls it.
    #[inline]
    pub(super) fn finish_as(is_asked: bool, budget: usize, ended: bool) {
        if is_asked {
            MARKS.with(|marks| {
                marks.budget.set(budget);
                marks.end(ended);
            });
        }
    }

    /// The same for who has spent nothing of it.
    pub(crate) fn finish_unspent(self, ended: bool) {
        if self.is_asked {
            MARKS.with(|marks| marks.end(ended));
        }
    }
}

/// Tells whether a poll with `waker` is an advance, without an answer: for what hands the waker on to
/// its upstream, which answers if it is a stage.
#[inline]
pub(crate) fn is_advance(waker: &Waker) -> bool {
    MARKS.with(|marks| marks.asks(waker) && marks.purpose.get() != Purpose::Pull)
}
