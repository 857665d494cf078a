use std::sync::LazyLock;

use flowlet::{FlowExt, ThreadPool, in_pool, in_thread};
use futures_util::StreamExt;

use super::numbers;
use super::task::hash;
use crate::{Contender, Executor, Row, Tally, tally};

const LIMIT: usize = 16;

/// Blocking calls, on pools of threads: those that have nothing to do, and those of about a microsecond.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    [("blocking calls, empty", same as fn(u64) -> u64), ("blocking calls, work", hash)]
        .into_iter()
        .map(|(workload, f)| Row {
            workload: workload.to_owned(),
            in_flight: LIMIT,
            items: 2_000,
            expected: Tally::of_numbers,
            contenders: contenders(f),
        })
}

static POOL: LazyLock<ThreadPool> = LazyLock::new(|| ThreadPool::new(2).expect("threads start"));

fn same(item: u64) -> u64 {
    item
}

fn contenders(f: fn(u64) -> u64) -> Vec<Contender> {
    vec![
        Contender::new("flowlet's in_pool, 2 threads", Executor::Parked, move |items| {
            tally(numbers(items).map_concurrent(LIMIT, in_pool(&POOL, f)))
        }),
        Contender::new("flowlet's in_thread", Executor::Parked, move |items| {
            tally(numbers(items).map_concurrent(LIMIT, in_thread(f)))
        }),
        Contender::new("tokio's spawn_blocking", Executor::Parked, move |items| {
            let call = move |item| tokio::task::spawn_blocking(move || f(item));
            let outputs = numbers(items).map(call).buffer_unordered(LIMIT);
            tally(outputs.map(|output| output.expect("no panic")))
        }),
        Contender::new("blocking::unblock", Executor::Parked, move |items| {
            let call = move |item| blocking::unblock(move || f(item));
            tally(numbers(items).map(call).buffer_unordered(LIMIT))
        }),
    ]
}
