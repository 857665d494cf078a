use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::call::{self, Call};

/// What [`in_blocking`] gives to a pool: a blocking call that is to be run.
pub type BlockingJob = Box<dyn FnOnce() + Send>;

/// Makes a blocking function one whose calls run on a pool of somebody else's.
///
/// `spawn` gives a [`BlockingJob`] to the pool, and is called once per call:
///
/// | pool | `spawn` |
/// | --- | --- |
/// | tokio's | `tokio::task::spawn_blocking` |
/// | a tokio runtime's, from outside of it | `move \|job\| handle.spawn_blocking(job)` |
/// | rayon's | `rayon::spawn` |
/// | a rayon `ThreadPool` | `move \|job\| pool.spawn(job)` |
/// | smol's | `blocking::unblock` |
///
/// It does what [`in_thread`](crate::in_thread) and [`in_pool`](crate::in_pool) do, on threads that
/// are there already, and in the context that they have: on tokio's, `Handle::current()` works, and
/// `Handle::block_on` may be used. A stage bounds the calls as it bounds any others.
///
/// `f` is an ordinary function. An `async` one only makes a future there, which nobody polls.
///
/// What `spawn` returns is kept as long as the call, and dropped with it. `spawn` should not block:
/// where the pool is full the job has to wait in a queue. Nor should it run the job itself.
///
/// # Drop
///
/// Nothing is spawned before the future is polled. A call that is dropped before a thread has begun
/// it never begins. Its input is dropped at once, and the job left in the pool does nothing. A call
/// that is running cannot be interrupted: it finishes, and its result, or its panic, is discarded.
///
/// # Deadlines
///
/// A call that is dropped because it is late counts against its stage's limit no longer, while its thread works
/// on; and a deadline runs while the job waits in the pool's queue. What to do about both is told at
/// [`in_thread`](crate::in_thread#deadlines): the thread holds a permit, and the deadline runs from when there is one.
///
/// # When threads run short
///
/// What happens then is up to the pool. tokio starts up to 512 threads for blocking calls
/// (`max_blocking_threads`); calls beyond that wait in its queue. If the system refuses it a thread, calls wait for
/// the threads it has. If it has none, `spawn_blocking` panics, and so does the call. rayon starts all its
/// threads before the first call. smol's are those of [`in_thread`](crate::in_thread#when-the-system-is-short-of-threads).
///
/// A call that blocks on another call of the same pool keeps its thread meanwhile. As soon as there are as many
/// such calls as the pool has threads, all of them wait forever.
///
/// # Panics
///
/// A panic in `f` comes out of the call's future, with its payload, and so reaches the consumer of the
/// pipeline. The pool never sees it.
///
/// The call's future also panics if `spawn` does, as `spawn_blocking` does outside of a runtime; and
/// if the job is dropped before it was run, by `spawn` or by a pool that is shut down.
///
/// # Examples
///
/// ```
/// use flowlet::in_blocking;
/// use flowlet::prelude::*;
/// use tokio::runtime::Handle;
/// use tokio::task::spawn_blocking;
///
/// /// Blocks, and needs the runtime.
/// fn count(path: &str) -> usize {
///     Handle::current().block_on(async { path.len() })
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let counts: Vec<usize> = pipe(["Cargo.toml", "LICENSE"])
///     .map_concurrent(8, in_blocking(spawn_blocking, count))
///     .collect()
///     .await;
/// assert_eq!(counts.iter().sum::<usize>(), 17);
/// # });
/// ```
pub fn in_blocking<Spawn, H, F, T, U>(
    spawn: Spawn,
    f: F,
) -> impl Fn(T) -> InBlocking<Spawn, F, T, U, H> + Clone
where
    Spawn: Fn(BlockingJob) -> H,
    F: Fn(T) -> U + Send + Sync + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    let (spawn, f) = (Arc::new(spawn), Arc::new(f));
    move |input| InBlocking {
        spawn: spawn.clone(),
        call: Call::new(f.clone(), input),
        poll: InBlocking::poll_call,
    }
}

/// Future of a call made by [`in_blocking`], which keeps the `H` that `spawn` returns.
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// let double = flowlet::in_blocking(blocking::unblock, |n: u32| 2 * n);
/// assert_eq!(double(21).await, 42);
/// # });
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct InBlocking<Spawn, F, T, U, H = ()> {
    spawn: Arc<Spawn>,
    call: Call<F, T, U, H>,

    /// How it is polled. Kept as a value so that the `Future` impl needs no bounds, which the compiler
    /// could not always prove again in a future that is spawned.
    poll: fn(&mut Self, &mut Context<'_>) -> Poll<U>,
}

// No field is ever pinned.
impl<Spawn, F, T, U, H> Unpin for InBlocking<Spawn, F, T, U, H> {}

impl<Spawn, F, T, U, H> InBlocking<Spawn, F, T, U, H>
where
    Spawn: Fn(BlockingJob) -> H,
    F: Fn(T) -> U + Send + Sync + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<U> {
        let Self { spawn, call, .. } = self;
        let output = ready!(call.poll(cx, |job| Some(spawn(Box::new(move || job.run(|| ()))))));
        Poll::Ready(call::output(output.expect("the pool dropped a call before it had begun")))
    }
}

impl<Spawn, F, T, U, H> Future for InBlocking<Spawn, F, T, U, H> {
    type Output = U;

    /// # Panics
    ///
    /// Panics if the function or `spawn` did, if the job was dropped before it was run, or if the
    /// future was ready before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<U> {
        (self.poll)(&mut self, cx)
    }
}

impl<Spawn, F, T, U, H> fmt::Debug for InBlocking<Spawn, F, T, U, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InBlocking").field(&self.call).finish()
    }
}
