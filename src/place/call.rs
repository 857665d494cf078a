use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;

use super::slots;
use super::span::CallSpan;
use crate::panics::discard;

/// A call of a blocking function, as its future sees it: it is given to threads at the first poll.
///
/// `K` is the task that runs it there. It says when the call is over, and no more: what the call
/// takes and gives is kept here. So an input that is not wanted any more is dropped by who drops the
/// call, at once, and no destructor of the user's runs inside the task, where a panic would abort
/// the process.
pub(super) struct Call<F, T, U, K> {
    progress: Arc<Mutex<Progress<F, T, U>>>,
    task: Option<K>,
}

/// How far a call has come.
enum Progress<F, T, U> {
    /// It has not begun.
    Waiting(Arc<F>, T, CallSpan),
    /// A thread is at it.
    Running,
    /// It has finished, or panicked.
    Done(thread::Result<U>),
    /// Its result was handed out, or nobody wants it.
    Over,
}

/// The same call, as the thread sees it.
pub(super) struct Job<F, T, U> {
    progress: Arc<Mutex<Progress<F, T, U>>>,
}

impl<F, T, U, K> Call<F, T, U, K> {
    pub(super) fn new(f: Arc<F>, input: T) -> Self {
        Self {
            progress: Arc::new(Mutex::new(Progress::Waiting(f, input, CallSpan::current()))),
            task: None,
        }
    }
}

impl<F, T, U, K: Future + Unpin> Call<F, T, U, K> {
    /// Polls the call, which `give` gives to the threads unless they refuse it.
    ///
    /// `None` if it was refused, or its task ended without running it, and an error if the function
    /// panicked.
    ///
    /// # Panics
    ///
    /// Panics if `give` did, or if the call was ready before.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        give: impl FnOnce(Job<F, T, U>) -> Option<K>,
    ) -> Poll<Option<thread::Result<U>>> {
        if self.task.is_none() {
            let is_over = matches!(*lock(&self.progress), Progress::Over);
            assert!(!is_over, "a call was polled after it was ready");
            let job = Job { progress: self.progress.clone() };
            self.task = catch_unwind(AssertUnwindSafe(|| give(job))).unwrap_or_else(|panic| {
                // It is given once.
                self.end();
                resume_unwind(panic)
            });
        }
        if let Some(task) = &mut self.task {
            ready!(Pin::new(task).poll(cx));
            self.task = None;
        }
        match self.end() {
            Progress::Done(result) => Poll::Ready(Some(result)),
            Progress::Waiting(..) => Poll::Ready(None),
            Progress::Running | Progress::Over => unreachable!("the task of a call ended early"),
        }
    }
}

/// Has the panic of a function come out where its output would.
pub(super) fn output<U>(result: thread::Result<U>) -> U {
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

impl<F, T, U, K> Call<F, T, U, K> {
    fn end(&self) -> Progress<F, T, U> {
        mem::replace(&mut *lock(&self.progress), Progress::Over)
    }
}

impl<F, T, U, K> Drop for Call<F, T, U, K> {
    fn drop(&mut self) {
        // What comes back is dropped when the lock is free again.
        self.end();
    }
}

impl<F: Fn(T) -> U, T, U> Job<F, T, U> {
    /// Runs the call, unless it was dropped. Never panics.
    pub(super) fn run(self) {
        slots::sweep();
        let Some((f, input, span)) = self.begin() else { return };
        let result = catch_unwind(AssertUnwindSafe(move || span.run(|| f(input))));
        let mut progress = lock(&self.progress);
        if let Progress::Running = *progress {
            *progress = Progress::Done(result);
        } else {
            drop(progress);
            discard(result);
        }
    }

    fn begin(&self) -> Option<(Arc<F>, T, CallSpan)> {
        let mut progress = lock(&self.progress);
        match mem::replace(&mut *progress, Progress::Running) {
            Progress::Waiting(f, input, span) => Some((f, input, span)),
            other => {
                *progress = other;
                None
            }
        }
    }
}

fn lock<F, T, U>(progress: &Mutex<Progress<F, T, U>>) -> MutexGuard<'_, Progress<F, T, U>> {
    // No code of the user's runs under the lock.
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F, T, U, K> fmt::Debug for Call<F, T, U, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *lock(&self.progress) {
            Progress::Waiting(..) => "Waiting",
            Progress::Running => "Running",
            Progress::Done(_) => "Done",
            Progress::Over => "Over",
        })
    }
}
