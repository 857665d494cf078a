//! An executor that does nothing by itself: the test says which task is polled, and which dropped.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_lite::FutureExt;
use futures_lite::future::Boxed;

use super::waker::Task;

/// More polls in a row than any task of these tests has reason to ask for.
const SPINS: usize = 100_000;

/// Tasks in the order in which they were spawned.
pub(crate) struct Tasks<T = Boxed<()>>(Arc<Mutex<Vec<Entry<T>>>>);

struct Entry<T> {
    /// Until it is over or dropped, and not while it is polled.
    future: Option<T>,
    task: Arc<Task>,
}

impl<T: Future<Output = ()> + Unpin> Tasks<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// The function to spawn with.
    pub(crate) fn spawn(&self) -> impl Fn(T) + Clone + use<T> {
        let all = self.0.clone();
        move |future| {
            let task = Arc::new(Task::new());
            all.lock().unwrap().push(Entry { future: Some(future), task });
        }
    }

    /// How many were ever spawned.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How many are not over.
    pub(crate) fn left(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|entry| entry.future.is_some()).count()
    }

    /// Tells whether a task asked to be polled.
    pub(crate) fn is_woken(&self, index: usize) -> bool {
        self.0.lock().unwrap()[index].task.is_woken()
    }

    /// Polls a task, whether it asked for it or not.
    pub(crate) fn poll(&self, index: usize) -> Poll<()> {
        let task = self.0.lock().unwrap()[index].task.clone();
        self.poll_by(index, |future| task.poll(future))
    }

    /// Polls a task with a waker of the test's own.
    pub(crate) fn poll_with(&self, index: usize, waker: &Waker) -> Poll<()> {
        self.poll_by(index, |future| future.poll(&mut Context::from_waker(waker)))
    }

    fn poll_by(&self, index: usize, poll: impl FnOnce(&mut T) -> Poll<()>) -> Poll<()> {
        let mut future = self.0.lock().unwrap()[index].future.take().expect("the task is over");
        let polled = poll(&mut future);
        if polled.is_pending() {
            self.0.lock().unwrap()[index].future = Some(future);
        }
        polled
    }

    /// Polls all tasks that ask for it until none does.
    pub(crate) fn run(&self) {
        for _ in 0..SPINS {
            let due = (0..self.count()).find(|&index| self.is_due(index));
            let Some(index) = due else { return };
            let _ = self.poll(index);
        }
        panic!("polled {SPINS} times, and still asked to be");
    }

    /// Drops a task, as an executor does that is shut down.
    pub(crate) fn drop(&self, index: usize) {
        let future = self.0.lock().unwrap()[index].future.take();
        drop(future.expect("the task is over"));
    }

    /// Tells whether a task is not over and asked to be polled.
    pub(crate) fn is_due(&self, index: usize) -> bool {
        let entry = &self.0.lock().unwrap()[index];
        entry.future.is_some() && entry.task.is_woken()
    }
}
