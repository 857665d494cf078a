use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use super::slots;
use super::span::CallSpan;
use crate::panics::discard;
use crate::sync::AtomicWaker;

/// A call of a blocking function, as its future sees it: it is given to threads at the first poll.
///
/// `K` is what they return for it, kept until the call is over or dropped. What the call takes and
/// yields is kept here. So an input that is not wanted any more is dropped by who drops the call, at
/// once, and no destructor of the user's runs inside someone else's pool, where a panic could abort the
/// process.
pub(super) struct Call<F, T, U, K> {
    shared: Arc<Shared<F, T, U>>,
    given: Option<K>,
}

/// What the future of a call and its thread share.
struct Shared<F, T, U> {
    progress: Mutex<Progress<F, T, U>>,

    /// Woken when the call is done or refused. A waker that panics has been taken out before.
    consumer: AssertUnwindSafe<AtomicWaker>,
}

/// How far a call has come.
enum Progress<F, T, U> {
    /// It has not begun.
    Waiting(Begin<F, T>),
    /// It will not begin. Its input is left to its future.
    Refused(Begin<F, T>),
    /// A thread is at it.
    Running,
    /// It has finished, or panicked.
    Done(thread::Result<U>),
    /// Its result was handed out, or nobody wants it.
    Over,
}

/// What a call needs to begin.
struct Begin<F, T> {
    f: Arc<F>,
    input: T,
    span: CallSpan,
}

impl<F, T, U, K> Call<F, T, U, K> {
    pub(super) fn new(f: Arc<F>, input: T) -> Self {
        let begin = Begin { f, input, span: CallSpan::current() };
        Self {
            shared: Arc::new(Shared {
                progress: Mutex::new(Progress::Waiting(begin)),
                consumer: AssertUnwindSafe(AtomicWaker::new()),
            }),
            given: None,
        }
    }

    /// Ends the call: it never begins, or nobody wants its result. `leave` gets what the threads returned
    /// for it if none of them has begun it.
    pub(super) fn cancel(&mut self, leave: impl FnOnce(K)) {
        let unwanted = self.shared.end();
        drop(self.shared.consumer.take());
        if let (Progress::Waiting(_), Some(given)) = (&unwanted, self.given.take()) {
            leave(given);
        }
        // The input is dropped last, as that may panic.
    }
}

impl<F, T, U, K> Call<F, T, U, K>
where
    F: Fn(T) -> U + Send + Sync + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    /// Polls the call, which `give` gives to the threads unless they refuse it.
    ///
    /// `None` if its job was dropped without being run, and an error if the function panicked.
    ///
    /// # Panics
    ///
    /// Panics if `give` did, or if the call was ready before.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        give: impl FnOnce(Job) -> Option<K>,
    ) -> Poll<Option<thread::Result<U>>> {
        if self.given.is_none() {
            let is_over = matches!(*self.shared.progress(), Progress::Over);
            assert!(!is_over, "a call was polled after it was ready");
            let job = Job(Some(self.shared.clone()));
            self.given = catch_unwind(AssertUnwindSafe(|| give(job))).unwrap_or_else(|panic| {
                // It is given once.
                self.shared.end();
                resume_unwind(panic)
            });
        }
        // Before looking, so that it cannot be over unheard.
        self.shared.consumer.register(cx.waker());
        let Some(outcome) = self.shared.outcome() else { return Poll::Pending };
        self.given = None;
        Poll::Ready(match outcome {
            Progress::Done(result) => Some(result),
            _refused => None,
        })
    }
}

/// Has the panic of a function come out where its output would.
pub(super) fn output<U>(result: thread::Result<U>) -> U {
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

impl<F, T, U, K> Drop for Call<F, T, U, K> {
    fn drop(&mut self) {
        self.cancel(drop);
    }
}

/// A call, as its thread sees it. Dropped before it was run, it refuses the call.
pub(super) struct Job(Option<Arc<dyn Work>>);

impl Job {
    /// Runs the call, unless it was dropped. Never panics.
    ///
    /// `free` is called when the thread is free again, before the consumer hears of it.
    pub(super) fn run(mut self, mut free: impl FnMut()) {
        if let Some(work) = self.0.take() {
            slots::sweep();
            work.run(&mut free);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work.refuse();
        }
    }
}

/// A call of whatever function.
trait Work: Send + Sync {
    fn run(&self, free: &mut dyn FnMut());
    fn refuse(&self);
}

impl<F, T, U> Work for Shared<F, T, U>
where
    F: Fn(T) -> U + Send + Sync,
    T: Send,
    U: Send,
{
    fn run(&self, free: &mut dyn FnMut()) {
        let Some(Begin { f, input, span }) = self.begin() else { return free() };
        let result = catch_unwind(AssertUnwindSafe(move || span.run(|| f(input))));
        let mut progress = self.progress();
        if let Progress::Running = *progress {
            free();
            *progress = Progress::Done(result);
            drop(progress);
            self.wake();
        } else {
            drop(progress);
            discard(result);
            free();
        }
    }

    fn refuse(&self) {
        let mut progress = self.progress();
        *progress = match mem::replace(&mut *progress, Progress::Over) {
            Progress::Waiting(begin) => Progress::Refused(begin),
            other => other,
        };
        drop(progress);
        self.wake();
    }
}

impl<F, T, U> Shared<F, T, U> {
    fn begin(&self) -> Option<Begin<F, T>> {
        let mut progress = self.progress();
        match mem::replace(&mut *progress, Progress::Running) {
            Progress::Waiting(begin) => Some(begin),
            other => {
                *progress = other;
                None
            }
        }
    }

    /// Takes what came of the call, if it is done or refused.
    fn outcome(&self) -> Option<Progress<F, T, U>> {
        let mut progress = self.progress();
        match *progress {
            Progress::Waiting(_) | Progress::Running => None,
            _ => Some(mem::replace(&mut *progress, Progress::Over)),
        }
    }

    fn end(&self) -> Progress<F, T, U> {
        mem::replace(&mut *self.progress(), Progress::Over)
    }

    /// Wakes the consumer. A waker that panics is no reason for a thread to end.
    fn wake(&self) {
        discard(catch_unwind(AssertUnwindSafe(|| self.consumer.wake())));
    }

    fn progress(&self) -> MutexGuard<'_, Progress<F, T, U>> {
        // No code of the user's runs under the lock.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F, T, U, K> fmt::Debug for Call<F, T, U, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.shared.progress() {
            Progress::Waiting(_) => "Waiting",
            Progress::Refused(_) => "Refused",
            Progress::Running => "Running",
            Progress::Done(_) => "Done",
            Progress::Over => "Over",
        })
    }
}
