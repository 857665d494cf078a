use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_lite::FutureExt;
use futures_lite::future::{Boxed, BoxedLocal};

use super::handle::{Handle, Task, task};
use super::span::CallSpan;

/// Makes an async function one whose calls run as tasks of an executor, on its threads.
///
/// A pipeline is polled by one task, so its calls share one core, and stand still while nobody polls
/// it. A call that is a task goes on by itself, and as many run at once as the executor has threads.
/// A stage bounds the calls as it bounds any others.
///
/// `spawn` has the executor run a boxed future, and is called once per call:
///
/// | executor | `spawn` |
/// | --- | --- |
/// | tokio | `tokio::spawn` |
/// | a tokio runtime, from outside of it | `move \|task\| handle.spawn(task)` |
/// | smol | `smol::spawn` |
/// | async-std | `async_std::task::spawn` |
/// | an `async_executor::Executor` | `\|task\| executor.spawn(task)` |
///
/// What it returns, a `JoinHandle` or a `Task`, is kept as long as the call, and dropped when the call is
/// over or dropped. Nothing else is done with it. So a task that is cancelled with its handle, as smol's
/// is, lives as long as it is wanted and need not be detached. It may return `()` as well.
///
/// `f` is called in the task as well, so all that it does is done there. It, its input and its output
/// go to another thread; for what is `!Send` there is [`in_local_task`]. Smol has one thread unless
/// the environment variable `SMOL_THREADS` says otherwise.
///
/// A task costs two allocations more than what the executor makes of it, and a wake from thread to
/// thread. Calls that mostly wait are cheaper without.
///
/// # Drop
///
/// Nothing is spawned before the future is polled. Dropping the future cancels the call: its task is
/// woken, and in its next turn on the executor drops the call without running any more of it. A task
/// that has a thread at that moment goes on until its call awaits or is over; an output that comes
/// too late is dropped there.
///
/// # Panics
///
/// A panic in `f`, in its future, or when that is dropped, comes out of the call's future, with its
/// payload, and so reaches the consumer of the pipeline. The executor never sees it. Once the future
/// was dropped there is nobody to tell, and a panic is discarded.
///
/// The call's future panics also if `spawn` does, as [`tokio::spawn`] does outside of a runtime; and
/// if the task is dropped before the call is over, by `spawn` or by an executor that is shut down.
///
/// [`tokio::spawn`]: https://docs.rs/tokio/latest/tokio/task/fn.spawn.html
///
/// # Examples
///
/// ```
/// use flowlet::in_task;
/// use flowlet::prelude::*;
///
/// async fn checksum(block: Vec<u8>) -> u32 {
///     block.iter().fold(0, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte))
/// }
///
/// # smol::block_on(async {
/// let sums: Vec<u32> = pipe([vec![1], vec![2, 3]])
///     .map_concurrent(8, in_task(smol::spawn, checksum))
///     .collect()
///     .await;
/// assert_eq!(sums.len(), 2);
/// # });
/// ```
///
/// `spawn` may borrow, here an executor that ends with the function:
///
/// ```
/// use flowlet::in_task;
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let executor = async_executor::Executor::new();
/// let double = in_task(|task| executor.spawn(task), async |n: u32| 2 * n);
///
/// let numbers = pipe([1, 2, 3]).map_concurrent(2, double);
/// let sum = executor.run(numbers.fold(0, |sum, n| sum + n)).await;
/// assert_eq!(sum, 12);
/// # });
/// ```
pub fn in_task<Spawn, H, F, T, Fut>(
    spawn: Spawn,
    f: F,
) -> impl Fn(T) -> InTask<Spawn, Boxed<()>, Fut::Output, H> + Clone
where
    Spawn: Fn(Boxed<()>) -> H,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    T: Send + 'static,
    Fut: Future<Output: Send> + Send + 'static,
{
    let (spawn, f) = (Arc::new(spawn), Arc::new(f));
    move |input| {
        let (task, handle) = call(&f, input);
        InTask::new(spawn.clone(), task.boxed(), handle)
    }
}

/// Makes an async function one whose calls run as tasks of an executor on the same thread.
///
/// As [`in_task`], for functions, futures and data that are `!Send`. The calls share one core; what
/// is gained is that they go on by themselves while nobody polls the pipeline.
///
/// | executor | `spawn` |
/// | --- | --- |
/// | in a tokio `LocalSet` | `tokio::task::spawn_local` |
/// | an `async_executor::LocalExecutor` | `\|task\| executor.spawn(task)` |
///
/// # Panics
///
/// As with [`in_task`].
///
/// # Examples
///
/// ```
/// use flowlet::in_local_task;
/// use flowlet::prelude::*;
/// use std::rc::Rc;
///
/// # futures_lite::future::block_on(async {
/// let executor = async_executor::LocalExecutor::new();
/// let length = in_local_task(|task| executor.spawn(task), async |word: Rc<str>| word.len());
///
/// let lengths = pipe(["a", "few", "words"]).map(Rc::from).map_concurrent(2, length);
/// let sum = executor.run(lengths.fold(0, |sum, n| sum + n)).await;
/// assert_eq!(sum, 9);
/// # });
/// ```
pub fn in_local_task<Spawn, H, F, T, Fut>(
    spawn: Spawn,
    f: F,
) -> impl Fn(T) -> InTask<Spawn, BoxedLocal<()>, Fut::Output, H> + Clone
where
    Spawn: Fn(BoxedLocal<()>) -> H,
    F: Fn(T) -> Fut + 'static,
    T: 'static,
    Fut: Future + 'static,
{
    let (spawn, f) = (Arc::new(spawn), Arc::new(f));
    move |input| {
        let (task, handle) = call(&f, input);
        InTask::new(spawn.clone(), task.boxed_local(), handle)
    }
}

/// Makes the task of one call.
fn call<F, T, Fut>(
    f: &Arc<F>,
    input: T,
) -> (Task<impl Future<Output = Fut::Output> + use<F, T, Fut>>, Handle<Fut::Output>)
where
    F: Fn(T) -> Fut,
    Fut: Future,
{
    let f = f.clone();
    task(CallSpan::current().follow(async move { f(input).await }))
}

/// Future of a call made by [`in_task`] or [`in_local_task`], which give `spawn` a `Task` and keep the
/// `H` that it returns.
///
/// # Examples
///
/// ```
/// # smol::block_on(async {
/// let double = flowlet::in_task(smol::spawn, async |n: u32| 2 * n);
/// assert_eq!(double(21).await, 42);
/// # });
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct InTask<Spawn, Task, U, H = ()> {
    /// Until the first poll.
    unspawned: Option<(Arc<Spawn>, Task)>,

    /// Until the output was handed out. Dropping it cancels the task.
    handle: Option<Handle<U>>,

    /// What `spawn` returned, for as long as the call. Dropping it may cancel the task.
    spawned: Option<H>,

    /// How `spawn` is called. Kept as a value so that the `Future` impl needs no bounds, which the
    /// compiler could not always prove again in a future that is spawned.
    call: fn(&Spawn, Task) -> H,
}

impl<Spawn, Task, U, H> InTask<Spawn, Task, U, H> {
    fn new(spawn: Arc<Spawn>, task: Task, handle: Handle<U>) -> Self
    where
        Spawn: Fn(Task) -> H,
    {
        let call: fn(&Spawn, Task) -> H = |spawn, task| spawn(task);
        Self { unspawned: Some((spawn, task)), handle: Some(handle), spawned: None, call }
    }
}

// No field is ever pinned.
impl<Spawn, Task, U, H> Unpin for InTask<Spawn, Task, U, H> {}

impl<Spawn, Task, U, H> Future for InTask<Spawn, Task, U, H> {
    type Output = U;

    /// # Panics
    ///
    /// Panics if the function or `spawn` did, if the executor dropped the task, or if the future was
    /// ready before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<U> {
        if let Some((spawn, task)) = self.unspawned.take() {
            self.spawned = Some((self.call)(&spawn, task));
        }
        let handle = self.handle.as_mut().expect("`InTask` polled after it was ready");
        let outcome = ready!(handle.poll(cx));
        self.handle = None;
        self.spawned = None;
        Poll::Ready(outcome.output())
    }
}

impl<Spawn, Task, U, H> fmt::Debug for InTask<Spawn, Task, U, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (&self.unspawned, &self.handle) {
            (Some(_), _) => "Waiting",
            (None, Some(_)) => "Running",
            (None, None) => "Over",
        };
        f.debug_tuple("InTask").field(&format_args!("{state}")).finish()
    }
}
