use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_lite::Stream;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::Reactor;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// How often each contender runs, in turn with the others.
const ROUNDS: usize = 15;

/// One implementation of a workload.
#[expect(missing_debug_implementations, reason = "it holds a closure")]
pub struct Contender<'a> {
    /// Whose it is.
    pub name: &'static str,
    /// Runs so many items through, checks what comes out, and returns the allocations made after
    /// the first half of the items.
    pub run: Box<dyn Fn(u64) -> usize + 'a>,
}

impl<'a> Contender<'a> {
    /// Makes a contender of a stream of the items `0..n`, in any order, whose futures `reactor` wakes.
    pub fn new<S: Stream<Item = u64>>(
        name: &'static str,
        reactor: &'a Reactor,
        stream: impl Fn(u64) -> S + 'a,
    ) -> Self {
        Self { name, run: Box::new(move |items| consume(items, reactor, stream(items))) }
    }
}

fn consume(items: u64, reactor: &Reactor, stream: impl Stream<Item = u64>) -> usize {
    let mut stream = pin!(stream);
    let mut cx = Context::from_waker(Waker::noop());
    let (mut count, mut sum) = (0, 0);
    let mut second_half = None;
    loop {
        match stream.as_mut().poll_next(&mut cx) {
            Poll::Ready(Some(item)) => {
                count += 1;
                sum += item;
                if count == items / 2 {
                    second_half = Some(Region::new(ALLOCATOR));
                }
            }
            Poll::Ready(None) => break,
            Poll::Pending => reactor.turn(),
        }
    }
    let allocations = second_half.map_or(0, |region| region.change().allocations);
    assert_eq!((count, sum), (items, items * (items - 1) / 2), "items were lost or made up");
    allocations
}

/// What came of one contender.
#[derive(Debug)]
pub struct Measured {
    /// Whose it is.
    pub name: &'static str,
    /// The median of the times of an item, in nanoseconds.
    pub nanoseconds: f64,
    /// The median, over the rounds, of its time divided by that of the first contender.
    pub ratio: f64,
    /// Allocations per item in the second half of a run.
    pub allocations: f64,
}

/// Runs the contenders in turn, so that whatever disturbs the machine disturbs all of them.
pub fn measure(items: u64, contenders: &[Contender<'_>]) -> Vec<Measured> {
    let mut times = vec![Vec::new(); contenders.len()];
    let mut allocations = vec![0; contenders.len()];
    for round in 0..=ROUNDS {
        for (index, contender) in contenders.iter().enumerate() {
            let start = Instant::now();
            allocations[index] = (contender.run)(items);
            // The first round warms up.
            if round > 0 {
                times[index].push(start.elapsed().as_nanos() as f64 / items as f64);
            }
        }
    }
    let first = times[0].clone();
    contenders
        .iter()
        .zip(times)
        .zip(allocations)
        .map(|((contender, times), allocations)| Measured {
            name: contender.name,
            ratio: median(times.iter().zip(&first).map(|(time, first)| time / first).collect()),
            nanoseconds: median(times),
            allocations: allocations as f64 / (items - items / 2) as f64,
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
