use std::hint::black_box;
use std::sync::{Arc, LazyLock};
use std::thread;

use async_executor::Executor as Smol;
use flowlet::{FlowExt, in_task};
use futures_lite::future::{block_on, pending};
use futures_util::StreamExt;
use tokio::runtime::{Builder, Runtime};

use super::numbers;
use super::shared::Shared;
use crate::call::Callable;
use crate::executor::runtime;
use crate::peer::{Peer, join_set, sequential, workers};
use crate::{Contender, Row, Tally, tally};

const LIMIT: usize = 16;

/// Calls that are tasks, of about a microsecond of work each, on one worker and on two.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    let tokio = [("tasks on tokio, 1 worker", &TOKIO_1), ("tasks on tokio, 2 workers", &TOKIO_2)];
    let smol = [("tasks on smol, 1 worker", &SMOL_1), ("tasks on smol, 2 workers", &SMOL_2)];
    let row = |workload: &str, contenders| Row {
        workload: workload.to_owned(),
        in_flight: LIMIT,
        items: 4_000,
        expected: Tally::of_numbers,
        contenders,
    };
    tokio
        .map(|(workload, runtime)| row(workload, on_tokio(runtime)))
        .into_iter()
        .chain(smol.map(|(workload, executor)| row(workload, on_smol(executor))))
}

static TOKIO_1: LazyLock<Runtime> = LazyLock::new(|| tokio(1));
static TOKIO_2: LazyLock<Runtime> = LazyLock::new(|| tokio(2));
static SMOL_1: LazyLock<Arc<Smol<'static>>> = LazyLock::new(|| smol(1));
static SMOL_2: LazyLock<Arc<Smol<'static>>> = LazyLock::new(|| smol(2));

fn tokio(workers: usize) -> Runtime {
    runtime(Builder::new_multi_thread().worker_threads(workers))
}

fn smol(workers: usize) -> Arc<Smol<'static>> {
    let executor = Arc::new(Smol::new());
    for _ in 0..workers {
        let executor = executor.clone();
        thread::spawn(move || block_on(executor.run(pending::<()>())));
    }
    executor
}

async fn work(item: u64) -> u64 {
    hash(item)
}

/// About a microsecond of work. Gives back the number.
pub(super) fn hash(item: u64) -> u64 {
    work_for(2_000, item);
    item
}

/// Half a nanosecond of work for each of `rounds`, or so.
pub fn work_for(rounds: u64, item: u64) {
    black_box((0..rounds).fold(item, |hash, n| black_box(hash.rotate_left(5) ^ n)));
}

/// A contender whose consumer is a task as well.
pub(super) fn spawned<Fut>(
    name: &'static str,
    runtime: &'static LazyLock<Runtime>,
    f: impl Fn(u64) -> Fut + 'static,
) -> Contender
where
    Fut: Future<Output = Tally> + Send + 'static,
{
    let run = move |items| {
        let whole = runtime.spawn({
            let _entered = runtime.enter();
            f(items)
        });
        runtime.block_on(whole).expect("no panic")
    };
    Contender { name, run: Box::new(run) }
}

/// The peers on their own terms: those that do not spawn show what that costs.
#[derive(Clone, Copy)]
struct Own(&'static LazyLock<Runtime>);

impl Shared for Own {
    fn of<P: Peer>(self, f: impl Callable) -> Contender {
        spawned(P::NAME, self.0, move |items| tally(P::map(numbers(items), LIMIT, f)))
    }
}

fn on_tokio(runtime: &'static LazyLock<Runtime>) -> Vec<Contender> {
    let mut contenders = vec![
        spawned("flowlet", runtime, |items| {
            let f = in_task(|task| drop(tokio::spawn(task)), work);
            tally(numbers(items).map_concurrent(LIMIT, f))
        }),
        spawned("futures-util, spawn", runtime, |items| {
            let calls = numbers(items).map(|item| tokio::spawn(work(item)));
            tally(calls.buffer_unordered(LIMIT).map(|output| output.expect("no panic")))
        }),
        spawned(join_set::NAME, runtime, |items| join_set::map(items, LIMIT, work)),
    ];
    contenders.extend(Own(runtime).peers(work));
    contenders
        .push(spawned(sequential::NAME, runtime, |items| sequential::map(items, LIMIT, work)));
    contenders
}

fn on_smol(executor: &'static LazyLock<Arc<Smol<'static>>>) -> Vec<Contender> {
    let consumed = move |name, run: fn(&'static Smol<'static>, u64) -> Tally| Contender {
        name,
        run: Box::new(move |items| run(executor, items)),
    };
    vec![
        consumed("flowlet", |executor, items| {
            let f = in_task(|task| executor.spawn(task).detach(), work);
            block_on(executor.spawn(tally(numbers(items).map_concurrent(LIMIT, f))))
        }),
        consumed("futures-util, spawn", |executor, items| {
            let calls = numbers(items).map(|item| executor.spawn(work(item)));
            block_on(executor.spawn(tally(calls.buffer_unordered(LIMIT))))
        }),
        consumed(workers::NAME, |executor, items| {
            block_on(executor.spawn(workers::spawned(executor, items, LIMIT, work)))
        }),
        consumed(sequential::NAME, |executor, items| {
            block_on(executor.spawn(sequential::map(items, LIMIT, work)))
        }),
    ]
}
