//! Threads that are known to have ended.

use std::cell::RefCell;
use std::thread;

use flowlet::ThreadPool;

use super::gauge::{Gauge, Unit};
use super::on_all::on_all;

thread_local! {
    static ENDING: RefCell<Option<Ending>> = const { RefCell::new(None) };
}

/// The last that its thread drops, and it takes some time.
struct Ending {
    _unit: Unit,
}

impl Drop for Ending {
    fn drop(&mut self) {
        for _ in 0..100 {
            thread::yield_now();
        }
    }
}

/// Counts the current thread until it has ended, thread-local values included.
pub(crate) fn count_until_end(alive: &Gauge) {
    ENDING.set(Some(Ending { _unit: alive.unit() }));
}

/// Makes a pool whose threads are counted until they have ended.
pub(crate) fn counted_pool(size: usize, alive: &Gauge) -> ThreadPool {
    let pool = ThreadPool::new(size).unwrap();
    let count = alive.clone();
    on_all(&pool, move || count_until_end(&count));
    assert_eq!(alive.now(), size);
    pool
}
