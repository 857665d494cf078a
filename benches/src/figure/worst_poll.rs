use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::{Stream, future::yield_now, stream};

use super::Repeat;
use crate::Spread;
use crate::call::{reactor, woken_once};
use crate::peer::{Flowlet, FuturesBuffered, FuturesUtil, Peer};

/// How long the longest `poll_next` of a run takes: as long nothing else runs on the thread.
#[derive(Debug)]
pub struct WorstPoll {
    /// What the calls do.
    pub workload: &'static str,

    /// Whose it is.
    pub name: &'static str,

    /// In microseconds.
    pub microseconds: Spread,
}

type Run = fn(usize) -> Duration;

/// Polls streams of so many calls in flight that have a source that is always ready.
pub fn worst_polls(in_flight: usize, repeat: Repeat) -> Vec<WorstPoll> {
    let workloads: [(_, [Run; 3]); 3] = [
        ("ready", [of_ready::<Flowlet>, of_ready::<FuturesUtil>, of_ready::<FuturesBuffered>]),
        (
            "yield once",
            [of_yields::<Flowlet>, of_yields::<FuturesUtil>, of_yields::<FuturesBuffered>],
        ),
        (
            "all woken at once",
            [of_woken::<Flowlet>, of_woken::<FuturesUtil>, of_woken::<FuturesBuffered>],
        ),
    ];
    let names = [Flowlet::NAME, FuturesUtil::NAME, FuturesBuffered::NAME];
    let mut worst = Vec::new();
    for (workload, runs) in workloads {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..repeat.rounds {
            for (run, times) in runs.iter().zip(&mut times) {
                times.push(run(in_flight).as_nanos() as f64 / 1_000.0);
            }
        }
        for (name, times) in names.into_iter().zip(times) {
            worst.push(WorstPoll { workload, name, microseconds: Spread::of(times) });
        }
    }
    worst
}

fn of_ready<P: Peer>(in_flight: usize) -> Duration {
    worst::<P, _, _>(in_flight, ready)
}

fn of_yields<P: Peer>(in_flight: usize) -> Duration {
    worst::<P, _, _>(in_flight, async |item| {
        yield_now().await;
        item
    })
}

fn of_woken<P: Peer>(in_flight: usize) -> Duration {
    worst::<P, _, _>(in_flight, woken_once)
}

fn worst<P, F, Fut>(in_flight: usize, f: F) -> Duration
where
    P: Peer,
    F: Fn(u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    let items = 4 * in_flight as u64;
    let mut stream = pin!(P::map(stream::iter(0..items), in_flight, f));
    let mut cx = Context::from_waker(Waker::noop());
    let mut worst = Duration::ZERO;
    loop {
        let start = Instant::now();
        let polled = stream.as_mut().poll_next(&mut cx);
        worst = worst.max(start.elapsed());
        match polled {
            Poll::Ready(None) => return worst,
            Poll::Ready(Some(_)) => {}
            Poll::Pending => while reactor::wake_one() {},
        }
    }
}
