//! A function with its state, wherever a function can stand.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flowlet::prelude::*;
use flowlet::{
    Flow, ThreadPool, chain, functional, in_blocking, in_local_task, in_pool, in_task, in_thread,
    op, ordered, with,
};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

/// Counts how often it was cloned. The state is the factor.
struct State {
    factor: usize,
    clones: Arc<AtomicUsize>,
}

impl State {
    fn new(factor: usize) -> Self {
        Self { factor, clones: Arc::default() }
    }

    fn clones(clones: &AtomicUsize) -> usize {
        clones.load(Ordering::SeqCst)
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self { factor: self.factor, clones: self.clones.clone() }
    }
}

/// Owns what it uses, across awaits too.
async fn times(state: State, n: usize) -> usize {
    yield_now().await;
    state.factor * n
}

async fn try_times(state: State, n: usize) -> Result<usize, String> {
    Ok(times(state, n).await)
}

fn times_now(state: State, n: usize) -> usize {
    state.factor * n
}

type Number = Result<usize, String>;

/// The numbers below nine, doubled.
fn doubled() -> Vec<usize> {
    (0..9).map(|n| 2 * n).collect()
}

fn numbers() -> impl Stream<Item = usize> + Send + 'static {
    pipe(0..9)
}

fn results() -> impl Stream<Item = Number> + Send + 'static {
    numbers().map(Ok)
}

/// Checks what a stage makes of a state and a source, and that there was one clone a call.
fn check<S: Stream>(outputs: impl FnOnce(State) -> S)
where
    S::Item: Output,
{
    let state = State::new(2);
    let clones = state.clones.clone();
    let stage = outputs(state);
    assert_eq!(State::clones(&clones), 0, "before anything is called");
    let all: Vec<usize> = block_on(stage.map(Output::number).collect());
    assert_eq!((all, State::clones(&clones)), (doubled(), 9));
    assert_eq!(Arc::strong_count(&clones), 1, "all of them are gone");
}

/// What a stage hands on here.
trait Output {
    fn number(self) -> usize;
}

impl Output for usize {
    fn number(self) -> usize {
        self
    }
}

impl Output for Number {
    fn number(self) -> usize {
        self.unwrap()
    }
}

#[test]
fn in_every_stage_it_is_cloned_once_a_call() {
    check(|state| numbers().map(with(state, times_now)));
    check(|state| numbers().map_concurrent(ordered(4), with(state, times)));
    check(|state| {
        numbers().filter_map_concurrent(
            ordered(4),
            with(state, async |state: State, n| Some(state.factor * n)),
        )
    });
    check(|state| {
        let some = with(state, async |state: State, n| [times(state, n).await]);
        numbers().flat_map_concurrent(ordered(4), some)
    });
    check(|state| {
        let some = with(state, |state: State, n| stream::once(state.factor * n));
        numbers().flat_map_concurrent(ordered(4), some)
    });
    check(|state| numbers().flat_map_concurrent(1, with(state, |s: State, n| vec![s.factor * n])));
}

#[test]
fn in_every_stage_of_results_too() {
    check(|state| results().try_map_concurrent(ordered(4), with(state, try_times)));
    check(|state| results().map_ok_concurrent(ordered(4), with(state, try_times)));
    check(|state| {
        let some = with(state, async |state, n| try_times(state, n).await.map(Some));
        results().try_filter_map_concurrent(ordered(4), some)
    });
    check(|state| {
        let some = with(state, async |state, n| Ok([try_times(state, n).await?]));
        results().try_flat_map_concurrent(ordered(4), some)
    });
    check(|state| {
        // A body that is opened, then streamed.
        let open = with(state, async |state: State, n| {
            Number::Ok(n)?;
            Ok(stream::once(Number::Ok(state.factor * n)))
        });
        results().try_flat_map_concurrent(ordered(4), open)
    });
}

#[test]
fn wherever_a_call_runs_too() {
    check(|state| numbers().map_concurrent(ordered(4), in_task(smol::spawn, with(state, times))));
    check(|state| numbers().map_concurrent(ordered(4), in_thread(with(state, times_now))));
    let pool = ThreadPool::new(2).unwrap();
    check(|state| numbers().map_concurrent(ordered(4), in_pool(&pool, with(state, times_now))));
    check(|state| {
        let call = in_blocking(blocking::unblock, with(state, times_now));
        numbers().map_concurrent(ordered(4), call)
    });
    let executor = Rc::new(async_executor::LocalExecutor::new());
    check(|state| {
        let host = executor.clone();
        let call = in_local_task(move |task| host.spawn(task), with(state, times));
        numbers().map_concurrent(ordered(4), move |n| {
            let (host, called) = (executor.clone(), call(n));
            async move { host.run(called).await }
        })
    });
}

#[test]
fn in_a_flow_that_is_used_twice_it_is_cloned_once_a_call() {
    let state = State::new(2);
    let clones = state.clones.clone();
    let flow: Flow<usize> = Flow::identity().map_concurrent(ordered(4), with(state, times));
    let flow = flow.map(Number::Ok).try_map_concurrent(3, with(State::new(1), try_times));
    for run in 1..=2 {
        let all: Vec<Number> = block_on(numbers().through(&flow).collect());
        let mut all: Vec<usize> = all.into_iter().map(Output::number).collect();
        all.sort_unstable();
        assert_eq!((all, State::clones(&clones)), (doubled(), 9 * run));
    }
    drop(flow);
    assert_eq!(Arc::strong_count(&clones), 1);

    let state = State::new(2);
    let clones = state.clones.clone();
    let op = op::map_concurrent(ordered(4), with(state, times));
    for run in 1..=2 {
        let all: Vec<usize> = block_on((pipe(numbers()) | &op).collect());
        assert_eq!((all, State::clones(&clones)), (doubled(), 9 * run));
    }
}

/// A function is cloned for each application there, and its state with it.
#[test]
fn in_a_chain_it_is_cloned_once_a_call_and_once_a_stream() {
    let state = State::new(2);
    let clones = state.clones.clone();
    let stages = chain!(
        functional::map_concurrent(ordered(4), with(state, times)),
        functional::map(Number::Ok),
        functional::map_ok_concurrent(ordered(4), with(State::new(1), try_times)),
    );
    for run in 1..=2 {
        let all: Vec<Number> = block_on(stages(numbers()).collect());
        let all: Vec<usize> = all.into_iter().map(Output::number).collect();
        assert_eq!((all, State::clones(&clones)), (doubled(), 10 * run));
    }
}

struct App {
    factor: usize,
}

impl App {
    async fn times(self: Arc<Self>, n: usize) -> usize {
        yield_now().await;
        self.factor * n
    }

    async fn is_even(self: Arc<Self>, n: usize) -> Option<usize> {
        (self.factor * n % 2 == 0).then_some(n)
    }
}

#[test]
fn a_stream_that_owns_all_it_uses_can_be_returned_and_spawned() {
    fn even(app: Arc<App>, offset: usize) -> impl Stream<Item = usize> + Send + 'static {
        let with_two = with((app.clone(), offset), async |(app, offset): (Arc<App>, usize), n| {
            offset + app.times(n).await
        });
        pipe(0..9)
            .map_concurrent(ordered(4), with(app.clone(), App::times))
            .filter_map_concurrent(ordered(4), with(app, App::is_even))
            .map_concurrent(ordered(4), with_two)
    }
    let stream = even(Arc::new(App { factor: 3 }), 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let all = runtime.block_on(runtime.spawn(stream.collect::<Vec<_>>())).unwrap();
    assert_eq!(all, [1, 19, 37, 55, 73]);
}

#[test]
fn what_is_not_send_stays_where_it_is() {
    let (sum, limit) = (Rc::new(Cell::new(0)), Rc::new(5));
    let add = with((sum.clone(), limit), async |(sum, limit): (Rc<Cell<usize>>, Rc<usize>), n| {
        yield_now().await;
        sum.set(sum.get() + n);
        (n < *limit).then_some(n)
    });
    let few: Vec<usize> = block_on(numbers().filter_map_concurrent(ordered(4), add).collect());
    assert_eq!((few, sum.get()), (Vec::from_iter(0..5), 36));
    assert_eq!(Rc::strong_count(&sum), 1);
}

#[test]
fn a_function_with_state_is_a_function() {
    let state = State::new(3);
    let clones = state.clones.clone();
    let f = with(state, times_now);
    assert_eq!((f(1), f(2), f.clone()(3)), (3, 6, 9));
    // Three calls, and the function itself.
    assert_eq!(State::clones(&clones), 4);
}
