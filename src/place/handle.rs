//! A future that someone else's executor runs as a task, and what its consumer holds of it.

use std::any::Any;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::panics::discard;
use crate::sync::AtomicWaker;

/// Splits a future into the task that runs it, and the handle that gets what comes of it.
pub(crate) fn task<Fut: Future>(future: Fut) -> (Task<Fut>, Handle<Fut::Output>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::Running),
        task: AtomicWaker::new(),
        consumer: AtomicWaker::new(),
    });
    (Task { future: Some(future), shared: shared.clone() }, Handle { shared })
}

/// What became of a task.
pub(crate) enum Outcome<T> {
    Output(T),
    Panicked(Box<dyn Any + Send>),
    /// The executor dropped it before it was over.
    Dropped,
}

impl<T> Outcome<T> {
    /// Returns the output.
    ///
    /// # Panics
    ///
    /// Panics if there is none: as the task did, or because the executor dropped it.
    pub(crate) fn output(self) -> T {
        match self {
            Self::Output(output) => output,
            Self::Panicked(panic) => resume_unwind(panic),
            Self::Dropped => panic!("the executor dropped a task before it was over"),
        }
    }
}

struct Shared<T> {
    state: Mutex<State<T>>,

    /// Woken when the consumer goes.
    task: AtomicWaker,

    /// Woken when the task is over.
    consumer: AtomicWaker,
}

enum State<T> {
    Running,
    Over(Outcome<T>),
    /// Nobody wants what comes of the task, or it was handed out.
    Closed,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code of others runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        matches!(*self.state(), State::Closed)
    }

    /// Has the consumer find what became of the task. Returns it if there is no consumer.
    fn finish(&self, outcome: Outcome<T>) -> Option<Outcome<T>> {
        let mut state = self.state();
        if let State::Closed = *state {
            return Some(outcome);
        }
        *state = State::Over(outcome);
        drop(state);
        self.consumer.wake();
        None
    }
}

pin_project! {
    /// The future to spawn. It never panics.
    pub(crate) struct Task<Fut: Future> {
        // Dropped as soon as it is over, or unwanted.
        #[pin]
        future: Option<Fut>,
        shared: Arc<Shared<Fut::Output>>,
    }

    impl<Fut: Future> PinnedDrop for Task<Fut> {
        fn drop(this: Pin<&mut Self>) {
            if this.future.is_some() {
                this.end(Outcome::Dropped);
            }
        }
    }
}

impl<Fut: Future> Task<Fut> {
    /// Drops the future, then hands over what became of it.
    fn end(self: Pin<&mut Self>, outcome: Outcome<Fut::Output>) {
        let mut this = self.project();
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            // First, so that all it held is free by the time the consumer goes on.
            this.future.set(None);
        }));
        let (outcome, other) = match dropped {
            Ok(()) => (outcome, None),
            Err(panic) => (Outcome::Panicked(panic), Some(outcome)),
        };
        // The task may be kept for long, by wakers of its own.
        drop(this.shared.task.take());
        let unwanted = [other, this.shared.finish(outcome)];
        // With nobody to take it, a panic must not reach the executor.
        discard(unwanted);
    }
}

impl<Fut: Future> Future for Task<Fut> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.as_mut().project();
        let Some(future) = this.future.as_pin_mut() else {
            return Poll::Ready(());
        };
        // Between registering and waiting, look once more.
        this.shared.task.register(cx.waker());
        let outcome = if this.shared.is_closed() {
            Outcome::Dropped
        } else {
            match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(output)) => Outcome::Output(output),
                Err(panic) => Outcome::Panicked(panic),
            }
        };
        self.end(outcome);
        Poll::Ready(())
    }
}

/// The consumer's end of a task. Dropping it cancels the task.
pub(crate) struct Handle<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Handle<T> {
    /// Waits for what becomes of the task. It is there once.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        // Between registering and waiting, look once more.
        self.shared.consumer.register(cx.waker());
        let mut state = self.shared.state();
        match mem::replace(&mut *state, State::Closed) {
            State::Over(outcome) => Poll::Ready(outcome),
            running_or_closed => {
                *state = running_or_closed;
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        drop(self.shared.consumer.take());
        let unwanted = mem::replace(&mut *self.shared.state(), State::Closed);
        if let State::Running = unwanted {
            self.shared.task.wake();
        }
    }
}
