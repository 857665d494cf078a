//! `batched_within` with the real timer, on every runtime. How long it takes does not matter: only
//! that nothing comes too early, and everything in the end. See `tests/batch_within_clock.rs` for
//! when.

use std::future::{self, Future};
use std::time::{Duration, Instant};

use flowlet::prelude::*;
use futures_lite::future::block_on;
use futures_lite::stream;

/// As good as never.
const HOUR: Duration = Duration::from_secs(3600);

/// Short, and longer than a test could take for nothing.
const SHORT: Duration = Duration::from_millis(20);

/// Runs a task to its end on each runtime.
fn on_each<T, Fut>(task: impl Fn() -> Fut) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tokio_here = tokio::runtime::Builder::new_current_thread().build().unwrap();
    vec![
        block_on(task()),
        async_io::block_on(task()),
        smol::block_on(smol::spawn(task())),
        async_std::task::block_on(async_std::task::spawn(task())),
        tokio.block_on(async { tokio::spawn(task()).await.unwrap() }),
        tokio_here.block_on(task()),
    ]
}

/// Numbers that come, and then nothing for ever.
fn and_nothing(count: u32) -> impl Stream<Item = u32> + Send + Unpin {
    stream::iter(0..count).chain(stream::pending())
}

#[test]
fn what_is_there_comes_when_its_time_has_come() {
    let batches = on_each(async || {
        let began = Instant::now();
        let mut batches = and_nothing(4).batched_within(3, SHORT);
        let both = (batches.next().await, batches.next().await);
        assert!(began.elapsed() >= SHORT);
        both
    });
    assert!(batches.into_iter().all(|both| both == (Some(vec![0, 1, 2]), Some(vec![3]))));
}

#[test]
fn each_batch_has_its_time() {
    let sizes = on_each(async || {
        let (sender, receiver) = async_channel::unbounded();
        let mut batches = Box::pin(receiver.batched_within(3, SHORT));
        let mut sizes = vec![];
        for n in 0..3 {
            let began = Instant::now();
            sender.send(n).await.unwrap();
            sizes.push(batches.next().await.unwrap());
            assert!(began.elapsed() >= SHORT);
        }
        sizes
    });
    assert!(sizes.into_iter().all(|sizes| sizes == [[0], [1], [2]]));
}

#[test]
fn full_batches_and_the_tail_do_not_wait() {
    let batches = on_each(async || {
        pipe(0..5).map_concurrent(2, async |n| n).batched_within(2, HOUR).collect::<Vec<_>>().await
    });
    assert!(batches.into_iter().all(|batches| batches == [vec![0, 1], vec![2, 3], vec![4]]));
}

#[test]
fn errors_do_not_wait() {
    let batches = on_each(async || {
        let items = stream::iter([Ok(1), Err("two")]).chain(stream::pending());
        items.try_batched_within(2, HOUR).collect::<Vec<Result<Vec<u32>, &str>>>().await
    });
    assert!(batches.into_iter().all(|batches| batches == [Ok(vec![1]), Err("two")]));
}

#[test]
fn between_stages_it_wakes_them() {
    let batches = on_each(async || {
        let began = Instant::now();
        // The last call never ends, and no source wakes anything.
        let calls = pipe(0..4).map_concurrent(4, async |n: u32| {
            if n == 3 {
                future::pending::<()>().await;
            }
            n
        });
        let mut batches = Box::pin(
            calls.batched_within(9, SHORT).map_concurrent(1, async |batch: Vec<u32>| batch),
        );
        let batch = batches.next().await;
        assert!(began.elapsed() >= SHORT);
        batch
    });
    assert!(batches.into_iter().all(|batch| batch == Some(vec![0, 1, 2])));
}

#[test]
fn a_batch_that_is_due_alongside_comes_next() {
    let batches = on_each(async || {
        let calls = pipe(0..2).map_concurrent(2, async |n: u32| {
            if n == 1 {
                future::pending::<()>().await;
            }
            n
        });
        let mut batches = calls.batched_within(9, SHORT).driven();
        assert!(futures_lite::future::poll_once(batches.next()).await.is_none());
        batches.alongside(async_io::Timer::after(SHORT * 2)).await;
        // No wake is needed any more: one poll is all it gets.
        futures_lite::future::poll_once(batches.next()).await
    });
    assert!(batches.into_iter().all(|batch| batch == Some(Some(vec![0]))));
}

#[test]
fn nothing_of_it_stays_when_it_is_dropped() {
    on_each(async || {
        let mut batches = and_nothing(1).batched_within(9, HOUR);
        assert!(futures_lite::future::poll_once(batches.next()).await.is_none());
    });
}

#[test]
#[should_panic(expected = "the size of a batch must be at least 1")]
fn a_batch_has_a_size() {
    drop(pipe([1]).batched_within(0, HOUR));
}

#[test]
#[should_panic(expected = "the duration of a batch must be more than 0")]
fn a_batch_has_a_duration() {
    drop(pipe([1]).map(Ok::<_, ()>).try_batched_within(1, Duration::ZERO));
}
