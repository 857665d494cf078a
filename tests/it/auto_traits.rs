//! What is `Send`, `Sync`, `Unpin` and safe across unwinding, and that everything is `Debug`
//! whatever the closures and futures are.
//!
//! All of it is decided by the compiler. Nothing of what the `traits!` lines make is ever run.

use std::cell::Cell;
use std::future::{self, Future};
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use flowlet::stage::{
    Alongside, Batched, BatchedByWeight, Drain, Driven, ExpandConcurrent, FilterMapConcurrent,
    FlatMapConcurrent, Frontier, MapConcurrent, Opened, Opening, Prefetch, TakeUntilStopped,
    TryBatched, TryBatchedByWeight, TryDrain, TryFilterMapConcurrent, TryFlatMapConcurrent,
    TryMapConcurrent,
};
use flowlet::{
    Acquire, Adaptive, Concurrency, Entry, Expand, Flow, FlowExt, InPool, InTask, InThread, Permit,
    Pipe, Semaphore, ThreadLocal, ThreadPool, ThreadPoolBuilder, TryFlowExt, errors_in_turn,
    in_local_task, in_pool, in_task, in_thread, ordered, pipe, via,
};
use futures_lite::{Stream, StreamExt, stream};

/// `Send` and `Sync`.
type Yes = u8;
/// `Send`, not `Sync`.
type NoSync = Cell<u8>;
/// Neither.
type No = Rc<u8>;

/// A stream, future and function of `T` that is what `M` is.
struct Fake<T, M>(M, PhantomData<fn() -> T>);

impl<T, M> Stream for Fake<T, M> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        unreachable!()
    }
}

/// The same as a future.
struct FakeFuture<T, M>(M, PhantomData<fn() -> T>);

impl<T, M> Future for FakeFuture<T, M> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        unreachable!()
    }
}

/// A value of any type, in code that is compiled and never run.
fn some<T>() -> T {
    unreachable!()
}

/// A marker for the second of two implementations, which makes a call ambiguous.
struct Ambiguous;

macro_rules! ambiguous_if {
    ($($name:ident: $bound:ident),*) => { $(
        trait $name<Which> {
            fn not(&self) {}
        }
        impl<T: ?Sized> $name<()> for T {}
        impl<T: ?Sized + $bound> $name<Ambiguous> for T {}
    )* };
}

ambiguous_if!(
    NotSend: Send,
    NotSync: Sync,
    NotUnpin: Unpin,
    NotUnwindSafe: UnwindSafe,
    NotRefUnwindSafe: RefUnwindSafe
);

/// Has the compiler check what the type of a value is, and is not.
macro_rules! traits {
    ($value:expr => $($traits:tt)*) => {
        let _ = || {
            let value = $value;
            traits!(@ value $($traits)*);
        };
    };
    (@ $value:ident) => { let _value = $value; };
    (@ $value:ident !Send $($rest:tt)*) => { NotSend::not(&$value); traits!(@ $value $($rest)*); };
    (@ $value:ident !Sync $($rest:tt)*) => { NotSync::not(&$value); traits!(@ $value $($rest)*); };
    (@ $value:ident !Unpin $($rest:tt)*) => { NotUnpin::not(&$value); traits!(@ $value $($rest)*); };
    (@ $value:ident !UnwindSafe $($rest:tt)*) => {
        NotUnwindSafe::not(&$value);
        traits!(@ $value $($rest)*);
    };
    (@ $value:ident !RefUnwindSafe $($rest:tt)*) => {
        NotRefUnwindSafe::not(&$value);
        traits!(@ $value $($rest)*);
    };
    (@ $value:ident $bound:ident $($rest:tt)*) => {
        {
            fn is<T: $bound>(_: &T) {}
            is(&$value);
        }
        traits!(@ $value $($rest)*);
    };
}

type Map<S, F, Fut> = MapConcurrent<S, F, Fut>;
type Filter<S, F, Fut, T> = FilterMapConcurrent<S, F, Fut, T>;
type Flat<S, F, E> = FlatMapConcurrent<S, F, E, via::Stream>;
type Up<T = Yes, M = Yes> = Fake<T, M>;
type Fut<T = Yes, M = Yes> = FakeFuture<T, M>;

#[test]
fn map_concurrent_is_what_its_parts_are() {
    traits!(some::<Map<Up, Yes, Fut>>() => Send Sync Unpin);
    // The stream, its items, the function, the future, its output.
    traits!(some::<Map<Up<Yes, No>, Yes, Fut>>() => !Send !Sync);
    traits!(some::<Map<Up<No>, Yes, Fut>>() => !Send !Sync);
    traits!(some::<Map<Up, No, Fut>>() => !Send !Sync);
    traits!(some::<Map<Up, Yes, Fut<Yes, No>>>() => !Send !Sync);
    traits!(some::<Map<Up, Yes, Fut<No>>>() => !Send !Sync);
    traits!(some::<Map<Up<Yes, NoSync>, Yes, Fut>>() => Send !Sync);
    traits!(some::<Map<Up<NoSync>, Yes, Fut>>() => Send !Sync);
    traits!(some::<Map<Up, NoSync, Fut>>() => Send !Sync);
    traits!(some::<Map<Up, Yes, Fut<Yes, NoSync>>>() => Send !Sync);
    traits!(some::<Map<Up, Yes, Fut<NoSync>>>() => Send !Sync);
    // Only the stream is pinned in the stage itself.
    traits!(some::<Map<Up<PhantomPinned>, PhantomPinned, Fut<PhantomPinned, PhantomPinned>>>()
        => Unpin);
    traits!(some::<Map<Up<Yes, PhantomPinned>, Yes, Fut>>() => !Unpin);
}

#[test]
fn filter_map_concurrent_is_what_its_parts_are() {
    traits!(some::<Filter<Up, Yes, Fut<Option<Yes>>, Yes>>() => Send Sync Unpin);
    traits!(some::<Filter<Up<Yes, No>, Yes, Fut<Option<Yes>>, Yes>>() => !Send !Sync);
    traits!(some::<Filter<Up<No>, Yes, Fut<Option<Yes>>, Yes>>() => !Send !Sync);
    traits!(some::<Filter<Up, No, Fut<Option<Yes>>, Yes>>() => !Send !Sync);
    traits!(some::<Filter<Up, Yes, Fut<Option<Yes>, No>, Yes>>() => !Send !Sync);
    traits!(some::<Filter<Up, Yes, Fut<Option<No>>, No>>() => !Send !Sync);
    traits!(some::<Filter<Up, Yes, Fut<Option<NoSync>>, NoSync>>() => Send !Sync);
    type Pinned = PhantomPinned;
    traits!(some::<Filter<Up<Pinned>, Pinned, Fut<Option<Pinned>, Pinned>, Pinned>>() => Unpin);
    traits!(some::<Filter<Up<Yes, Pinned>, Yes, Fut<Option<Yes>>, Yes>>() => !Unpin);
}

#[test]
fn flat_map_concurrent_is_what_its_parts_are() {
    traits!(some::<Flat<Up, Yes, Up>>() => Send Sync Unpin);
    traits!(some::<Flat<Up<Yes, No>, Yes, Up>>() => !Send !Sync);
    traits!(some::<Flat<Up<No>, Yes, Up>>() => !Send !Sync);
    traits!(some::<Flat<Up, No, Up>>() => !Send !Sync);
    traits!(some::<Flat<Up, Yes, Up<Yes, No>>>() => !Send !Sync);
    traits!(some::<Flat<Up, Yes, Up<No>>>() => !Send !Sync);
    traits!(some::<Flat<Up, Yes, Up<NoSync>>>() => Send !Sync);
    traits!(some::<Flat<Up<PhantomPinned>, PhantomPinned, Up<PhantomPinned, PhantomPinned>>>()
        => Unpin);
    traits!(some::<Flat<Up<Yes, PhantomPinned>, Yes, Up>>() => !Unpin);
    // An iterable is held as an iterator: it need not be `Send` itself.
    type Values<T> = FlatMapConcurrent<Up, Yes, Vec<T>, via::Iterable>;
    traits!(some::<Values<Yes>>() => Send Sync Unpin);
    traits!(some::<Values<No>>() => !Send !Sync);
    type Opened<T, M> = FlatMapConcurrent<Up, Yes, Fut<Up<T>, M>, via::Future<via::Stream>>;
    traits!(some::<Opened<Yes, Yes>>() => Send Sync Unpin);
    traits!(some::<Opened<Yes, PhantomPinned>>() => Send Sync Unpin);
    traits!(some::<Opened<No, Yes>>() => !Send !Sync);
    traits!(some::<Opened<Yes, No>>() => !Send !Sync);
}

#[test]
fn frontiers_and_entries_are_what_their_items_are() {
    // Under a lock items need not be `Sync`.
    traits!(some::<Frontier<NoSync>>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    traits!(some::<Entry<NoSync>>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    traits!(some::<Frontier<No>>() => !Send !Sync);
    traits!(some::<Entry<No>>() => !Send !Sync);
    traits!(some::<(Frontier<PhantomPinned>, Entry<PhantomPinned>)>() => Unpin);
}

#[test]
fn expand_concurrent_is_what_its_parts_are() {
    type Expand<S, F, Fut> = ExpandConcurrent<S, F, Fut, Yes>;
    type Grows<M = Yes> = Fut<(Yes, [Yes; 1]), M>;
    traits!(some::<Expand<Up, Yes, Grows>>() => Send Sync Unpin);
    traits!(some::<Expand<Up<Yes, No>, Yes, Grows>>() => !Send !Sync);
    traits!(some::<Expand<Up<No>, Yes, Grows>>() => !Send !Sync);
    traits!(some::<Expand<Up, No, Grows>>() => !Send !Sync);
    traits!(some::<Expand<Up, Yes, Grows<No>>>() => !Send !Sync);
    traits!(some::<Expand<Up<NoSync>, Yes, Grows>>() => Send !Sync);
    traits!(some::<Expand<Up<PhantomPinned>, PhantomPinned, Grows<PhantomPinned>>>() => Unpin);
    traits!(some::<Expand<Up<Yes, PhantomPinned>, Yes, Grows>>() => !Unpin);
}

#[test]
fn filter_concurrent_is_what_its_parts_are() {
    traits!(some::<Up>().filter_concurrent(1, async |_| true) => Send Sync Unpin);
    traits!(some::<Up<Yes, No>>().filter_concurrent(1, async |_| true) => !Send !Sync);
    traits!(some::<Up<No>>().filter_concurrent(1, async |_| true) => !Send !Sync);
    traits!(
        {
            let captured = some::<No>();
            some::<Up>().filter_concurrent(1, async move |n| *n == *captured)
        } => !Send !Sync
    );
    // In a function of its own: what a future holds is known when its function is through.
    fn holding_across_await() -> impl Stream<Item = Yes> {
        some::<Up>().filter_concurrent(1, async |_| {
            let held = some::<No>();
            future::ready(()).await;
            *held == 0
        })
    }
    traits!(holding_across_await() => !Send !Sync);
    // Calls share the predicate and borrow their item, so `Send` takes a predicate that is `Sync`,
    // and items that are.
    traits!(
        {
            let captured = some::<NoSync>();
            some::<Up>().filter_concurrent(1, async move |n| *n == captured.get())
        } => !Send !Sync
    );
    traits!(
        some::<Up<Yes, PhantomPinned>>().filter_concurrent(1, async |_| true) => Send Sync !Unpin
    );
}

#[test]
fn inspect_concurrent_is_what_its_parts_are() {
    traits!(some::<Up>().inspect_concurrent(1, async |_| ()) => Send Sync Unpin);
    traits!(some::<Up<Yes, No>>().inspect_concurrent(1, async |_| ()) => !Send !Sync);
    traits!(some::<Up<No>>().inspect_concurrent(1, async |_| ()) => !Send !Sync);
    traits!(
        {
            let captured = some::<NoSync>();
            some::<Up>().inspect_concurrent(1, async move |n| captured.set(*n))
        } => !Send !Sync
    );
}

/// Upstream and the function, as they are said of the stages that know no errors, and the error.
#[test]
fn try_stages_are_what_their_parts_are() {
    type Res<T, E = Yes> = Result<T, E>;
    type Map<S, F, Fut, E = Yes> = TryMapConcurrent<S, F, Fut, Yes, E>;
    traits!(some::<Map<Up<Res<Yes>>, Yes, Fut<Res<Yes>>>>() => Send Sync Unpin);
    traits!(some::<Map<Up<Res<Yes>, No>, Yes, Fut<Res<Yes>>>>() => !Send !Sync);
    traits!(some::<Map<Up<Res<No>>, Yes, Fut<Res<Yes>>>>() => !Send !Sync);
    traits!(some::<Map<Up<Res<Yes, No>>, Yes, Fut<Res<Yes, No>>, No>>() => !Send !Sync);
    traits!(some::<Map<Up<Res<Yes>>, No, Fut<Res<Yes>>>>() => !Send !Sync);
    traits!(some::<Map<Up<Res<Yes>>, Yes, Fut<Res<Yes>, No>>>() => !Send !Sync);
    traits!(some::<Map<Up<Res<Yes, NoSync>>, Yes, Fut<Res<Yes, NoSync>>, NoSync>>() => Send !Sync);
    traits!(some::<Map<Up<Res<Yes>, PhantomPinned>, Yes, Fut<Res<Yes>>>>() => !Unpin);

    type Filter<S, E = Yes> = TryFilterMapConcurrent<S, Yes, Fut<Res<Option<Yes>, E>>, Yes, E>;
    traits!(some::<Filter<Up<Res<Yes>>>>() => Send Sync Unpin);
    traits!(some::<Filter<Up<Res<Yes, No>>, No>>() => !Send !Sync);
    traits!(some::<Filter<Up<Res<Yes>, PhantomPinned>>>() => !Unpin);

    type Flat<S, E = Yes> = TryFlatMapConcurrent<S, Yes, Up<Res<Yes, E>>, via::Stream>;
    traits!(some::<Flat<Up<Res<Yes>>>>() => Send Sync Unpin);
    traits!(some::<Flat<Up<Res<Yes, No>>, No>>() => !Send !Sync);
    traits!(some::<Flat<Up<Res<Yes>, PhantomPinned>>>() => !Unpin);

    let ok = async |_: &Yes| Ok::<bool, Yes>(true);
    traits!(some::<Up<Res<Yes>>>().try_filter_concurrent(1, ok) => Send Sync);
    traits!(some::<Up<Res<Yes>, No>>().try_filter_concurrent(1, ok) => !Send !Sync);

    let look = async |_: &Yes| Ok::<(), Yes>(());
    traits!(some::<Up<Res<Yes>>>().try_inspect_concurrent(1, look) => Send Sync);
    traits!(some::<Up<Res<Yes>, No>>().try_inspect_concurrent(1, look) => !Send !Sync);

    traits!(some::<TryBatched<Up<Res<Yes>>, Yes, Yes>>() => Send Sync Unpin);
    traits!(some::<TryBatched<Up<Res<Yes>, No>, Yes, Yes>>() => !Send !Sync);
    traits!(some::<TryBatched<Up<Res<No>>, No, Yes>>() => !Send !Sync);
    traits!(some::<TryBatched<Up<Res<Yes, No>>, Yes, No>>() => !Send !Sync);
    traits!(some::<TryBatched<Up<Res<Yes>, PhantomPinned>, Yes, Yes>>() => !Unpin);

    traits!(some::<TryBatchedByWeight<Up<Res<Yes>>, Yes, Yes, Yes>>() => Send Sync Unpin);
    traits!(some::<TryBatchedByWeight<Up<Res<Yes>>, No, Yes, Yes>>() => !Send !Sync);

    #[cfg(feature = "time")]
    {
        use flowlet::stage::TryBatchedWithin;

        traits!(some::<TryBatchedWithin<Up<Res<Yes>>, Yes, Yes>>() => Send Sync Unpin);
        traits!(some::<TryBatchedWithin<Up<Res<No>>, No, Yes>>() => !Send !Sync);
    }

    traits!(some::<TryDrain<Up<Res<No>>, Yes>>() => Send Sync Unpin);
    traits!(some::<TryDrain<Up<Res<Yes>>, No>>() => !Send !Sync);
    traits!(some::<Opened<Up, Yes>>() => Send Sync Unpin);
    traits!(some::<Opened<Up, No>>() => !Send !Sync);
}

#[test]
fn other_streams_are_what_their_parts_are() {
    traits!(some::<Batched<Up>>() => Send Sync Unpin);
    traits!(some::<Batched<Up<No>>>() => !Send !Sync);
    traits!(some::<Batched<Up<Yes, No>>>() => !Send !Sync);
    traits!(some::<Batched<Up<NoSync>>>() => Send !Sync);
    traits!(some::<Batched<Up<PhantomPinned>>>() => Unpin);
    traits!(some::<Batched<Up<Yes, PhantomPinned>>>() => !Unpin);

    // The closure need not be pinned.
    traits!(some::<BatchedByWeight<Up, Yes>>() => Send Sync Unpin);
    traits!(some::<BatchedByWeight<Up<No>, Yes>>() => !Send !Sync);
    traits!(some::<BatchedByWeight<Up, NoSync>>() => Send !Sync);
    traits!(some::<BatchedByWeight<Up, PhantomPinned>>() => Unpin);
    traits!(some::<BatchedByWeight<Up<Yes, PhantomPinned>, Yes>>() => !Unpin);

    #[cfg(feature = "time")]
    {
        use flowlet::stage::BatchedWithin;

        traits!(some::<BatchedWithin<Up>>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
        traits!(some::<BatchedWithin<Up<No>>>() => !Send !Sync);
        traits!(some::<BatchedWithin<Up<NoSync>>>() => Send !Sync);
        traits!(some::<BatchedWithin<Up<Yes, PhantomPinned>>>() => !Unpin);
    }

    traits!(some::<Pipe<Up>>() => Send Sync Unpin);
    // A stream of something `!Send` may be `Send` while it holds none of it.
    traits!(some::<Pipe<Up<No>>>() => Send Sync Unpin);
    traits!(some::<Pipe<Up<Yes, No>>>() => !Send !Sync);
    traits!(some::<Pipe<Up<Yes, PhantomPinned>>>() => !Unpin);

    traits!(some::<Driven<Up>>() => Send Sync Unpin);
    traits!(some::<Driven<Up<No>>>() => !Send !Sync);
    traits!(some::<Driven<Up<Yes, No>>>() => !Send !Sync);
    // It is boxed.
    traits!(some::<Driven<Up<Yes, PhantomPinned>>>() => Send Sync Unpin);

    traits!(some::<TakeUntilStopped<Up<No>, Fut<No>>>() => Send Sync Unpin);
    traits!(some::<TakeUntilStopped<Up<Yes, No>, Fut>>() => !Send !Sync);
    traits!(some::<TakeUntilStopped<Up, Fut<Yes, No>>>() => !Send !Sync);
    traits!(some::<TakeUntilStopped<Up<Yes, PhantomPinned>, Fut>>() => !Unpin);
    traits!(some::<TakeUntilStopped<Up, Fut<Yes, PhantomPinned>>>() => !Unpin);

    traits!(some::<Prefetch<Up, Yes>>() => Send Sync Unpin);
    traits!(some::<Prefetch<Up<No>, Yes>>() => !Send !Sync);
    traits!(some::<Prefetch<Up<Yes, No>, Yes>>() => !Send !Sync);
    traits!(some::<Prefetch<Up, No>>() => !Send !Sync);
    traits!(some::<Prefetch<Up<NoSync>, Yes>>() => Send !Sync);
    traits!(some::<Prefetch<Up, Yes, No>>() => !Send !Sync);
    traits!(some::<Prefetch<Up, Yes, NoSync>>() => Send !Sync);
    // Upstream is boxed in the task.
    traits!(some::<Prefetch<Up<Yes, PhantomPinned>, PhantomPinned>>() => Send Sync Unpin);

    traits!(some::<Opening<Fut<Yes>, Up>>() => Send Sync Unpin);
    traits!(some::<Opening<Fut<No>, Up>>() => Send Sync Unpin);
    traits!(some::<Opening<Fut<Yes, No>, Up>>() => !Send !Sync);
    traits!(some::<Opening<Fut, Up<Yes, No>>>() => !Send !Sync);
    traits!(some::<Opening<Fut<Yes, PhantomPinned>, Up>>() => !Unpin);
    traits!(some::<Opening<Fut, Up<Yes, PhantomPinned>>>() => !Unpin);
}

#[test]
fn futures_are_what_their_parts_are() {
    traits!(some::<Drain<Up>>() => Send Sync Unpin);
    traits!(some::<Drain<Up<No>>>() => Send Sync Unpin);
    traits!(some::<Drain<Up<Yes, No>>>() => !Send !Sync);
    traits!(some::<Drain<Up<Yes, PhantomPinned>>>() => !Unpin);

    traits!(some::<Alongside<'_, Up, Yes>>() => Send Sync Unpin);
    traits!(some::<Alongside<'_, Up<Yes, No>, Yes>>() => !Send !Sync);
    traits!(some::<Alongside<'_, Up, No>>() => !Send !Sync);
    traits!(some::<Alongside<'_, Up<Yes, NoSync>, Yes>>() => Send !Sync);
    traits!(some::<Alongside<'_, Up<Yes, PhantomPinned>, Yes>>() => Unpin);
    traits!(some::<Alongside<'_, Up, PhantomPinned>>() => !Unpin);

    traits!(some::<InThread<Yes, Yes, Yes>>() => Send Sync Unpin);
    traits!(some::<InThread<No, Yes, Yes>>() => !Send !Sync);
    // The function is shared by the calls.
    traits!(some::<InThread<NoSync, Yes, Yes>>() => !Send !Sync);
    traits!(some::<InThread<Yes, No, Yes>>() => !Send !Sync);
    traits!(some::<InThread<Yes, Yes, No>>() => !Send);
    traits!(some::<InThread<Yes, NoSync, NoSync>>() => Send);
    traits!(some::<InThread<PhantomPinned, PhantomPinned, PhantomPinned>>() => Unpin);

    // A task is given away to be spawned, and need not be `Sync`.
    traits!(some::<InTask<Yes, NoSync, Yes>>() => Send !Sync Unpin);
    traits!(some::<InTask<Yes, Yes, NoSync>>() => Send Sync Unpin);
    traits!(some::<InTask<No, Yes, Yes>>() => !Send !Sync);
    // The function to spawn with is shared by the calls.
    traits!(some::<InTask<NoSync, Yes, Yes>>() => !Send !Sync);
    traits!(some::<InTask<Yes, No, Yes>>() => !Send !Sync);
    traits!(some::<InTask<Yes, Yes, No>>() => !Send !Sync);
    // What it returned is kept.
    traits!(some::<InTask<Yes, Yes, Yes, No>>() => !Send !Sync);
    traits!(some::<InTask<Yes, Yes, Yes, NoSync>>() => Send !Sync);
    type Pinned = PhantomPinned;
    traits!(some::<InTask<Pinned, Pinned, Pinned, Pinned>>() => Unpin);
    traits!(some::<InPool<Yes, Yes, Yes>>() => Send Sync Unpin);
    traits!(some::<InPool<No, Yes, Yes>>() => !Send !Sync);
    traits!(some::<InPool<NoSync, Yes, Yes>>() => !Send !Sync);
    traits!(some::<InPool<Yes, No, Yes>>() => !Send !Sync);
    traits!(some::<InPool<Yes, Yes, No>>() => !Send !Sync);
    traits!(some::<InPool<Yes, NoSync, NoSync>>() => Send);
    traits!(some::<InPool<PhantomPinned, PhantomPinned, PhantomPinned>>() => Unpin);

    traits!(some::<Acquire>() => Send Sync Unpin);
}

#[test]
fn values_fit_everywhere() {
    traits!(some::<Concurrency>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    traits!(some::<Semaphore>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    traits!(some::<Permit>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    traits!(some::<Adaptive>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    // A flow holds no item.
    traits!(some::<Flow<Yes>>() => Send Sync Unpin);
    traits!(some::<Flow<No, NoSync>>() => Send Sync Unpin);
    traits!(in_thread(some::<fn(Yes) -> Yes>()) => Send Sync Unpin);
    traits!(in_task(drop, some::<fn(Yes) -> Fut>()) => Send Sync Unpin);
    // As far as `spawn` does.
    traits!(
        {
            let executor = some::<No>();
            in_task(move |_| drop(executor.clone()), some::<fn(Yes) -> Fut>())
        } => !Send !Sync
    );
    traits!(in_local_task(drop, some::<fn(No) -> Fut<No, No>>()) => Unpin);
    traits!(in_pool(&some::<ThreadPool>(), some::<fn(Yes) -> Yes>()) => Send Sync Unpin);
    traits!(some::<ThreadPool>() => Send Sync Unpin);
    traits!(some::<ThreadPoolBuilder>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    // Resources stay on their threads.
    traits!(some::<ThreadLocal<No>>() => Send Sync Unpin UnwindSafe RefUnwindSafe);
    traits!(some::<ThreadLocal<Yes, No>>() => !Send !Sync);
    traits!(some::<ThreadLocal<Yes, NoSync>>() => Send !Sync);
}

/// Not promised, but a change here should be seen.
#[test]
fn unwind_safety_is_what_it_is() {
    traits!(some::<Batched<Up>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<BatchedByWeight<Up, Yes>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<Drain<Up>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<Pipe<Up>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<Opening<Fut, Up>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<Acquire>() => UnwindSafe RefUnwindSafe);
    traits!(some::<InThread<Yes, Yes, Yes>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<InPool<Yes, Yes, Yes>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<ThreadPool>() => UnwindSafe RefUnwindSafe);
    traits!(some::<Map<Up, Yes, Fut>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<Filter<Up, Yes, Fut<Option<Yes>>, Yes>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<Flat<Up, Yes, Up>>() => UnwindSafe RefUnwindSafe);
    traits!(some::<Driven<Up>>() => UnwindSafe RefUnwindSafe);
    // It borrows a stage mutably, as all that is not `UnwindSafe` does.
    traits!(some::<Alongside<'_, Up, Yes>>() => !UnwindSafe RefUnwindSafe);
    // A boxed closure may be anything.
    traits!(some::<Flow<Yes>>() => !UnwindSafe !RefUnwindSafe);
}

/// Neither closures nor futures are `Debug` here.
#[test]
fn everything_is_debug() {
    #[derive(Debug, Clone)]
    struct Numbers;

    impl Stream for Numbers {
        type Item = u8;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
            Poll::Ready(Some(0))
        }
    }

    #[derive(Debug)]
    struct Results;

    impl Stream for Results {
        type Item = Result<u8, u8>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(Some(Ok(0)))
        }
    }

    fn text(value: impl std::fmt::Debug) -> String {
        format!("{value:?}")
    }

    let pending = |_| future::pending::<u8>();
    let mut map = pipe(Numbers).map_concurrent(2, pending);
    assert_eq!(
        text(&map),
        "MapConcurrent { concurrency: 2, in_flight: 0, upstream: Pipe(Numbers), .. }"
    );
    let waker = std::task::Waker::noop();
    assert!(map.poll_next(&mut Context::from_waker(waker)).is_pending());
    assert_eq!(
        text(&map),
        "MapConcurrent { concurrency: 2, in_flight: 2, upstream: Pipe(Numbers), .. }"
    );
    assert_eq!(
        text(Numbers.filter_map_concurrent(ordered(2), async |n| Some(n))),
        "FilterMapConcurrent { concurrency: ordered(2), in_flight: 0, upstream: Numbers, .. }"
    );
    let semaphore = Semaphore::new(2);
    assert_eq!(
        text(Numbers.flat_map_concurrent(&semaphore, async |_| stream::empty::<u8>())),
        "FlatMapConcurrent { concurrency: Semaphore { limit: 2, in_use: 0 }, in_flight: 0, \
         upstream: Numbers, .. }"
    );
    assert_eq!(
        text(Numbers.batched(2)),
        "Batched { size: 2, waiting: 0, upstream: Some(Numbers) }"
    );
    assert_eq!(
        text(Numbers.batched_by_weight(2, |n| usize::from(*n))),
        "BatchedByWeight { max: 2, waiting: 0, upstream: Some(Numbers), .. }"
    );
    #[cfg(feature = "time")]
    assert_eq!(
        text(Numbers.batched_within(2, std::time::Duration::from_secs(1))),
        "BatchedWithin { size: 2, duration: 1s, waiting: 0, upstream: Some(Numbers) }"
    );
    for (stage, name, limit) in [
        (
            text(Results.try_map_concurrent(errors_in_turn(2), async |n| Ok(n))),
            "TryMapConcurrent",
            "errors_in_turn(2)",
        ),
        (
            text(Results.try_filter_map_concurrent(2, async |n| Ok(Some(n)))),
            "TryFilterMapConcurrent",
            "2",
        ),
        (
            text(Results.try_flat_map_concurrent(errors_in_turn(ordered(2)), async |n| Ok([n]))),
            "TryFlatMapConcurrent",
            "errors_in_turn(ordered(2))",
        ),
    ] {
        let parts = format!("concurrency: {limit}, in_flight: 0, upstream: Results");
        assert_eq!(stage, format!("{name} {{ {parts}, .. }}"));
    }
    assert_eq!(
        text(Results.try_batched(2)),
        "TryBatched { size: 2, waiting: 0, upstream: Some(Results) }"
    );
    assert_eq!(
        text(Results.try_batched_by_weight(2, |n| usize::from(*n))),
        "TryBatchedByWeight { max: 2, waiting: 0, upstream: Some(Results), .. }"
    );
    #[cfg(feature = "time")]
    assert_eq!(
        text(Results.try_batched_within(2, std::time::Duration::from_secs(1))),
        "TryBatchedWithin { size: 2, duration: 1s, waiting: 0, upstream: Some(Results) }"
    );
    assert_eq!(text(Results.try_drain()), "TryDrain { stream: Some(Results), .. }");
    assert_eq!(
        text(Numbers.take_until_stopped(pending(0))),
        "TakeUntilStopped { upstream: Some(Numbers), .. }"
    );
    let mut driven = Numbers.driven();
    assert_eq!(text(&driven), "Driven(Numbers)");
    assert_eq!(
        text(driven.alongside(future::pending::<()>())),
        "Alongside { driven: Driven(Numbers), .. }"
    );
    assert_eq!(text(FlowExt::drain(Numbers)), "Drain { stream: Some(Numbers), .. }");
    assert_eq!(text(Flow::<Rc<u8>>::identity()), "Flow []");
    assert_eq!(text(in_thread(|n: u8| n)(1)), "InThread(Waiting)");
    let task = |_| future::pending::<()>();
    assert_eq!(text(in_task(drop, task)(1)), "InTask(Waiting)");
    let tasks = Cell::new(None);
    let mut prefetch = Numbers.prefetch(2, |task| tasks.set(Some(task)));
    assert_eq!(text(&prefetch), "Prefetch { limit: 2, upstream: Numbers, .. }");
    assert!(prefetch.poll_next(&mut Context::from_waker(waker)).is_pending());
    assert_eq!(text(&prefetch), "Prefetch { limit: 2, waiting: 0, .. }");
    assert_eq!(text(async { [1_u8] }.expand()), "Opening { open: false, .. }");
    let pool = ThreadPool::builder(2).name("database").build().unwrap();
    assert_eq!(text(&pool), "ThreadPool { name: \"database\", size: 2, in_use: 0 }");
    let mut call = in_pool(&pool, |n: u8| n)(1);
    assert_eq!(text(&call), "InPool(Waiting)");
    futures_lite::future::block_on(&mut call);
    assert_eq!(text(&call), "InPool(Over)");
    assert_eq!(text(ThreadLocal::<Rc<u8>, _>::new(|| Rc::new(1))), "ThreadLocal { .. }");
    let permit = semaphore.try_acquire().unwrap();
    assert_eq!(text(&permit), "Permit { count: 1, .. }");
    assert_eq!(text(&semaphore), "Semaphore { limit: 2, in_use: 1 }");
    assert_eq!(
        text(semaphore.acquire()),
        "Acquire { semaphore: Semaphore { limit: 2, in_use: 1 }, .. }"
    );
    assert_eq!(text(Concurrency::from(&semaphore)), "Semaphore { limit: 2, in_use: 1 }");
}

const _: fn(Fake<(), ()>, FakeFuture<(), ()>) = |fake, future| {
    let _ = (fake.0, future.0);
};
