//! An executor that does nothing by itself: the test says which task is polled, and which dropped.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::FutureExt;
use futures_lite::future::Boxed;

/// More polls in a row than any task of these tests has reason to ask for.
const SPINS: usize = 100_000;

/// Tasks in the order in which they were spawned.
pub(crate) struct Tasks<T = Boxed<()>>(Arc<Mutex<Vec<Entry<T>>>>);

struct Entry<T> {
    /// Until it is over or dropped, and not while it is polled.
    task: Option<T>,
    woken: Arc<Woken>,
}

/// A task that was never polled has to be.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<T: Future<Output = ()> + Unpin> Tasks<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// The function to spawn with.
    pub(crate) fn spawn(&self) -> impl Fn(T) + Clone + use<T> {
        let all = self.0.clone();
        move |task| {
            let woken = Arc::new(Woken(AtomicBool::new(true)));
            all.lock().unwrap().push(Entry { task: Some(task), woken });
        }
    }

    /// How many were ever spawned.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How many are not over.
    pub(crate) fn left(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|entry| entry.task.is_some()).count()
    }

    /// Tells whether a task asked to be polled.
    pub(crate) fn is_woken(&self, index: usize) -> bool {
        self.0.lock().unwrap()[index].woken.0.load(Ordering::SeqCst)
    }

    /// Polls a task, whether it asked for it or not.
    pub(crate) fn poll(&self, index: usize) -> Poll<()> {
        let woken = self.0.lock().unwrap()[index].woken.clone();
        woken.0.store(false, Ordering::SeqCst);
        self.poll_with(index, &woken.into())
    }

    /// Polls a task with a waker of the test's own.
    pub(crate) fn poll_with(&self, index: usize, waker: &Waker) -> Poll<()> {
        let mut task = self.0.lock().unwrap()[index].task.take().expect("the task is over");
        let polled = task.poll(&mut Context::from_waker(waker));
        if polled.is_pending() {
            self.0.lock().unwrap()[index].task = Some(task);
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
        let task = self.0.lock().unwrap()[index].task.take();
        drop(task.expect("the task is over"));
    }

    /// Tells whether a task is not over and asked to be polled.
    pub(crate) fn is_due(&self, index: usize) -> bool {
        let entry = &self.0.lock().unwrap()[index];
        entry.task.is_some() && entry.woken.0.load(Ordering::SeqCst)
    }
}
