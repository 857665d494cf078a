//! Every stage says whether it has ended, for `futures::select!`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use async_executor::Executor;
use flowlet::prelude::*;
use flowlet::{
    Concurrency, ResultStreamExt, Semaphore, errors_in_turn, finishing, frontier, merge, ordered,
};
use futures_lite::future::{self, block_on, yield_now};
use futures_lite::stream;
use futures_util::stream::FusedStream;

use crate::support::waker::Task;

/// What a source does in each poll: it gives an item, is silent, or panics. Then it ends, once.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Turn {
    Item,
    Silence,
    Panic,
}

#[derive(Debug)]
struct Source {
    turns: VecDeque<Turn>,
    given: usize,
    ended: bool,
}

impl Source {
    fn new(turns: &[Turn]) -> Self {
        Self { turns: turns.iter().copied().collect(), given: 0, ended: false }
    }
}

impl Stream for Source {
    type Item = usize;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        assert!(!self.ended, "polled after its end");
        match self.turns.pop_front() {
            Some(Turn::Item) => {
                self.given += 1;
                Poll::Ready(Some(self.given - 1))
            }
            Some(Turn::Silence) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Turn::Panic) => resume_unwind(Box::new("panic")),
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }
}

/// All sources of up to four turns.
fn sources() -> impl Iterator<Item = Vec<Turn>> {
    const TURNS: [Turn; 3] = [Turn::Item, Turn::Silence, Turn::Panic];
    (0..=4).flat_map(|length: u32| {
        (0..3_usize.pow(length))
            .map(move |code| (0..length).map(|turn| TURNS[code / 3_usize.pow(turn) % 3]).collect())
    })
}

/// Polls to the end and beyond it. Once it says that it has ended, nothing comes any more; it does
/// say so after its end, and not before it was polled.
fn check<S: FusedStream>(name: &str, turns: &[Turn], stream: S, between: impl Fn()) {
    let mut stream = pin!(stream);
    assert!(!stream.is_terminated(), "{name} {turns:?}");
    let (task, mut terminated) = (Task::new(), false);
    for _ in 0..1000 {
        between();
        let polled = catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream)));
        assert!(!terminated || matches!(polled, Ok(Poll::Ready(None))), "{name} {turns:?}");
        terminated |= stream.is_terminated();
        assert_eq!(terminated, stream.is_terminated(), "{name} {turns:?}: it does not come back");
        if let Ok(Poll::Ready(None)) = polled {
            assert!(terminated, "{name} {turns:?}: after its end");
            assert!((0..3).all(|_| matches!(task.poll_next(&mut stream), Poll::Ready(None))));
            assert!(stream.is_terminated());
            return;
        }
    }
    panic!("{name} {turns:?}: no end");
}

fn limits() -> [Concurrency; 5] {
    [1.into(), 3.into(), ordered(2), Semaphore::new(1).into(), ordered(Semaphore::new(3))]
}

/// A call that takes some turns, and panics for one item.
async fn turns(n: usize) -> usize {
    for _ in 0..n % 3 {
        yield_now().await;
    }
    if n == 3 { resume_unwind(Box::new("three")) } else { n }
}

/// For each source, limit, and item that fails if there is one.
fn each(f: impl Fn(&[Turn], Concurrency, usize)) {
    for source in sources() {
        for limit in limits() {
            [0, 1, 9].into_iter().for_each(|bad| f(&source, limit.clone(), bad));
        }
    }
}

#[test]
fn a_concurrent_stage_has_ended_after_its_end_and_not_before() {
    each(|source, limit, bad| {
        let (of, limit) = (|| Source::new(source), || limit.clone());
        let check = |name, stream: Pin<Box<dyn FusedStream<Item = usize>>>| {
            check(name, source, stream, || ());
        };
        check("map", Box::pin(of().map_concurrent(limit(), turns)));
        let filter = async move |n: &usize| turns(*n).await != bad;
        check("filter", Box::pin(of().filter_concurrent(limit(), filter)));
        let some = move |n| async move { Some(turns(n).await).filter(|n| *n != bad) };
        check("filter_map", Box::pin(of().filter_map_concurrent(limit(), some)));
        let many = async |n| stream::iter(0..turns(n).await).then(turns);
        check("flat_map", Box::pin(of().flat_map_concurrent(limit(), many)));
        let expand = async |n| (turns(n).await, (n % 2 == 0).then_some(n + 1));
        check("expand", Box::pin(of().expand_concurrent(limit(), expand)));
        let two = of().map_concurrent(limit(), turns).map_concurrent(2, turns);
        check("two maps", Box::pin(two));
    });
}

type Item = Result<usize, usize>;

#[test]
fn a_stage_of_results_has_ended_after_its_end_or_its_error_and_not_before() {
    each(|source, limit, bad| {
        let of = || Source::new(source).map(Item::Ok);
        let failing = || Source::new(source).map(move |n| if n == bad { Err(n) } else { Ok(n) });
        let call = move |n| async move { if turns(n).await == bad { Err(n) } else { Ok(n) } };
        let check = |name, stream: Pin<Box<dyn FusedStream<Item = Item>>>| {
            check(name, source, stream, || ());
        };
        for limit in [limit.clone(), finishing(limit.clone()), errors_in_turn(limit)] {
            let limit = || limit.clone();
            check("try_map", Box::pin(of().try_map_concurrent(limit(), call)));
            let never = async |n| Ok(turns(n).await);
            check("above it", Box::pin(failing().try_map_concurrent(limit(), never)));
            check("map_ok", Box::pin(of().map_ok_concurrent(limit(), call)));
            check("above it", Box::pin(failing().map_ok_concurrent(limit(), call)));
            let filter = async move |n: &usize| call(*n).await.map(|n| n % 2 == 0);
            check("try_filter", Box::pin(of().try_filter_concurrent(limit(), filter)));
            let some = move |n| async move { call(n).await.map(Some) };
            check("try_filter_map", Box::pin(of().try_filter_map_concurrent(limit(), some)));
            let open = move |n| async move { Item::Ok(n).map(|n| stream::iter(0..n).then(call)) };
            check("try_flat_map", Box::pin(of().try_flat_map_concurrent(limit(), open)));
            let expand =
                move |n| async move { call(n).await.map(|n| (n, (n < 2).then_some(n + 1))) };
            check("try_expand", Box::pin(of().try_expand_concurrent(limit(), expand)));
            check("above it", Box::pin(failing().try_expand_concurrent(limit(), expand)));
            let plain = move |n| async move { call(n).await.map(|n| 0..n) };
            check("try_flat_map", Box::pin(of().try_flat_map_concurrent(limit(), plain)));
        }
    });
}

/// Upstream is over by then, and no call runs.
#[test]
fn an_item_that_waits_for_a_permit_and_an_error_behind_it_count() {
    for fails in [false, true] {
        let (task, semaphore, taken) = (Task::new(), Semaphore::new(2), Cell::new(None));
        let _outside = semaphore.try_acquire();
        let above =
            pipe(0..1 + usize::from(fails)).map(Item::Ok).try_map_concurrent(2, async |n| {
                if n == 1 {
                    yield_now().await;
                }
                if n == 1 { Err(n) } else { Ok(n) }
            });
        // The permit is gone when the item comes.
        let above = above.inspect(|_| taken.set(semaphore.try_acquire().or(taken.take())));
        let mut stage = Box::pin(above.try_map_concurrent(ordered(&semaphore), async |n| Ok(n)));
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert!(!stage.is_terminated(), "an item waits");
        drop(taken.take());
        assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(Ok(0))));
        assert_eq!(stage.is_terminated(), !fails, "an error waits");
        let rest = if fails { vec![Err(1)] } else { vec![] };
        assert_eq!(task.settle(&mut stage), (rest, true));
        assert!(stage.is_terminated());
    }
}

#[test]
fn a_stage_that_makes_batches_has_ended_after_the_last_and_not_before() {
    for source in sources() {
        for (size, bad) in [(1, 1), (2, 0), (2, 1), (3, 2), (9, 9)] {
            let of = || Source::new(&source);
            let failing = || of().map(|n| if n == bad { Err(n) } else { Ok(n) });
            let check = |name, stream: Pin<Box<dyn FusedStream<Item = Vec<usize>>>>| {
                check(name, &source, stream, || ());
            };
            check("batched", Box::pin(of().batched(size)));
            check("by weight", Box::pin(of().batched_by_weight(size, |n| *n)));
            let check =
                |name, stream: Pin<Box<dyn FusedStream<Item = Result<Vec<usize>, usize>>>>| {
                    self::check(name, &source, stream, || ());
                };
            check("try_batched", Box::pin(failing().try_batched(size)));
            check("try by weight", Box::pin(failing().try_batched_by_weight(size, |n| *n)));
        }
    }
}

#[test]
fn a_batch_that_is_still_to_come_counts_when_upstream_panicked_in_its_drop() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(()));
        }
    }
    let bomb = Bomb;
    let source = Source::new(&[Turn::Item; 3]).inspect(move |_| {
        let _ = &bomb;
    });
    let (task, mut stream) = (Task::new(), Box::pin(source.batched(2)));
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(vec![0, 1])));
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))).is_err());
    assert!(!stream.is_terminated());
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(vec![2])));
    assert!(stream.is_terminated());
}

#[cfg(feature = "time")]
#[test]
fn so_has_one_whose_batches_have_their_time() {
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);
    for source in sources() {
        for (size, naps) in [(1, 1), (2, 1), (2, 9), (3, 2), (9, 9)] {
            let of = || Source::new(&source);
            let failing = || of().map(|n| if n == 2 { Err(n) } else { Ok(n) });
            // After so many polls.
            let sleep = move |_| {
                let mut left = naps;
                future::poll_fn(move |cx| {
                    left -= 1;
                    cx.waker().wake_by_ref();
                    if left == 0 { Poll::Ready(()) } else { Poll::Pending }
                })
            };
            check("batched_within", &source, of().batched_within(size, HOUR), || ());
            check("sleep", &source, of().batched_within(size, HOUR).sleep(sleep), || ());
            check("try", &source, failing().try_batched_within(size, HOUR), || ());
            check("try", &source, failing().try_batched_within(size, HOUR).sleep(sleep), || ());
        }
    }
}

#[test]
fn the_other_stages_have_ended_after_their_end_and_not_before() {
    for source in sources() {
        let of = || Source::new(&source);
        check("driven", &source, of().driven(), || ());
        check("driven", &source, of().map_concurrent(2, turns).driven(), || ());
        check("stopped", &source, of().take_until_stopped(future::pending::<()>()), || ());
        for polls in 0..4 {
            let mut left = polls;
            let stop = future::poll_fn(move |_| {
                left -= i32::from(left > 0);
                if left == 0 { Poll::Ready(()) } else { Poll::Pending }
            });
            check("stopped", &source, of().take_until_stopped(stop), || ());
        }
        for limit in [1, 2, 9] {
            let executor = Executor::new();
            let stream = of().prefetch(limit, |task| executor.spawn(task));
            check("prefetch", &source, stream, || while executor.try_tick() {});
        }
        check("merge", &source, merge([of(), of(), of()]), || ());
        let items =
            of().map(|n| if n == 1 { Err(n) } else { Ok(n) }).map_ok_concurrent(2, async |n| Ok(n));
        let plain = items.map_ok(|n| n).map_err(|n| n).err_into::<usize>().inspect_ok(|_| ());
        check("adaptors", &source, plain.inspect_err(|_| ()), || ());
    }
}

#[test]
fn a_frontier_has_ended_after_its_end_and_not_before() {
    let (task, mut stream) = (Task::new(), frontier([1]));
    let (items, _) = task.settle(&mut stream);
    drop(items);
    assert!(!stream.is_terminated(), "it does not know it yet");
    assert!(task.settle(&mut stream).1);
    assert!(stream.is_terminated());
    let entry = stream.entry();
    assert_eq!(entry.try_push(2, 9), Err(2));
    assert!(task.poll_next(&mut stream).is_ready() && stream.is_terminated());
}

#[test]
fn a_merge_with_a_handle_has_not_ended_while_it_is_open() {
    let mut merged = merge([Source::new(&[Turn::Item])]);
    let (task, handle) = (Task::new(), merged.handle());
    assert_eq!(task.settle(&mut merged), (vec![0], false));
    assert!(!merged.is_terminated());
    handle.add(Source::new(&[Turn::Item, Turn::Item])).unwrap();
    assert_eq!(task.settle(&mut merged), (vec![0, 1], false));
    handle.close();
    assert!(!merged.is_terminated());
    assert_eq!(task.settle(&mut merged), (vec![], true));
    assert!(merged.is_terminated());
}

#[test]
fn a_prefetch_that_could_not_begin_or_was_dropped_has_ended() {
    let mut stream = Source::new(&[Turn::Item]).prefetch(1, |_| resume_unwind(Box::new(())));
    let task = Task::new();
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))).is_err());
    assert_eq!((stream.is_terminated(), task.poll_next(&mut stream)), (true, Poll::Ready(None)));

    let mut stream = Source::new(&[Turn::Item]).prefetch(1, drop);
    assert!(catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))).is_err());
    assert_eq!((stream.is_terminated(), task.poll_next(&mut stream)), (true, Poll::Ready(None)));
}

#[test]
fn select_takes_the_items_of_two_stages() {
    let (numbers, batches) = (Cell::new(0), Cell::new(0));
    block_on(async {
        let mut squares = pipe(0..20).map_concurrent(3, async |n: usize| turns(n % 3).await);
        let mut pairs =
            pin!(pipe(0..9).filter_concurrent(2, async |n: &usize| n % 2 == 0).batched(2));
        loop {
            futures_util::select! {
                n = futures_util::StreamExt::select_next_some(&mut squares) => numbers.set(numbers.get() + n),
                pair = futures_util::StreamExt::select_next_some(&mut pairs) => batches.set(batches.get() + pair.len()),
                complete => break,
            }
        }
    });
    assert_eq!((numbers.get(), batches.get()), (19, 5));
}
