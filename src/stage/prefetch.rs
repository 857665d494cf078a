use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::future::{Boxed, FutureExt, yield_now};
use futures_lite::{Stream, StreamExt};

use super::driven::Driven;
use super::fused::fused;
use super::styles::styles;
use crate::FlowExt;
use crate::dropped;
use crate::engine::{self, InARow};
use crate::place::handle::{Handle, task};
use crate::place::queue::{Receiver, Sender, queue};
use crate::place::span::CallSpan;
use crate::semaphore::{Permit, Semaphore};
use crate::size_hint::{SizeHint, exactly};

/// How many items the task pulls before it lets the executor run something else.
const BUDGET: usize = 32;

/// How many panics may wait for the consumer while upstream stages continue. If every call panicked, there would be no
/// end to them.
const PANICS: usize = 16;

/// Stream returned by [`FlowExt::prefetch`].
///
/// `S` is the upstream, `Spawn` the function that spawns, and `H` what it returns. The items `T` follow from
/// the upstream.
///
/// # Examples
///
/// ```
/// use flowlet::{Pipe, prelude::*, stage::Prefetch};
/// use futures_lite::{future, stream};
///
/// type Zeros = Pipe<stream::Repeat<u8>>;
/// type Spawn = fn(future::Boxed<()>) -> smol::Task<()>;
///
/// let zeros: Prefetch<Zeros, Spawn, smol::Task<()>> =
///     pipe(stream::repeat(0)).prefetch(8, smol::spawn as Spawn);
/// # drop(zeros);
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Prefetch<S: Stream, Spawn, H = (), T = <S as Stream>::Item> {
    limit: usize,
    state: State<S, T, Spawn, H>,
    in_a_row: InARow,

    /// How it is polled: a value, as in a `Stage` of the engine, and for the same reason.
    poll: fn(Pin<&mut Self>, &mut Context<'_>) -> Poll<Option<T>>,
}

enum State<S, T, Spawn, H> {
    /// Not polled yet.
    Waiting(S, Spawn),
    /// Upstream is in the task.
    Running(Running<T, H>),
    /// Everything was yielded.
    Ended,
}

/// The consumer's side of the task.
struct Running<T, H> {
    // Before the items, so that the task is cancelled before dropping those makes room.
    task: Handle<()>,

    /// What `spawn` returned. Dropping it may cancel the task.
    _spawned: H,

    /// Pulled items, in their order.
    pulled: Receiver<Message<T>>,

    /// An item that arrived in an advance.
    kept: Option<(T, Permit)>,

    places: Places,

    /// How many items are still to be yielded, by what upstream said at the beginning.
    expected: SizeHint,
}

/// The room for items and panics.
#[derive(Clone)]
struct Places {
    /// Full while a panic waits: the consumer decides whether upstream is polled again.
    items: Semaphore,
    panics: Semaphore,
}

/// A message from the task: an item or a panic, with the place it takes.
type Message<T> = Result<(T, Permit), (Box<dyn Any + Send>, Permit)>;

/// Rejects a limit that could never pull an item.
#[track_caller]
fn checked_limit(limit: usize) -> usize {
    assert!(limit > 0, "the number of items to prefetch must be at least 1");
    limit
}

impl<S, Spawn, H, T> Prefetch<S, Spawn, H, T>
where
    S: Stream<Item = T> + Send + 'static,
    T: Send + 'static,
    Spawn: FnOnce(Boxed<()>) -> H,
{
    #[track_caller]
    pub(crate) fn new(stream: S, limit: usize, spawn: Spawn) -> Self {
        Self {
            limit: checked_limit(limit),
            state: State::Waiting(stream, spawn),
            in_a_row: InARow::default(),
            poll: Self::poll,
        }
    }

    /// Spawns the task.
    fn start(stream: S, limit: usize, spawn: Spawn) -> Running<T, H> {
        let expected = stream.size_hint();
        let places = Places { items: Semaphore::new(limit), panics: Semaphore::new(PANICS) };
        // It never holds more than there are places.
        let (sender, pulled) = queue();
        let (task, handle) =
            task(CallSpan::current().follow(fill(Driven::new(stream), places.clone(), sender)));
        let spawned = spawn(task.boxed());
        Running { task: handle, _spawned: spawned, pulled, kept: None, places, expected }
    }
}

/// Pulls whenever there is room, until upstream ends or the consumer is gone.
async fn fill<S, T>(mut stream: Driven<S, T>, places: Places, pulled: Sender<Message<T>>)
where
    S: Stream<Item = T>,
{
    for count in 1_usize.. {
        let pull = pull(&mut stream, &places.items);
        let message = match AssertUnwindSafe(pull).catch_unwind().await {
            Ok(Some(item)) => Ok(item),
            Ok(None) => return,
            Err(panic) => {
                let place = places.panics.acquire().await;
                places.items.set_limit(0);
                Err((panic, place))
            }
        };
        if pulled.push(message).is_err() {
            return;
        }
        if count % BUDGET == 0 {
            yield_now().await;
        }
    }
}

/// Pulls one item as soon as there is room, and keeps upstream stages running until then.
async fn pull<S, T>(stream: &mut Driven<S, T>, room: &Semaphore) -> Option<(T, Permit)>
where
    S: Stream<Item = T>,
{
    let place = stream.alongside(room.acquire()).await;
    let item = stream.next().await?;
    Some((item, place))
}

impl<T, H> Running<T, H> {
    /// Returns how many items were pulled and not yielded.
    fn waiting(&self) -> usize {
        let waiting = self.pulled.len().saturating_sub(self.places.panics.in_use());
        waiting + usize::from(self.kept.is_some())
    }

    fn size_hint(&self) -> SizeHint {
        let (lower, upper) = self.expected;
        (lower.max(self.waiting()), upper)
    }

    /// Makes room for one more.
    fn hand_on(&mut self, (item, place): (T, Permit)) -> T {
        let (lower, upper) = self.expected;
        self.expected = (lower.saturating_sub(1), upper.map(|upper| upper.saturating_sub(1)));
        drop(place);
        item
    }
}

impl<T, H> Drop for Running<T, H> {
    fn drop(&mut self) {
        dropped::note(|dropped| dropped.outputs += self.waiting());
    }
}

// Upstream is not pinned before it is in the task.
impl<S: Stream, Spawn, H, T> Unpin for Prefetch<S, Spawn, H, T> {}

impl<S: Stream, Spawn, H, T> Stream for Prefetch<S, Spawn, H, T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        (self.poll)(self, cx)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Waiting(stream, _) => stream.size_hint(),
            State::Running(running) => running.size_hint(),
            State::Ended => exactly(0),
        }
    }
}

impl<S, Spawn, H, T> Prefetch<S, Spawn, H, T>
where
    S: Stream<Item = T> + Send + 'static,
    T: Send + 'static,
    Spawn: FnOnce(Boxed<()>) -> H,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let answer = engine::answer(cx.waker());
        if self.in_a_row.gives_way(&answer, cx) {
            return Poll::Pending;
        }
        let Some(budget) = answer.budget.checked_sub(1) else {
            cx.waker().wake_by_ref();
            answer.finish(0, false);
            return Poll::Pending;
        };
        let polled = self.as_mut().turn(answer.advanced(), cx);
        self.in_a_row.note(&polled);
        answer.finish(budget, matches!(polled, Poll::Ready(None)));
        polled
    }

    /// Takes an item, or keeps it if this is an advance.
    fn turn(mut self: Pin<&mut Self>, advanced: bool, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        if let State::Waiting(..) = this.state {
            if let State::Waiting(stream, spawn) = mem::replace(&mut this.state, State::Ended) {
                this.state = State::Running(Self::start(stream, this.limit, spawn));
            }
        }
        let State::Running(running) = &mut this.state else {
            return Poll::Ready(None);
        };
        let item = match running.kept.take() {
            Some(item) => item,
            None => match ready!(running.pulled.poll_pop(cx)) {
                Some(Ok(item)) => item,
                Some(Err((panic, place))) => {
                    // Nobody knows what else is to come.
                    running.expected.0 = 0;
                    drop(place);
                    if running.places.panics.in_use() == 0 {
                        running.places.items.set_limit(this.limit);
                    }
                    resume_unwind(panic);
                }
                None => {
                    let outcome = ready!(running.task.poll(cx));
                    this.state = State::Ended;
                    outcome.output();
                    return Poll::Ready(None);
                }
            },
        };
        if advanced {
            running.kept = Some(item);
            return Poll::Pending;
        }
        Poll::Ready(Some(running.hand_on(item)))
    }
}

fused!([S: Stream, Spawn, H, T] Prefetch<S, Spawn, H, T>: |stage| matches!(stage.state, State::Ended));

impl<S: Stream + fmt::Debug, Spawn, H, T> fmt::Debug for Prefetch<S, Spawn, H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut prefetch = f.debug_struct("Prefetch");
        prefetch.field("limit", &self.limit);
        match &self.state {
            State::Waiting(stream, _) => prefetch.field("upstream", stream).finish_non_exhaustive(),
            State::Running(running) => {
                prefetch.field("waiting", &running.waiting()).finish_non_exhaustive()
            }
            State::Ended => {
                prefetch.field("upstream", &format_args!("Ended")).finish_non_exhaustive()
            }
        }
    }
}

styles! {
    /// Runs everything upstream as a task of its own, which pulls up to `limit` items ahead: see
    /// [`FlowExt::prefetch`]. `spawn` is called once for each stream.
    fn prefetch(limit: usize = checked_limit(limit); spawn: Spawn);

    flow [U: Send + 'static] U => [Spawn, H] U
    where [Spawn: Fn(Boxed<()>) -> H + Send + Sync + 'static, H: Send + 'static]
    by |stream| stream.prefetch(limit, move |task| spawn(task));

    functional [S, Spawn, H] impl Fn(S) -> Prefetch<S, Spawn, H>
    where [S: Stream<Item: Send> + Send + 'static, Spawn: FnOnce(Boxed<()>) -> H + Clone]
    by |stream| stream.prefetch(limit, spawn);
}
