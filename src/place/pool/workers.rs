use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_executor::{Executor, FallibleTask};
use event_listener::Event;
use futures_lite::future::{block_on, or};

use crate::place::call::Job;
use crate::place::slots;

/// What the threads of a pool share with the calls that they run.
pub(super) struct Workers {
    pub(super) name: String,

    executor: Executor<'static>,

    /// Whether calls are taken and begun. Locked while a call is queued, so that none is queued
    /// after the queue was emptied.
    open: Mutex<bool>,

    /// Notified when no more calls are taken.
    closing: Event,

    /// How many threads run calls.
    in_use: AtomicUsize,
}

impl Workers {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            executor: Executor::new(),
            open: Mutex::new(true),
            closing: Event::new(),
            in_use: AtomicUsize::new(0),
        }
    }

    /// Queues a call, unless the pool was shut down.
    pub(super) fn give<F, T, U>(self: &Arc<Self>, job: Job<F, T, U>) -> Option<FallibleTask<()>>
    where
        F: Fn(T) -> U + Send + Sync + 'static,
        T: Send + 'static,
        U: Send + 'static,
    {
        let open = self.open();
        if !*open {
            return None;
        }
        let workers = self.clone();
        Some(self.executor.spawn(async move { workers.run(job) }).fallible())
    }

    fn run<F: Fn(T) -> U, T, U>(&self, job: Job<F, T, U>) {
        if *self.open() {
            self.in_use.fetch_add(1, Ordering::SeqCst);
            job.run();
            self.in_use.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// What a thread of the pool does until the pool is shut down.
    pub(super) fn work(&self) {
        let closing = self.closing.listen();
        if *self.open() {
            // Not `Executor::run`, which moves calls on to a queue of each thread's own: they would not
            // begin in order, and one could be left with a thread that blocks.
            let work = async {
                loop {
                    self.executor.tick().await;
                }
            };
            block_on(or(closing, work));
        }
        if let Err(panic) = slots::end() {
            resume_unwind(panic);
        }
    }

    /// Takes no more calls, and refuses those that have not begun.
    pub(super) fn close(&self) {
        *self.open() = false;
        self.closing.notify(usize::MAX);
        // Here and now, because the threads may be busy for long, perhaps with waiting for a call
        // that is in the queue.
        while self.executor.try_tick() {}
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::SeqCst)
    }

    fn open(&self) -> MutexGuard<'_, bool> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
