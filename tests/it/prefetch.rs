//! Stages above a `prefetch` run as a task of their own.

use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use flowlet::prelude::*;
use flowlet::stage::Driven;
use flowlet::{Flow, in_task, ordered};
use futures_lite::future::{Boxed, block_on, yield_now};
use futures_lite::{FutureExt, stream};
use futures_util::stream::select;

use crate::support::gate::Gate;
use crate::support::gauge::{Gauge, Unit};
use crate::support::hosts::{Host, TwoThreads, on_every_host};
use crate::support::panicked::{message, message_of};
use crate::support::tasks::Tasks;
use crate::support::waker::Task;
use crate::support::window::Window;
use crate::support::woken::Woken;

fn boom(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        boom(self.0);
    }
}

const DROPPED: &str = "the executor dropped a task before it was over";

/// Takes what is there, and has the tasks run in between, until neither goes on.
fn settle<S: Stream + Unpin>(task: &Task, tasks: &Tasks, stream: &mut S) -> (Vec<S::Item>, bool) {
    let mut items = vec![];
    loop {
        tasks.run();
        let (more, ended) = task.settle(stream);
        items.extend(more);
        if ended || !task.is_woken() && !(0..tasks.count()).any(|index| tasks.is_due(index)) {
            return (items, ended);
        }
    }
}

/// A source that says how often it was polled and whether it is still there.
struct Source<T> {
    next: Box<dyn FnMut(usize) -> Poll<Option<T>> + Send>,
    polls: Arc<AtomicUsize>,
    _there: Unit,
}

impl<T> Stream for Source<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        let polls = self.polls.fetch_add(1, Ordering::SeqCst);
        (self.next)(polls)
    }
}

#[derive(Clone, Default)]
struct Seen {
    polls: Arc<AtomicUsize>,
    sources: Gauge,
}

impl Seen {
    /// A source of what `next` makes of the number of polls so far.
    fn source<T>(&self, next: impl FnMut(usize) -> Poll<Option<T>> + Send + 'static) -> Source<T> {
        Source { next: Box::new(next), polls: self.polls.clone(), _there: self.sources.unit() }
    }

    fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }
}

#[test]
fn nothing_is_spawned_before_the_first_poll() {
    let (seen, tasks) = (Seen::default(), Tasks::new());
    let stream = seen.source(|n| Poll::Ready(Some(n))).prefetch(2, tasks.spawn());
    drop(stream);
    assert_eq!((tasks.count(), seen.polls(), seen.sources.now()), (0, 0, 0));

    let mut stream = seen.source(|n| Poll::Ready(Some(n))).prefetch(2, tasks.spawn());
    let task = Task::new();
    for _ in 0..3 {
        assert!(task.poll_next(&mut stream).is_pending());
    }
    // One task, which has not begun.
    assert_eq!((tasks.count(), seen.polls()), (1, 0));
}

#[test]
fn items_come_in_order_and_then_the_end() {
    for limit in [1, 2, 7, usize::MAX] {
        for count in [0, 1, 2, 100] {
            let (tasks, task) = (Tasks::new(), Task::new());
            let mut stream = pipe(0..count).prefetch(limit, tasks.spawn());
            let (items, ended) = settle(&task, &tasks, &mut stream);
            assert_eq!((items, ended), (Vec::from_iter(0..count), true));
            assert_eq!((tasks.count(), tasks.left()), (1, 0));
            for _ in 0..3 {
                assert_eq!(task.poll_next(&mut stream), Poll::Ready(None));
                assert_eq!(stream.size_hint(), (0, Some(0)));
            }
        }
    }
}

/// A source that is not fused is not asked again.
#[test]
fn after_its_end_upstream_is_gone() {
    let (seen, tasks, task) = (Seen::default(), Tasks::new(), Task::new());
    let source = seen.source(|n| Poll::Ready((n != 2).then_some(n)));
    let mut stream = source.prefetch(9, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    assert_eq!((seen.polls(), seen.sources.now(), tasks.left()), (3, 0, 0));
    assert_eq!(task.settle(&mut stream), (vec![0, 1], true));
    assert_eq!(task.settle(&mut stream), (vec![], true));
}

#[test]
fn the_bound_is_exact() {
    for limit in [1, 2, 5] {
        let (tasks, task, window) = (Tasks::new(), Task::new(), Window::default());
        let mut stream = window.source(1000).prefetch(limit, tasks.spawn());
        assert!(task.poll_next(&mut stream).is_pending());
        for taken in 0..20_u32 {
            tasks.run();
            // As many as there may be, not one more.
            assert_eq!(window.peak().unsigned_abs(), limit);
            assert!(!tasks.is_woken(0));
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(taken)));
            // Handed on: there is room for one.
            window.leave();
            assert!(tasks.is_woken(0));
        }
    }
}

#[test]
fn below_a_stage_the_bounds_add_up() {
    for (above, limit, below) in [(1, 1, 1), (3, 2, 1), (2, 5, 3)] {
        let (tasks, task, window) = (Tasks::new(), Task::new(), Window::default());
        let gate = Gate::default();
        let source = window.source(100).map_concurrent(above, async |n| n);
        let mut stream = pin!(source.prefetch(limit, tasks.spawn()).map_concurrent(below, |n| {
            let passed = gate.passed();
            async move {
                passed.await;
                n
            }
        }));
        for _ in 0..10 {
            assert_eq!(settle(&task, &tasks, &mut stream), (vec![], false));
        }
        assert_eq!(window.peak().unsigned_abs(), above + limit + below);
        gate.open();
        let mut items = vec![];
        loop {
            tasks.run();
            match task.poll_next(&mut stream) {
                Poll::Ready(Some(item)) => {
                    window.leave();
                    items.push(item);
                }
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        }
        assert_eq!(items.len(), 100);
        assert_eq!(window.peak().unsigned_abs(), above + limit + below);
    }
}

#[test]
fn it_goes_on_while_nobody_polls() {
    let (tasks, task) = (Tasks::new(), Task::new());
    let (gate, gauge) = (Gate::default(), Gauge::default());
    let (passing, counted) = (gate.clone(), gauge.clone());
    let source = pipe(0..10).map_concurrent(2, move |n| {
        let (passed, unit) = (passing.passed(), counted.unit());
        async move {
            passed.await;
            (n, unit)
        }
    });
    let mut stream = source.prefetch(3, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    assert_eq!(gauge.now(), 2);
    assert!(!task.is_woken());
    gate.open();
    tasks.run();
    // Three that wait, and two that the stage above keeps.
    assert_eq!(gauge.now(), 5);
    assert!(task.is_woken());
    assert_eq!(settle(&task, &tasks, &mut stream).0.len(), 10);
}

#[test]
fn while_it_has_no_room_the_calls_above_go_on() {
    let (tasks, task) = (Tasks::new(), Task::new());
    let gates = [(); 6].map(|()| Gate::default());
    let done = Arc::new(AtomicUsize::new(0));
    let (passing, noting) = (gates.clone(), done.clone());
    let source = pipe(0..6).map_concurrent(3, move |n| {
        let (passed, done) = (passing[n].passed(), noting.clone());
        async move {
            passed.await;
            done.fetch_add(1, Ordering::SeqCst);
            n
        }
    });
    // Through something that is no stage as well.
    let mut stream = source.map(|n| n).boxed().prefetch(1, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    gates[0].open();
    tasks.run();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    for expected in 2..=4 {
        gates[expected - 1].open();
        assert!(tasks.is_woken(0));
        tasks.run();
        assert_eq!(done.load(Ordering::SeqCst), expected);
    }
    // The stage is as full as the one below it.
    gates[4].open();
    assert!(!tasks.is_woken(0));
    gates.iter().for_each(Gate::open);
    assert_eq!(settle(&task, &tasks, &mut stream), (Vec::from_iter(0..6), true));
}

#[test]
fn a_source_that_is_always_ready_does_not_keep_the_thread() {
    let (seen, tasks, task) = (Seen::default(), Tasks::new(), Task::new());
    let mut stream = seen.source(|n| Poll::Ready(Some(n))).prefetch(usize::MAX, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    for turn in 1..5 {
        assert!(tasks.poll(0).is_pending());
        assert!(tasks.is_woken(0));
        assert!((turn..turn * 256).contains(&seen.polls()));
    }
    let polls = seen.polls();
    drop(stream);
    assert!(tasks.poll(0).is_ready());
    assert_eq!(seen.polls(), polls);
}

#[test]
fn the_last_waker_counts() {
    // When there is an item, at the end, and when the task is dropped.
    for (count, shut_down) in [(1, false), (0, false), (1, true)] {
        let tasks = Tasks::new();
        let mut stream = pipe(0..count).prefetch(1, tasks.spawn());
        let flags = [(); 3].map(|()| Woken::new());
        for flag in &flags {
            let waker = flag.waker();
            assert!(stream.poll_next(&mut Context::from_waker(&waker)).is_pending());
        }
        if shut_down {
            tasks.drop(0);
        } else {
            let _ = tasks.poll(0);
        }
        assert_eq!(flags.map(|flag| flag.take()), [false, false, true]);
    }
}

#[test]
fn dropped_it_drops_what_waits_at_once_and_upstream_in_the_next_turn() {
    let (seen, tasks, task) = (Seen::default(), Tasks::new(), Task::new());
    let items = Gauge::default();
    let made = items.clone();
    let source = seen.source(move |_| Poll::Ready(Some(made.unit())));
    let mut stream = source.prefetch(3, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    assert!(matches!(task.poll_next(&mut stream), Poll::Ready(Some(_))));
    assert_eq!((items.now(), seen.polls()), (2, 3));
    // It could pull one more by now.
    assert!(tasks.is_woken(0));
    drop(stream);
    assert_eq!((items.now(), seen.sources.now()), (0, 1));
    assert!(tasks.poll(0).is_ready());
    assert_eq!((items.peak(), seen.polls(), seen.sources.now()), (3, 3, 0));

    // It waits for upstream, or for room; or it has not begun.
    for (turns, limit) in [(0, 1), (1, 9), (1, 1)] {
        let seen = Seen::default();
        let source = seen.source(|n| if n == 0 { Poll::Ready(Some(n)) } else { Poll::Pending });
        let (tasks, task) = (Tasks::new(), Task::new());
        let mut stream = source.prefetch(limit, tasks.spawn());
        assert!(task.poll_next(&mut stream).is_pending());
        for _ in 0..turns {
            assert!(tasks.poll(0).is_pending());
            assert!(!tasks.is_woken(0));
        }
        let polls = seen.polls();
        drop(stream);
        assert!(tasks.is_woken(0));
        assert!(tasks.poll(0).is_ready());
        assert_eq!((seen.polls(), seen.sources.now()), (polls, 0));
    }
}

/// What waits makes room when it is dropped, but nothing is pulled any more.
#[test]
fn while_it_is_dropped_nothing_is_pulled() {
    struct Poller(Arc<Mutex<Option<Tasks>>>);
    impl Drop for Poller {
        fn drop(&mut self) {
            let tasks = self.0.lock().unwrap().take();
            if let Some(tasks) = tasks {
                assert!(tasks.is_woken(0));
                assert!(tasks.poll(0).is_ready());
            }
        }
    }
    let (seen, tasks, task) = (Seen::default(), Tasks::new(), Task::new());
    let slot: Arc<Mutex<Option<Tasks>>> = Arc::default();
    let source = seen.source({
        let slot = Arc::clone(&slot);
        move |_| Poll::Ready(Some(Poller(slot.clone())))
    });
    let mut stream = source.prefetch(2, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    *slot.lock().unwrap() = Some(tasks);
    drop(stream);
    assert!(slot.lock().unwrap().is_none());
    assert_eq!((seen.polls(), seen.sources.now()), (2, 0));
}

/// The same while a thread has the task, which is to find nobody there when it has pulled.
#[test]
fn while_it_is_dropped_nothing_is_taken() {
    #[derive(Clone)]
    struct Ends(Arc<Mutex<(mpsc::Sender<()>, mpsc::Receiver<&'static str>)>>);
    /// The first item has the task's thread go on, and waits for what that does.
    struct Item(Option<Ends>);
    impl Drop for Item {
        fn drop(&mut self) {
            if let Some(Ends(ends)) = self.0.take() {
                let ends = ends.lock().unwrap();
                ends.0.send(()).unwrap();
                assert_eq!(ends.1.recv().unwrap(), "gone");
            }
        }
    }
    struct Says(mpsc::Sender<&'static str>);
    impl Drop for Says {
        fn drop(&mut self) {
            let _ = self.0.send("gone");
        }
    }
    let (seen, tasks, task) = (Seen::default(), Tasks::new(), Task::new());
    let (go_on, wait) = mpsc::channel();
    let (say, said) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let (ends, says) = (Ends(Arc::new(Mutex::new((go_on, said)))), Says(say));
    let source = seen.source(move |n| match n {
        0 => Poll::Ready(Some(Item(Some(ends.clone())))),
        1 => {
            begin.send(()).unwrap();
            wait.recv().unwrap();
            Poll::Ready(Some(Item(None)))
        }
        _ => {
            says.0.send("polled").unwrap();
            Poll::Pending
        }
    });
    let mut stream = source.prefetch(9, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    let executor = thread::spawn(move || tasks.poll(0));
    begun.recv().unwrap();
    drop(stream);
    assert!(executor.join().unwrap().is_ready());
    assert_eq!(seen.polls(), 2);
}

/// As when a thread drops the stream while another polls the task.
#[test]
fn dropped_while_the_task_is_polled_it_pulls_no_more_than_one() {
    let (seen, tasks, task) = (Seen::default(), Tasks::new(), Task::new());
    let items = Gauge::default();
    let slot: Arc<Mutex<Option<stream::Boxed<Unit>>>> = Arc::default();
    let (emptied, made) = (slot.clone(), items.clone());
    let source = seen.source(move |n| {
        if n == 5 {
            let stream = emptied.lock().unwrap().take();
            drop(stream);
        }
        Poll::Ready(Some(made.unit()))
    });
    *slot.lock().unwrap() = Some(source.prefetch(20, tasks.spawn()).boxed());
    assert!(task.poll_next(slot.lock().unwrap().as_mut().unwrap()).is_pending());
    assert!(tasks.poll(0).is_ready());
    assert_eq!((seen.polls(), items.now(), seen.sources.now()), (6, 0, 0));
}

#[test]
fn a_panic_comes_after_the_items_before_it_and_before_those_after_it() {
    let (seen, tasks, task) = (Seen::default(), Tasks::new(), Task::new());
    let source = seen.source(|n| match n {
        2 | 3 => boom("poll"),
        n => Poll::Ready((n < 6).then_some(n)),
    });
    let mut stream = source.prefetch(9, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    // The task goes on when the consumer does.
    assert_eq!(seen.polls(), 3);
    assert_eq!(stream.size_hint(), (2, None));
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(1)));
    tasks.run();
    assert_eq!(seen.polls(), 3);
    assert_eq!(stream.size_hint(), (0, None));
    assert_eq!(message_of(|| task.poll_next(&mut stream)), "poll");
    tasks.run();
    assert_eq!(seen.polls(), 4);
    assert_eq!(message_of(|| task.poll_next(&mut stream)), "poll");
    tasks.run();
    assert_eq!((seen.polls(), seen.sources.now()), (7, 0));
    assert_eq!(Task::new().settle(&mut stream), (vec![4, 5], true));
}

#[test]
fn a_payload_of_any_type_comes_out() {
    struct Payload(usize);
    let (tasks, task) = (Tasks::new(), Task::new());
    let source = stream::poll_fn(|_| -> Poll<Option<()>> { resume_unwind(Box::new(Payload(7))) });
    let mut stream = source.prefetch(9, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    let panic = catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))).unwrap_err();
    assert_eq!(panic.downcast::<Payload>().ok().unwrap().0, 7);
}

/// Calls above panic while there is no room.
#[test]
fn panics_of_calls_that_go_on_without_room_come_out() {
    let (tasks, task) = (Tasks::new(), Task::new());
    let gate = Gate::default();
    let passing = gate.clone();
    let source = pipe(0..6).map_concurrent(2, move |n| {
        let passed = passing.passed();
        async move {
            if n % 2 == 1 {
                passed.await;
                boom("odd");
            }
            n
        }
    });
    let mut stream = source.prefetch(1, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    gate.open();
    tasks.run();
    let (mut items, mut panics) = (vec![], 0);
    loop {
        match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))) {
            Ok(Poll::Ready(Some(item))) => items.push(item),
            Ok(Poll::Ready(None)) => break,
            Ok(Poll::Pending) => tasks.run(),
            Err(panic) => {
                assert_eq!(message(panic), "odd");
                panics += 1;
            }
        }
    }
    assert_eq!((items, panics), (vec![0, 2, 4], 3));
}

/// There is no end to them, and nobody may come to take them.
#[test]
fn calls_that_all_panic_are_not_started_for_ever() {
    let (tasks, task) = (Tasks::new(), Task::new());
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    let gate = Gate::default();
    let passing = gate.clone();
    let source = pipe(0..).filter(|_| true).map_concurrent(3, move |n| {
        count.fetch_add(1, Ordering::SeqCst);
        let passed = passing.passed();
        async move {
            if n > 1 {
                passed.await;
                boom("call");
            }
            n
        }
    });
    let mut stream = source.prefetch(2, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    assert_eq!(stream.size_hint().0, 2);
    gate.open();
    tasks.run();
    let some = started.load(Ordering::SeqCst);
    assert!(some < 50, "{some} calls");
    assert_eq!(stream.size_hint().0, 2);
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(1)));
    for _ in 0..100 {
        assert_eq!(message_of(|| task.poll_next(&mut stream)), "call");
        assert_eq!(stream.size_hint().0, 0);
        tasks.run();
    }
    assert!(started.load(Ordering::SeqCst) < some + 250);
    drop(stream);
    tasks.run();
    assert_eq!(tasks.left(), 0);
}

#[test]
fn while_another_panic_waits_nothing_is_pulled() {
    let (tasks, task) = (Tasks::new(), Task::new());
    let gate = Gate::default();
    let passing = gate.clone();
    let source = pipe(0..6).filter(|_| true).map_concurrent(3, move |n| {
        let passed = passing.passed();
        async move {
            if n > 0 {
                passed.await;
            }
            if n == 1 || n == 2 {
                boom("call");
            }
            n
        }
    });
    let mut stream = source.prefetch(1, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    gate.open();
    tasks.run();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    for _ in 0..2 {
        tasks.run();
        assert_eq!(stream.size_hint().0, 0);
        assert_eq!(message_of(|| task.poll_next(&mut stream)), "call");
    }
    tasks.run();
    assert_eq!(stream.size_hint().0, 1);
    let (mut outputs, over) = settle(&Task::new(), &tasks, &mut stream);
    outputs.sort_unstable();
    assert_eq!((outputs, over), (vec![3, 4, 5], true));
}

#[test]
fn panics_where_upstream_is_dropped() {
    // At its end: the last that comes out, and then it has ended.
    let (tasks, task) = (Tasks::new(), Task::new());
    let bomb = Bomb("drop");
    let source = pipe(0..2).chain(stream::poll_fn(move |_| {
        let _ = &bomb;
        Poll::Ready(None)
    }));
    let mut stream = source.prefetch(9, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(1)));
    assert_eq!(message_of(|| task.poll_next(&mut stream)), "drop");
    assert_eq!(settle(&Task::new(), &tasks, &mut stream), (vec![], true));

    // When the stream was dropped, nobody gets it; when the executor drops the task, the consumer.
    for shut_down in [false, true] {
        let (tasks, task) = (Tasks::new(), Task::new());
        let bomb = Bomb("drop");
        let source = stream::poll_fn(move |_| {
            let _ = &bomb;
            Poll::<Option<()>>::Pending
        });
        let mut stream = source.prefetch(9, tasks.spawn());
        assert!(task.poll_next(&mut stream).is_pending());
        tasks.run();
        if shut_down {
            tasks.drop(0);
            assert_eq!(message_of(|| task.poll_next(&mut stream)), "drop");
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(None));
        } else {
            drop(stream);
            assert!(tasks.poll(0).is_ready());
        }
    }
}

#[test]
fn a_task_that_the_executor_drops_is_a_panic_after_the_items() {
    for turns in 0..3 {
        let (seen, tasks, task) = (Seen::default(), Tasks::new(), Task::new());
        let source = seen.source(|n| if n < 2 { Poll::Ready(Some(n)) } else { Poll::Pending });
        let mut stream = source.prefetch(turns.max(1), tasks.spawn());
        assert!(task.poll_next(&mut stream).is_pending());
        for _ in 0..turns {
            let _ = tasks.poll(0);
        }
        tasks.drop(0);
        assert!(task.is_woken());
        assert_eq!(seen.sources.now(), 0);
        for item in 0..turns {
            assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(item)));
        }
        assert_eq!(message_of(|| task.poll_next(&mut stream)), DROPPED);
        assert_eq!(task.poll_next(&mut stream), Poll::Ready(None));
    }
}

#[test]
fn a_spawn_that_drops_the_task_is_a_panic() {
    let seen = Seen::default();
    let mut stream = seen.source(|n| Poll::Ready(Some(n))).prefetch(2, drop);
    assert_eq!(message_of(|| Task::new().poll_next(&mut stream)), DROPPED);
    assert_eq!(seen.sources.now(), 0);
    assert_eq!(Task::new().poll_next(&mut stream), Poll::Ready(None));
}

#[test]
fn a_panic_of_spawn_comes_out() {
    let seen = Seen::default();
    let source = seen.source(|n| Poll::Ready(Some(n)));
    let mut stream = source.prefetch(2, |_| boom("no runtime"));
    assert_eq!(message_of(|| Task::new().poll_next(&mut stream)), "no runtime");
    assert_eq!(seen.sources.now(), 0);
    assert_eq!(Task::new().poll_next(&mut stream), Poll::Ready(None));

    // What tokio says outside of a runtime.
    let mut stream = pipe(0..3).prefetch(2, |task| {
        tokio::spawn(task);
    });
    assert!(message_of(|| Task::new().poll_next(&mut stream)).contains("no reactor running"));
}

/// A stage below that is full asks for nothing: what is there is kept, and counts.
#[test]
fn advanced_it_keeps_its_items() {
    let (tasks, task, window) = (Tasks::new(), Task::new(), Window::default());
    let (gate, turn) = (Gate::default(), Gate::default());
    let prefetched = window.source(50).prefetch(2, tasks.spawn());
    // A stage beside it, so that the one below has something to advance, whatever `prefetch` says.
    let beside = stream::repeat(1000).take(3).map_concurrent(1, async |n| {
        turn.passed().await;
        n
    });
    let mut below = pin!(select(beside, prefetched).map_concurrent(1, async |n| {
        gate.passed().await;
        n
    }));
    // The call below is of item 0, and two wait.
    assert_eq!(settle(&task, &tasks, &mut below), (vec![], false));
    assert_eq!(window.peak(), 3);
    // The stage below is polled and advances both, which could bring out an item of the one that
    // runs as a task.
    for _ in 0..10 {
        turn.open();
        let _ = task.poll_next(&mut below);
        tasks.run();
        assert_eq!(window.peak(), 3);
    }
    gate.open();
    let mut items = vec![];
    loop {
        match task.poll_next(&mut below) {
            Poll::Ready(Some(1000)) => {}
            Poll::Ready(Some(n)) => {
                window.leave();
                items.push(n);
            }
            Poll::Ready(None) => break,
            Poll::Pending => {
                assert!(task.is_woken() || (0..tasks.count()).any(|index| tasks.is_due(index)));
                tasks.run();
            }
        }
    }
    assert_eq!(items, Vec::from_iter(0..50));
    assert_eq!(window.peak(), 3);
}

/// Has the stages above go on, as if the consumer were busy.
fn advance<S: Stream>(driven: &mut Driven<S>) {
    let mut waiting = pin!(driven.alongside(future::pending::<()>()));
    let polled = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

/// A panic comes out of whatever poll meets it, but not before the items that are kept.
#[test]
fn what_it_keeps_while_it_is_advanced_comes_first() {
    for panics in [false, true] {
        let (tasks, task) = (Tasks::new(), Task::new());
        let source =
            stream::iter(0..3).map(move |n| if panics && n == 2 { boom("two") } else { n });
        let mut driven = source.prefetch(9, tasks.spawn()).driven();
        assert!(task.poll_next(&mut driven).is_pending());
        tasks.run();
        for _ in 0..3 {
            advance(&mut driven);
        }
        assert_eq!(task.poll_next(&mut driven), Poll::Ready(Some(0)));
        advance(&mut driven);
        advance(&mut driven);
        assert_eq!(task.poll_next(&mut driven), Poll::Ready(Some(1)));
        if panics {
            assert_eq!(message_of(|| advance(&mut driven)), "two");
        }
        advance(&mut driven);
        let rest = if panics { vec![] } else { vec![2] };
        assert_eq!(settle(&Task::new(), &tasks, &mut driven), (rest, true));
    }
}

#[test]
fn what_is_expected_counts() {
    // Exact, if what is above is.
    let (tasks, task) = (Tasks::new(), Task::new());
    let mut stream = pipe(0..20).map_concurrent(3, async |n| n).prefetch(4, tasks.spawn());
    for left in (1..=20).rev() {
        assert_eq!(stream.size_hint(), (left, Some(left)));
        while task.poll_next(&mut stream).is_pending() {
            tasks.run();
        }
    }
    assert_eq!(stream.size_hint(), (0, Some(0)));

    // At least what waits, if nothing is known.
    let (tasks, task) = (Tasks::new(), Task::new());
    let mut stream = pipe(0..20).filter(|n| n % 2 == 0).prefetch(4, tasks.spawn());
    assert_eq!(stream.size_hint(), (0, Some(20)));
    assert!(task.poll_next(&mut stream).is_pending());
    assert_eq!(stream.size_hint(), (0, Some(20)));
    tasks.run();
    assert_eq!(stream.size_hint(), (4, Some(20)));
    assert!(task.poll_next(&mut stream).is_ready());
    assert_eq!(stream.size_hint(), (3, Some(19)));
    assert_eq!(settle(&task, &tasks, &mut stream).0.len(), 9);
    assert_eq!(stream.size_hint(), (0, Some(0)));

    // What was kept for a stage below counts as well.
    let (tasks, task) = (Tasks::new(), Task::new());
    let mut driven = pipe(0..20).filter(|n| n % 2 == 0).prefetch(4, tasks.spawn()).driven();
    assert!(task.poll_next(&mut driven).is_pending());
    tasks.run();
    advance(&mut driven);
    assert_eq!(driven.size_hint(), (4, Some(20)));

    // After a panic nobody knows how many items it cost.
    let (tasks, task) = (Tasks::new(), Task::new());
    let source = pipe(0..4).map(|n| if n == 1 { boom("one") } else { n });
    let mut stream = source.prefetch(1, tasks.spawn());
    assert!(task.poll_next(&mut stream).is_pending());
    tasks.run();
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(Some(0)));
    tasks.run();
    assert_eq!(message_of(|| task.poll_next(&mut stream)), "one");
    assert_eq!(stream.size_hint(), (0, Some(3)));
    tasks.run();
    assert_eq!(stream.size_hint(), (1, Some(3)));
    assert_eq!(settle(&Task::new(), &tasks, &mut stream), (vec![2, 3], true));
}

#[test]
fn hints_hold_whatever_upstream_says() {
    struct Says(u32, (usize, Option<usize>));
    impl Stream for Says {
        type Item = u32;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
            self.0 += 1;
            Poll::Ready((self.0 % 10 != 0).then_some(self.0))
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            self.1
        }
    }
    for hint in [(0, None), (4, Some(20)), (9, Some(9)), (0, Some(usize::MAX)), (9, None)] {
        let (tasks, task) = (Tasks::new(), Task::new());
        let mut stream = Says(0, hint).prefetch(3, tasks.spawn());
        let mut left = 9;
        loop {
            let (lower, upper) = stream.size_hint();
            assert!(lower <= left && upper.is_none_or(|upper| left <= upper));
            match task.poll_next(&mut stream) {
                Poll::Ready(Some(_)) => left -= 1,
                Poll::Ready(None) => break,
                Poll::Pending => tasks.run(),
            }
        }
        assert_eq!(left, 0);
    }
}

/// What is left of a pipeline that is dropped after so many steps.
fn step_by_step(steps: usize) -> bool {
    let (items, sources) = (Gauge::default(), Gauge::default());
    let tasks = Tasks::new();
    let (made, source) = (items.clone(), sources.unit());
    let source = pipe(0..14).map(move |n| {
        let _ = &source;
        (n, made.unit())
    });
    let mut stream = Box::pin(
        source
            .map_concurrent(2, async |(n, unit)| {
                for _ in 0..n % 3 {
                    yield_now().await;
                }
                if n == 6 {
                    boom("six");
                }
                unit
            })
            .prefetch(2, tasks.spawn())
            .map_concurrent(2, async |unit| {
                yield_now().await;
                unit
            })
            .prefetch(1, tasks.spawn()),
    );
    let task = Task::new();
    let (mut outputs, mut ended) = (0, false);
    for step in 0..steps {
        // The consumer, and one or the other of the tasks.
        if step % 3 == 0 {
            match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stream))) {
                Ok(Poll::Ready(Some(_))) => outputs += 1,
                Ok(Poll::Ready(None)) => {
                    assert_eq!(outputs, 13);
                    ended = true;
                    break;
                }
                Ok(Poll::Pending) | Err(_) => {}
            }
        } else if (step % 3) - 1 < tasks.count() && tasks.is_due((step % 3) - 1) {
            let _ = tasks.poll((step % 3) - 1);
        }
        assert!(items.now() <= 2 + 2 + 2 + 1);
    }
    drop(stream);
    tasks.run();
    assert_eq!((items.now(), sources.now(), tasks.left()), (0, 0, 0), "after {steps} steps");
    ended
}

#[test]
fn dropped_at_any_point_a_pipeline_leaves_nothing() {
    let steps = (0..1000).find(|steps| step_by_step(*steps));
    assert!(steps.is_some_and(|steps| steps > 40), "{steps:?}");
}

#[test]
fn in_a_flow() {
    let tasks = Tasks::new();
    let spawn = tasks.spawn();
    let flow: Flow<u32> =
        Flow::new(move |numbers| numbers.map(|n| n + 1).prefetch(2, spawn.clone()));
    for run in 1..3 {
        let mut stream = pipe(0..5).through(&flow);
        let task = Task::new();
        assert_eq!(settle(&task, &tasks, &mut stream), (vec![1, 2, 3, 4, 5], true));
        assert_eq!(tasks.count(), run);
    }
}

on_every_host!(
    stages_run_as_tasks,
    slow_ends,
    panics_reach_the_consumer,
    dropping_the_pipeline_frees_upstream,
);

fn stages_run_as_tasks<H: Host>() {
    for limit in [1, 3, usize::MAX] {
        let items: Vec<u32> = H::block_on(
            pipe(0..200)
                .prefetch(limit, H::spawn)
                .map_concurrent(ordered(3), async |n| {
                    yield_now().await;
                    n
                })
                .prefetch(limit, H::spawn)
                .map(|n| n + 1)
                .collect(),
        );
        assert_eq!(items, Vec::from_iter(1..201));
    }
}

/// Now the source is the slow one, now the consumer.
fn slow_ends<H: Host>() {
    for (above, below) in [(0, 0), (3, 0), (0, 3)] {
        let inside = Gauge::default();
        let made = inside.clone();
        let numbers = H::block_on(async {
            let mut stream = pipe(0..200)
                .map_concurrent(1, move |n| {
                    let unit = made.unit();
                    async move {
                        for _ in 0..above {
                            yield_now().await;
                        }
                        (n, unit)
                    }
                })
                .prefetch(2, H::spawn);
            let mut numbers = vec![];
            while let Some((n, unit)) = stream.next().await {
                drop(unit);
                for _ in 0..below {
                    yield_now().await;
                }
                numbers.push(n);
            }
            numbers
        });
        assert_eq!(numbers, Vec::from_iter(0..200));
        // What was handed on counts until the loop has dropped it.
        assert!(inside.peak() <= 1 + 2 + 1, "{}", inside.peak());
    }
}

fn panics_reach_the_consumer<H: Host>() {
    let (items, panics) = H::block_on(async {
        let source = pipe(0..40).map(|n| if n % 10 == 3 { boom("three") } else { n });
        let mut stream = source.prefetch(3, H::spawn);
        let (mut items, mut panics) = (vec![], vec![]);
        loop {
            match AssertUnwindSafe(stream.next()).catch_unwind().await {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break (items, panics),
                Err(panic) => {
                    assert_eq!(message(panic), "three");
                    panics.push(items.len());
                }
            }
        }
    });
    assert_eq!(items, Vec::from_iter((0..40).filter(|n| n % 10 != 3)));
    assert_eq!(panics, [3, 12, 21, 30]);
}

fn dropping_the_pipeline_frees_upstream<H: Host>() {
    let (held, freed) = async_channel::bounded::<()>(1);
    H::block_on(async {
        let source = stream::repeat(0).map(move |n| {
            let _ = &held;
            n
        });
        let calls = source.map_concurrent(2, in_task(H::spawn, async |n: u32| n));
        let mut stream = calls.prefetch(2, H::spawn);
        assert_eq!(stream.next().await, Some(0));
        drop(stream);
        // Closed once it is dropped.
        assert!(freed.recv().await.is_err());
    });
}

#[test]
fn stages_run_at_once_on_several_threads() {
    // The stage below is with an item when the one above is with the next.
    let barrier = Arc::new(Barrier::new(2));
    let above = barrier.clone();
    let numbers = pipe(0..20).inspect(move |n| {
        if *n > 0 {
            above.wait();
        }
    });
    let below = numbers.prefetch(1, TwoThreads::spawn).inspect(|n| {
        if *n < 19 {
            barrier.wait();
        }
    });
    assert_eq!(block_on(below.count()), 20);
}

/// The consumer waits elsewhere.
#[test]
fn a_runtime_that_is_shut_down_is_a_panic() {
    for threads in [0, 2] {
        let mut runtime = match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime.build().unwrap();
        let handle = runtime.handle().clone();
        let (begin, begun) = mpsc::channel();
        let consumer = thread::spawn(move || {
            let spawn = move |task: Boxed<()>| {
                handle.spawn(task);
                begin.send(()).unwrap();
            };
            block_on(stream::pending::<()>().prefetch(2, spawn).drain());
        });
        begun.recv().unwrap();
        drop(runtime);
        assert_eq!(message(consumer.join().unwrap_err()), DROPPED);
    }
}

/// Streams that are dropped while their tasks pull, on threads.
#[test]
fn races_lose_nothing() {
    let items = Gauge::default();
    for round in 0..500 {
        let made = items.clone();
        let source =
            pipe(0..).map(move |n: u32| (n, made.unit())).map_concurrent(2, async |pair| {
                yield_now().await;
                pair
            });
        let mut stream = source.prefetch(1 + round % 4, TwoThreads::spawn);
        block_on(async {
            for expected in 0..round as u32 % 7 {
                let (n, _unit) = stream.next().await.unwrap();
                assert_eq!(n, expected);
            }
        });
    }
    while items.now() > 0 {
        thread::yield_now();
    }
}
