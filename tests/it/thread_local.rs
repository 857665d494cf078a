//! Each thread makes a resource of its own, once, and drops it itself.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};

use flowlet::prelude::*;
use flowlet::{ThreadLocal, ThreadPool, in_pool, in_thread, ordered};
use futures_lite::future::block_on;

use crate::support::gauge::{Gauge, Unit};
use crate::support::on_all::on_all;
use crate::support::one_thread::with_one_thread;
use crate::support::panicked::{message_of, panic_of};

/// Must stay on its thread, and checks that it does.
struct Session {
    /// How often it was used.
    uses: Rc<Cell<usize>>,
    thread: ThreadId,
    _unit: Unit,
}

impl Session {
    fn new(live: &Gauge) -> Self {
        Self { uses: Rc::default(), thread: thread::current().id(), _unit: live.unit() }
    }

    fn count(&mut self) -> usize {
        assert_eq!(self.thread, thread::current().id());
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        assert_eq!(self.thread, thread::current().id());
    }
}

type Sessions = ThreadLocal<Session, Box<dyn Fn() -> Session + Send + Sync>>;

/// Sessions, and how many there are.
fn sessions() -> (Arc<Sessions>, Gauge) {
    let live = Gauge::default();
    let gauge = live.clone();
    (Arc::new(ThreadLocal::new(Box::new(move || Session::new(&gauge)))), live)
}

/// A thread that does what it is told, and lives until it is dropped.
struct Worker {
    tasks: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn start() -> Self {
        let (tasks, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let thread = thread::spawn(move || queue.into_iter().for_each(|task| task()));
        Self { tasks: Some(tasks), thread: Some(thread) }
    }

    fn run<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, receive) = mpsc::channel();
        let task = move || send.send(task()).unwrap();
        self.tasks.as_ref().unwrap().send(Box::new(task)).unwrap();
        receive.recv().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.tasks = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_thread_makes_one_and_uses_it_again() {
    let (sessions, live) = sessions();
    assert_eq!(live.now(), 0);
    for n in 1..=3 {
        assert_eq!(sessions.with(Session::count), n);
    }
    let worker = Worker::start();
    for n in 1..=3 {
        let sessions = sessions.clone();
        assert_eq!(worker.run(move || sessions.with(Session::count)), n);
    }
    assert_eq!((live.now(), live.peak()), (2, 2));
}

#[test]
fn calls_on_a_pool_share_what_their_threads_have() {
    let (sessions, live) = sessions();
    let pool = ThreadPool::new(3).unwrap();
    // Two stages, and each of the threads in use at least once.
    let count = {
        let sessions = sessions.clone();
        move || sessions.with(Session::count)
    };
    assert_eq!(on_all(&pool, count.clone()), [1, 1, 1]);
    let stage = in_pool(&pool, move |_| count());
    let stream = pipe(0..100).map_concurrent(8, stage.clone()).map_concurrent(8, stage);
    assert_eq!(block_on(stream.count()), 100);
    assert_eq!((live.now(), live.peak()), (3, 3));
    let ids = on_all(&pool, move || sessions.with(|session| (session.thread, session.count())));
    assert_eq!(ids.iter().map(|(id, _)| format!("{id:?}")).collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(ids.iter().map(|(_, uses)| uses).sum::<usize>(), 3 + 200 + 3);
    drop(pool);
    assert_eq!((live.now(), live.peak()), (0, 3));
}

#[test]
fn the_end_of_a_pool_drops_them_all() {
    for drops in [false, true] {
        let (sessions, live) = sessions();
        let here = sessions.with(Session::count);
        let pool = ThreadPool::new(4).unwrap();
        {
            let sessions = sessions.clone();
            on_all(&pool, move || sessions.with(Session::count));
        }
        assert_eq!((here, live.now()), (1, 5));
        if drops {
            drop(pool);
        } else {
            block_on(pool.shutdown());
        }
        // Those of other threads are no concern of the pool's.
        assert_eq!(live.now(), 1);
        assert_eq!(sessions.with(Session::count), 2);
    }
}

#[test]
fn the_end_of_any_thread_drops_what_it_has() {
    let (sessions, live) = sessions();
    let worker = Worker::start();
    {
        let sessions = sessions.clone();
        worker.run(move || sessions.with(Session::count));
    }
    assert_eq!(live.now(), 1);
    drop(worker);
    assert_eq!(live.now(), 0);
}

#[test]
fn on_the_threads_of_in_thread() {
    if !with_one_thread("thread_local::on_the_threads_of_in_thread") {
        return;
    }
    let (sessions, live) = sessions();
    let there = sessions.clone();
    let count = in_thread(move |_| there.with(Session::count));
    // All of them at once: between them the thread does not end.
    let calls = pipe(0..20).map_concurrent(ordered(20), count);
    assert!(block_on(calls.collect::<Vec<_>>()).into_iter().eq(1..=20));
    let there = sessions.clone();
    let renew = in_thread(move |()| {
        there.with(Session::count);
        there.close();
        there.with(Session::count)
    });
    assert_eq!(block_on(renew(())), 1);
    assert_eq!((live.now(), live.peak()), (1, 1));
    // When there is none for any thread any more, the next call finds that out.
    drop((sessions, renew));
    let seen = live.clone();
    assert_eq!(block_on(in_thread(move |()| seen.now())(())), 0);
}

#[test]
fn a_static_is_one_as_well() {
    static NAMES: ThreadLocal<Vec<&str>> = ThreadLocal::new(Vec::new);
    static FALLIBLE: ThreadLocal<usize, fn() -> Result<usize, Infallible>> =
        ThreadLocal::new(|| Ok(1));
    NAMES.with(|names| names.push("one"));
    assert_eq!(NAMES.with(|names| names.clone()), ["one"]);
    assert_eq!(thread::spawn(|| NAMES.with(|names| names.len())).join().unwrap(), 0);
    assert_eq!(FALLIBLE.try_with(|n| *n), Ok(1));
}

#[test]
fn those_of_the_same_type_are_apart() {
    let (one, other) = (ThreadLocal::new(|| 1), ThreadLocal::new(|| 2));
    one.with(|n| *n += 10);
    assert_eq!((one.with(|n| *n), other.with(|n| *n)), (11, 2));
    // One can be used inside another.
    assert_eq!(one.with(|one| other.with(|other| *one + *other)), 13);
    other.close();
    assert_eq!((one.with(|n| *n), other.with(|n| *n)), (11, 2));
}

#[test]
fn close_drops_this_threads_at_once() {
    let (sessions, live) = sessions();
    sessions.close(); // nobody has one
    let worker = Worker::start();
    {
        let sessions = sessions.clone();
        worker.run(move || sessions.with(Session::count));
    }
    sessions.close(); // another thread has one
    assert_eq!(live.now(), 1);
    sessions.with(Session::count);
    assert_eq!(sessions.with(Session::count), 2);
    assert_eq!(live.now(), 2);
    sessions.close();
    assert_eq!(live.now(), 1);
    sessions.close();
    assert_eq!(sessions.with(Session::count), 1);
    assert_eq!(live.now(), 2);
    let there = sessions.clone();
    assert_eq!(worker.run(move || there.with(Session::count)), 2);
    let there = sessions.clone();
    worker.run(move || there.close());
    assert_eq!(live.now(), 1);
}

#[test]
fn one_that_cannot_be_made_is_asked_for_again() {
    let attempts = AtomicUsize::new(0);
    let live = Gauge::default();
    let sessions = ThreadLocal::new(|| match attempts.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Err("no server"),
        _ => Ok(Session::new(&live)),
    });
    assert_eq!(sessions.try_with(Session::count), Err("no server"));
    assert_eq!(sessions.try_with(Session::count), Err("no server"));
    assert_eq!(sessions.try_with(Session::count), Ok(1));
    assert_eq!(sessions.try_with(Session::count), Ok(2));
    assert_eq!((attempts.load(Ordering::SeqCst), live.now()), (3, 1));
    sessions.close();
    assert_eq!(live.now(), 0);
    assert_eq!(sessions.try_with(Session::count), Ok(1));
}

#[test]
fn a_factory_that_panics_leaves_nothing() {
    let attempts = AtomicUsize::new(0);
    let make = || {
        if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
            resume_unwind(Box::new("factory"));
        }
        7
    };
    let value = ThreadLocal::new(make);
    let panic = panic_of(|| value.with(|_| unreachable!()));
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"factory"));
    assert_eq!(value.with(|n| *n), 7);

    attempts.store(0, Ordering::SeqCst);
    let fallible = ThreadLocal::new(|| Ok::<_, ()>(make()));
    panic_of(|| fallible.try_with(|_| unreachable!()));
    fallible.close();
    assert_eq!(fallible.try_with(|n| *n), Ok(7));
}

#[test]
fn a_panic_while_it_is_used_leaves_it_as_it_is() {
    let (sessions, live) = sessions();
    panic_of(|| {
        sessions.with(|session| {
            session.count();
            resume_unwind(Box::new(()));
        })
    });
    assert_eq!(live.now(), 1);
    assert_eq!(sessions.with(Session::count), 2);
    // And so in a call on a pool, whose thread goes on with it.
    let pool = ThreadPool::new(1).unwrap();
    let there = sessions.clone();
    let f = in_pool(&pool, move |panics: bool| {
        there.with(|session| {
            if panics {
                resume_unwind(Box::new(()));
            }
            session.count()
        })
    });
    assert_eq!(block_on(f(false)), 1);
    panic_of(|| block_on(f(true)));
    assert_eq!(block_on(f(false)), 2);
    sessions.close();
    assert_eq!(live.now(), 1);
}

/// What is said of an `i32` that is used while it is in use.
const IN_USE: &str = "the `ThreadLocal` of `i32` is in use on this thread already, by a call of \
                      `with`, its factory, or the `Drop` of the resource";

#[test]
fn it_cannot_be_used_while_it_is_in_use() {
    let value = ThreadLocal::new(|| 1);
    for _ in 0..2 {
        assert_eq!(value.with(|_| message_of(|| value.with(|n| *n))), IN_USE);
        assert_eq!(value.with(|_| message_of(|| value.close())), IN_USE);
        // Neither does harm.
        assert_eq!(value.with(|n| *n), 1);
    }
    // Another thread has its own.
    assert_eq!(
        value.with(|_| thread::scope(|s| s.spawn(|| value.with(|n| *n)).join().unwrap())),
        1
    );

    let fallible = ThreadLocal::new(|| Ok::<_, ()>(1));
    assert_eq!(fallible.try_with(|_| message_of(|| fallible.try_with(|n| *n))).unwrap(), IN_USE);
}

#[test]
fn a_factory_cannot_use_what_it_makes() {
    static VALUE: ThreadLocal<i32> = ThreadLocal::new(|| {
        assert_eq!(message_of(|| VALUE.with(|n| *n)), IN_USE);
        assert_eq!(message_of(|| VALUE.close()), IN_USE);
        3
    });
    assert_eq!(VALUE.with(|n| *n), 3);
}

#[test]
fn a_drop_cannot_use_what_it_drops() {
    static VALUE: ThreadLocal<Value> = ThreadLocal::new(|| Value);
    static MESSAGES: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    struct Value;
    impl Drop for Value {
        fn drop(&mut self) {
            let messages = [message_of(|| VALUE.with(|_| ())), message_of(|| VALUE.close())];
            MESSAGES.lock().unwrap().extend(messages);
        }
    }
    VALUE.with(|_| ());
    VALUE.close();
    VALUE.with(|_| ());
    VALUE.close();
    let messages = MESSAGES.lock().unwrap();
    assert_eq!(messages.len(), 4);
    assert!(messages.iter().all(|message| message.contains("is in use on this thread already")));
    assert!(messages.iter().all(|message| message.contains("::Value`")));
}

#[test]
fn a_drop_that_panics_in_close_comes_out_and_leaves_nothing() {
    struct Bomb(#[expect(dead_code)] Unit);
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("bomb"));
        }
    }
    let live = Gauge::default();
    let bombs = ThreadLocal::new(|| Bomb(live.unit()));
    for _ in 0..2 {
        bombs.with(|_| ());
        let panic = panic_of(|| bombs.close());
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"bomb"));
        assert_eq!(live.now(), 0);
        bombs.close();
    }
    // And so in the drop of all.
    bombs.with(|_| ());
    let panic = panic_of(|| drop(bombs));
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"bomb"));
    assert_eq!(live.now(), 0);
}

#[test]
fn nothing_is_shared_with_one_that_is_gone() {
    let worker = Worker::start();
    for round in 0..1_000 {
        let value = Arc::new(ThreadLocal::new(move || round));
        assert_eq!(value.with(|n| *n), round);
        let there = value.clone();
        assert_eq!(worker.run(move || there.with(|n| *n)), round);
    }
}

#[test]
fn a_drop_on_this_thread_drops_its_resource_at_once() {
    let (sessions, live) = sessions();
    sessions.with(Session::count);
    drop(sessions);
    assert_eq!(live.now(), 0);
    // And if there was none.
    drop(self::sessions());
}

/// Ways in which a thread learns that a `ThreadLocal` was dropped elsewhere.
type Use = fn(&Worker);

#[test]
fn other_threads_drop_theirs_when_they_use_another_or_end() {
    static OTHER: ThreadLocal<usize> = ThreadLocal::new(|| 1);
    static FALLIBLE: ThreadLocal<usize, fn() -> Result<usize, ()>> = ThreadLocal::new(|| Err(()));
    let uses: [Use; 3] = [
        |worker| assert_eq!(worker.run(|| OTHER.with(|n| *n)), 1),
        |worker| assert_eq!(worker.run(|| FALLIBLE.try_with(|n| *n)), Err(())),
        |worker| worker.run(|| OTHER.close()),
    ];
    for next in uses {
        let (kept, still_live) = sessions();
        let (sessions, live) = sessions();
        let worker = Worker::start();
        for sessions in [kept.clone(), sessions.clone()] {
            worker.run(move || sessions.with(Session::count));
        }
        drop(sessions);
        assert_eq!(live.now(), 1);
        next(&worker);
        assert_eq!((live.now(), still_live.now()), (0, 1));
        assert_eq!(worker.run(move || kept.with(Session::count)), 2);
        drop(worker);
        assert_eq!(still_live.now(), 0);
    }
    let (sessions, live) = sessions();
    let worker = Worker::start();
    {
        let sessions = sessions.clone();
        worker.run(move || sessions.with(Session::count));
    }
    drop(sessions);
    assert_eq!(live.now(), 1);
    drop(worker);
    assert_eq!(live.now(), 0);
}

#[test]
fn other_threads_drop_theirs_before_the_next_call_there() {
    let pool = ThreadPool::new(1).unwrap();
    let (sessions, live) = sessions();
    let there = sessions.clone();
    block_on(in_pool(&pool, move |()| there.with(Session::count))(()));
    drop(sessions);
    assert_eq!(live.now(), 1);
    let seen = live.clone();
    assert_eq!(block_on(in_pool(&pool, move |()| seen.now())(())), 0);
}

#[test]
fn a_drop_that_panics_for_nobody_does_no_harm() {
    struct Bomb(#[expect(dead_code)] Unit);
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(()));
        }
    }
    let live = Gauge::default();
    let bombs = || {
        let live = live.clone();
        Arc::new(ThreadLocal::new(move || Bomb(live.unit())))
    };
    // Those of a thread that ends.
    let (one, (between, sessions_live), other) = (bombs(), sessions(), bombs());
    let all = (one.clone(), between.clone(), other.clone());
    let worker = Worker::start();
    worker.run(move || {
        all.0.with(|_| ());
        all.1.with(Session::count);
        all.2.with(|_| ());
    });
    assert_eq!((live.now(), sessions_live.now()), (2, 1));
    drop(worker);
    assert_eq!((live.now(), sessions_live.now()), (0, 0));

    // Those that have outlived their owners: the call is none of theirs.
    let (one, (between, sessions_live), other) = (bombs(), sessions(), bombs());
    let pool = ThreadPool::new(1).unwrap();
    let all = (one.clone(), between.clone(), other.clone());
    block_on(in_pool(&pool, move |()| {
        all.0.with(|_| ());
        all.1.with(Session::count);
        all.2.with(|_| ());
    })(()));
    drop((one, between, other));
    assert_eq!((live.now(), sessions_live.now()), (2, 1));
    assert_eq!(block_on(in_pool(&pool, |n: usize| n)(7)), 7);
    assert_eq!((live.now(), sessions_live.now()), (0, 0));
    drop(pool);
}

/// Runs something when it is dropped.
struct OnDrop(Option<Box<dyn FnOnce()>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

type OnDrops = ThreadLocal<OnDrop, fn() -> OnDrop>;

#[test]
fn the_latest_goes_first_and_none_can_be_used_any_more() {
    static FIRST: OnDrops = ThreadLocal::new(|| OnDrop(None));
    static SECOND: OnDrops = ThreadLocal::new(|| OnDrop(None));
    static UNUSED: ThreadLocal<i32> = ThreadLocal::new(|| 1);

    fn arrange(said: &mpsc::Sender<(&'static str, String)>) {
        for (local, name) in [(&FIRST, "first"), (&SECOND, "second")] {
            let said = said.clone();
            let drop = move || {
                for local in [&FIRST, &SECOND] {
                    said.send((name, message_of(|| local.with(|_| ())))).unwrap();
                    local.close(); // there is nothing to close
                }
                said.send((name, message_of(|| UNUSED.with(|_| ())))).unwrap();
            };
            local.with(|on_drop| on_drop.0 = Some(Box::new(drop)));
        }
        // What counts is when it was made, not when it was used.
        FIRST.with(|_| ());
    }

    fn check(said: mpsc::Receiver<(&'static str, String)>) {
        let said: Vec<_> = said.into_iter().collect();
        let names: Vec<_> = said.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["second", "second", "second", "first", "first", "first"]);
        assert!(said.iter().all(|(_, message)| message.ends_with("its thread ends")), "{said:?}");
        assert!(said[2].1.contains("`i32`"));
    }

    let (say, said) = mpsc::channel();
    let pool = ThreadPool::new(1).unwrap();
    block_on(in_pool(&pool, move |say| arrange(&say))(say));
    drop(pool);
    check(said);

    let (say, said) = mpsc::channel();
    thread::spawn(move || arrange(&say)).join().unwrap();
    check(said);
}

#[test]
fn a_drop_can_use_another() {
    static OTHER: ThreadLocal<usize> = ThreadLocal::new(|| 0);
    let on_drop =
        || Arc::new(ThreadLocal::new(|| OnDrop(Some(Box::new(|| OTHER.with(|n| *n += 1))))));
    let one = on_drop();
    one.with(|_| ());
    one.close();
    assert_eq!(OTHER.with(|n| *n), 1);
    one.with(|_| ());
    drop(one);
    assert_eq!(OTHER.with(|n| *n), 2);
    // Also when it has outlived its owner.
    let one = on_drop();
    let there = one.clone();
    let worker = Worker::start();
    worker.run(move || there.with(|_| ()));
    drop(one);
    assert_eq!(worker.run(|| OTHER.with(|n| *n)), 1);
}

#[test]
fn it_can_own_itself() {
    let live = Gauge::default();
    type Knot = ThreadLocal<(RefCell<Option<Arc<dyn std::any::Any>>>, Unit), Make>;
    type Make = Box<dyn Fn() -> (RefCell<Option<Arc<dyn std::any::Any>>>, Unit) + Send + Sync>;
    let tie = {
        let live = live.clone();
        move || {
            let unit = live.clone();
            let knot: Arc<Knot> =
                Arc::new(ThreadLocal::new(Box::new(move || (RefCell::default(), unit.unit()))));
            let itself: Arc<dyn std::any::Any> = knot.clone();
            knot.with(|resource| *resource.0.borrow_mut() = Some(itself));
            knot
        }
    };
    // It ends with its thread.
    let tie_there = tie.clone();
    thread::spawn(move || drop(tie_there())).join().unwrap();
    assert_eq!(live.now(), 0);
    let pool = ThreadPool::new(1).unwrap();
    let tie_there = tie.clone();
    block_on(in_pool(&pool, move |()| drop(tie_there()))(()));
    assert_eq!(live.now(), 1);
    drop(pool);
    assert_eq!(live.now(), 0);
    // Or when it is closed.
    tie().close();
    assert_eq!(live.now(), 0);
}
