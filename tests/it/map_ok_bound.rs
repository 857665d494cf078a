//! How much there is in a stage that lets errors pass, and that its calls go on.

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};

use crate::support::exec::{rest, run};
use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::lock::{HABITS, Lock, Site, with_each_lock};
use crate::support::waker::Task;
use crate::support::window::Window;

type Item = Result<usize, char>;

/// Every third is an error, and the first is.
fn mixed(count: usize) -> impl Stream<Item = Item> {
    pipe(0..count).map(|n| if n % 3 == 0 { Err('s') } else { Ok(n) })
}

#[test]
fn never_more_than_the_limit_are_in_it() {
    for limit in [1, 2, 3, 7, usize::MAX] {
        for keep_order in [false, true] {
            for seed in 0..10 {
                let (window, calls) = (Window::default(), Gauge::default());
                let source = window.source(60).map(|n| if n % 4 == 1 { Err(n) } else { Ok(n) });
                let concurrency = if keep_order { ordered(limit) } else { limit.into() };
                let stage = source.map_ok_concurrent(concurrency, async |n| {
                    let _unit = calls.unit();
                    rest(1 + n % 5).await;
                    Ok(n)
                });
                assert_eq!(run(seed, stage.inspect(|_| window.leave()).count()), Ok(60));
                assert!(window.peak().unsigned_abs() <= limit);
                // Where all are pulled at once, the first error has left before the rest comes.
                assert_eq!(
                    calls.peak(),
                    if keep_order && limit > 1 { calls.peak() } else { limit.min(45) }
                );
            }
        }
    }
}

/// Errors behind a call that goes on and on.
#[test]
fn in_order_errors_that_wait_count_against_the_limit() {
    for limit in [ordered(3), ordered(Semaphore::new(3))] {
        let (window, gate, task) = (Window::default(), Gate::default(), Task::new());
        let source = window.source(100).map(|n| if n > 0 { Err(n) } else { Ok(n) });
        let mut stage = Box::pin(source.map_ok_concurrent(limit, async |n| {
            gate.passed().await;
            Ok(n)
        }));
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(window.peak(), 3);
        gate.open();
        let (items, ended) = task.settle(&mut stage);
        assert_eq!((items.len(), ended), (100, true));
        assert!(items[1..].iter().copied().eq((1..100).map(Err)));
    }
}

#[test]
fn three_stages_share_a_semaphore() {
    for keep_order in [false, true] {
        for seed in 0..30 {
            let (semaphore, calls) = (Semaphore::new(2), Gauge::default());
            let limit = || Concurrency::from(&semaphore);
            let limit = || if keep_order { ordered(limit()) } else { limit() };
            let call = |bad: usize, error: char| {
                let calls = calls.clone();
                move |n: usize| {
                    let unit = calls.unit();
                    async move {
                        let _unit = unit;
                        rest(n as u32 % 3 + 1).await;
                        if n % 7 == bad { Err(error) } else { Ok(n) }
                    }
                }
            };
            let stages = mixed(42)
                .map_ok_concurrent(limit(), call(1, 'a'))
                .map_ok_concurrent(limit(), call(2, 'b'))
                .map_ok_concurrent(limit(), call(3, 'c'));
            let mut all: Vec<Item> = run(seed, stages.collect()).unwrap();
            let expected = (0..42).map(|n| match (n % 3, n % 7) {
                (0, _) => Err('s'),
                (_, 1) => Err('a'),
                (_, 2) => Err('b'),
                (_, 3) => Err('c'),
                _ => Ok(n),
            });
            let mut expected = Vec::from_iter(expected);
            if !keep_order {
                all.sort_unstable();
                expected.sort_unstable();
            }
            assert_eq!(all, expected);
            assert_eq!((semaphore.in_use(), calls.now(), calls.peak()), (0, 0, 2));
        }
    }
}

with_each_lock!(calls_above_and_below_go_on);

fn calls_above_and_below_go_on<L: Lock>() {
    for (limits, habit) in
        [(1, 1), (4, 1), (1, 4), (3, 2)].iter().flat_map(|l| HABITS.map(|h| (l, h)))
    {
        for seed in 0..4 {
            let site = Site::new(&L::new(), habit);
            let call = async |n: u32| Ok(site.call(n).await);
            let stages = pipe(0..24)
                .map_concurrent(limits.0, async |n| match site.call(n).await {
                    n if n % 5 == 3 => Err(n),
                    n => Ok(n),
                })
                .map_ok_concurrent(limits.1, call)
                .batched(3)
                .flat_map_concurrent(2, |batch| batch)
                .map_ok_concurrent(ordered(limits.0), call)
                .map_concurrent(limits.1, async |item| {
                    site.call(1).await;
                    item
                });
            assert_eq!(run(seed, stages.count()), Ok(24), "{limits:?} {habit:?} {seed}");
            assert!(site.peak() <= 2 * (limits.0 + limits.1));
        }
    }
}
