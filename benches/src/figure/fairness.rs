use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_lite::{Stream, stream};
use tokio::runtime::Builder;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use super::Repeat;
use crate::executor::runtime;
use crate::peer::{Flowlet, FuturesBuffered, FuturesUtil, Peer};
use crate::{Spread, tally};

/// How a pipeline gets on with what else is on its thread of tokio.
#[derive(Debug)]
pub struct Fairness {
    /// Whose it is.
    pub name: &'static str,

    /// How many calls at once.
    pub in_flight: usize,

    /// How often a call is polled that needs one unit of tokio's budget and is ready if it gets that.
    /// What is more than 1 was in vain: tokio allows a task 128 such operations in a poll.
    pub polls_a_call: f64,

    /// How many calls are ready in a poll of the task; with tokio's budget spent they are not.
    pub calls_a_turn: f64,

    /// The longest time, in microseconds, that another task waited for its turn while calls were
    /// ready at once and the consumer had nothing to await but the pipeline.
    pub longest_wait: Spread,
}

type Run = fn(usize, u64) -> (f64, f64, f64);

/// Runs pipelines on a tokio runtime of one thread.
pub fn fairness(in_flight: usize, repeat: Repeat) -> Vec<Fairness> {
    let runs: [(_, Run); 3] = [
        (Flowlet::NAME, run::<Flowlet>),
        (FuturesUtil::NAME, run::<FuturesUtil>),
        (FuturesBuffered::NAME, run::<FuturesBuffered>),
    ];
    let mut waits = [const { Vec::new() }; 3];
    let mut counts = [(0.0, 0.0); 3];
    for _ in 0..repeat.rounds {
        for (index, (_, run)) in runs.iter().enumerate() {
            let (polls, calls, wait) = run(in_flight, 200_000 / repeat.divisor);
            counts[index] = (polls, calls);
            waits[index].push(wait);
        }
    }
    let figures = runs.into_iter().zip(counts).zip(waits);
    figures
        .map(|(((name, _), (polls_a_call, calls_a_turn)), waits)| Fairness {
            name,
            in_flight,
            polls_a_call,
            calls_a_turn,
            longest_wait: Spread::of(waits),
        })
        .collect()
}

static POLLS: AtomicU64 = AtomicU64::new(0);

fn run<P: Peer>(in_flight: usize, items: u64) -> (f64, f64, f64) {
    let runtime = runtime(&mut Builder::new_current_thread());

    POLLS.store(0, Ordering::Relaxed);
    let mut turns = 0;
    let budgeted = |item| {
        Counted(Box::pin(async move {
            consume_budget().await;
            item
        }))
    };
    let pipeline = tally(P::map(stream::iter(0..items), in_flight, budgeted));
    runtime.block_on(counted(pipeline, &mut turns));
    let items_f = items as f64;
    let polls = POLLS.load(Ordering::Relaxed) as f64 / items_f;

    let wait = runtime.block_on(longest_wait(P::map(
        stream::iter(0..items),
        in_flight,
        std::future::ready,
    )));
    (polls, items_f / turns as f64, wait)
}

/// Counts how often a future is polled.
async fn counted<T>(future: impl Future<Output = T>, turns: &mut u64) -> T {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        *turns += 1;
        future.as_mut().poll(cx)
    })
    .await
}

/// Counts how often a call is polled.
struct Counted<Fut>(Pin<Box<Fut>>);

impl<Fut: Future> Future for Counted<Fut> {
    type Output = Fut::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        POLLS.fetch_add(1, Ordering::Relaxed);
        self.0.as_mut().poll(cx)
    }
}

/// How long another task waits at most while a pipeline is consumed.
async fn longest_wait(stream: impl Stream<Item = u64> + Send + 'static) -> f64 {
    static DONE: AtomicBool = AtomicBool::new(false);
    DONE.store(false, Ordering::Relaxed);
    let other = tokio::spawn(async {
        let mut longest = 0.0_f64;
        let mut last = Instant::now();
        while !DONE.load(Ordering::Relaxed) {
            yield_now().await;
            longest = longest.max(last.elapsed().as_nanos() as f64 / 1_000.0);
            last = Instant::now();
        }
        longest
    });
    // So that it has begun.
    yield_now().await;
    let pipeline = tokio::spawn(async {
        tally(stream).await;
        DONE.store(true, Ordering::Relaxed);
    });
    pipeline.await.expect("no panic");
    other.await.expect("no panic")
}
