//! Shows what COMPARE.md says of other crates: a test for each "no" that a program can show.

use std::cell::Cell;
use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flowlet::{FlowExt as _, TryFlowExt as _};
use futures_buffered::{BufferedStreamExt as _, BufferedTryStreamExt as _};
use futures_concurrency::prelude::*;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use par_stream::{ParStreamExt as _, TryParStreamExt as _};
use pumps::{Concurrency, FlattenConcurrency, Pipeline};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::yield_now;

/// A runtime of one thread, and what is notified when nothing is left to run on it.
fn runtime() -> (Runtime, Arc<Notify>) {
    let idle = Arc::new(Notify::new());
    let parked = idle.clone();
    let runtime = Builder::new_current_thread().on_thread_park(move || parked.notify_one()).build();
    (runtime.unwrap(), idle)
}

/// Runs a future until it resolves, or until nothing is left to run: no task is ready, and there is no timer and no
/// other thread that could wake one.
fn run<F: Future>(future: impl FnOnce() -> F) -> Option<F::Output> {
    let (runtime, idle) = runtime();
    runtime.block_on(async {
        tokio::select! {
            biased;
            output = async { future().await } => Some(output),
            () = idle.notified() => None,
        }
    })
}

const ITEMS: usize = 100;

/// A call that holds a lock while it waits.
async fn locked(lock: Arc<Mutex<()>>) {
    let _guard = lock.lock().await;
    yield_now().await;
}

/// Counts the items that two stages yield whose calls share a lock. `None` is a deadlock.
fn two_stages<S: Stream>(pipeline: impl FnOnce(Arc<Mutex<()>>) -> S) -> Option<usize> {
    run(|| pipeline(Arc::default()).count())
}

#[test]
fn two_stages_of_futures_util_deadlock_on_a_lock() {
    let counted = two_stages(|lock| {
        let step = move |_| locked(lock.clone());
        stream::iter(0..ITEMS)
            .map(|_| ())
            .map(step.clone())
            .buffer_unordered(2)
            .map(step)
            .buffer_unordered(2)
    });
    assert_eq!(counted, None);
}

#[test]
fn two_stages_of_futures_buffered_deadlock_on_a_lock() {
    let counted = two_stages(|lock| {
        let step = move |_| locked(lock.clone());
        stream::iter(0..ITEMS)
            .map(|_| ())
            .map(step.clone())
            .buffered_unordered(2)
            .map(step)
            .buffered_unordered(2)
    });
    assert_eq!(counted, None);
}

#[test]
fn two_stages_of_pumps_deadlock_on_a_lock() {
    let counted = run(|| {
        let lock: Arc<Mutex<()>> = Arc::default();
        let step = move |()| locked(lock.clone());
        let limit = Concurrency::concurrent_unordered;
        let (received, _) = Pipeline::from_stream(stream::iter(vec![(); ITEMS]))
            .map(step.clone(), limit(8))
            .map(step, limit(2))
            .build();
        counted(received)
    });
    assert_eq!(counted, None);
}

async fn counted<T>(mut received: mpsc::Receiver<T>) -> usize {
    let mut count = 0;
    while received.recv().await.is_some() {
        count += 1;
    }
    count
}

#[test]
fn two_stages_of_par_stream_finish() {
    let counted = two_stages(|lock| {
        let step = move |()| locked(lock.clone());
        stream::iter(vec![(); ITEMS])
            .par_then_unordered(8, step.clone())
            .par_then_unordered(2, step)
    });
    assert_eq!(counted, Some(ITEMS));
}

#[test]
fn two_stages_of_flowlet_finish() {
    let counted = two_stages(|lock| {
        let step = move |()| locked(lock.clone());
        stream::iter(vec![(); ITEMS]).map_concurrent(8, step.clone()).map_concurrent(2, step)
    });
    assert_eq!(counted, Some(ITEMS));
}

/// How many calls a pipeline with a limit of 8 starts that nobody reads from beyond its first output, once nothing is
/// left to do.
fn started_unread<S: Stream>(pipeline: impl FnOnce(Arc<AtomicUsize>) -> S) -> usize {
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    run(|| async {
        let mut outputs = pin!(pipeline(count));
        outputs.next().await;
        pending::<()>().await;
    });
    started.load(Ordering::Relaxed)
}

#[test]
fn par_stream_has_more_in_flight_than_its_limit() {
    let started = started_unread(|started| {
        stream::iter(0..ITEMS).par_then_unordered(8, move |_| {
            started.fetch_add(1, Ordering::Relaxed);
            ready(())
        })
    });
    assert!(started > 1 + 8, "{started}");
}

#[test]
fn flowlet_has_no_more_in_flight_than_its_limit() {
    let started = started_unread(|started| {
        stream::iter(0..ITEMS).map_concurrent(8, move |_| {
            started.fetch_add(1, Ordering::Relaxed);
            ready(())
        })
    });
    assert!(started <= 1 + 8, "{started}");
}

#[test]
fn a_flat_map_of_pumps_opens_all_its_inner_streams() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = opened.clone();
    run(|| async {
        let open = move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            ready(Pipeline::from_iter(0..10))
        };
        let (mut received, _) = Pipeline::from_iter(0..ITEMS)
            .map(open, Concurrency::concurrent_unordered(8))
            .flatten(FlattenConcurrency::unordered())
            .build();
        received.recv().await;
        pending::<()>().await;
    });
    assert_eq!(opened.load(Ordering::Relaxed), ITEMS);
}

#[test]
fn the_limit_of_futures_concurrency_is_not_kept_by_collect() {
    let (running, most) = (Cell::new(0), Cell::new(0));
    let limit = std::num::NonZeroUsize::new(8);
    let collected = run(|| async {
        let pipeline = stream::iter(0..ITEMS).co().limit(limit).map(async |_| {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            yield_now().await;
            running.set(running.get() - 1);
        });
        pipeline.collect::<Vec<_>>().await.len()
    });
    assert_eq!(collected, Some(ITEMS));
    assert_eq!(most.get(), ITEMS);
}

/// Counts how many of its clones are alive, but for itself.
#[derive(Clone, Default)]
struct Alive(Arc<()>);

impl Alive {
    fn others(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// The second call fails once the first has begun, which never ends by itself.
fn calls(alive: &Alive) -> impl Fn(usize) -> Call + Clone + Send + Sync + 'static + use<> {
    // A clone that does not count.
    let alive = Arc::downgrade(&alive.0);
    move |item| {
        let held = alive.upgrade().map(Alive);
        Box::pin(async move {
            if item == 0 {
                let _held = held;
                pending().await
            } else {
                Err(item)
            }
        })
    }
}

type Call = std::pin::Pin<Box<dyn Future<Output = Result<(), usize>> + Send>>;

/// How many calls are alive when the error comes out.
fn alive_at_error<S>(pipeline: impl FnOnce(&Alive) -> S) -> Option<usize>
where
    S: Stream<Item = Result<(), usize>>,
{
    let alive = Alive::default();
    run(|| async {
        let mut outputs = pin!(pipeline(&alive));
        assert_eq!(outputs.next().await, Some(Err(1)));
        alive.others()
    })
}

#[test]
fn a_call_of_futures_util_is_alive_when_an_error_comes_out() {
    let left = alive_at_error(|alive| {
        stream::iter(0..2).map(calls(alive)).map(Ok).try_buffer_unordered(2)
    });
    assert_eq!(left, Some(1));
}

#[test]
fn a_call_of_futures_buffered_is_alive_when_an_error_comes_out() {
    let left = alive_at_error(|alive| {
        stream::iter(0..2).map(calls(alive)).map(Ok).try_buffered_unordered(2)
    });
    assert_eq!(left, Some(1));
}

#[test]
fn a_call_of_par_stream_is_alive_when_an_error_comes_out() {
    let left =
        alive_at_error(|alive| stream::iter(0..2).map(Ok).try_par_then_unordered(2, calls(alive)));
    assert_eq!(left, Some(1));
}

#[test]
fn a_call_of_pumps_is_alive_when_an_error_comes_out() {
    let alive = Alive::default();
    let left = run(|| async {
        let (sender, mut errors) = mpsc::channel(1);
        let _outputs = Pipeline::from_iter(0..2)
            .map(calls(&alive), Concurrency::concurrent_unordered(2))
            .catch_abort(sender)
            .build();
        assert_eq!(errors.recv().await, Some(1));
        alive.others()
    });
    assert_eq!(left, Some(1));
}

#[test]
fn no_call_of_futures_concurrency_is_alive_when_an_error_comes_out() {
    let alive = Alive::default();
    let left = run(|| async {
        let outcome: Result<Vec<()>, usize> =
            stream::iter(0..2).co().map(calls(&alive)).collect().await;
        assert_eq!(outcome, Err(1));
        alive.others()
    });
    assert_eq!(left, Some(0));
}

#[test]
fn no_call_of_flowlet_is_alive_when_an_error_comes_out() {
    let left =
        alive_at_error(|alive| stream::iter(0..2).map(Ok).try_map_concurrent(2, calls(alive)));
    assert_eq!(left, Some(0));
}

async fn panics_at_three(item: usize) -> usize {
    assert_ne!(item, 3, "a panic that a test wants");
    item
}

#[test]
fn a_panic_in_par_stream_ends_the_stream_early() {
    let count = run(|| stream::iter(0..ITEMS).par_then_unordered(1, panics_at_three).count());
    assert!(count.unwrap() < ITEMS);
}

#[test]
fn a_panic_in_pumps_ends_the_outputs_early() {
    let limit = Concurrency::concurrent_unordered(1);
    let count =
        run(|| counted(Pipeline::from_iter(0..ITEMS).map(panics_at_three, limit).build().0));
    assert!(count.unwrap() < ITEMS);
}

#[test]
#[should_panic = "a panic that a test wants"]
fn a_panic_in_flowlet_reaches_the_consumer() {
    run(|| stream::iter(0..ITEMS).map_concurrent(1, panics_at_three).count());
}

/// What a call allocates: the difference of two runs, so that set-up does not count.
fn allocations_of_a_call<S: Stream>(pipeline: impl Fn(usize) -> S) -> u64 {
    let count = |items| {
        let allocated = allocation_counter::measure(|| {
            let count = futures_lite::future::block_on(pipeline(items).count());
            assert_eq!(count, items);
        });
        allocated.count_total
    };
    (count(300) - count(200)) / 100
}

#[test]
fn futures_util_allocates_once_a_call() {
    let count =
        allocations_of_a_call(|items| stream::iter(0..items).map(ready).buffer_unordered(8));
    assert_eq!(count, 1);
}

#[test]
fn futures_buffered_and_flowlet_allocate_nothing_for_a_call() {
    let buffered =
        allocations_of_a_call(|items| stream::iter(0..items).map(ready).buffered_unordered(8));
    let flowlet = allocations_of_a_call(|items| stream::iter(0..items).map_concurrent(8, ready));
    assert_eq!((buffered, flowlet), (0, 0));
}

#[test]
fn the_page_names_the_versions_that_were_built() {
    let page = include_str!("../../COMPARE.md");
    let lock = include_str!("../../Cargo.lock");
    for name in [
        "futures-util",
        "futures-buffered",
        "futures-concurrency",
        "par-stream",
        "pumps",
        "roughage",
    ] {
        let (_, entry) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).unwrap();
        let (version, _) = entry.split_once('"').unwrap();
        assert!(
            page.contains(&format!("{name} {version}")),
            "COMPARE.md does not say {name} {version}"
        );
    }
}
