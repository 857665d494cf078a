//! Flows made of stages do what the stages do, in every way to write them.

use std::cell::RefCell;
use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use flowlet::prelude::*;
use flowlet::{Flow, Semaphore, chain, functional, op, ordered};
use futures_lite::future::{block_on, poll_once, yield_now};
use futures_lite::stream;

use crate::support::exec::{rest, run};
use crate::support::gauge::Gauge;

thread_local! {
    /// All that happened in the pipeline of this thread, in order.
    static TRACE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note(event: impl Into<String>) {
    TRACE.with_borrow_mut(|trace| trace.push(event.into()));
}

/// A call that takes some turns, not all the same number.
async fn slow(n: u32) -> u32 {
    note(format!("begin {n}"));
    for _ in 0..n * 5 % 4 {
        yield_now().await;
    }
    note(format!("end {n}"));
    n
}

fn double(n: u32) -> u32 {
    note(format!("double {n}"));
    2 * n
}

fn is_even(n: &u32) -> bool {
    note(format!("is_even {n}"));
    n % 2 == 0
}

fn half(n: u32) -> Option<u32> {
    note(format!("half {n}"));
    (n % 2 == 0).then_some(n / 2)
}

fn look(n: &u32) {
    note(format!("look {n}"));
}

fn copies(n: u32) -> Vec<u32> {
    note(format!("copies {n}"));
    vec![n; n as usize % 3]
}

fn steps(n: u32) -> impl Stream<Item = u32> + Send {
    note(format!("steps {n}"));
    stream::iter(0..n % 3).then(slow)
}

async fn slowly_copies(n: u32) -> Vec<u32> {
    copies(slow(n).await)
}

async fn slowly_steps(n: u32) -> impl Stream<Item = u32> + Send {
    steps(slow(n).await).boxed()
}

async fn is_even_slowly(n: &u32) -> bool {
    is_even(&slow(*n).await)
}

async fn half_slowly(n: u32) -> Option<u32> {
    half(slow(n).await)
}

/// A call that fails in the end.
async fn fails_at_nine(n: u32) -> Result<u32, String> {
    if slow(n).await == 9 { Err("nine".to_owned()) } else { Ok(n) }
}

async fn is_even_or_fails(n: &u32) -> Result<bool, String> {
    fails_at_nine(*n).await.map(|n| is_even(&n))
}

async fn half_or_fails(n: u32) -> Result<Option<u32>, String> {
    fails_at_nine(n).await.map(half)
}

async fn copies_or_fails(n: u32) -> Result<Vec<u32>, String> {
    fails_at_nine(n).await.map(copies)
}

fn copies_of_results(n: u32) -> Vec<Result<u32, String>> {
    let end = if n == 9 { Err("nine".to_owned()) } else { Ok(n) };
    copies(n).into_iter().map(Ok).chain([end]).collect()
}

fn numbers() -> impl Stream<Item = u32> + Send + 'static {
    pipe(0..14).inspect(|n| note(format!("pull {n}")))
}

fn results() -> impl Stream<Item = Result<u32, String>> + Send + 'static {
    numbers().map(|n| if n == 11 { Err("eleven".to_owned()) } else { Ok(n) })
}

/// Runs a pipeline, with a stage that is often full at its end, and gives all that happened.
fn trace(outputs: impl Stream<Item: std::fmt::Debug>) -> Vec<String> {
    TRACE.with_borrow_mut(Vec::clear);
    let last = outputs.map_concurrent(ordered(2), async |output| {
        note(format!("take {output:?}"));
        yield_now().await;
        note(format!("done {output:?}"));
    });
    block_on(last.drain());
    TRACE.take()
}

/// Checks that a stage is the same in every way to write it, in each of two runs.
macro_rules! same {
    ($source:ident: $method:ident($($argument:expr),*)) => {
        same!($source: $method($($argument),*) = $method($($argument),*));
    };
    ($source:ident: $method:ident($($argument:expr),*) = $like:ident($($like_argument:expr),*)) => {
        let expected = trace($source().$like($($like_argument),*));
        assert!(!expected.is_empty());
        let by_function = Flow::new(|stream| stream.$like($($like_argument),*));
        let by_method = Flow::identity().$method($($argument),*);
        let by_operator = op::$method($($argument),*);
        let by_chain = chain!(functional::$method($($argument),*));
        for _ in 0..2 {
            assert_eq!(trace($source().through(&by_function)), expected);
            assert_eq!(trace($source().through(&by_method)), expected);
            assert_eq!(trace($source().through(by_operator.clone())), expected);
            assert_eq!(trace(pipe($source()) | &by_operator), expected);
            assert_eq!(trace($source().through(&by_chain)), expected);
            assert_eq!(trace(by_method.apply($source())), expected);
        }
    };
}

#[test]
fn plain_stages_do_what_those_of_streams_do() {
    same!(numbers: map(double));
    same!(numbers: filter(is_even));
    same!(numbers: filter_map(half));
    same!(numbers: inspect(look));
    same!(numbers: take(5));
    same!(numbers: take(100));
    same!(numbers: batched(1));
    same!(numbers: batched(4));
    same!(numbers: flat_map(copies) = flat_map_concurrent(1, copies));
    same!(numbers: flat_map(steps) = flat_map_concurrent(1, steps));
    same!(numbers: flat_map(slowly_copies) = flat_map_concurrent(1, slowly_copies));
    same!(numbers: flat_map(slowly_steps) = flat_map_concurrent(1, slowly_steps));
}

#[test]
fn concurrent_stages_do_what_those_of_streams_do() {
    macro_rules! with_limit {
        ($limit:expr) => {
            same!(numbers: map_concurrent($limit, slow));
            same!(numbers: filter_concurrent($limit, is_even_slowly));
            same!(numbers: filter_concurrent($limit, async |n: &u32| slow(*n).await > 4));
            same!(numbers: filter_map_concurrent($limit, half_slowly));
            same!(numbers: flat_map_concurrent($limit, copies));
            same!(numbers: flat_map_concurrent($limit, steps));
            same!(numbers: flat_map_concurrent($limit, slowly_copies));
            same!(numbers: flat_map_concurrent($limit, slowly_steps));
        };
    }
    with_limit!(1);
    with_limit!(3);
    with_limit!(ordered(3));
    with_limit!(usize::MAX);
    with_limit!(Semaphore::new(2));
}

#[test]
fn stages_of_results_do_what_those_of_streams_do() {
    macro_rules! with_limit {
        ($limit:expr) => {
            same!(results: try_map_concurrent($limit, fails_at_nine));
            same!(results: map_ok_concurrent($limit, fails_at_nine));
            same!(results: try_filter_concurrent($limit, is_even_or_fails));
            same!(results: try_filter_map_concurrent($limit, half_or_fails));
            same!(results: try_flat_map_concurrent($limit, copies_or_fails));
            same!(results: try_flat_map_concurrent($limit, copies_of_results));
        };
    }
    with_limit!(1);
    with_limit!(3);
    with_limit!(ordered(3));
    with_limit!(flowlet::errors_in_turn(3));
    with_limit!(flowlet::finishing(3));
    with_limit!(Semaphore::new(2));
    same!(results: try_batched(4));
    // Not one of the errors came from nowhere.
    let all = trace(results().try_map_concurrent(1, fails_at_nine));
    assert!(all.contains(&r#"done Err("nine")"#.to_owned()));
}

/// The calls of a stage and those of one below it take turns with a lock, which is handed over in
/// order.
#[test]
fn flat_map_starves_no_call_above_it() {
    let lock = Arc::new(tokio::sync::Mutex::new(()));
    let locking = move || {
        let lock = lock.clone();
        move |n: u32| {
            let lock = lock.clone();
            async move {
                let _guard = lock.lock().await;
                rest(n % 3 + 1).await;
                n
            }
        }
    };
    let flows = [
        Flow::<u32>::identity()
            .map_concurrent(3, locking())
            .flat_map(|n| [n, n, n])
            .map_concurrent(2, locking()),
        op::map_concurrent(3, locking())
            | op::flat_map(|n: u32| stream::repeat(n).take(3))
            | op::map_concurrent(2, locking()),
    ];
    for flow in &flows {
        for seed in 0..20 {
            let count = run(seed, pipe(0..20).through(flow).count());
            assert_eq!(count, Ok(60), "seed {seed}");
        }
    }
    let chained = chain!(
        functional::map_concurrent(3, locking()),
        functional::flat_map(|n: u32| [n, n, n]),
        functional::map_concurrent(2, locking()),
    );
    assert_eq!(run(0, chained(0..20).count()), Ok(60));
}

fn collected<T>(stream: impl Stream<Item = T>) -> Vec<T> {
    block_on(stream.collect())
}

#[test]
fn flows_and_references_are_joined_in_all_forms() {
    let (add, double) = (op::map(|n: u32| n + 1), op::map(|n: u32| 2 * n));
    let joined = [
        add.clone().then(double.clone()),
        add.clone() | double.clone(),
        add.clone() | &double,
        &add | double.clone(),
        &add | &double,
        Flow::identity() | add.clone() | &double,
        &add | op::map(|n| 2 * n),
    ];
    for flow in &joined {
        assert_eq!(collected(pipe([1, 2]) | flow), [4, 6]);
        assert_eq!(collected(pipe([1, 2]) | flow.clone()), [4, 6]);
    }

    assert_eq!(collected(pipe([1, 2]) | &add | double.clone() | &add), [5, 7]);
    // More than flows.
    let factor = std::rc::Rc::new(10);
    let multiply = functional::map(|n: u32| n * *factor);
    assert_eq!(collected(pipe([1, 2]) | &add | multiply | |s| StreamExt::skip(s, 1)), [30]);
    // What comes of it is a `Pipe`.
    let _: flowlet::Pipe<stream::Boxed<u32>> = pipe([1, 2]) | &add;
}

#[test]
fn a_flow_is_itself_whichever_flows_it_went_into() {
    let first = op::map(|n: u32| n + 1).named("first");
    let a = &first | op::take(1);
    let b = &first | op::batched(2);
    let c = first.clone().named("again").map(|n| n * 2);

    assert_eq!(format!("{first:?}"), r#"Flow ["first" [map]]"#);
    assert_eq!(format!("{a:?}"), r#"Flow ["first" [map], take(1)]"#);
    assert_eq!(format!("{b:?}"), r#"Flow ["first" [map], batched(2)]"#);
    assert_eq!(format!("{c:?}"), r#"Flow ["again" ["first" [map]], map]"#);
    assert_eq!(collected(pipe([1, 2]).through(a)), [2]);
    assert_eq!(collected(pipe([1, 2]).through(b)), [[2, 3]]);
    assert_eq!(collected(pipe([1, 2]).through(c)), [4, 6]);
    assert_eq!(collected(pipe([1, 2]).through(first)), [2, 3]);
}

#[test]
fn one_flow_runs_on_many_threads_at_once() {
    let (permits, gauge, each) = (Semaphore::new(3), Gauge::default(), Gauge::default());
    let (shared, private) = (gauge.clone(), each.clone());
    let flow = Flow::<u32>::identity()
        .map_concurrent(&permits, move |n| {
            let gauge = shared.clone();
            async move {
                let _unit = gauge.unit();
                yield_now().await;
                n
            }
        })
        .filter_concurrent(2, is_even_slowly)
        .map_concurrent(2, move |n| {
            let gauge = private.clone();
            async move {
                let _unit = gauge.unit();
                yield_now().await;
                n
            }
        })
        .batched(3);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let mut numbers = collected(pipe(0..20).through(&flow)).concat();
                    numbers.sort_unstable();
                    assert_eq!(numbers, Vec::from_iter((0..20).step_by(2)));
                }
            });
        }
    });
    assert!((1..=3).contains(&gauge.peak()), "{}", gauge.peak());
    // A number bounds each run.
    assert!((1..=8).contains(&each.peak()), "{}", each.peak());
    assert_eq!((gauge.now(), each.now(), permits.in_use()), (0, 0, 0));
}

#[test]
fn dropping_a_run_drops_its_calls_and_no_others() {
    let (gauge, held) = (Gauge::default(), Arc::new(()));
    let (counted, captured) = (gauge.clone(), held.clone());
    let flow = Flow::<u32>::identity()
        .inspect(move |_| drop(captured.clone()))
        .map_concurrent(3, move |n| {
            let unit = counted.unit();
            async move {
                let _unit = unit;
                if n > 0 {
                    future::pending::<()>().await;
                }
                n
            }
        })
        .flat_map(|n| [n]);

    let begin = || Box::pin(pipe(0..10).through(&flow));
    let (mut one, mut two) = (begin(), begin());
    assert_eq!(gauge.now(), 0, "nothing happens before the first poll");
    assert_eq!(block_on(one.next()), Some(0));
    assert!(block_on(poll_once(one.next())).is_none());
    assert_eq!(gauge.now(), 3);
    assert_eq!(block_on(two.next()), Some(0));
    assert!(block_on(poll_once(two.next())).is_none());
    assert_eq!(gauge.now(), 6);
    drop(one);
    assert_eq!(gauge.now(), 3);

    // A run keeps what it needs of a flow that is gone.
    drop(flow);
    assert!(Arc::strong_count(&held) > 1);
    assert!(block_on(poll_once(two.next())).is_none());
    drop(two);
    assert_eq!((gauge.now(), Arc::strong_count(&held)), (0, 1));
}

#[test]
fn dropping_at_any_point_leaves_nothing() {
    let (gauge, permits) = (Gauge::default(), Semaphore::new(4));
    let call = |gauge: &Gauge| {
        let gauge = gauge.clone();
        move |n: u32| {
            let unit = gauge.unit();
            async move {
                let _unit = unit;
                slow(n).await
            }
        }
    };
    let flow = Flow::<u32>::identity()
        .map_concurrent(&permits, call(&gauge))
        .flat_map(|n| [n; 2])
        .filter_map_concurrent(&permits, half_slowly)
        .map_concurrent(ordered(2), call(&gauge))
        .batched(3);
    for polls in 0.. {
        let mut run = pin!(pipe(0..12).through(&flow));
        let mut drain = Box::pin(run.as_mut().collect::<Vec<_>>());
        let mut ended = false;
        for _ in 0..polls {
            ended = block_on(poll_once(&mut drain)).is_some();
            if ended {
                break;
            }
        }
        drop(drain);
        if ended {
            assert!(polls > 5);
            break;
        }
        // Dropped here.
    }
    assert_eq!((gauge.now(), permits.in_use()), (0, 0));
}

/// Runs a flow of 0, 1, 2 to its end, and gives what came out and how often it panicked.
fn outcomes(flow: &Flow<u32>) -> (Vec<u32>, usize) {
    let mut run = Box::pin(pipe(0..3).through(flow));
    let (mut outputs, mut panics) = (Vec::new(), 0);
    loop {
        match catch_unwind(AssertUnwindSafe(|| block_on(run.next()))) {
            Ok(Some(output)) => outputs.push(output),
            Ok(None) => return (outputs, panics),
            Err(panic) => {
                assert_eq!(panic.downcast_ref::<&str>(), Some(&"one"));
                panics += 1;
            }
        }
    }
}

fn not_one(n: u32) -> u32 {
    assert!(n != 1, "one");
    n
}

async fn not_one_async(n: u32) -> u32 {
    yield_now().await;
    not_one(n)
}

#[test]
fn a_panic_comes_out_and_the_run_goes_on() {
    let flows = [
        Flow::identity().map(not_one),
        Flow::identity().filter(|n| not_one(*n) == *n),
        Flow::identity().filter_map(|n| Some(not_one(n))),
        Flow::identity().inspect(|n| assert_eq!(not_one(*n), *n)),
        Flow::identity().flat_map(|n| [not_one(n)]),
        Flow::identity().flat_map(async |n| [not_one_async(n).await]),
        Flow::identity().map_concurrent(2, not_one_async),
        Flow::identity().map_concurrent(2, |n| future::ready(not_one(n))),
        Flow::identity().filter_concurrent(2, async |n: &u32| not_one_async(*n).await == *n),
        Flow::identity().filter_map_concurrent(2, async |n| Some(not_one_async(n).await)),
        Flow::identity().flat_map_concurrent(2, |n| [not_one(n)]),
        Flow::identity()
            .map(Ok::<u32, ()>)
            .try_map_concurrent(2, async |n| Ok(not_one_async(n).await))
            .filter_map(Result::ok),
        Flow::identity()
            .map(Ok::<u32, ()>)
            .try_filter_concurrent(2, async |n: &u32| Ok(not_one_async(*n).await == *n))
            .filter_map(Result::ok),
    ];
    for (index, flow) in flows.iter().enumerate() {
        // Each of two runs.
        for _ in 0..2 {
            let (mut outputs, panics) = outcomes(flow);
            outputs.sort_unstable();
            assert_eq!((outputs, panics), (vec![0, 2], 1), "flow {index}");
        }
    }
}

/// The signatures allow what Python's README shows.
#[test]
fn a_flow_is_written_as_it_reads() {
    struct Page(Vec<&'static str>);
    fn find_links(page: Page) -> Vec<&'static str> {
        page.0
    }
    fn is_internal(link: &&str) -> bool {
        link.starts_with('/')
    }
    fn normalize(link: &'static str) -> String {
        link.to_lowercase()
    }
    let pages = || [Page(vec!["/A", "x"]), Page(vec!["/B"])];

    let extract: Flow<Page, String> =
        Flow::<Page>::identity().flat_map(find_links).filter(is_internal).map(normalize);
    assert_eq!(collected(pipe(pages()).through(&extract)), ["/a", "/b"]);

    let extract = op::flat_map(find_links) | op::filter(is_internal) | op::map(normalize);
    assert_eq!(collected(pipe(pages()) | extract), ["/a", "/b"]);

    let process = chain!(
        functional::flat_map(find_links),
        functional::filter(is_internal),
        functional::map(normalize),
    );
    let links: Vec<String> = block_on(functional::collect(process(pages())));
    assert_eq!(links, ["/a", "/b"]);
}

#[test]
fn items_need_not_be_send_where_nothing_keeps_them() {
    let flow: Flow<std::rc::Rc<u32>, u32> =
        Flow::identity().filter(|n: &std::rc::Rc<u32>| **n > 1).map(|n| *n);
    let numbers = pipe([1, 2]).map(std::rc::Rc::new);
    assert_eq!(collected(numbers.through(flow)), [2]);
}

/// Of the closures that capture, those whose futures own all they need are predicates too.
#[test]
fn a_predicate_may_capture_what_its_futures_own() {
    let banned = Arc::new([1, 2]);
    let predicate = move |n: &u32| {
        let (n, banned) = (*n, banned.clone());
        async move { !banned.contains(&n) }
    };
    let flow = Flow::<u32>::identity().filter_concurrent(2, predicate);
    assert_eq!(collected(pipe(0..4).through(flow)), [0, 3]);
}

/// A pipeline of references and flows is `Send`.
#[test]
fn a_run_is_send() {
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
        smol::block_on(smol::spawn(task))
    }
    let flow = op::filter_concurrent(2, is_even_slowly) | op::flat_map(steps);
    let shared = flow.clone();
    let count = spawn(async move { (pipe(0..6) | &shared).count().await });
    assert_eq!(count, spawn(pipe(0..6).through(flow).count()));
}
