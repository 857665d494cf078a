//! Calls that block and have a deadline: each thread keeps a permit until its function returns, and no deadline
//! runs while a call waits for one.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use flowlet::prelude::*;
use flowlet::{BlockingJob, Permit, Semaphore, ThreadPool, in_blocking, in_pool, in_thread};
use futures_lite::future::{BoxedLocal, FutureExt, block_on, or};

use crate::support::block::block;
use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::latch::Latch;
use crate::support::once::poll;
use crate::support::one_thread::with_one_thread;
use crate::support::panicked::message_of;
use crate::support::waker::Task;

/// How many threads may work.
const THREADS: usize = 3;

/// A blocking function in one of the places where it can run.
type Ask = Box<dyn Fn((usize, Permit)) -> BoxedLocal<usize>>;

/// The blocking function: it says that it has begun, gets stuck if that is for one of the first, and may panic.
#[derive(Clone)]
struct Work {
    begun: mpsc::Sender<usize>,
    running: Gauge,
    latch: Latch,
    stuck: usize,
    panics: bool,
}

impl Work {
    fn run(&self, n: usize) -> usize {
        let _unit = self.running.unit();
        self.begun.send(n).unwrap();
        if n < self.stuck {
            self.latch.wait();
        }
        if self.panics {
            resume_unwind(Box::new(format!("call {n}")));
        }
        n
    }
}

/// Lets the stuck calls go on, also if the test fails: a pool waits for its threads.
struct Opens(Latch);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Runs a test in all places, with as many calls that get stuck. The pool has threads for more than is allowed.
fn everywhere(stuck: usize, panics: bool, test: impl Fn(&Ask, Work, &mpsc::Receiver<usize>)) {
    for place in 0..3 {
        let (begun, has_begun) = mpsc::channel();
        let (running, latch) = (Gauge::default(), Latch::default());
        let work = Work { begun, running, latch, stuck, panics };
        let asked = work.clone();
        let f = move |(n, _permit): (usize, Permit)| asked.run(n);
        let ask: Ask = match place {
            0 => {
                let call = in_thread(f);
                Box::new(move |input| call(input).boxed_local())
            }
            1 => {
                let pool = ThreadPool::new(THREADS + 2).unwrap();
                let call = in_pool(&pool, f);
                Box::new(move |input| {
                    let _kept = &pool;
                    call(input).boxed_local()
                })
            }
            _ => {
                let call = in_blocking(|job: BlockingJob| thread::spawn(job), f);
                Box::new(move |input| call(input).boxed_local())
            }
        };
        let _opens = Opens(work.latch.clone());
        test(&ask, work, &has_begun);
    }
}

/// What a test has in hand: the permits of the threads, and deadlines that pass when it says so.
struct Deadlines {
    threads: Semaphore,
    gates: [Gate; 12],
    /// Those that began to run.
    started: RefCell<Vec<usize>>,
}

impl Deadlines {
    fn new(threads: usize) -> Self {
        let started = RefCell::default();
        Self { threads: Semaphore::new(threads), gates: Default::default(), started }
    }

    /// The call, which fails with its item if it is late.
    async fn ask(&self, ask: &Ask, n: usize) -> Result<usize, usize> {
        let permit = self.threads.acquire().await;
        self.started.borrow_mut().push(n);
        let deadline = self.gates[n].passed();
        let late = async {
            deadline.await;
            Err(n)
        };
        or(async { Ok(ask((n, permit)).await) }, late).await
    }

    fn started(&self) -> usize {
        self.started.borrow().len()
    }
}

#[test]
fn no_more_threads_work_than_there_are_permits_and_stuck_calls_make_no_others_late() {
    everywhere(THREADS, false, |ask, work, begun| {
        let deadlines = Deadlines::new(THREADS);
        let mut stage = Box::pin(pipe(0..12).map_concurrent(8, |n| deadlines.ask(ask, n)));
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        let mut stuck = [(); THREADS].map(|()| begun.recv().unwrap());
        stuck.sort_unstable();
        assert_eq!(stuck, [0, 1, 2]);

        // The calls are gone, and the threads are not.
        deadlines.gates[..THREADS].iter().for_each(Gate::open);
        let (mut late, _) = task.settle(&mut stage);
        late.sort_unstable();
        assert_eq!(late, [Err(0), Err(1), Err(2)]);
        assert_eq!((deadlines.threads.in_use(), work.running.now()), (THREADS, THREADS));
        assert_eq!(deadlines.started(), THREADS, "the time of the others does not run");
        assert!(begun.try_recv().is_err());

        work.latch.open();
        let (mut rest, items) = (block_on(stage.collect::<Vec<_>>()), THREADS..12);
        rest.sort_unstable();
        assert!(rest.into_iter().eq(items.map(Ok)), "none of the others is late");
        assert_eq!(work.running.peak(), THREADS);
        drop(block_on(deadlines.threads.acquire_many(THREADS)));
    });
}

#[test]
fn others_go_on_with_the_permits_that_stuck_calls_leave() {
    everywhere(THREADS - 1, false, |ask, work, _| {
        let deadlines = Deadlines::new(THREADS);
        deadlines.gates[..THREADS - 1].iter().for_each(Gate::open);
        let stage = pipe(0..12).map_concurrent(8, |n| deadlines.ask(ask, n));
        let mut all: Vec<_> = block_on(stage.collect());
        all.sort_unstable();
        let in_time = (THREADS - 1..12).map(Ok);
        assert!(all.into_iter().eq(in_time.chain([Err(0), Err(1)])));
        assert!(work.running.peak() <= THREADS);
    });
}

#[test]
fn with_more_permits_more_go_on_while_others_are_stuck() {
    everywhere(THREADS, false, |ask, work, begun| {
        let deadlines = Deadlines::new(THREADS);
        let mut stage = Box::pin(pipe(0..12).map_concurrent(8, |n| deadlines.ask(ask, n)));
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(begun.iter().take(THREADS).count(), THREADS);
        deadlines.gates[..THREADS].iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut stage).0.len(), THREADS);

        assert!(!task.is_woken());
        deadlines.threads.set_limit(THREADS + 1);
        assert!(task.is_woken());
        let mut rest: Vec<_> = block_on(stage.collect());
        rest.sort_unstable();
        assert!(rest.into_iter().eq((THREADS..12).map(Ok)));
        assert_eq!((work.running.now(), work.running.peak()), (THREADS, THREADS + 1));
        assert_eq!(deadlines.threads.in_use(), THREADS);
        work.latch.open();
        drop(block_on(deadlines.threads.acquire_many(THREADS + 1)));
    });
}

#[test]
fn a_function_that_panics_gives_its_permit_back() {
    everywhere(THREADS, true, |ask, work, begun| {
        // With nobody to tell, as the calls were late.
        let deadlines = Deadlines::new(THREADS);
        let mut stage = Box::pin(pipe(0..12).map_concurrent(8, |n| deadlines.ask(ask, n)));
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(begun.iter().take(THREADS).count(), THREADS);
        deadlines.gates[..THREADS].iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut stage).0.len(), THREADS);
        work.latch.open();

        // And where the panics come out.
        let mut panics: Vec<_> =
            (THREADS..12).map(|_| message_of(|| block_on(stage.next()))).collect();
        panics.sort_unstable();
        let mut expected: Vec<_> = (THREADS..12).map(|n| format!("call {n}")).collect();
        expected.sort_unstable();
        assert_eq!(panics, expected);
        assert_eq!(block_on(stage.next()), None);
        assert_eq!(work.running.peak(), THREADS);
        drop(block_on(deadlines.threads.acquire_many(THREADS)));
    });
}

/// Calls that have permits and wait for a thread, as none is there for them.
fn calls_that_have_not_begun_give_their_permits_back_at_once(ask: &Ask) {
    let deadlines = Deadlines::new(4);
    let source = Cell::new(0);
    let items = pipe(0..12).inspect(|_| source.set(source.get() + 1));
    let mut stage = Box::pin(items.map_concurrent(6, |n| deadlines.ask(ask, n)));
    let task = Task::new();
    assert_eq!(task.settle(&mut stage), (vec![], false));
    assert_eq!((deadlines.threads.in_use(), deadlines.started()), (4, 4));
    for begun in (0..12).step_by(3) {
        // The time of others has not begun to run, until these are gone.
        assert_eq!(deadlines.started(), 12.min(begun + 4));
        deadlines.gates[begun..begun + 3].iter().for_each(Gate::open);
        let (mut late, _) = task.settle(&mut stage);
        late.sort_unstable();
        assert!(late.into_iter().eq((begun..begun + 3).map(Err)));
        assert_eq!(deadlines.threads.in_use(), 4.min(9 - begun));
    }
    assert_eq!((source.get(), deadlines.threads.in_use()), (12, 0));

    // And those that are dropped with their stage.
    let deadlines = Deadlines::new(4);
    let mut stage = Box::pin(pipe(0..12).map_concurrent(6, |n| deadlines.ask(ask, n)));
    assert_eq!(Task::new().settle(&mut stage), (vec![], false));
    assert_eq!(deadlines.threads.in_use(), 4);
    drop(stage);
    assert_eq!(deadlines.threads.in_use(), 0);
}

fn never((n, _permit): (usize, Permit)) -> usize {
    panic!("call {n} began")
}

#[test]
fn in_a_pool_calls_that_have_not_begun_give_their_permits_back_at_once() {
    let pool = ThreadPool::new(2).unwrap();
    let latch = Latch::default();
    let _opens = Opens(latch.clone());
    let busy = [block(&pool, &latch), block(&pool, &latch)];
    let call = in_pool(&pool, never);
    let ask: Ask = Box::new(move |input| call(input).boxed_local());
    calls_that_have_not_begun_give_their_permits_back_at_once(&ask);
    latch.open();
    busy.into_iter().for_each(block_on);
}

#[test]
fn in_a_pool_of_others_calls_that_have_not_begun_give_their_permits_back_at_once() {
    let jobs = Arc::new(Mutex::new(Vec::<BlockingJob>::new()));
    let queue = jobs.clone();
    let call = in_blocking(move |job| queue.lock().unwrap().push(job), never);
    let ask: Ask = Box::new(move |input| call(input).boxed_local());
    calls_that_have_not_begun_give_their_permits_back_at_once(&ask);
    // They do nothing any more.
    jobs.lock().unwrap().drain(..).for_each(|job| job());
}

#[test]
fn in_threads_calls_that_have_not_begun_give_their_permits_back_at_once() {
    let name = "in_threads_calls_that_have_not_begun_give_their_permits_back_at_once";
    if !with_one_thread(&format!("blocking_deadline::{name}")) {
        return;
    }
    let (begun, has_begun) = mpsc::channel();
    let latch = Latch::default();
    let opened = latch.clone();
    let mut busy = in_thread(move |()| {
        begun.send(()).unwrap();
        opened.wait();
    })(());
    assert!(poll(&mut busy).is_pending());
    has_begun.recv().unwrap();
    let call = in_thread(never);
    let ask: Ask = Box::new(move |input| call(input).boxed_local());
    calls_that_have_not_begun_give_their_permits_back_at_once(&ask);
    latch.open();
    block_on(busy);
    // The one thread has come past them once this is over.
    block_on(in_thread(|()| ())(()));
}
