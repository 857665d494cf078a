use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::call::{self, Call};

/// Makes a blocking function one that a stage can call: each call runs on a thread of its own.
///
/// `f` may block as it likes, on files, databases or clients that know nothing of `async`, and the executor's
/// threads go on with other work. (An `async` function only makes a future there, which nobody polls.) A
/// stage bounds the calls as it bounds any others.
///
/// # Threads
///
/// The threads are those of the [`blocking`] crate, one pool for the whole process, shared with
/// smol, async-fs and whatever else uses it. There are at most 500, or as many as the environment
/// variable `BLOCKING_MAX_THREADS` says (1 to 10,000) when the pool is first used; a call for which
/// there is no thread waits for one. They are started when needed, and whether an idle one ends is
/// up to the version of `blocking`: 1.6 ends it after half a second, 1.7.0 keeps it for the life of
/// the process. So a stage's limit is also a fair guess at the number of threads that stay.
///
/// If the system may run short of threads, or `f` waits for other work on these threads, use a pool of your own:
/// see [below](#when-the-system-is-short-of-threads).
///
/// A thread of this pool is no thread of a runtime: `tokio::runtime::Handle::current()` panics in `f`, and
/// what needs a runtime's timers or sockets does too. Where `f` does, run it on the runtime's own pool,
/// with [`in_blocking(tokio::task::spawn_blocking, f)`](crate::in_blocking), or enter the runtime in `f`
/// with a handle that it has captured.
///
/// # Panics, and calls that are dropped
///
/// A panic in `f` comes out of the call's future, with its payload, and so reaches the consumer of
/// the pipeline. The thread lives on.
///
/// Nothing is done before the future is polled. A call that is dropped before its thread has begun
/// it never begins, and its input is dropped with it. A few bytes of it stay in the queue of `blocking` until
/// a thread gets to them; those of [`in_pool`](crate::in_pool) leave nothing. One that runs cannot be interrupted:
/// it finishes, and its result, or its panic, is discarded.
///
/// # Waiting for one another
///
/// A call keeps its thread while `f` blocks. It can deadlock if it blocks on something that needs a thread of
/// the same pool:
///
/// - another call of `in_thread`, as in `block_on(other(input))`;
/// - files of `smol::fs` or async-fs;
/// - name resolution of `smol::net` or async-net, also inside of `TcpStream::connect("host:port")`;
/// - whatever else calls `blocking::unblock`.
///
/// It takes as many such calls at once as there are threads, 500 or `BLOCKING_MAX_THREADS`: then none is left
/// for what they wait for. They wait forever, and so does everything else that needs one of these threads. One
/// call less, and all is well. So it does not show in tests, but under load.
///
/// The cure is to have `f` wait for nothing that is async. Call the blocking counterpart, such as
/// [`std::fs::read`]. Or make it a stage of its own upstream or downstream, because a stage waits without a
/// thread. Where neither will do, run `f` elsewhere: with [`in_pool`](crate::in_pool), on a
/// [`ThreadPool`](crate::ThreadPool) of its own, or with [`in_blocking`](crate::in_blocking) on the
/// runtime's pool.
///
/// # When the system is short of threads
///
/// The number of threads is often limited: by the `pids.max` of a container, by `ulimit -u`, or by memory. If
/// the system refuses a thread that a call needs, `blocking` (seen with 1.6.2 and 1.7.0) asks again
/// and again without a pause, while it holds the lock of its pool:
///
/// - The call's first poll does not return until there is a thread. The executor's thread is lost for as long,
///   and a core is busy with asking. If it is the threads of your own program that use up the limit, it
///   does not end.
/// - Calls that run can finish, but their threads begin no others.
/// - With 1.7.0 the pool never again grows beyond the threads it had when it was refused one. After a shortage
///   of a moment it may run one call at a time for the life of the process, whatever the limits of the stages are.
///   `blocking::set_max_blocking_threads` lifts that.
///
/// Measured with 1.7.0, where the address space had no room for a stack for 3 s: the poll returned after 3 s, in
/// which it used 1.4 to 2.5 s of processor time. From then on a stage with a limit of 50 ran 1 call at a time,
/// or 2 where 2 threads had been there before.
///
/// There is no way around it from outside: nothing tells whether `blocking` is about to start a thread. Where a
/// shortage is possible, choose one of these:
///
/// | place | when the system has no thread left |
/// | --- | --- |
/// | [`in_pool`](crate::in_pool) | calls wait for the pool's threads, which were all started when the pool was made; if they could not be, [`ThreadPool::new`](crate::ThreadPool::new) returned the error |
/// | [`in_blocking(tokio::task::spawn_blocking, f)`](crate::in_blocking) | calls wait for the threads that tokio has; if it has none, the call panics |
/// | `in_thread`, with `BLOCKING_MAX_THREADS` set so low that the system always grants that many | calls wait for one of these, and no other is asked for |
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
/// and wait for one more, perhaps for ever. While stuck calls hold all permits, the others wait, and are not late. If
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
    move |input| InThread { call: Call::new(f.clone(), input), poll: InThread::poll_call }
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
    call: Call<F, T, U, ()>,

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
        let output = ready!(self.call.poll(cx, |job| {
            // Detached, it does nothing once its call was dropped.
            blocking::unblock(move || job.run(|| ())).detach();
            Some(())
        }));
        Poll::Ready(call::output(output.expect("the threads refuse no call")))
    }
}

impl<F, T, U> Future for InThread<F, T, U> {
    type Output = U;

    /// # Panics
    ///
    /// Panics if the function did, or if the future was ready before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<U> {
        (self.poll)(&mut self, cx)
    }
}

impl<F, T, U> fmt::Debug for InThread<F, T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InThread").field(&self.call).finish()
    }
}
