use std::future::poll_fn;
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use futures_lite::{Stream, StreamExt, stream};

use super::{Repeat, in_turn, three};
use crate::Spread;
use crate::call::{reactor, woken_once};
use crate::peer::Peer;

/// Wakes one of many calls from the thread that polls, and polls until its output is there: how many
/// nanoseconds pass, with each of the three. Taking the time is included, which is some 20 of them.
pub fn latencies(in_flight: usize, repeat: Repeat) -> [Spread; 3] {
    spreads(in_flight, repeat, three!(events))
}

/// Wakes one of some calls from another thread, when the consumer sleeps.
pub fn latencies_from_another_thread(in_flight: usize, repeat: Repeat) -> [Spread; 3] {
    spreads(in_flight, repeat, three!(woken_events))
}

fn spreads(in_flight: usize, repeat: Repeat, runs: [fn(usize, u64) -> Vec<f64>; 3]) -> [Spread; 3] {
    in_turn(repeat, runs, |run| run(in_flight, 4_000 / repeat.divisor))
        .map(|rounds| Spread::of(rounds.concat()))
}

fn events<P: Peer>(in_flight: usize, events: u64) -> Vec<f64> {
    let mut stream = pin!(P::map(stream::iter(0..), in_flight, woken_once));
    let mut cx = Context::from_waker(Waker::noop());
    // A budget may leave the filling to several polls.
    let fill = in_flight / 32 + 2;
    for _ in 0..fill {
        assert!(stream.as_mut().poll_next(&mut cx).is_pending(), "nothing was woken");
    }
    let latencies = (0..events).map(|_| {
        let start = Instant::now();
        assert!(reactor::wake_one(), "calls wait");
        while stream.as_mut().poll_next(&mut cx).is_pending() {}
        let latency = start.elapsed();
        assert!(stream.as_mut().poll_next(&mut cx).is_pending(), "one call was woken");
        latency.as_nanos() as f64
    });
    let latencies = latencies.collect();
    while reactor::wake_one() {}
    latencies
}

/// Wakes a moment after it was asked to, and says when.
static WAKING: LazyLock<Sender<(Waker, Sender<Instant>)>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<(Waker, Sender<Instant>)>();
    thread::spawn(move || {
        for (waker, when) in receiver {
            // The consumer falls asleep meanwhile.
            thread::sleep(Duration::from_micros(50));
            // It may have gone, with the calls that are left.
            let _ = when.send(Instant::now());
            waker.wake();
        }
    });
    sender
});

fn woken_events<P: Peer>(in_flight: usize, events: u64) -> Vec<f64> {
    let call = |_| {
        let (sender, receiver) = channel();
        let mut waiting = Some(sender);
        poll_fn(move |cx| {
            if let Some(sender) = waiting.take() {
                WAKING.send((cx.waker().clone(), sender)).expect("the thread is there");
            }
            match receiver.try_recv() {
                Ok(when) => Poll::Ready(when),
                Err(_) => Poll::Pending,
            }
        })
    };
    let events = events / 20;
    let mut stream = pin!(P::map(stream::iter(0..events), in_flight, call));
    let mut latencies = Vec::new();
    block_on(async {
        while let Some(when) = stream.next().await {
            latencies.push(when.elapsed().as_nanos() as f64);
        }
    });
    latencies
}
