use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::call::{self, Call};
use super::lines::{LastLine, Ticket};
use super::shared::SHARED;

/// Makes a blocking function one that a stage can call: each call runs on a thread of its own.
///
/// `f` may block as it likes, on files, databases or clients that know nothing of `async`, and the executor's
/// threads go on with other work. (An `async` function only makes a future there, which nobody polls.) A
/// stage bounds the calls as it bounds any others.
///
/// # Threads
///
/// All functions that this makes share one pool for the whole process. A thread is started when a call finds
/// none idle, and ends when it was idle for 10 seconds; the last one stays. There are at most 500, or as many as the
/// environment variable `FLOWLET_MAX_THREADS` says (1 to 10,000) at the first call. Calls for which there is
/// no thread wait, and begin in the order of their first polls, where functions take turns as those of
/// [`in_pool`](crate::in_pool#turns) do.
///
/// A thread of this pool is no thread of a runtime: `tokio::runtime::Handle::current()` panics in `f`, and
/// what needs a runtime's timers or sockets does too. Where `f` does, run it on the runtime's own pool,
/// with [`in_blocking(tokio::task::spawn_blocking, f)`](crate::in_blocking), or enter the runtime in `f`
/// with a handle that it has captured.
///
/// # Panics, and calls that are dropped
///
/// A panic in `f` propagates from the call's future, with its payload, and so reaches the consumer of
/// the pipeline. The thread lives on.
///
/// Nothing is done before the future is polled. A call that is dropped before its thread has begun
/// it never begins; its input is dropped with it, and nothing of it stays. One that runs cannot be interrupted:
/// it finishes, and its result, or its panic, is discarded.
///
/// # Waiting for one another
///
/// A call keeps its thread while `f` blocks. If `f` blocks on another call of `in_thread`, as in
/// `block_on(other(input))`, that one needs a thread too. With 500 such calls at once, or `FLOWLET_MAX_THREADS`,
/// none is left for what they wait for: they wait forever, and so does everything else that needs one of
/// these threads. One call less, and all is well. So it does not show in tests, but under load.
///
/// The cure is to have `f` wait for nothing that is async. Call the blocking counterpart, such as
/// [`std::fs::read`]. Or make it a stage of its own upstream or downstream, because a stage waits without a
/// thread. Where neither will do, run `f` elsewhere: with [`in_pool`](crate::in_pool), on a
/// [`ThreadPool`](crate::ThreadPool) of its own, or with [`in_blocking`](crate::in_blocking) on the
/// runtime's pool.
///
/// Files of `smol::fs` and async-fs, and the name resolution of smol, have threads of their own, those of the
/// crate `blocking`. A function under [`in_blocking(blocking::unblock, f)`](crate::in_blocking) shares these, and can
/// deadlock with them in the same way.
///
/// # When the system is short of threads
///
/// The number of threads is often limited: by the `pids.max` of a container, by `ulimit -u`, or by memory. If
/// the system refuses a thread, the call waits for those that are there, and a start is tried again with the next
/// call that comes or begins. Only if there is no thread at all is the call refused: its future panics. That can
/// happen only before the first call has got a thread, as the last one stays. No poll waits or spins.
///
/// A [`ThreadPool`](crate::ThreadPool) has all its threads from the beginning, and says so if it cannot.
///
/// # Deadlines
///
/// A call that is dropped because it is late counts against its stage's limit no longer, while its thread
/// works until `f` returns. With a limit of 2, twenty threads may work so.
///
/// For the threads to keep to a limit, each holds a permit of a [`Semaphore`], which `f` takes with its input.
/// It is given back when `f` returns or panics, or when a call is dropped that has not begun. The time of
/// a call runs from when it has a permit:
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::{Permit, Semaphore, in_thread};
/// use futures_lite::future::or;
/// use smol::Timer;
/// use std::time::Duration;
///
/// fn look_up(id: u32) -> usize {
///     id.to_string().len() // blocks
/// }
///
/// # futures_lite::future::block_on(async {
/// let threads = Semaphore::new(4);
/// let look_up = in_thread(|(id, _permit): (u32, Permit)| look_up(id));
///
/// let in_time = async |id| {
///     let permit = threads.acquire().await; // no time passes yet
///     let found = async { Some(look_up((id, permit)).await) };
///     let late = async {
///         Timer::after(Duration::from_secs(10)).await;
///         None
///     };
///     or(found, late).await
/// };
/// let found = pipe(0..20).filter_map_concurrent(8, in_time).count().await;
/// assert_eq!(found, 20);
/// # });
/// ```
///
/// The limit of the stage is a number or another semaphore: under `&threads` each call would hold a permit
/// and wait for one more, perhaps forever. While stuck calls hold all permits, the others wait, and are not late. If
/// they are to give up, `acquire` needs a deadline as well.
///
/// [`Semaphore`]: crate::Semaphore
///
/// # Examples
///
/// ```
/// use flowlet::in_thread;
/// use flowlet::prelude::*;
///
/// fn count_lines(path: &str) -> std::io::Result<usize> {
///     Ok(std::fs::read_to_string(path)?.lines().count())
/// }
///
/// # futures_lite::future::block_on(async {
/// let lines: Vec<_> = pipe(["Cargo.toml", "LICENSE"])
///     .map_concurrent(8, in_thread(count_lines))
///     .collect()
///     .await;
/// assert!(lines.iter().all(|lines| lines.is_ok()));
/// # });
/// ```
///
/// `f` is shared by the threads. What only one of them may use at a time, such as a connection to a
/// database, goes behind a lock, which with a limit of 1 is never waited for:
///
/// ```
/// use flowlet::in_thread;
/// use flowlet::prelude::*;
/// use std::sync::Mutex;
///
/// # futures_lite::future::block_on(async {
/// let log = Mutex::new(Vec::new()); // or a connection
/// let append = move |line: String| {
///     let mut log = log.lock().unwrap();
///     log.push(line);
///     log.len()
/// };
/// let lines = ["one".to_owned(), "two".to_owned()];
/// let lengths: Vec<usize> = pipe(lines).map_concurrent(1, in_thread(append)).collect().await;
/// assert_eq!(lengths, [1, 2]);
/// # });
/// ```
pub fn in_thread<F, T, U>(f: F) -> impl Fn(T) -> InThread<F, T, U> + Clone + Send + Sync + 'static
where
    F: Fn(T) -> U + Send + Sync + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    let f = Arc::new(f);
    let last_line = Arc::new(LastLine::default());
    move |input| InThread {
        call: Call::new(f.clone(), input),
        last_line: last_line.clone(),
        poll: InThread::poll_call,
    }
}

/// Future of a call made by [`in_thread`].
///
/// # Examples
///
/// ```
/// # futures_lite::future::block_on(async {
/// let double = flowlet::in_thread(|n: u32| 2 * n);
/// assert_eq!(double(21).await, 42);
/// # });
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct InThread<F, T, U> {
    call: Call<F, T, U, Ticket>,
    last_line: Arc<LastLine>,

    /// How it is polled. Kept as a value so that the `Future` impl needs no bounds, which the compiler
    /// could not always prove again in a future that is spawned.
    poll: fn(&mut Self, &mut Context<'_>) -> Poll<U>,
}

// No field is ever pinned.
impl<F, T, U> Unpin for InThread<F, T, U> {}

impl<F, T, U> InThread<F, T, U>
where
    F: Fn(T) -> U + Send + Sync + 'static,
    T: Send + 'static,
    U: Send + 'static,
{
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<U> {
        let Self { call, last_line, .. } = self;
        let output = ready!(call.poll(cx, |job| Some(SHARED.give(last_line, job))));
        let Some(output) = output else {
            panic!("the system starts no thread for a call of `in_thread`, and there is none");
        };
        Poll::Ready(call::output(output))
    }
}

impl<F, T, U> Future for InThread<F, T, U> {
    type Output = U;

    /// # Panics
    ///
    /// Panics if the function did, if there is no thread and the system starts none, or if the future was ready
    /// before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<U> {
        (self.poll)(&mut self, cx)
    }
}

impl<F, T, U> Drop for InThread<F, T, U> {
    fn drop(&mut self) {
        self.call.cancel(|ticket| SHARED.withdraw(&ticket));
    }
}

impl<F, T, U> fmt::Debug for InThread<F, T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InThread").field(&self.call).finish()
    }
}
