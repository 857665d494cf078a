//! A pool ends at a known point, from wherever it is ended, and no call waits for it in vain.

use std::cell::RefCell;
use std::env;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::Poll;
use std::thread;

use flowlet::prelude::*;
use flowlet::{ThreadLocal, ThreadPool, in_pool};
use futures_lite::future::{block_on, zip};

use crate::support::block::block;
use crate::support::ending::{count_until_end, counted_pool};
use crate::support::gauge::{Gauge, Unit};
use crate::support::latch::Latch;
use crate::support::on_all::on_all;
use crate::support::once::poll;
use crate::support::panicked::{message_of, panic_of};

const REFUSED: &str = "the thread pool `flowlet` was shut down before this call began";

/// How a pool is ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Shutdown,
    ShutdownNow,
    Drop,
}

const ENDS: [End; 3] = [End::Shutdown, End::ShutdownNow, End::Drop];

/// Those that refuse calls which wait.
const ENDS_AT_ONCE: [End; 2] = [End::ShutdownNow, End::Drop];

impl End {
    /// Ends the pool, and waits as long as that does.
    fn of(self, pool: &mut Option<ThreadPool>) {
        match self {
            Self::Shutdown => block_on(pool.as_ref().unwrap().shutdown()),
            Self::ShutdownNow => block_on(pool.as_ref().unwrap().shutdown_now()),
            Self::Drop => *pool = None,
        }
    }
}

#[test]
fn its_threads_have_ended() {
    for end in ENDS {
        let alive = Gauge::default();
        let mut pool = Some(counted_pool(4, &alive));
        // What is made with it does not keep it.
        let f = in_pool(pool.as_ref().unwrap(), |n: usize| n);
        assert_eq!(block_on(f(1)), 1);
        end.of(&mut pool);
        assert_eq!(alive.now(), 0, "{end:?}");
        assert_eq!(message_of(|| block_on(f(1))), REFUSED);
    }
}

#[test]
fn a_pool_that_nobody_used_ends() {
    for end in ENDS {
        for size in [1, 5] {
            end.of(&mut Some(ThreadPool::new(size).unwrap()));
        }
    }
}

#[test]
fn new_calls_are_refused() {
    let mut pool = Some(ThreadPool::builder(1).name("database").build().unwrap());
    for end in ENDS {
        let f = in_pool(pool.as_ref().unwrap(), |_: Unit| ());
        let inputs = Gauge::default();
        let mut unpolled = f(inputs.unit());
        end.of(&mut pool);
        let refused = "the thread pool `database` was shut down before this call began";
        assert_eq!(message_of(|| block_on(f(inputs.unit()))), refused);
        assert_eq!(message_of(|| block_on(&mut unpolled)), refused);
        assert_eq!(inputs.now(), 0);
        assert_eq!(message_of(|| poll(&mut unpolled)), "a call was polled after it was ready");
        // It comes out of a pipeline.
        let pipeline = pipe(0..3).map_concurrent(2, |_| f(inputs.unit())).drain();
        assert_eq!(message_of(|| block_on(pipeline)), refused);
        assert_eq!(inputs.now(), 0);
    }
}

#[test]
fn functions_can_be_made_of_a_pool_that_was_shut_down() {
    let pool = ThreadPool::new(2).unwrap();
    block_on(pool.shutdown());
    assert_eq!(message_of(|| block_on(in_pool(&pool, |()| ())(()))), REFUSED);
    assert_eq!((pool.size(), pool.in_use()), (2, 0));
}

#[test]
fn what_runs_is_finished_and_what_waits_is_refused_at_once() {
    for end in ENDS_AT_ONCE {
        let alive = Gauge::default();
        let pool = counted_pool(2, &alive);
        let latch = Latch::default();
        let running = [block(&pool, &latch), block(&pool, &latch)];
        let inputs = Gauge::default();
        let f = in_pool(&pool, |_: Unit| ());
        let mut waiting: Vec<_> = (0..3).map(|_| f(inputs.unit())).collect();
        assert!(waiting.iter_mut().all(|call| poll(call).is_pending()));
        let ended = thread::spawn(move || end.of(&mut Some(pool)));
        // They are told while the others still run.
        for call in waiting {
            assert_eq!(message_of(|| block_on(call)), REFUSED);
        }
        assert_eq!(inputs.now(), 0);
        assert_eq!(alive.now(), 2);
        latch.open();
        ended.join().unwrap();
        assert_eq!(alive.now(), 0);
        // Their results are there when the threads are gone.
        for call in running {
            block_on(call);
        }
    }
}

#[test]
fn a_shutdown_runs_what_waits_and_refuses_what_is_new() {
    let alive = Gauge::default();
    let pool = counted_pool(2, &alive);
    let latch = Latch::default();
    let running = [block(&pool, &latch), block(&pool, &latch)];
    let functions = [(), ()].map(|()| in_pool(&pool, |n: usize| n));
    let mut waiting: Vec<_> = (0..50).map(|n| functions[n % 2](n)).collect();
    assert!(waiting.iter_mut().all(|call| poll(call).is_pending()));
    let mut unpolled = functions[0](0);
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll(&mut shutdown).is_pending());
    assert_eq!(message_of(|| block_on(&mut unpolled)), REFUSED);
    assert_eq!(message_of(|| block_on(functions[1](0))), REFUSED);
    assert!(waiting.iter_mut().all(|call| poll(call).is_pending()));
    assert_eq!((alive.now(), pool.in_use()), (2, 2));
    latch.open();
    block_on(shutdown);
    // All have been run by then, whether they are polled or not.
    assert_eq!((alive.now(), pool.in_use()), (0, 0));
    assert!(waiting.iter_mut().enumerate().all(|(n, call)| poll(call) == Poll::Ready(n)));
    running.into_iter().for_each(block_on);
}

#[test]
fn a_panic_of_a_call_does_not_keep_a_shutdown_from_running_the_others() {
    let pool = ThreadPool::new(1).unwrap();
    let latch = Latch::default();
    let running = block(&pool, &latch);
    let f = in_pool(&pool, |n: usize| if n % 2 == 0 { n } else { resume_unwind(Box::new(n)) });
    let mut waiting: Vec<_> = (0..10).map(&f).collect();
    assert!(waiting.iter_mut().all(|call| poll(call).is_pending()));
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll(&mut shutdown).is_pending());
    latch.open();
    block_on(shutdown);
    for (n, call) in waiting.into_iter().enumerate() {
        match n % 2 {
            0 => assert_eq!(block_on(call), n),
            _ => assert_eq!(panic_of(|| block_on(call)).downcast_ref(), Some(&n)),
        }
    }
    block_on(running);
}

#[test]
fn calls_that_are_dropped_in_a_shutdown_are_not_run() {
    let pool = ThreadPool::new(1).unwrap();
    let latch = Latch::default();
    let running = block(&pool, &latch);
    let (begun, inputs) = (Gauge::default(), Gauge::default());
    let count = begun.clone();
    let f = in_pool(&pool, move |_: Unit| drop(count.unit()));
    let mut waiting: Vec<_> = (0..10).map(|_| f(inputs.unit())).collect();
    assert!(waiting.iter_mut().all(|call| poll(call).is_pending()));
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll(&mut shutdown).is_pending());
    drop(waiting);
    assert_eq!(inputs.now(), 0);
    latch.open();
    block_on(shutdown);
    assert_eq!(begun.peak(), 0);
    block_on(running);
}

#[test]
fn a_shutdown_can_be_cut_short() {
    for end in ENDS_AT_ONCE {
        let alive = Gauge::default();
        let pool = counted_pool(1, &alive);
        let latch = Latch::default();
        let running = block(&pool, &latch);
        let mut waiting = in_pool(&pool, |n: usize| n)(1);
        assert!(poll(&mut waiting).is_pending());
        let mut shutdown = Box::pin(pool.shutdown());
        assert!(poll(&mut shutdown).is_pending());
        if end == End::ShutdownNow {
            // Both wait for the same.
            let mut now = Box::pin(pool.shutdown_now());
            assert!(poll(&mut now).is_pending());
            assert_eq!(message_of(|| block_on(&mut waiting)), REFUSED);
            assert!(poll(&mut shutdown).is_pending());
            latch.open();
            block_on(zip(shutdown, now));
        } else {
            drop(shutdown);
            let ended = thread::spawn(move || drop(pool));
            assert_eq!(message_of(|| block_on(&mut waiting)), REFUSED);
            latch.open();
            ended.join().unwrap();
        }
        assert_eq!(alive.now(), 0, "{end:?}");
        block_on(running);
    }
}

#[test]
fn a_call_that_waits_for_another_does_not_keep_the_pool_from_its_end() {
    for end in ENDS_AT_ONCE {
        let mut pool = Some(ThreadPool::new(1).unwrap());
        let inner = in_pool(pool.as_ref().unwrap(), |()| ());
        let (waits, has_begun) = mpsc::channel();
        let mut outer = in_pool(pool.as_ref().unwrap(), move |()| {
            let mut call = inner(());
            assert!(poll(&mut call).is_pending());
            waits.send(()).unwrap();
            message_of(|| block_on(call))
        })(());
        assert!(poll(&mut outer).is_pending());
        has_begun.recv().unwrap();
        end.of(&mut pool);
        assert_eq!(block_on(outer), REFUSED);
    }
}

#[test]
fn shutdown_does_not_block() {
    let alive = Gauge::default();
    let pool = counted_pool(2, &alive);
    let latch = Latch::default();
    let call = block(&pool, &latch);
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll(&mut shutdown).is_pending());
    assert!(poll(&mut shutdown).is_pending());
    assert_eq!(pool.in_use(), 1);
    // On the same thread, what comes after is what lets the call go on.
    block_on(zip(shutdown, async { latch.open() }));
    assert_eq!((alive.now(), pool.in_use()), (0, 0));
    block_on(call);
}

#[test]
fn shutdown_does_not_block_while_thread_local_values_are_dropped() {
    struct Slow(Latch, #[expect(dead_code)] Unit);

    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.wait();
        }
    }

    thread_local! {
        static SLOW: RefCell<Option<Slow>> = const { RefCell::new(None) };
    }

    let (slow, latch) = (Gauge::default(), Latch::default());
    let pool = ThreadPool::new(3).unwrap();
    {
        let (slow, latch) = (slow.clone(), latch.clone());
        on_all(&pool, move || SLOW.set(Some(Slow(latch.clone(), slow.unit()))));
    }
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(poll(&mut shutdown).is_pending());
    assert_eq!(slow.now(), 3);
    block_on(zip(shutdown, async { latch.open() }));
    assert_eq!(slow.now(), 0);
}

#[test]
fn many_can_wait_for_it() {
    let alive = Gauge::default();
    let pool = counted_pool(3, &alive);
    let latch = Latch::default();
    let call = block(&pool, &latch);
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut shutdown = Box::pin(pool.shutdown());
                assert!(poll(&mut shutdown).is_pending());
                barrier.wait();
                block_on(shutdown);
                assert_eq!(alive.now(), 0);
            });
        }
        barrier.wait();
        latch.open();
    });
    block_on(call);
    // And later there is nothing to wait for.
    assert!(poll(&mut Box::pin(pool.shutdown())).is_ready());
}

#[test]
fn a_shutdown_can_be_dropped_and_taken_up_again() {
    for polls in 0..4 {
        for end in ENDS {
            let alive = Gauge::default();
            let pool = counted_pool(2, &alive);
            let latch = Latch::default();
            let call = block(&pool, &latch);
            let echo = in_pool(&pool, |n: usize| n);
            let mut shutdown = Box::pin(async {
                match end {
                    End::ShutdownNow => pool.shutdown_now().await,
                    _ => pool.shutdown().await,
                }
            });
            for _ in 0..polls {
                assert!(poll(&mut shutdown).is_pending());
            }
            drop(shutdown);
            assert_eq!(pool.in_use(), 1);
            if polls == 0 {
                // Nothing was done.
                assert_eq!(block_on(echo(1)), 1);
            } else {
                assert_eq!(message_of(|| block_on(echo(1))), REFUSED);
            }
            latch.open();
            end.of(&mut Some(pool));
            assert_eq!(alive.now(), 0, "{end:?} after {polls} polls");
            block_on(call);
        }
    }
}

/// Waits until all threads have ended that have a clone.
struct Ends(mpsc::Sender<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

thread_local! {
    static ENDS_WITH_ITS_THREAD: RefCell<Option<Ends>> = const { RefCell::new(None) };
}

/// A pool, and what tells of the end of each of its threads.
fn telling_pool(size: usize) -> (Arc<ThreadPool>, mpsc::Receiver<()>) {
    let pool = ThreadPool::new(size).unwrap();
    let (ends, ended) = mpsc::channel();
    let ends = Mutex::new(ends);
    on_all(&pool, move || {
        ENDS_WITH_ITS_THREAD.set(Some(Ends(ends.lock().unwrap().clone())));
    });
    (Arc::new(pool), ended)
}

#[test]
fn a_call_can_drop_its_pool() {
    for busy in [false, true] {
        let (pool, ended) = telling_pool(2);
        let (latch, hand_over) = (Latch::default(), Latch::default());
        let other = busy.then(|| block(&pool, &latch));
        let gate = hand_over.clone();
        let mut call = in_pool(&pool, move |pool: Arc<ThreadPool>| {
            gate.wait();
            assert_eq!(Arc::strong_count(&pool), 1);
            drop(pool);
            thread::current().id()
        })(pool.clone());
        assert!(poll(&mut call).is_pending());
        let echo = in_pool(&pool, |n: usize| n);
        drop(pool);
        hand_over.open();
        // It comes back whether the other thread is busy or not.
        block_on(call);
        assert_eq!(message_of(|| block_on(echo(1))), REFUSED);
        latch.open();
        for _ in 0..2 {
            ended.recv().unwrap();
        }
        assert!(ended.recv().is_err());
        if let Some(other) = other {
            block_on(other);
        }
    }
}

#[test]
fn a_call_that_drops_its_pool_has_waiting_calls_refused() {
    let (pool, ended) = telling_pool(1);
    let hand_over = Latch::default();
    let gate = hand_over.clone();
    let mut call = in_pool(&pool, move |pool: Arc<ThreadPool>| {
        gate.wait();
        drop(pool);
    })(pool.clone());
    assert!(poll(&mut call).is_pending());
    let mut waiting = in_pool(&pool, |n: usize| n)(1);
    assert!(poll(&mut waiting).is_pending());
    drop(pool);
    hand_over.open();
    block_on(call);
    assert_eq!(message_of(|| block_on(waiting)), REFUSED);
    ended.recv().unwrap();
}

#[test]
fn calls_can_block_on_the_shutdown_of_their_pool() {
    // All of them at once, and each thread may wait for the others.
    let alive = Gauge::default();
    let pool = Arc::new(counted_pool(3, &alive));
    let its_pool = pool.clone();
    on_all(&pool, move || block_on(its_pool.shutdown()));
    // Elsewhere it is waited for.
    block_on(pool.shutdown());
    assert_eq!(alive.now(), 0);
}

#[test]
fn a_shutdown_that_comes_to_a_thread_of_the_pool_does_not_wait_there() {
    let pool = Arc::new(ThreadPool::new(2).unwrap());
    let latch = Latch::default();
    let other = block(&pool, &latch);
    let (send, receive) = mpsc::channel::<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>();
    let receive = Mutex::new(receive);
    let mut call = in_pool(&pool, move |()| {
        let shutdown = receive.lock().unwrap().recv().unwrap();
        block_on(shutdown);
    })(());
    assert!(poll(&mut call).is_pending());
    let its_pool = pool.clone();
    let mut shutdown = Box::pin(async move { its_pool.shutdown().await });
    // Begun here, where it would wait.
    while pool.in_use() < 2 {
        thread::yield_now();
    }
    assert!(poll(&mut shutdown).is_pending());
    send.send(shutdown).unwrap();
    block_on(call);
    latch.open();
    block_on(other);
    block_on(pool.shutdown());
}

#[test]
fn a_pool_is_dropped_in_a_panic() {
    let alive = Gauge::default();
    let pool = counted_pool(2, &alive);
    let panic = panic_of(move || {
        let _pool = pool;
        resume_unwind(Box::new(7));
    });
    assert_eq!(panic.downcast_ref::<i32>(), Some(&7));
    assert_eq!(alive.now(), 0);
}

/// Panics when it is dropped.
struct Bomb(#[expect(dead_code)] Unit);

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("bomb"));
    }
}

#[test]
fn a_panic_at_the_end_of_a_thread_comes_out() {
    for end in ENDS {
        let (alive, bombs) = (Gauge::default(), Gauge::default());
        let mut pool = Some(counted_pool(3, &alive));
        let count = bombs.clone();
        let bomb = Arc::new(ThreadLocal::new(move || Bomb(count.unit())));
        {
            let bomb = bomb.clone();
            on_all(pool.as_ref().unwrap(), move || bomb.with(|_| ()));
        }
        assert_eq!(bombs.now(), 3);
        let panic = panic_of(|| end.of(&mut pool));
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"bomb"));
        assert_eq!((alive.now(), bombs.now()), (0, 0));
        // Once.
        drop(pool);
    }
}

#[test]
fn a_panic_at_the_end_of_a_thread_does_not_come_out_in_another_panic() {
    let bomb = Arc::new(ThreadLocal::new(|| Bomb(Gauge::default().unit())));
    let pool = ThreadPool::new(1).unwrap();
    on_all(&pool, move || bomb.with(|_| ()));
    let panic = panic_of(move || {
        let _pool = pool;
        resume_unwind(Box::new(7));
    });
    assert_eq!(panic.downcast_ref::<i32>(), Some(&7));
}

#[test]
fn calls_that_come_while_it_ends_run_or_are_refused() {
    for round in 0..20 {
        let alive = Gauge::default();
        let pool = counted_pool(2, &alive);
        let begun = Gauge::default();
        let f = {
            let begun = begun.clone();
            in_pool(&pool, move |n: usize| {
                let _unit = begun.unit();
                n
            })
        };
        let barrier = Barrier::new(3);
        let ran: usize = thread::scope(|scope| {
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let mut ran = 0;
                        loop {
                            match catch_unwind(AssertUnwindSafe(|| block_on(f(ran)))) {
                                Ok(n) => assert_eq!(n, ran),
                                Err(panic) => {
                                    assert_eq!(panic.downcast_ref::<String>().unwrap(), REFUSED);
                                    return ran;
                                }
                            }
                            ran += 1;
                        }
                    })
                })
                .collect();
            barrier.wait();
            for _ in 0..round {
                thread::yield_now();
            }
            ENDS[round % 3].of(&mut Some(pool));
            assert_eq!(alive.now(), 0);
            callers.into_iter().map(|caller| caller.join().unwrap()).sum()
        });
        assert!(begun.peak() <= 2 && (ran == 0) == (begun.peak() == 0));
    }
}

#[test]
fn an_executor_goes_on_while_it_waits() {
    async fn run() {
        let pool = ThreadPool::new(1).unwrap();
        let (go_on, blocked) = mpsc::channel::<()>();
        let blocked = Mutex::new(blocked);
        let mut call = in_pool(&pool, move |()| blocked.lock().unwrap().recv().unwrap())(());
        assert!(poll(&mut call).is_pending());
        while pool.in_use() == 0 {
            futures_lite::future::yield_now().await;
        }
        zip(pool.shutdown(), async { go_on.send(()).unwrap() }).await;
        call.await;
    }
    block_on(run());
    smol::block_on(smol::spawn(run()));
    async_std::task::block_on(async_std::task::spawn(run()));
    for mut builder in
        [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()]
    {
        let runtime = builder.worker_threads(2).build().unwrap();
        runtime.block_on(async { tokio::spawn(run()).await.unwrap() });
    }
}

#[test]
fn threads_that_cannot_be_started_are_an_error() {
    let pool = ThreadPool::builder(2).stack_size(isize::MAX as usize).build();
    assert!(pool.is_err());
}

/// Set in the process that has too little memory for all threads.
const FEW_THREADS: &str = "FLOWLET_TEST_FEW_THREADS";

#[test]
#[cfg(target_os = "linux")]
fn threads_that_were_started_before_one_could_not_be_have_ended() {
    // A sanitizer needs more memory than is allowed here.
    if env::var("RUSTFLAGS").is_ok_and(|flags| flags.contains("sanitizer")) {
        return;
    }
    if env::var_os(FEW_THREADS).is_none() {
        let test = "pool_end::threads_that_were_started_before_one_could_not_be_have_ended";
        let program = env::current_exe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v 4000000 && exec \"$0\" --exact \"$1\""]);
        let child = command.arg(program).arg(test).env(FEW_THREADS, "1").output().unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let large = |size| ThreadPool::builder(size).stack_size(512 << 20).build();
    drop(large(2).unwrap());
    let error: io::Error = large(100).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    // The system may show a thread for a moment after it was joined.
    let are_gone = (0..1_000_000).any(|_| {
        thread::yield_now();
        threads() == before
    });
    assert!(are_gone);
    drop(large(2).unwrap());
}

#[test]
fn the_count_is_right() {
    // That the tests above can see a thread that has not ended.
    let (alive, latch) = (Gauge::default(), Latch::default());
    let (begun, has_begun) = mpsc::channel();
    let thread = {
        let (alive, latch) = (alive.clone(), latch.clone());
        thread::spawn(move || {
            count_until_end(&alive);
            begun.send(()).unwrap();
            latch.wait();
        })
    };
    has_begun.recv().unwrap();
    assert_eq!(alive.now(), 1);
    latch.open();
    thread.join().unwrap();
    assert_eq!(alive.now(), 0);
}
