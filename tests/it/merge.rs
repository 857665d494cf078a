//! Fan-in: fair, woken branches only, open to more, and without starving the calls above.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

use flowlet::merge;
use flowlet::prelude::*;
use flowlet::stage::Merge;
use futures_lite::stream::Boxed;
use futures_lite::{future, stream};

use crate::support::exec::run;
use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::lock::{HABITS, Habit, Lock, Site, with_each_lock};
use crate::support::waker::Task;
use crate::support::window::Window;

with_each_lock!(merges_of_stages_below_a_full_stage, merges_of_merges, merges_in_a_driven_loop);

const LIMITS: [([usize; 4], usize); 4] =
    [([1, 1, 1, 1], 1), ([4, 1, 2, 1], 1), ([2, 3, 2, 3], 2), ([16, 1, 1, 16], 3)];

/// Four stages with calls that share a lock, merged.
fn branches<L: Lock>(
    limits: [usize; 4],
    habit: Habit,
    lock: &L,
    windows: &[Window; 4],
) -> [Boxed<u32>; 4] {
    std::array::from_fn(|branch| {
        let site = Site::new(lock, habit);
        let window = windows[branch].clone();
        let stage = window.source(12).map_concurrent(limits[branch], move |n| site.call(n));
        let stage = match branch {
            0 => stage.boxed(),
            1 => stage.map(|n| n).fuse().boxed(),
            2 => stage.boxed().take(100).boxed(),
            _ => stage.filter_concurrent(1, async |_| true).boxed(),
        };
        stage.inspect(move |_| window.leave()).boxed()
    })
}

fn four_times_twelve() -> Vec<u32> {
    (0..12).flat_map(|n| [n; 4]).collect()
}

fn merges_of_stages_below_a_full_stage<L: Lock>() {
    for (limits, below) in LIMITS {
        for (habit, seed) in HABITS.into_iter().flat_map(|habit| [0, 1, 29].map(|s| (habit, s))) {
            let lock = L::new();
            let (last, windows) = (Site::new(&lock, habit), Default::default());
            let merged = merge(branches(limits, habit, &lock, &windows));
            let stage = merged.map_concurrent(below, |n| last.call(n));
            let mut outputs: Vec<u32> = run(seed, stage.collect())
                .unwrap_or_else(|stall| panic!("{stall:?}: {limits:?} {below} {habit:?} {seed}"));
            outputs.sort_unstable();
            assert_eq!(outputs, four_times_twelve());
            assert!(last.peak() <= below);
            // The fourth branch has a second stage, with room for one.
            let most: [usize; 4] = std::array::from_fn(|n| limits[n] + usize::from(n == 3));
            let peaks = windows.map(|window| window.peak().unsigned_abs());
            assert!((0..4).all(|n| peaks[n] <= most[n]), "{peaks:?} {most:?}");
        }
    }
}

fn merges_of_merges<L: Lock>() {
    for (limits, below) in LIMITS {
        for (habit, seed) in HABITS.into_iter().flat_map(|habit| [0, 1, 29].map(|s| (habit, s))) {
            let lock = L::new();
            let (last, windows) = (Site::new(&lock, habit), Default::default());
            let [a, b, c, d] = branches(limits, habit, &lock, &windows);
            let merged = merge([merge([a, b]).boxed(), merge([c]).map(|n| n).boxed(), d]);
            let stage = merged.map_concurrent(below, |n| last.call(n));
            let mut outputs: Vec<u32> = run(seed, stage.collect()).unwrap();
            outputs.sort_unstable();
            assert_eq!(outputs, four_times_twelve());
        }
    }
}

fn merges_in_a_driven_loop<L: Lock>() {
    for (limits, _) in LIMITS {
        for (habit, seed) in HABITS.into_iter().flat_map(|habit| [0, 1, 29].map(|s| (habit, s))) {
            let lock = L::new();
            let (body, windows) = (Site::new(&lock, habit), Default::default());
            let mut merged = merge(branches(limits, habit, &lock, &windows)).driven();
            let all = async {
                let mut outputs = Vec::new();
                while let Some(n) = merged.next().await {
                    outputs.push(merged.alongside(body.call(n)).await);
                }
                outputs
            };
            let mut outputs = run(seed, all).unwrap();
            outputs.sort_unstable();
            assert_eq!(outputs, four_times_twelve());
        }
    }
}

/// A stream that gives what the test puts into it, and counts how often it is polled.
#[derive(Clone, Default)]
struct Fed(Rc<RefCell<FedState>>);

#[derive(Default)]
struct FedState {
    items: Vec<u32>,
    over: bool,
    polls: usize,
    waker: Option<Waker>,
}

impl Fed {
    fn feed(&self, items: impl IntoIterator<Item = u32>) {
        self.0.borrow_mut().items.extend(items);
        self.wake();
    }

    fn end(&self) {
        self.0.borrow_mut().over = true;
        self.wake();
    }

    fn wake(&self) {
        let waker = self.0.borrow_mut().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn polls(&self) -> usize {
        std::mem::take(&mut self.0.borrow_mut().polls)
    }

    fn stream(&self) -> impl Stream<Item = u32> + Unpin + use<> {
        let state = self.0.clone();
        stream::poll_fn(move |cx| {
            let mut state = state.borrow_mut();
            state.polls += 1;
            if !state.items.is_empty() {
                return Poll::Ready(Some(state.items.remove(0)));
            }
            if state.over {
                return Poll::Ready(None);
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

#[test]
fn only_what_was_woken_is_polled() {
    let fed: [Fed; 5] = Default::default();
    let (mut merged, task) = (merge(fed.each_ref().map(Fed::stream)), Task::new());
    assert_eq!(task.settle(&mut merged), (vec![], false));
    assert_eq!(fed.each_ref().map(Fed::polls), [1; 5]);

    fed[3].feed([7]);
    assert_eq!(task.settle(&mut merged), (vec![7], false));
    assert_eq!(fed.each_ref().map(Fed::polls), [0, 0, 0, 2, 0]);

    assert_eq!(task.poll_next(&mut merged), Poll::Pending);
    assert_eq!(fed.each_ref().map(Fed::polls), [0; 5], "not for a poll without a wake");

    fed.iter().for_each(Fed::end);
    assert_eq!(task.settle(&mut merged), (vec![], true));
    assert_eq!(fed.each_ref().map(Fed::polls), [1; 5]);
    assert_eq!(task.poll_next(&mut merged), Poll::Ready(None), "fused");
    assert_eq!(fed.map(|fed| Rc::strong_count(&fed.0)), [1; 5]);
}

#[test]
fn they_take_turns() {
    let streams = [stream::repeat(0), stream::repeat(1), stream::repeat(2)];
    let items: Vec<u32> = future::block_on(merge(streams).take(30).collect());
    for turn in items.chunks(3) {
        let mut turn = turn.to_vec();
        turn.sort_unstable();
        assert_eq!(turn, [0, 1, 2]);
    }

    // One that wakes itself without an item keeps the others from nothing, and is not spun on.
    let busy = stream::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let task = Task::new();
    let mut merged = merge([busy.boxed_local(), stream::iter([1, 2]).boxed_local()]);
    let mut items = Vec::new();
    for _ in 0..8 {
        if let Poll::Ready(item) = task.poll_next(&mut merged) {
            items.extend(item);
        } else {
            assert!(task.is_woken());
        }
    }
    assert_eq!(items, [1, 2]);
}

#[test]
fn each_is_dropped_at_its_end_and_all_with_the_merged() {
    let there = Gauge::default();
    let counted = |n: u32| {
        let unit = there.unit();
        stream::iter(0..n).map(move |n| {
            let _ = &unit;
            n
        })
    };
    let mut merged = merge([counted(1), counted(2), counted(9)]);
    assert_eq!(merged.size_hint(), (12, Some(12)));
    let items: Vec<u32> = future::block_on((&mut merged).take(8).collect());
    assert_eq!((items.len(), there.now()), (8, 1));
    assert_eq!(merged.size_hint(), (4, Some(4)));

    let handle = merged.handle();
    handle.add(counted(5)).unwrap_or_else(|_| panic!("it is open"));
    assert_eq!(merged.size_hint(), (4, None));
    drop(merged);
    assert_eq!((there.now(), there.peak()), (0, 3), "also what was on its way");
    assert!(handle.add(counted(1)).is_err());
    assert_eq!(there.now(), 0);
}

#[test]
fn streams_can_be_added_while_it_runs() {
    let fed: [Fed; 3] = Default::default();
    let (mut merged, task) = (merge([fed[0].stream()]), Task::new());
    let handle = merged.handle();
    assert_eq!(task.settle(&mut merged), (vec![], false));

    let other = handle.clone();
    assert!(other.add(fed[1].stream()).is_ok());
    assert!(task.is_woken());
    fed[1].feed([1]);
    assert_eq!(task.settle(&mut merged), (vec![1], false));

    fed[0].end();
    fed[1].end();
    assert_eq!(task.settle(&mut merged), (vec![], false), "there are handles");
    drop(other);
    assert_eq!(task.settle(&mut merged), (vec![], false));
    assert!(handle.add(fed[2].stream()).is_ok());
    drop(handle);
    assert!(task.is_woken());
    assert_eq!(task.settle(&mut merged), (vec![], false));
    fed[2].feed([2]);
    fed[2].end();
    assert_eq!(task.settle(&mut merged), (vec![2], true));
}

#[test]
fn closed_is_closed() {
    let (mut merged, task) = (merge([stream::once(1)]), Task::new());
    let (handle, other) = (merged.handle(), merged.handle());
    assert!(handle.add(stream::once(2)).is_ok());
    handle.close();
    assert!(other.add(stream::once(3)).is_err());
    let (mut items, over) = task.settle(&mut merged);
    items.sort_unstable();
    assert_eq!((items, over), (vec![1, 2], true));

    // Neither does a new handle open it again.
    assert!(merged.handle().add(stream::once(4)).is_err());
    assert_eq!(task.poll_next(&mut merged), Poll::Ready(None));
    let mut none: Merge<stream::Once<u32>> = merge([]);
    assert_eq!(task.settle(&mut none), (vec![], true));
    assert!(none.handle().add(stream::once(5)).is_err());
    assert_eq!(task.poll_next(&mut none), Poll::Ready(None));
}

/// What comes from another thread, from nothing, in any number.
#[test]
fn streams_can_be_added_from_anywhere() {
    let mut merged: Merge<Boxed<u32>> = merge([]);
    let handle = merged.handle();
    let threads = [0, 1, 2].map(|thread| {
        let handle = handle.clone();
        std::thread::spawn(move || {
            for n in 0..200 {
                assert!(handle.add(stream::iter([3 * n + thread]).boxed()).is_ok());
            }
        })
    });
    drop(handle);
    let mut items: Vec<u32> = future::block_on(merged.collect());
    items.sort_unstable();
    assert_eq!(items, Vec::from_iter(0..600));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A full stage pulls no source through a merge, whether or not there is a stage beside it.
#[test]
fn an_advance_pulls_no_plain_source() {
    let pulled = Rc::new(Cell::new(0));
    let source = |branch: u32| {
        let pulled = pulled.clone();
        stream::repeat(branch).inspect(move |_| pulled.set(pulled.get() + 1)).boxed_local()
    };
    let (gate, task) = (Rc::new(Cell::new(false)), Task::new());
    let stage = source(1).map_concurrent(3, async |n: u32| n).boxed_local();
    let open = gate.clone();
    let merged = merge([source(0), stage, source(2).map(|n| n).boxed_local()]);
    let mut last = Box::pin(merged.map_concurrent(2, move |n| {
        let open = open.clone();
        future::poll_fn(move |cx| {
            if open.get() {
                return Poll::Ready(n);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }));
    for _ in 0..9 {
        assert_eq!(task.poll_next(&mut last), Poll::Pending);
    }
    // Two that are in the last stage, and up to three in the other.
    assert!(pulled.get() <= 5, "{}", pulled.get());
    gate.set(true);
    let items: Vec<u32> = future::block_on(last.take(60).collect());
    for branch in 0..3 {
        let share = items.iter().filter(|item| **item == branch).count();
        assert!((15..=25).contains(&share), "none is forgotten: {items:?}");
    }
}

/// Branches that were advanced, and are woken before they are pulled, like those that were not.
#[test]
fn no_branch_is_lost_that_is_woken_between_an_advance_and_a_pull() {
    for (stage_first, full) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
        let (stage_gates, last_gates): ([Gate; 5], [Gate; 5]) = Default::default();
        let fed: [Fed; 3] = Default::default();
        let (stages, task) = (stage_gates.clone(), Task::new());
        let stage = pipe(0..5).map_concurrent(4, move |n| {
            let passed = stages[n as usize].passed();
            async move {
                passed.await;
                n
            }
        });
        let mut branches = Vec::from(fed.each_ref().map(|fed| fed.stream().boxed_local()));
        branches.insert(if stage_first { 0 } else { 3 }, stage.boxed_local());
        let mut last = Box::pin(merge(branches).map_concurrent(full, |n| {
            let passed = last_gates.get(n as usize).map(Gate::passed);
            async move {
                if let Some(passed) = passed {
                    passed.await;
                }
                n
            }
        }));
        assert_eq!(task.settle(&mut last), (vec![], false));
        stage_gates[..full].iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut last), (vec![], false), "it is full");
        // The stage goes on while it is full.
        stage_gates[full].open();
        assert_eq!(task.settle(&mut last), (vec![], false));
        last_gates.iter().for_each(Gate::open);
        let Poll::Ready(Some(first)) = task.poll_next(&mut last) else { panic!("a call is over") };

        // There is room again.
        stage_gates[full + 1].open();
        fed.iter().zip(10..).for_each(|(fed, n)| fed.feed([n]));
        let (mut items, over) = task.settle(&mut last);
        items.push(first);
        items.sort_unstable();
        let expected = (0..full as u32 + 2).chain(10..13).collect();
        assert_eq!((items, over), (expected, false));

        fed.iter().for_each(Fed::end);
        stage_gates.iter().for_each(Gate::open);
        assert!(task.settle(&mut last).1);
    }
}

/// An advance brings out an item of the plain stream that is joined with a stage. Until that is pulled
/// the branch is not advanced again, whatever wakes it.
#[test]
fn a_branch_that_is_woken_while_an_item_of_it_is_kept_is_not_lost() {
    let (above, below, fed, task) = (Gate::default(), Gate::default(), Fed::default(), Task::new());
    let stage = Box::pin(pipe([3]).map_concurrent(1, |n| {
        let passed = above.passed();
        async move {
            passed.await;
            n
        }
    }));
    let branch = futures_util::stream::select(stage, fed.stream());
    let mut last = Box::pin(merge([branch]).map_concurrent(1, |n| {
        let passed = below.passed();
        async move {
            passed.await;
            n
        }
    }));
    fed.feed([1]);
    assert_eq!(task.settle(&mut last), (vec![], false), "it is full");
    fed.feed([2]);
    assert_eq!(task.settle(&mut last), (vec![], false), "one is kept");
    above.open();
    assert_eq!(task.settle(&mut last), (vec![], false));
    below.open();
    fed.end();
    let (mut items, over) = task.settle(&mut last);
    items.sort_unstable();
    assert_eq!((items, over), (vec![1, 2, 3], true));
}

/// It has two sources, each of which wakes it.
#[test]
fn a_plain_branch_that_is_woken_before_and_after_an_advance_is_queued_once() {
    let (gate, fed, task): (_, [Fed; 3], _) = (Gate::default(), Default::default(), Task::new());
    let [one, other, beside] = fed.each_ref();
    let both = futures_util::stream::select(one.stream(), other.stream()).boxed_local();
    let branches = [both, beside.stream().boxed_local()];
    let mut last = Box::pin(merge(branches).map_concurrent(1, |n| {
        let passed = gate.passed();
        async move {
            passed.await;
            n
        }
    }));
    assert_eq!(task.settle(&mut last), (vec![], false));
    beside.feed([0]);
    assert_eq!(task.settle(&mut last), (vec![], false), "it is full");
    one.feed([1]);
    assert_eq!(task.settle(&mut last), (vec![], false));
    other.feed([2]);
    gate.open();
    let (mut items, over) = task.settle(&mut last);
    items.sort_unstable();
    assert_eq!((items, over), (vec![0, 1, 2], false));

    beside.feed([3]);
    assert_eq!(task.settle(&mut last), (vec![3], false));
    fed.iter().for_each(Fed::end);
    assert_eq!(task.settle(&mut last), (vec![], true));
}
