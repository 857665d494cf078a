//! The same pipelines, spawned as tasks, on every runtime. That they can be spawned shows that
//! `Send` is inferred for every stage, alone and chained.

use std::future::{self, Future};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flowlet::prelude::*;
use flowlet::{Flow, Semaphore, chain, functional, in_thread, op, ordered};
use futures_lite::future::{FutureExt, block_on, or, yield_now};
use futures_lite::stream;

/// Where a pipeline is run.
trait Runtime: 'static {
    /// Runs a task to its end.
    fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T;

    /// Runs a task until `stop` is ready, and cancels it.
    fn cancel(
        task: impl Future<Output = ()> + Send + 'static,
        stop: impl Future<Output = ()> + Send + 'static,
    );

    /// Waits a moment on the runtime's own timer.
    fn sleep() -> impl Future<Output = ()> + Send;
}

/// As short as a timer can wait. How long it takes does not matter.
const MOMENT: Duration = Duration::from_millis(1);

struct Smol;

impl Runtime for Smol {
    fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        smol::block_on(smol::spawn(task))
    }

    fn cancel(
        task: impl Future<Output = ()> + Send + 'static,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        smol::block_on(async {
            let task = smol::spawn(task);
            stop.await;
            assert!(task.cancel().await.is_none());
        });
    }

    async fn sleep() {
        smol::Timer::after(MOMENT).await;
    }
}

struct Local;

impl Runtime for Local {
    fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        let executor = async_executor::LocalExecutor::new();
        block_on(executor.run(executor.spawn(task)))
    }

    fn cancel(
        task: impl Future<Output = ()> + Send + 'static,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let executor = async_executor::LocalExecutor::new();
        block_on(executor.run(async {
            let task = executor.spawn(task);
            stop.await;
            assert!(task.cancel().await.is_none());
        }));
    }

    async fn sleep() {
        async_io::Timer::after(MOMENT).await;
    }
}

/// Spawns on a runtime of tokio's, and cancels.
async fn cancel_on_tokio(
    task: impl Future<Output = ()> + Send + 'static,
    stop: impl Future<Output = ()>,
) {
    let task = tokio::spawn(task);
    stop.await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

struct TokioCurrentThread;

impl TokioCurrentThread {
    fn start() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }
}

impl Runtime for TokioCurrentThread {
    fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        Self::start().block_on(async { tokio::spawn(task).await.unwrap() })
    }

    fn cancel(
        task: impl Future<Output = ()> + Send + 'static,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        Self::start().block_on(cancel_on_tokio(task, stop));
    }

    async fn sleep() {
        tokio::time::sleep(MOMENT).await;
    }
}

struct TokioMultiThread;

impl TokioMultiThread {
    fn start() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
    }
}

impl Runtime for TokioMultiThread {
    fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        Self::start().block_on(async { tokio::spawn(task).await.unwrap() })
    }

    fn cancel(
        task: impl Future<Output = ()> + Send + 'static,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        Self::start().block_on(cancel_on_tokio(task, stop));
    }

    async fn sleep() {
        tokio::time::sleep(MOMENT).await;
    }
}

struct AsyncStd;

impl Runtime for AsyncStd {
    fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        async_std::task::block_on(async_std::task::spawn(task))
    }

    fn cancel(
        task: impl Future<Output = ()> + Send + 'static,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        async_std::task::block_on(async {
            let task = async_std::task::spawn(task);
            stop.await;
            assert!(task.cancel().await.is_none());
        });
    }

    async fn sleep() {
        async_std::task::sleep(MOMENT).await;
    }
}

struct BlockOn;

impl Runtime for BlockOn {
    fn run<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        block_on(task)
    }

    fn cancel(
        task: impl Future<Output = ()> + Send + 'static,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        block_on(or(
            async {
                task.await;
                unreachable!("it was to be cancelled");
            },
            stop,
        ));
    }

    async fn sleep() {
        async_io::Timer::after(MOMENT).await;
    }
}

/// Runs each behaviour on each runtime.
macro_rules! on_every_runtime {
    ($($behaviour:ident),* $(,)?) => {
        on_every_runtime!(@ on_smol Smol $($behaviour)*);
        on_every_runtime!(@ on_local_executor Local $($behaviour)*);
        on_every_runtime!(@ on_tokio_current_thread TokioCurrentThread $($behaviour)*);
        on_every_runtime!(@ on_tokio_multi_thread TokioMultiThread $($behaviour)*);
        on_every_runtime!(@ on_async_std AsyncStd $($behaviour)*);
        on_every_runtime!(@ directly BlockOn $($behaviour)*);
    };
    (@ $module:ident $runtime:ident $($behaviour:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $behaviour() {
                    super::$behaviour::<super::$runtime>();
                }
            )*
        }
    };
}

on_every_runtime!(
    map_concurrent_runs,
    filter_concurrent_runs,
    filter_map_concurrent_runs,
    flat_map_concurrent_runs,
    batched_and_drain_run,
    everything_chained_runs,
    flow_runs,
    built_flow_runs,
    driven_loop_runs,
    semaphore_is_shared_and_changed,
    limits_hold,
    tasks_feed_each_other,
    cancelled_task_drops_its_calls,
    panics_reach_the_consumer,
    results_run,
    an_error_cancels_the_rest,
    a_stop_drains_the_rest,
);

/// Counts the calls that run.
#[derive(Clone, Default)]
struct Gauge(Arc<Counts>);

#[derive(Default)]
struct Counts {
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Gauge {
    fn enter(&self) -> Entered {
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(running, Ordering::SeqCst);
        Entered(self.clone())
    }

    fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }
}

struct Entered(Gauge);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A call like those of real programs: it yields, waits on a timer, and on another thread.
async fn work<R: Runtime>(n: u32) -> u32 {
    match n % 4 {
        0 => yield_now().await,
        1 => R::sleep().await,
        2 => return in_thread(|n| n)(n).await,
        _ => {}
    }
    n
}

async fn is_even<R: Runtime>(n: &u32) -> bool {
    work::<R>(*n).await % 2 == 0
}

fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort();
    numbers
}

fn map_concurrent_runs<R: Runtime>() {
    let numbers: Vec<u32> = R::run(pipe(0..40).map_concurrent(7, work::<R>).collect());
    assert_eq!(sorted(numbers), Vec::from_iter(0..40));
    let numbers: Vec<u32> = R::run(pipe(0..40).map_concurrent(ordered(7), work::<R>).collect());
    assert_eq!(numbers, Vec::from_iter(0..40));
    let numbers: Vec<u32> =
        R::run(pipe(0..40).map_concurrent(ordered(4), in_thread(|n: u32| n + 1)).collect());
    assert_eq!(numbers, Vec::from_iter(1..41));
}

fn filter_concurrent_runs<R: Runtime>() {
    let numbers: Vec<u32> = R::run(pipe(0..40).filter_concurrent(7, is_even::<R>).collect());
    assert_eq!(sorted(numbers), Vec::from_iter((0..40).step_by(2)));
    // A closure that borrows the item across an await, and what it captured.
    let divisor = Arc::new(3);
    let numbers: Vec<u32> = R::run(
        pipe(0..40)
            .filter_concurrent(ordered(7), async move |n: &u32| {
                work::<R>(*n).await;
                n % *divisor == 0
            })
            .collect(),
    );
    assert_eq!(numbers, Vec::from_iter((0..40).step_by(3)));
}

fn filter_map_concurrent_runs<R: Runtime>() {
    let numbers: Vec<u32> = R::run(
        pipe(0..40)
            .filter_map_concurrent(7, async |n| work::<R>(n).await.checked_sub(20))
            .collect(),
    );
    assert_eq!(sorted(numbers), Vec::from_iter(0..20));
}

fn flat_map_concurrent_runs<R: Runtime>() {
    let twice = Vec::from_iter((0..20).flat_map(|n| [n, n]));
    let iterables = pipe(0..20).flat_map_concurrent(3, |n: u32| vec![n; 2]);
    assert_eq!(sorted(R::run(iterables.collect())), twice);
    let streams = pipe(0..20).flat_map_concurrent(3, |n: u32| {
        stream::iter([n, n]).map_concurrent(ordered(2), work::<R>)
    });
    assert_eq!(sorted(R::run(streams.collect())), twice);
    let futures = pipe(0..20).flat_map_concurrent(3, async |n: u32| [work::<R>(n).await, n]);
    assert_eq!(sorted(R::run(futures.collect())), twice);
    let futures_of_streams = pipe(0..20).flat_map_concurrent(ordered(3), async |n: u32| {
        work::<R>(n).await;
        stream::repeat(n).take(2)
    });
    assert_eq!(R::run(futures_of_streams.collect::<Vec<_>>()), twice);
}

fn batched_and_drain_run<R: Runtime>() {
    let batches = Arc::new(AtomicUsize::new(0));
    let counted = batches.clone();
    R::run(
        pipe(0..10)
            .batched(4)
            .map_concurrent(1, move |batch| {
                let counted = counted.clone();
                async move {
                    work::<R>(batch.len() as u32).await;
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            })
            .drain(),
    );
    assert_eq!(batches.load(Ordering::SeqCst), 3);
}

fn everything_chained_runs<R: Runtime>() {
    let semaphore = Semaphore::new(3);
    let batches: Vec<Vec<u32>> = R::run(
        pipe(0..60)
            .map_concurrent(5, work::<R>)
            .map(|n| n + 1)
            .filter_concurrent(semaphore.clone(), is_even::<R>)
            .filter_map_concurrent(ordered(&semaphore), async |n| Some(work::<R>(n).await / 2))
            .flat_map_concurrent(4, async |n| [work::<R>(n).await, 100])
            .filter(|n| *n != 100)
            .map_concurrent(2, in_thread(|n| n))
            .batched(7)
            .map_concurrent(2, async |batch| batch)
            .collect(),
    );
    assert!(batches.iter().filter(|batch| batch.len() == 7).count() == 4);
    assert_eq!(sorted(batches.concat()), Vec::from_iter(1..31));
    assert_eq!(semaphore.in_use(), 0);
}

fn flow_runs<R: Runtime>() {
    let limit = Semaphore::new(2);
    let shared = limit.clone();
    let evens: Flow<u32> = Flow::new(move |numbers| {
        let base = Arc::new(0);
        numbers
            .filter_concurrent(shared.clone(), async move |n: &u32| {
                work::<R>(*n).await;
                (n + *base) % 2 == 0
            })
            .map_concurrent(2, in_thread(|n| n))
    });
    let pairs: Flow<u32, Vec<u32>> = evens.then(Flow::new(|numbers| {
        numbers.flat_map_concurrent(2, async |n| [n, work::<R>(n).await]).batched(2)
    }));
    // The same flow in tasks of its own, again and again.
    for _ in 0..3 {
        let pairs = pairs.clone();
        let batches: Vec<Vec<u32>> =
            R::run(async move { pipe(0..10).through(&pairs).collect().await });
        assert_eq!(sorted(batches.concat()), [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]);
    }
    assert_eq!(limit.in_use(), 0);
}

fn built_flow_runs<R: Runtime>() {
    let limit = Semaphore::new(2);
    let evens = Flow::<u32>::identity()
        .filter_concurrent(&limit, is_even::<R>)
        .map_concurrent(2, in_thread(|n| n))
        .named("evens");
    let pairs = evens
        | op::flat_map(async |n| [n, work::<R>(n).await])
        | op::map(Ok::<u32, ()>)
        | op::try_filter_concurrent(2, async |n: &u32| Ok(is_even::<R>(n).await))
        | op::try_batched(2);
    for _ in 0..3 {
        let pairs = pairs.clone();
        let batches: Result<Vec<Vec<u32>>, ()> =
            R::run(async move { (pipe(0..10) | &pairs).try_collect().await });
        assert_eq!(sorted(batches.unwrap().concat()), [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]);
    }
    let chained = chain!(
        functional::map_concurrent(3, work::<R>),
        functional::filter_concurrent(2, async |n: &u32| is_even::<R>(n).await),
        functional::batched(3),
    );
    let batches: Vec<Vec<u32>> = R::run(functional::collect(chained(0..10)));
    assert_eq!(sorted(batches.concat()), [0, 2, 4, 6, 8]);
    assert_eq!(limit.in_use(), 0);
}

fn driven_loop_runs<R: Runtime>() {
    let (sum, rest) = R::run(async {
        let mut numbers = pipe(0..30)
            .map_concurrent(4, work::<R>)
            .filter_concurrent(3, async |n: &u32| is_even::<R>(n).await)
            .driven();
        let mut sum = 0;
        while let Some(n) = numbers.next().await {
            sum += numbers.alongside(work::<R>(n)).await;
            if sum > 100 {
                break;
            }
        }
        let rest: u32 = numbers.fold(0, |sum, n| sum + n).await;
        (sum, rest)
    });
    assert!(sum > 100);
    assert_eq!(sum + rest, (0..30).step_by(2).sum::<u32>());
}

fn semaphore_is_shared_and_changed<R: Runtime>() {
    let (limit, gauge) = (Semaphore::new(1), Gauge::default());
    let (inside, counted) = (limit.clone(), gauge.clone());
    let numbers: Vec<u32> = R::run(async move {
        let owned = (inside.clone(), counted.clone());
        let call = move |n| {
            let (limit, gauge) = owned.clone();
            async move {
                let _entered = gauge.enter();
                // The first call raises the limit for all, a later one lowers it.
                match n {
                    0 => limit.set_limit(3),
                    20 => limit.set_limit(2),
                    _ => {}
                }
                work::<R>(n).await
            }
        };
        let outside = async {
            for n in 0..10 {
                let _permit = inside.acquire().await;
                let _entered = counted.enter();
                work::<R>(n).await;
            }
            Vec::new()
        };
        let pipeline = pipe(0..40)
            .map_concurrent(&inside, call.clone())
            .map_concurrent(&inside, call)
            .collect();
        let (outside, numbers): (Vec<u32>, Vec<u32>) =
            futures_lite::future::zip(outside, pipeline).await;
        [outside, numbers].concat()
    });
    assert_eq!(sorted(numbers), Vec::from_iter(0..40));
    assert!(gauge.most() <= 3, "{}", gauge.most());
    assert_eq!((limit.in_use(), limit.limit()), (0, 2));
}

fn limits_hold<R: Runtime>() {
    let gauges = [(); 4].map(|()| Gauge::default());
    let [map, filter, flat_map, thread] = gauges.clone();
    let pipeline = pipe(0..80)
        .map_concurrent(5, move |n| {
            let entered = map.enter();
            async move {
                let _entered = entered;
                work::<R>(n).await
            }
        })
        .filter_concurrent(3, async move |n: &u32| {
            let _entered = filter.enter();
            work::<R>(*n).await;
            true
        })
        .flat_map_concurrent(4, move |n| {
            let entered = flat_map.enter();
            async move {
                work::<R>(n).await;
                // Open until the last output is out.
                stream::iter([n, n]).map(move |n| {
                    let _ = &entered;
                    n
                })
            }
        })
        .map_concurrent(
            2,
            in_thread(move |n| {
                let _entered = thread.enter();
                n
            }),
        );
    let numbers: Vec<u32> = R::run(pipeline.collect());
    assert_eq!(numbers.len(), 160);
    let most = gauges.each_ref().map(Gauge::most);
    assert!(most[0] <= 5 && most[1] <= 3 && most[2] <= 4 && most[3] <= 2, "{most:?}");
    assert_eq!(gauges.map(|gauge| gauge.running()), [0; 4]);
}

fn tasks_feed_each_other<R: Runtime>() {
    let (numbers, received) = async_channel::bounded(2);
    let sum = R::run(async move {
        let sending = pipe(0..50).map_concurrent(3, async |n| {
            numbers.send(work::<R>(n).await).await.unwrap();
        });
        let sending = async {
            sending.drain().await;
            numbers.close();
            0
        };
        let receiving = pipe(received).map_concurrent(3, work::<R>).fold(0, |sum, n| sum + n);
        let (none, sum) = futures_lite::future::zip(sending, receiving).await;
        none + sum
    });
    assert_eq!(sum, (0..50).sum::<u32>());
}

fn cancelled_task_drops_its_calls<R: Runtime>() {
    let (started, starts) = async_channel::unbounded::<()>();
    let gauges = [(); 3].map(|()| Gauge::default());
    let [map, filter, flat_map] = gauges.clone();
    let permits = Semaphore::new(3);
    let upstream = Arc::new(());
    let held = upstream.clone();
    // What gets into each stage and stays: items from 5 on, 3 and 4, and two of the others.
    async fn for_ever(started: async_channel::Sender<()>, entered: Entered) {
        started.send(()).await.unwrap();
        future::pending::<()>().await;
        drop(entered);
    }
    let (in_map, in_filter, in_flat_map) = (started.clone(), started.clone(), started);
    let pipeline = pipe(0..)
        .inspect(move |_| {
            let _ = &held;
        })
        .map_concurrent(4, move |n: u32| {
            let (started, entered) = (in_map.clone(), map.enter());
            async move {
                if n >= 5 {
                    for_ever(started, entered).await;
                }
                work::<R>(n).await
            }
        })
        .filter_concurrent(permits.clone(), async move |n: &u32| {
            let (started, entered) = (in_filter.clone(), filter.enter());
            if *n >= 3 {
                for_ever(started, entered).await;
            }
            work::<R>(*n).await;
            true
        })
        .flat_map_concurrent(2, move |n| {
            let (started, entered) = (in_flat_map.clone(), flat_map.enter());
            stream::once(n).chain(stream::once_future(async move {
                for_ever(started, entered).await;
                0
            }))
        });
    let running = gauges.clone();
    R::cancel(pipeline.drain(), async move {
        for _ in 0..8 {
            starts.recv().await.unwrap();
        }
        // The third call of the second stage may be over, and keep its output.
        let [map, filter, flat_map] = running.map(|gauge| gauge.running());
        assert!(map == 4 && (2..=3).contains(&filter) && flat_map == 2);
    });
    assert_eq!(gauges.map(|gauge| gauge.running()), [0; 3]);
    assert_eq!((permits.in_use(), Arc::strong_count(&upstream)), (0, 1));
}

fn panics_reach_the_consumer<R: Runtime>() {
    let (seen, panics) = R::run(async {
        let mut numbers = pin!(
            pipe(0..20)
                .map_concurrent(3, async |n| {
                    work::<R>(n).await;
                    assert!(n != 7, "seven");
                    n
                })
                .map_concurrent(
                    3,
                    in_thread(|n| {
                        assert!(n != 11, "eleven");
                        n
                    })
                )
        );
        let (mut seen, mut panics) = (Vec::new(), Vec::new());
        loop {
            match AssertUnwindSafe(numbers.next()).catch_unwind().await {
                Ok(Some(n)) => seen.push(n),
                Ok(None) => break,
                Err(panic) => panics.push(*panic.downcast_ref::<&str>().unwrap()),
            }
        }
        (seen, panics)
    });
    assert_eq!(sorted(seen), Vec::from_iter((0..20).filter(|n| *n != 7 && *n != 11)));
    assert_eq!(panics.len(), 2);
    assert!(panics.contains(&"seven") && panics.contains(&"eleven"));
}

/// A call that fails for one number.
async fn fail_at<R: Runtime>(n: u32, bad: u32) -> Result<u32, u32> {
    let n = work::<R>(n).await;
    if n == bad { Err(n) } else { Ok(n) }
}

/// Every stage of results, in a task.
fn results<R: Runtime>(
    permits: &Semaphore,
    bad: u32,
) -> impl Future<Output = Result<Vec<Vec<u32>>, u32>> + Send + 'static + use<R> {
    let permits = permits.clone();
    pipe(0..40)
        .map_concurrent(5, move |n| fail_at::<R>(n, bad))
        .try_map_concurrent(3, async |n| Ok(work::<R>(n).await))
        .try_filter_concurrent(permits.clone(), async |n: &u32| Ok(is_even::<R>(n).await))
        .try_filter_map_concurrent(ordered(permits), async |n| Ok(Some(work::<R>(n).await / 2)))
        .try_flat_map_concurrent(4, async |n| Ok([work::<R>(n).await, 100]))
        .try_map_concurrent(2, in_thread(Ok))
        .try_batched(7)
        .try_collect()
}

fn results_run<R: Runtime>() {
    let permits = Semaphore::new(3);
    let batches = R::run(results::<R>(&permits, 99)).unwrap();
    let mut numbers = batches.concat();
    numbers.retain(|n| *n != 100);
    assert_eq!(sorted(numbers), Vec::from_iter(0..20));
    assert_eq!(R::run(results::<R>(&permits, 23)), Err(23));
    assert_eq!(permits.in_use(), 0);
}

fn an_error_cancels_the_rest<R: Runtime>() {
    let (gauge, upstream) = (Gauge::default(), Arc::new(()));
    let (counted, held) = (gauge.clone(), upstream.clone());
    let left = R::run(async move {
        let mut numbers = pipe(0..)
            .inspect(move |_| {
                let _ = &held;
            })
            .map(Ok)
            .try_map_concurrent(6, move |n| {
                let entered = counted.enter();
                async move {
                    let _entered = entered;
                    work::<R>(n).await;
                    match n {
                        0..10 => Ok(n),
                        10 => Err(n),
                        // Never over by itself.
                        _ => future::pending().await,
                    }
                }
            })
            .try_map_concurrent(2, async |n| Ok(work::<R>(n).await))
            .driven();
        loop {
            match numbers.try_next().await {
                Ok(Some(n)) => drop(numbers.alongside(work::<R>(n)).await),
                Ok(None) => break None,
                // While the pipeline is still there.
                Err(n) => break Some((n, gauge.running(), Arc::strong_count(&upstream))),
            }
        }
    });
    assert_eq!(left, Some((10, 0, 1)));
}

fn a_stop_drains_the_rest<R: Runtime>() {
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let gauge = Gauge::default();
    let counted = gauge.clone();
    let batches: Vec<Vec<u32>> = R::run(
        pipe(0..)
            .take_until_stopped(async move { stopped.recv().await })
            .map_concurrent(4, move |n| {
                let (entered, stop) = (counted.enter(), stop.clone());
                async move {
                    let _entered = entered;
                    if n == 20 {
                        stop.close();
                    }
                    work::<R>(n).await
                }
            })
            .batched(3)
            .collect(),
    );
    let numbers = sorted(batches.concat());
    assert!((21..=25).contains(&numbers.len()), "{}", numbers.len());
    assert_eq!(numbers, Vec::from_iter(0..numbers.len() as u32));
    assert_eq!(gauge.running(), 0);
}
