//! Whether there is a stage above is found out whatever lies between: calls that were started go on,
//! and plain streams are not pulled ahead.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::task::Poll;

use async_lock::Mutex;
use flowlet::prelude::*;
use flowlet::{merge, ordered};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::tasks::Tasks;
use crate::support::waker::Task;

type Boxed<'a> = Pin<Box<dyn Stream<Item = usize> + 'a>>;

/// A lock that a call above holds and those below want: if the one above does not go on, none does.
struct Locked {
    lock: Mutex<()>,
    gate: Gate,
}

impl Locked {
    fn new() -> Self {
        Self { lock: Mutex::new(()), gate: Gate::default() }
    }

    /// A stage with one call, which holds the lock until the gate opens.
    fn above(&self) -> Boxed<'_> {
        Box::pin(pipe([100]).map_concurrent(1, async |n| {
            let _guard = self.lock.lock().await;
            self.gate.passed().await;
            n
        }))
    }

    /// A stage whose calls take the lock.
    fn below<'a>(&'a self, stream: impl Stream<Item = usize> + 'a, limit: usize) -> Boxed<'a> {
        Box::pin(stream.map_concurrent(limit, async |n| {
            let _guard = self.lock.lock().await;
            n
        }))
    }
}

/// A batch that is due is handed on to the pipeline it is in, whoever advances the stage around it.
#[test]
fn a_batch_in_a_call_comes_out_while_the_stage_around_it_is_advanced() {
    for limit in [1, 2] {
        let done = Gate::default();
        let above = pipe(0..3).map_concurrent(limit, async |n| {
            if n == limit {
                // The second batch is full with its first item, and no other one comes.
                let items = stream::iter([1, 5]).chain(stream::pending());
                let mut batches = pin!(items.batched_by_weight(5, |weight| *weight));
                assert_eq!(batches.next().await, Some(vec![1]));
                assert_eq!(batches.next().await, Some(vec![5]));
                done.open();
            }
            n
        });
        let mut stream = pin!(above.map_concurrent(ordered(limit), async |n| {
            done.passed().await;
            n
        }));
        assert_eq!(Task::new().settle(&mut stream), (vec![0, 1, 2], true));
    }
}

/// Of the pipelines in it all stages end, which is nothing to the stage beside it.
#[test]
fn a_plain_combinator_in_which_pipelines_end_hides_no_stage() {
    for limit in [1, 2, 3] {
        let (locked, task) = (Locked::new(), Task::new());
        let (sender, numbers) = async_channel::unbounded();
        let pipelines = numbers.map(async |n: usize| {
            let inner = pipe([n]).map_concurrent(1, async |n| n).map_concurrent(1, async |n| n);
            inner.map_concurrent(1, async |n| n).collect::<Vec<_>>().await[0]
        });
        let both =
            stream::or(futures_util::StreamExt::buffer_unordered(pipelines, 1), locked.above());
        let mut below = locked.below(both, limit);
        assert_eq!(task.settle(&mut below), (vec![], false));
        (0..limit).for_each(|n| sender.try_send(n).unwrap());
        assert_eq!(task.settle(&mut below), (vec![], false), "it is full, the lock is taken");

        locked.gate.open();
        drop(sender);
        let (mut items, over) = task.settle(&mut below);
        items.sort_unstable();
        assert_eq!((items, over), ((0..limit).chain([100]).collect(), true));
    }
}

/// In the poll in which it ends, a plain stream gives an item to the one beside it.
#[test]
fn a_stage_that_ends_beside_another_hides_none_above_that_one() {
    for limit in [1, 2, 3] {
        let (locked, task, end) = (Locked::new(), Task::new(), Gate::default());
        let (sender, plain) = async_channel::unbounded();
        let ends = pipe([0]).filter_concurrent(1, async |_: &usize| {
            end.passed().await;
            false
        });
        let middle = locked.below(stream::or(plain, locked.above()), limit);
        let mut below = pin!(stream::or(ends, middle).map_concurrent(9, async |n| n));
        assert_eq!(task.settle(&mut below), (vec![], false));
        (0..limit).for_each(|n| sender.try_send(n).unwrap());
        end.open();
        assert_eq!(task.settle(&mut below), (vec![], false), "it is full, the lock is taken");

        locked.gate.open();
        drop(sender);
        let (mut items, over) = task.settle(&mut below);
        items.sort_unstable();
        assert_eq!((items, over), ((0..limit).chain([100]).collect(), true));
    }
}

/// Polls one of them in each poll.
fn in_turn<'a>(mut first: Boxed<'a>, mut second: Boxed<'a>) -> Boxed<'a> {
    let mut of_first = false;
    Box::pin(stream::poll_fn(move |cx| {
        of_first = !of_first;
        if !of_first {
            return second.as_mut().poll_next(cx);
        }
        let polled = first.as_mut().poll_next(cx);
        if polled.is_pending() {
            // The other one has its turn.
            cx.waker().wake_by_ref();
        }
        polled
    }))
}

#[test]
fn an_adaptor_that_polls_its_streams_in_turn_hides_no_stage() {
    for limit in [1, 2, 3] {
        let (locked, task) = (Locked::new(), Task::new());
        let (sender, plain) = async_channel::unbounded();
        let mut below = locked.below(in_turn(Box::pin(plain), locked.above()), limit);
        assert_eq!(task.settle(&mut below), (vec![], false));
        for n in 0..limit {
            sender.try_send(n).unwrap();
            assert_eq!(task.settle(&mut below), (vec![], false), "the lock is taken");
        }
        locked.gate.open();
        let (mut items, _) = task.settle(&mut below);
        items.sort_unstable();
        assert_eq!(items, Vec::from_iter((0..limit).chain([100])));
    }
}

/// What comes after it is pulled as a plain source is: for calls that are started.
fn check_plain_behind(first: impl Stream<Item = usize>, tasks: &Tasks) {
    let (pulled, gates) = (Cell::new(0), RefCell::new(Vec::<Gate>::new()));
    let plain = stream::iter(10..20).inspect(|_| pulled.set(pulled.get() + 1));
    let mut below = pin!(first.chain(plain).map_concurrent(1, |n| {
        let gate = Gate::default();
        gates.borrow_mut().push(gate.clone());
        async move {
            gate.passed().await;
            n
        }
    }));
    let (task, mut items) = (Task::new(), vec![]);
    for call in 0..13_usize {
        loop {
            items.extend(task.settle(&mut below).0);
            tasks.run();
            if !task.is_woken() {
                break;
            }
        }
        assert_eq!((items.len(), gates.borrow().len()), (call, call + 1));
        // But for one that may come as the end of what is before it is found.
        let early = usize::from(call == 2);
        assert!(
            pulled.get() <= (call + 1).saturating_sub(3) + early,
            "{} in call {call}",
            pulled.get()
        );
        let gate = gates.borrow()[call].clone();
        gate.open();
    }
    items.extend(task.settle(&mut below).0);
    assert_eq!(items, Vec::from_iter((0..3).chain(10..20)));
}

#[test]
fn a_plain_stream_behind_a_merged_one_is_not_pulled_ahead() {
    let tasks = Tasks::new();
    check_plain_behind(merge([pipe(0..3).map_concurrent(2, async |n| n)]), &tasks);
    check_plain_behind(merge([merge([pipe(0..3)]).boxed_local(), pipe([]).boxed_local()]), &tasks);
}

#[test]
fn a_plain_stream_behind_a_driven_one_is_not_pulled_ahead() {
    check_plain_behind(pipe(0..3).map_concurrent(2, async |n| n).driven(), &Tasks::new());
    check_plain_behind(pipe(0..3).driven(), &Tasks::new());
}

#[test]
fn a_plain_stream_behind_a_prefetch_is_not_pulled_ahead() {
    let tasks = Tasks::new();
    check_plain_behind(pipe(0..3).prefetch(2, tasks.spawn()), &tasks);
}

/// The stage does not end, and is not asked any more.
#[test]
fn a_plain_stream_behind_a_stage_that_was_cut_is_not_pulled_ahead() {
    let (pulled, gate, task) = (Cell::new(0), Gate::default(), Task::new());
    let (sender, plain) = async_channel::unbounded();
    let plain = plain.filter(|n| *n >= 10).inspect(|_| pulled.set(pulled.get() + 1));
    let cut = pipe(0..).map_concurrent(2, async |n| n).take(3);
    // It is silent several times, as most sources are at some time.
    let mut below = pin!(cut.chain(plain).map_concurrent(1, async |n| {
        if n >= 10 {
            gate.passed().await;
        }
        n
    }));
    assert_eq!(task.settle(&mut below), (vec![0, 1, 2], false));
    for n in 3..10 {
        sender.try_send(n).unwrap();
        assert_eq!(task.settle(&mut below), (vec![], false));
    }
    (10..20).for_each(|n| sender.try_send(n).unwrap());
    assert_eq!(task.settle(&mut below), (vec![], false));
    assert_eq!(pulled.get(), 1);
    gate.open();
    assert_eq!(task.settle(&mut below), ((10..20).collect(), false));
    assert_eq!(pulled.get(), 10);
    assert_eq!(task.poll_next(&mut below), Poll::Pending);
}
