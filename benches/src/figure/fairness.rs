use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use futures_lite::future::yield_now as yield_at_once;
use futures_lite::{Stream, stream};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::{Repeat, in_turn, three};
use crate::call::Callable;
use crate::executor::runtime;
use crate::peer::{Peer, THREE};
use crate::report::{Table, digits};
use crate::workload::work_for;
use crate::{Spread, tally};

/// How long the other task waited for a turn.
#[derive(Clone, Copy)]
struct Wait {
    microseconds: f64,
    polls: f64,
}

/// What came of one run.
struct Run {
    /// How often a call is polled.
    polls_a_call: f64,
    /// How many calls are over in a poll of the task.
    calls_a_turn: f64,
    /// The time of an item, with the other task's.
    nanoseconds: f64,
    waits: Vec<Wait>,
}

impl Run {
    fn median(&self, f: fn(&Wait) -> f64) -> f64 {
        Spread::of(self.waits.iter().map(f).collect()).median
    }

    fn longest(&self, f: fn(&Wait) -> f64) -> f64 {
        self.waits.iter().map(f).fold(0.0, f64::max)
    }
}

type Runs = [fn(usize, u64) -> Run; 3];

/// The kinds of calls, how many of them in a run, and who makes them.
const CALLS: [(&str, u64, Runs); 3] = [
    ("ready", 100_000, three!(of_ready)),
    ("a tokio semaphore", 100_000, three!(of_budget)),
    ("four yields, a microsecond each", 10_000, three!(of_yields)),
];

/// Runs pipelines on a tokio runtime of one thread, beside another task, and tells how they get on.
pub fn fairness(sizes: &[usize], repeat: Repeat) -> Table {
    let mut table = Table::new([
        "calls",
        "in flight",
        "whose",
        "polls a call",
        "calls a turn",
        "ns an item",
        "the other's wait in polls: median",
        "most",
        "in µs: median",
        "most",
    ]);
    let rows = CALLS.iter().flat_map(|calls| sizes.iter().map(move |size| (calls, *size)));
    for (&(calls, items, runs), in_flight) in rows {
        let items = (items / repeat.divisor).max(100);
        let rounds = in_turn(repeat, runs, |run| run(in_flight, items));
        for (name, rounds) in THREE.into_iter().zip(rounds) {
            let median = |f: fn(&Run) -> f64| Spread::of(rounds.iter().map(f).collect()).median;
            table.row([
                calls.to_owned(),
                in_flight.to_string(),
                name.to_owned(),
                format!("{:.3}", median(|run| run.polls_a_call)),
                digits(median(|run| run.calls_a_turn)),
                digits(median(|run| run.nanoseconds)),
                format!("{:.0}", median(|run| run.median(|wait| wait.polls))),
                format!("{:.0}", median(|run| run.longest(|wait| wait.polls))),
                digits(median(|run| run.median(|wait| wait.microseconds))),
                digits(median(|run| run.longest(|wait| wait.microseconds))),
            ]);
        }
    }
    table
}

fn of_ready<P: Peer>(in_flight: usize, items: u64) -> Run {
    run::<P>(in_flight, items, async |item| item)
}

/// Each call takes a unit of tokio's budget, of which a poll of the task has 128. It is polled in vain
/// when that is spent.
fn of_budget<P: Peer>(in_flight: usize, items: u64) -> Run {
    static PERMITS: Semaphore = Semaphore::const_new(Semaphore::MAX_PERMITS);
    run::<P>(in_flight, items, async |item| {
        let _permit = PERMITS.acquire().await;
        item
    })
}

fn of_yields<P: Peer>(in_flight: usize, items: u64) -> Run {
    run::<P>(in_flight, items, async |item| {
        for _ in 0..4 {
            work_for(2_000, item);
            yield_at_once().await;
        }
        item
    })
}

thread_local! {
    static POLLS: Cell<u64> = const { Cell::new(0) };
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// Counts how often a call is polled.
async fn call<Fut: Future>(future: Fut) -> Fut::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        POLLS.set(POLLS.get() + 1);
        future.as_mut().poll(cx)
    })
    .await
}

/// Counts the turns of a task.
async fn task<Fut: Future>(future: Fut) -> Fut::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        TURNS.set(TURNS.get() + 1);
        future.as_mut().poll(cx)
    })
    .await
}

fn run<P: Peer>(in_flight: usize, items: u64, f: impl Callable) -> Run {
    POLLS.set(0);
    TURNS.set(0);
    let calls = move |item| call(f(item));
    let stream = P::map(stream::iter(0..items), in_flight, calls);
    let runtime = runtime(&mut Builder::new_current_thread());
    let start = Instant::now();
    let waits = runtime.block_on(waits(stream));
    let took = start.elapsed();
    let number = items as f64;
    Run {
        polls_a_call: POLLS.get() as f64 / number,
        calls_a_turn: number / TURNS.get() as f64,
        nanoseconds: took.as_nanos() as f64 / number,
        waits,
    }
}

const NOT_BEGUN: u8 = 0;
const BEGUN: u8 = 1;
const OVER: u8 = 2;

/// How long another task waits each time it has given way, while a pipeline is
/// consumed.
async fn waits(stream: impl Stream<Item = u64> + Send + 'static) -> Vec<Wait> {
    static PIPELINE: AtomicU8 = AtomicU8::new(NOT_BEGUN);
    PIPELINE.store(NOT_BEGUN, Ordering::Relaxed);
    let other = tokio::spawn(async {
        let mut waits = Vec::with_capacity(100_000);
        loop {
            let (last, before) = (Instant::now(), POLLS.get());
            yield_now().await;
            let microseconds = last.elapsed().as_nanos() as f64 / 1_000.0;
            let polls = (POLLS.get() - before) as f64;
            let pipeline = PIPELINE.load(Ordering::Relaxed);
            if pipeline != NOT_BEGUN {
                waits.push(Wait { microseconds, polls });
            }
            if pipeline == OVER {
                return waits;
            }
        }
    });
    // So that it has begun.
    yield_now().await;
    let pipeline = tokio::spawn(task(async {
        PIPELINE.store(BEGUN, Ordering::Relaxed);
        tally(stream).await;
        PIPELINE.store(OVER, Ordering::Relaxed);
    }));
    pipeline.await.expect("no panic");
    other.await.expect("no panic")
}
