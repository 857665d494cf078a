//! `map_concurrent` beside `buffer_unordered` of futures-util and of futures-buffered.
//!
//! `cargo bench -p flowlet-benches --bench map` prints a table: medians of the time an item takes,
//! allocations an item in the steady state, and flowlet's time as a share of each peer's.
//!
//! `-- WORKLOAD IN_FLIGHT CONTENDER ITEMS` runs just that, once, for an instruction count:
//! `valgrind --tool=callgrind target/release/deps/map-* ready 16 flowlet 100000`.

use std::future::{Future, ready};

use flowlet::FlowExt;
use flowlet_benches::{Contender, Plan, Reactor, YieldOnce};
use futures_buffered::BufferedStreamExt;
use futures_util::StreamExt;
use futures_util::stream;

fn main() {
    let mut plan = Plan::from_arguments();
    let reactor = Reactor::default();
    for in_flight in [16, 256, 4_096] {
        compare(&mut plan, "ready", in_flight, &reactor, ready);
        compare(&mut plan, "yield once", in_flight, &reactor, async |item| {
            YieldOnce::default().await;
            item
        });
        let woken = |item| {
            let woken = reactor.woken_once();
            async move {
                woken.await;
                item
            }
        };
        compare(&mut plan, "woken once", in_flight, &reactor, woken);
    }
}

fn compare<F, Fut>(plan: &mut Plan, workload: &str, in_flight: usize, reactor: &Reactor, f: F)
where
    F: Fn(u64) -> Fut + Copy,
    Fut: Future<Output = u64>,
{
    let contenders = [
        Contender::new("flowlet", reactor, |items| {
            stream::iter(0..items).map_concurrent(in_flight, f)
        }),
        Contender::new("futures-buffered", reactor, |items| {
            stream::iter(0..items).map(f).buffered_unordered(in_flight)
        }),
        Contender::new("futures-util", reactor, |items| {
            stream::iter(0..items).map(f).buffer_unordered(in_flight)
        }),
    ];
    plan.run(workload, in_flight, &contenders);
}
