use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::ThreadPool;
use super::workers::Workers;
use crate::place::call::{self, Call};
use crate::place::lines::{LastLine, Ticket};

/// Makes a blocking function one that a stage can call: each call runs on a thread of `pool`.
///
/// As [`in_thread`](crate::in_thread), with threads that are the pool's own. Any number of functions
/// and stages can share a pool. Whatever their limits are, no more calls run at once than it has
/// threads. A stage that is to use the whole pool needs a limit that is no less than the pool's size;
/// one or two more keep the threads from waiting for the stage.
///
/// A thread of a pool is no thread of a runtime, as one of [`in_thread`](crate::in_thread) is not: see there
/// what that means for tokio, and [`in_blocking`](crate::in_blocking) for the pool of a runtime.
///
/// The function does not keep the pool: when the [`ThreadPool`] is dropped or shut down, it ends. A call that
/// is dropped while it waits leaves nothing in the pool, and neither does a function.
///
/// # Turns
///
/// Calls of one function that wait for a thread begin in the order in which they were first polled.
///
/// Functions that share a pool take turns, one call each, whatever the limits of their stages are. Of two
/// stages, one with 64 calls waiting and one with 2, each gets every second turn, as long as both have calls
/// waiting. A stage with a low limit is not held up by one with a high limit.
///
/// A function here is what one call of `in_pool` returns, together with its clones. So call `in_pool` once
/// for each stage. If it is called anew for each item, each item has a turn of its own, and all calls begin
/// in the order of their first polls.
///
/// A turn is a call, not a time. If the calls of one stage take much longer than those of another, give
/// each stage a pool of its own.
///
/// # Panics, and calls that are dropped
///
/// A panic in `f` comes out of the call's future, with its payload, and so reaches the consumer of
/// the pipeline. The thread lives on.
///
/// The future panics too if the pool is shut down, or was, before a thread has begun the call: the
/// call never begins then.
///
/// Nothing is done before the future is polled. A call that is dropped before its thread has begun
/// it never begins, and its input is dropped with it. One that runs cannot be interrupted: it
/// finishes, and its result, or its panic, is discarded.
///
/// # Deadlines
///
/// The deadline of a call runs while the call waits for a thread, also for one that works for a call which was
/// dropped. So a few stuck calls can make all others late. They do not where calls wait for a permit of a
/// `Semaphore::new(pool.size())` first, which their thread then holds: see [`in_thread`](crate::in_thread#deadlines).
///
/// # Waiting for one another
///
/// A call keeps its thread while it blocks. If it blocks on another call of the same pool, that call needs a
/// thread too. As soon as there are as many such calls as the pool has threads, all of them wait
/// forever; on a pool of 1, the first does. Give the inner calls a pool of their own, or make them a stage of the
/// pipeline, because a stage waits without a thread. [`ThreadPool::shutdown_now`] ends such a wait.
///
/// # When the system is short of threads
///
/// A pool has all its threads from the beginning: [`ThreadPool::new`] returns the system's error if it cannot
/// start them. After that, a call needs no new thread. It waits until one of the pool's threads is free.
///
/// # Examples
///
/// Two stages, which together run 4 calls at once:
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::{ThreadPool, in_pool};
///
/// fn read(path: &str) -> std::io::Result<String> {
///     std::fs::read_to_string(path)
/// }
///
/// fn count_lines(text: std::io::Result<String>) -> usize {
///     text.map_or(0, |text| text.lines().count())
/// }
///
/// # futures_lite::future::block_on(async {
/// let pool = ThreadPool::new(4)?;
/// let lines: Vec<_> = pipe(["Cargo.toml", "LICENSE"])
///     .map_concurrent(8, in_pool(&pool, read))
///     .map_concurrent(8, in_pool(&pool, count_lines))
///     .collect()
///     .await;
/// assert!(lines.iter().all(|&lines| lines > 0));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn in_pool<F, T, U>(
    pool: &ThreadPool,
    f: F,
) -> impl Fn(T) -> InPool<F, T, U> + Clone + Send + Sync + use<F, T, U>
where
    F: Fn(T) -> U + Send + Sync + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    let f = Arc::new(f);
    let place = Arc::new(Place { workers: pool.workers.clone(), last_line: LastLine::default() });
    move |input| InPool {
        call: Call::new(f.clone(), input),
        place: place.clone(),
        poll: InPool::poll_call,
    }
}

/// What all calls of a function share.
struct Place {
    workers: Arc<Workers>,
    last_line: LastLine,
}

/// Future of a call made by [`in_pool`].
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// let pool = flowlet::ThreadPool::new(1)?;
/// let double = flowlet::in_pool(&pool, |n: u32| 2 * n);
/// assert_eq!(double(21).await, 42);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct InPool<F, T, U> {
    call: Call<F, T, U, Ticket>,
    place: Arc<Place>,

    /// How it is polled. Kept as a value so that the `Future` impl needs no bounds, which the compiler
    /// could not always prove again in a future that is spawned.
    poll: fn(&mut Self, &mut Context<'_>) -> Poll<U>,
}

// No field is ever pinned.
impl<F, T, U> Unpin for InPool<F, T, U> {}

impl<F, T, U> InPool<F, T, U>
where
    F: Fn(T) -> U + Send + Sync + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<U> {
        let Self { call, place, .. } = self;
        let Place { workers, last_line } = &**place;
        let output = ready!(call.poll(cx, |job| workers.give(last_line, job)));
        let Some(output) = output else {
            panic!("the thread pool `{}` was shut down before this call began", workers.name);
        };
        Poll::Ready(call::output(output))
    }
}

impl<F, T, U> Future for InPool<F, T, U> {
    type Output = U;

    /// # Panics
    ///
    /// Panics if the function did, if the pool was shut down before the call began, or if the future
    /// was ready before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<U> {
        (self.poll)(&mut self, cx)
    }
}

impl<F, T, U> Drop for InPool<F, T, U> {
    fn drop(&mut self) {
        let Self { call, place, .. } = self;
        call.cancel(|ticket| place.workers.withdraw(&ticket));
    }
}

impl<F, T, U> fmt::Debug for InPool<F, T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InPool").field(&self.call).finish()
    }
}
