//! In the steady state nothing is allocated for an item. Apart, because it has an allocator that counts.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, frontier, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

/// Limits with which the calls fit into a turn, and with which they do not.
fn limits() -> Vec<Concurrency> {
    let limits = [1.into(), 16.into(), 1000.into(), ordered(1), ordered(16)];
    #[cfg(feature = "monitor")]
    let limits = {
        static MONITOR: std::sync::LazyLock<flowlet::Monitor> =
            std::sync::LazyLock::new(Default::default);
        limits.into_iter().flat_map(|limit| [MONITOR.stage("stage", limit.clone()), limit])
    };
    limits.into_iter().collect()
}

/// Takes some items, without a word to any allocator.
fn take<S: Stream + Unpin>(stream: &mut S, mut number: usize, mut between: impl FnMut()) {
    let mut cx = Context::from_waker(Waker::noop());
    while number > 0 {
        match stream.poll_next(&mut cx) {
            Poll::Ready(item) => {
                black_box(item.expect("an item"));
                number -= 1;
            }
            Poll::Pending => between(),
        }
    }
}

/// Counts what is allocated for a thousand items, after as many as warm everything up.
fn allocations<S: Stream>(stream: S, mut between: impl FnMut()) -> u64 {
    let mut stream = pin!(stream);
    // To its limit, with nothing woken meanwhile.
    for _ in 0..100 {
        let _ = stream.as_mut().poll_next(&mut Context::from_waker(Waker::noop()));
    }
    take(&mut stream, 3000, &mut between);
    measure(|| take(&mut stream, 1000, &mut between)).count_total
}

/// Calls that wait until they are woken, and their wakers.
struct Reactor {
    wakers: RefCell<Vec<Waker>>,
}

impl Reactor {
    fn new() -> Self {
        Self { wakers: RefCell::new(Vec::with_capacity(10_000)) }
    }

    fn call(&self) -> impl Future<Output = ()> {
        let mut waited = false;
        poll_fn(move |cx| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            self.wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
    }

    fn wake_all(&self) {
        self.wakers.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(black_box(Box::new(1)))).count_total, 1);
}

#[test]
fn of_ready_calls() {
    for limit in limits() {
        let mapped = pipe(0..).map_concurrent(limit.clone(), async |item: usize| item);
        assert_eq!(allocations(mapped, || ()), 0, "{limit:?}");
        let odd = async |item: &usize| item % 2 == 1;
        let filtered = pipe(0..).filter_concurrent(limit.clone(), odd);
        assert_eq!(allocations(filtered, || ()), 0, "{limit:?}");
    }
}

#[test]
fn of_calls_that_take_permits_which_are_free() {
    for limit in [Semaphore::new(16).into(), ordered(Semaphore::new(16))] {
        let mapped = pipe(0..).map_concurrent(limit, async |item: usize| {
            yield_now().await;
            item
        });
        assert_eq!(allocations(mapped, || ()), 0);
    }
}

#[test]
fn of_calls_that_yield() {
    for limit in limits() {
        let mapped = pipe(0..).map_concurrent(limit.clone(), async |item: usize| {
            yield_now().await;
            item
        });
        assert_eq!(allocations(mapped, || ()), 0, "{limit:?}");
        let filtered = pipe(0..).filter_concurrent(limit.clone(), async |item: &usize| {
            yield_now().await;
            item % 2 == 1
        });
        assert_eq!(allocations(filtered, || ()), 0, "{limit:?}");
    }
}

#[test]
fn of_calls_that_may_fail() {
    for limit in limits() {
        let mapped = pipe(0..).map(Ok).try_map_concurrent(limit.clone(), async |item: usize| {
            yield_now().await;
            if item == usize::MAX { Err(item) } else { Ok(item) }
        });
        let filtered = mapped.try_filter_concurrent(limit.clone(), async |item: &usize| {
            yield_now().await;
            Ok(item % 2 == 1)
        });
        assert_eq!(allocations(filtered, || ()), 0, "{limit:?}");
    }
}

#[test]
fn of_items_that_are_found_on_the_way() {
    for limit in limits() {
        let call = async |item: usize| {
            yield_now().await;
            item
        };
        // Two of three items find nothing, the third finds three.
        let found = |item: usize| (1..4).filter(move |_| item % 3 == 0).map(move |n| item + n);
        for depth_first in [false, true] {
            let first = frontier(0..100);
            let first = if depth_first { first.depth_first() } else { first };
            let stream = first
                .map_concurrent(limit.clone(), async |(item, entry)| (call(item).await, entry))
                .map(|(item, entry)| entry.expand(found(item)));
            assert_eq!(allocations(stream, || ()), 0, "{limit:?}");
        }
        let expand = async |item: usize| (item, found(call(item).await));
        let stream = pipe(0..).step_by(3).expand_concurrent(limit.clone(), expand);
        assert_eq!(allocations(stream, || ()), 0, "{limit:?}");
    }
}

#[test]
fn of_calls_that_are_woken() {
    for limit in limits() {
        let reactor = Reactor::new();
        let mapped = pipe(0..).map_concurrent(limit.clone(), async |item: usize| {
            reactor.call().await;
            item
        });
        assert_eq!(allocations(mapped, || reactor.wake_all()), 0, "{limit:?}");
        let filtered = pipe(0..).filter_concurrent(limit.clone(), async |item: &usize| {
            reactor.call().await;
            item % 2 == 1
        });
        assert_eq!(allocations(filtered, || reactor.wake_all()), 0, "{limit:?}");
    }
}

#[test]
fn of_two_stages_of_which_one_is_full() {
    for limit in limits() {
        let reactor = Reactor::new();
        let stream = pipe(0..)
            .map_concurrent(limit.clone(), async |item: usize| {
                yield_now().await;
                item
            })
            .map(|item| item + 1)
            .map_concurrent(3, async |item: usize| {
                reactor.call().await;
                item
            });
        assert_eq!(allocations(stream.driven(), || reactor.wake_all()), 0, "{limit:?}");
    }
}

/// A short pipeline has the wakers of one that is gone. Twenty calls at once need a box each, and a
/// pipeline some more things; a waker each would be twenty more.
#[test]
fn of_short_pipelines_one_after_the_other() {
    let reactor = Reactor::new();
    let run = || {
        let stage = pipe(0..20).map_concurrent(20, |_| reactor.call());
        take(&mut pin!(stage), 20, || reactor.wake_all());
    };
    run();
    let allocations = measure(run).count_total;
    assert!((20..40).contains(&allocations), "{allocations}");
}

/// Unless such a waker is still held: it belongs to the call that it was made for.
#[test]
fn a_waker_that_is_kept_is_not_that_of_a_later_call() {
    let kept = RefCell::new(Vec::new());
    for _ in 0..3 {
        let mut first = pin!(pipe(0..10).map_concurrent(10, |_| poll_fn(|cx| {
            kept.borrow_mut().push(cx.waker().clone());
            Poll::<()>::Pending
        })));
        let _ = first.as_mut().poll_next(&mut Context::from_waker(Waker::noop()));
    }
    let wakers = kept.borrow();
    assert_eq!(wakers.len(), 30);
    for (n, waker) in wakers.iter().enumerate() {
        assert!(!wakers[..n].iter().any(|other| other.will_wake(waker)));
    }
}

/// What a call that panicked was kept in is there for the next one.
#[test]
fn calls_that_panic_leave_nothing_behind() {
    for limit in limits().into_iter().chain([Semaphore::new(16).into()]) {
        let mut stream = pin!(pipe(0..).map_concurrent(limit.clone(), async |item: usize| {
            yield_now().await;
            if item % 2 == 0 {
                resume_unwind(Box::new(item));
            }
            item
        }));
        let mut cx = Context::from_waker(Waker::noop());
        let mut panics = |number: usize| {
            let mut count = 0;
            while count < number {
                let polled = catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll_next(&mut cx)));
                count += usize::from(polled.is_err());
            }
        };
        panics(3000);
        assert_eq!(measure(|| panics(1000)).count_current, 0, "{limit:?}");
    }
}

#[test]
fn of_a_batch_there_is_one() {
    for size in [1, 2, 10, 1000] {
        let mut batches = pin!(pipe(0_usize..).batched(size));
        take(&mut batches, 3, || ());
        let counted = measure(|| take(&mut batches, 5, || ()));
        assert_eq!(counted.count_total, 5);
        assert_eq!(counted.bytes_total, (5 * size * size_of::<usize>()) as u64);
    }
}

#[test]
fn no_room_is_made_for_calls_that_were_not_started() {
    for limit in [Concurrency::from(usize::MAX), ordered(usize::MAX)] {
        let counted = measure(|| {
            let stream = pipe(0..2).map_concurrent(limit.clone(), async |item: usize| item);
            black_box(&stream);
            let stream = pipe(0..2).flat_map_concurrent(limit.clone(), |item: usize| [item]);
            black_box(&stream);
        });
        // The signals of each stage.
        assert!(counted.count_total <= 2 && counted.bytes_total < 1000, "{counted:?}");
        let counted = measure(|| {
            let mut stream = pin!(pipe(0..2).map_concurrent(limit.clone(), async |item: usize| {
                yield_now().await;
                item
            }));
            take(&mut stream, 2, || ());
        });
        assert!(counted.bytes_total < 5000, "{counted:?}");
    }
    let counted = measure(|| {
        let mut batches = pin!(pipe(0..2_usize).batched(usize::MAX));
        take(&mut batches, 1, || ());
    });
    assert!(counted.bytes_total <= 10_000, "{counted:?}");
}

/// Inner streams that are blocked again and again leave nothing behind.
#[test]
fn streams_that_are_blocked_often_need_no_memory() {
    let semaphore = Semaphore::new(3);
    let limits: [Concurrency; 3] = [
        Concurrency::new(3).window(3),
        Concurrency::new(3).window(5),
        Concurrency::new(&semaphore).window(3),
    ];
    for limit in limits {
        let mut stage = pipe(0..3).flat_map_concurrent(limit, |n: u32| stream::repeat(n)).driven();
        let mut run = |outputs: usize| {
            block_on(async {
                for _ in 0..outputs {
                    assert!(stage.next().await.is_some());
                    stage.alongside(yield_now()).await;
                }
            })
        };
        run(1000);
        let counted = measure(|| run(10_000));
        assert_eq!(counted.bytes_current, 0, "{counted:?}");
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
}

/// A stage by key has no more in it than ever waited at once, however many keys there were.
#[test]
fn a_hundred_thousand_keys_leave_nothing_behind() {
    for limit in [Concurrency::from(4), ordered(4), (&Semaphore::new(4)).into()] {
        let mut n = 0_u64;
        // Some come again soon, so that they wait.
        let items = std::iter::repeat_with(|| {
            n += 1;
            n - n % 3
        });
        let mut stage = pin!(pipe(items).map_concurrent_by_key(
            limit.clone(),
            |n| *n,
            async |n| {
                yield_now().await;
                n
            }
        ));
        take(&mut stage, 10_000, || ());
        let counted = measure(|| take(&mut stage, 100_000, || ()));
        assert_eq!((counted.count_total, counted.bytes_current), (0, 0), "{limit:?}");
    }
}

#[test]
fn of_calls_that_are_weighed() {
    let semaphore = Semaphore::new(16);
    let limits = [16.into(), ordered(16), (&semaphore).into(), ordered(&semaphore), {
        ordered(16).window(40)
    }];
    for limit in limits {
        let limit: Concurrency = limit;
        let mapped = pipe(0..)
            .map_concurrent(limit.clone(), async |item: usize| {
                yield_now().await;
                item
            })
            .weighed_by(|item| item % 6);
        assert_eq!(allocations(mapped, || ()), 0, "{limit:?}");
    }
}

/// Calls of thread pools, as seen by those who make them.
#[cfg(feature = "threads")]
mod calls_in_a_pool {
    use std::sync::{Mutex, mpsc};

    use flowlet::{InPool, ThreadPool, in_pool};

    use super::*;

    /// Polls once.
    fn poll<F: Fn(usize) -> U, U>(call: &mut InPool<F, usize, U>) -> Poll<U> {
        pin!(call).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// A pool of one thread, which is busy until what is returned is dropped.
    fn busy_pool() -> (ThreadPool, mpsc::Sender<()>) {
        let pool = ThreadPool::new(1).unwrap();
        let (end, ended) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let ended = Mutex::new(ended);
        let mut busy = in_pool(&pool, move |_| {
            begun.send(()).unwrap();
            ended.lock().unwrap().recv().unwrap_err();
        })(0);
        assert!(poll(&mut busy).is_pending());
        has_begun.recv().unwrap();
        (pool, end)
    }

    #[test]
    fn each_that_is_run_has_one_allocation() {
        let pool = ThreadPool::new(2).unwrap();
        let f = in_pool(&pool, |n: usize| n);
        let run = |calls| (0..calls).for_each(|n| assert_eq!(block_on(f(n)), n));
        run(10);
        assert_eq!(measure(|| run(1000)).count_total, 1000);
    }

    #[test]
    fn each_that_waits_has_one_allocation_and_leaves_nothing_when_it_is_dropped() {
        let (pool, _end) = busy_pool();
        let f = in_pool(&pool, |n: usize| n);
        let g = in_pool(&pool, |n: usize| n + 1);
        let mut kept = Vec::with_capacity(1);
        let mut wait = |calls: usize| {
            for n in 0..calls {
                // Of two functions, so that lines come and go, and the one before is still there.
                let mut call = f(n);
                assert!(poll(&mut call).is_pending());
                let mut other = g(n);
                assert!(poll(&mut other).is_pending());
                kept.clear();
                kept.push(other);
            }
        };
        wait(10);
        let counted = measure(|| wait(100_000));
        assert_eq!((counted.count_total, counted.count_current), (200_000, 0));
    }

    #[test]
    fn a_burst_of_them_leaves_nothing_when_it_is_dropped() {
        let (pool, _end) = busy_pool();
        let counted = measure(|| {
            let f = in_pool(&pool, |n: usize| n);
            let mut calls: Vec<_> = (0..100_000).map(f).collect();
            assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
            drop(calls);
        });
        assert!(counted.bytes_current <= 0, "{counted:?}"); // the room of the first calls goes as well
    }

    #[test]
    fn functions_that_come_and_go_leave_nothing() {
        let (pool, _end) = busy_pool();
        let waits = |n| {
            let mut call = in_pool(&pool, |n: usize| n)(n);
            assert!(poll(&mut call).is_pending());
            call
        };
        let mut first = waits(0);
        let counted = measure(|| (0..100_000).for_each(|n| drop(waits(n))));
        assert_eq!(counted.count_current, 0);
        assert!(poll(&mut first).is_pending());
        drop(first);
        let counted = measure(|| drop((0..100_000).map(waits).collect::<Vec<_>>()));
        assert!(counted.bytes_current <= 0, "{counted:?}"); // the room of the first calls goes as well
    }
}
