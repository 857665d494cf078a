use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_executor::Task;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::format::{Limits, decode};
use super::frame::{Frame, Kind};
use super::function::Signature;
use super::span::CallSpan;
use super::worker::Answer;
use super::workers::Workers;
use super::{Error, Function, ProcessPool, serve};

/// Makes a function one that a stage can call: each call runs in a worker process of the pool.
///
/// The call's future resolves to what the function returned, or to an [`Error`] if it panicked, if the
/// worker died of it, or if something did not cross over. See [the crate](crate) for when that is worth
/// its price, and [`worker`](crate::worker) for what a function finds in a worker.
///
/// The pool bounds what runs at once, whatever the limit of the stage: calls wait for a worker in
/// the order in which their futures were first polled. A stage with a somewhat higher limit than the
/// pool's size keeps all workers busy.
///
/// # Cancel safety and deadlines
///
/// Nothing is done before the future is polled. Then the argument is encoded, and the call goes on
/// whether the future is polled or not. A call that is dropped while it waits for a worker never begins.
/// A call that is dropped while it runs is ended: its worker is killed at once, with no destructors run,
/// and replaced when there is need.
///
/// So a deadline is what your runtime has for any future, and it holds even for code that would never stop
/// by itself. It covers the time that the call waits for a worker: to bound the run alone, have no more calls
/// at once than the pool's size.
///
/// ```
/// use flowlet_process::{Function, ProcessPool, in_process};
/// use futures_lite::future::{block_on, or};
/// use std::time::Duration;
///
/// const SPIN: Function<(), ()> = Function::new("spin", |()| loop {
///     std::hint::spin_loop();
/// });
///
/// fn main() {
///     flowlet_process::worker(&[&SPIN]);
///
///     let pool = ProcessPool::new();
///     let call = async { Some(in_process(&pool, SPIN)(()).await) };
///     let late = async {
///         smol::Timer::after(Duration::from_millis(50)).await;
///         None
///     };
///     assert!(block_on(or(call, late)).is_none());
/// }
/// ```
///
/// On tokio it is `tokio::time::timeout(limit, call)`; there is [an example](crate#on-tokio).
///
/// # Panics
///
/// Panics if the function was not given to [`worker`](crate::worker), or if that was not called. If
/// the pool has a [command](crate::Builder::command) of its own, it cannot be known here, and is an
/// [error](Error::NotRegistered) of the call. In a `#[test]`, see [how to test](crate#in-tests).
///
/// A panic of the function does not propagate, as it would with flowlet's [`in_thread`]. Its payload
/// cannot leave the process, only its message can, and where panics abort it ends the worker. So it is
/// one of the ways for a call to fail.
///
/// [`in_thread`]: https://docs.rs/flowlet/latest/flowlet/fn.in_thread.html
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet_process::{Function, ProcessPool, in_process};
///
/// fn parse(text: String) -> u32 {
///     text.parse().unwrap()
/// }
///
/// const PARSE: Function<String, u32> = Function::new("parse", parse);
///
/// fn main() {
///     flowlet_process::worker(&[&PARSE]);
///
///     let pool = ProcessPool::new();
///     let numbers = pipe(["1", "two", "3"])
///         .map(String::from)
///         .map_concurrent(4, in_process(&pool, PARSE))
///         .filter_map(|parsed| parsed.inspect_err(|error| eprintln!("{error}")).ok());
///     let sum = futures_lite::future::block_on(numbers.fold(0, |sum, n| sum + n));
///     assert_eq!(sum, 4);
/// }
/// ```
#[track_caller]
pub fn in_process<T, U>(
    pool: &ProcessPool,
    function: Function<T, U>,
) -> impl Fn(T) -> InProcess<T, U> + Clone + Send + Sync + use<T, U>
where
    T: Serialize + 'static,
    U: DeserializeOwned + 'static,
{
    let workers = pool.workers().clone();
    if let Err(why) = serve::check(Signature::of(&function), workers.settings.is_foreign) {
        panic!("{why}");
    }
    move |input| InProcess {
        state: State::Waiting(workers.clone(), function, input, CallSpan::current()),
        output: PhantomData,
    }
}

/// Future of a call made by [`in_process`].
///
/// # Examples
///
/// ```
/// use flowlet_process::{Function, ProcessPool, in_process};
///
/// const DOUBLE: Function<u32, u32> = Function::new("double", |n| 2 * n);
///
/// fn main() -> Result<(), flowlet_process::Error> {
///     flowlet_process::worker(&[&DOUBLE]);
///
///     let pool = ProcessPool::new();
///     let double = in_process(&pool, DOUBLE);
///     assert_eq!(futures_lite::future::block_on(double(21))?, 42);
///     Ok(())
/// }
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct InProcess<T, U> {
    state: State<T, U>,
    output: PhantomData<fn() -> U>,
}

enum State<T, U> {
    /// Not polled yet.
    Waiting(Arc<Workers>, Function<T, U>, T, CallSpan),
    /// In the pool's hands. Dropping the task cancels it.
    Running(Task<Answer>, Limits),
    /// Its result was handed out.
    Over,
}

// No field is ever pinned.
impl<T, U> Unpin for InProcess<T, U> {}

impl<T, U> Future for InProcess<T, U>
where
    T: Serialize,
    U: DeserializeOwned,
{
    type Output = Result<U, Error>;

    /// # Panics
    ///
    /// Panics if the future was ready before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<U, Error>> {
        let (mut task, limits) = match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(workers, function, input, span) => {
                let limits = workers.settings.limits;
                (workers.call(encode(&function, input, &span, limits)?)?, limits)
            }
            State::Running(task, limits) => (task, limits),
            State::Over => panic!("`InProcess` polled after it was ready"),
        };
        let polled = Pin::new(&mut task).poll(cx);
        if polled.is_pending() {
            self.state = State::Running(task, limits);
        }
        let output = ready!(polled)?;
        Poll::Ready(decode(&output, limits).map_err(|why| Error::Output(why.of::<U>())))
    }
}

fn encode<T: Serialize, U>(
    function: &Function<T, U>,
    input: T,
    span: &CallSpan,
    limits: Limits,
) -> Result<Frame, Error> {
    let mut frame = Frame::new(Kind::Call);
    Signature::of(function)
        .push_to(&mut frame)
        .and_then(|()| frame.push(&(span.id(), limits.depth, limits.bytes), Limits::NONE))
        .and_then(|()| frame.push(&input, limits))
        .map_err(|why| Error::Argument(why.of::<T>()))?;
    Ok(frame)
}

impl<T, U> fmt::Debug for InProcess<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waiting(..) => "Waiting",
            State::Running(..) => "Running",
            State::Over => "Over",
        };
        f.debug_tuple("InProcess").field(&format_args!("{state}")).finish()
    }
}
