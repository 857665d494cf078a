use std::future::ready;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::{Stream, future::yield_now, stream};

use super::{Repeat, in_turn, three};
use crate::Spread;
use crate::call::{Callable, reactor, woken_once};
use crate::peer::Peer;

type Run = fn(usize) -> Duration;

/// Polls streams of so many calls in flight that have a source that is always ready: for how many
/// microseconds the longest `poll_next` of a run takes all of the thread, by what the calls do and with
/// each of the three.
pub fn worst_polls(in_flight: usize, repeat: Repeat) -> [(&'static str, [Spread; 3]); 3] {
    let workloads: [(_, [Run; 3]); 3] = [
        ("ready", three!(of_ready)),
        ("yield once", three!(of_yields)),
        ("all woken at once", three!(of_woken)),
    ];
    workloads.map(|(workload, runs)| {
        let times = in_turn(repeat, runs, |run| run(in_flight).as_nanos() as f64 / 1_000.0);
        (workload, times.map(Spread::of))
    })
}

fn of_ready<P: Peer>(in_flight: usize) -> Duration {
    worst::<P>(in_flight, ready)
}

fn of_yields<P: Peer>(in_flight: usize) -> Duration {
    worst::<P>(in_flight, async |item| {
        yield_now().await;
        item
    })
}

fn of_woken<P: Peer>(in_flight: usize) -> Duration {
    worst::<P>(in_flight, woken_once)
}

fn worst<P: Peer>(in_flight: usize, f: impl Callable) -> Duration {
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
