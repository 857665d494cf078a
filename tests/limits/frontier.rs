//! A frontier ends when nothing waits and no entry lives, neither early nor never.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use flowlet::prelude::*;
use flowlet::stage::Frontier;
use flowlet::{Entry, frontier, in_thread, merge, ordered};
use futures_lite::future::{block_on, yield_now};

use crate::support::gauge::Gauge;
use crate::support::on_wake::on_wake;
use crate::support::waker::Task;
use crate::support::woken::Woken;

/// The children of a node in a binary tree of 127 nodes.
fn children(node: u32) -> impl Iterator<Item = u32> {
    [2 * node, 2 * node + 1].into_iter().filter(|child| *child < 128)
}

fn all() -> Vec<u32> {
    (1..128).collect()
}

async fn call(node: u32) {
    for _ in 0..node * 5 % 4 {
        yield_now().await;
    }
}

fn sorted(mut nodes: Vec<u32>) -> Vec<u32> {
    nodes.sort_unstable();
    nodes
}

/// What comes from now on, without the entries, which are kept.
fn settle<T>(
    task: &Task,
    stream: &mut (impl Stream<Item = (T, Entry<T>)> + Unpin),
) -> (Vec<T>, Vec<Entry<T>>, bool) {
    let (items, over) = task.settle(stream);
    let (items, entries) = items.into_iter().unzip();
    (items, entries, over)
}

#[test]
fn it_ends_with_the_last_entry_and_not_before() {
    let (task, mut stream) = (Task::new(), frontier([1, 2]));
    assert_eq!(stream.size_hint(), (2, None));
    let (items, mut entries, over) = settle(&task, &mut stream);
    assert_eq!((items, over), (vec![1, 2], false));

    entries.pop();
    assert!(!task.is_woken(), "an entry lives");
    entries[0].push(3);
    assert_eq!(stream.size_hint(), (1, None));
    let (items, mut of_three, over) = settle(&task, &mut stream);
    assert_eq!((items, over), (vec![3], false));

    entries.clear();
    assert!(!task.is_woken(), "an entry lives");
    let three = of_three.pop().unwrap();
    let clone = three.clone();
    three.expand([]);
    assert!(!task.is_woken(), "its clone lives");
    drop(clone);
    assert!(task.is_woken());
    assert_eq!(stream.size_hint(), (0, Some(0)));
    assert!(settle(&task, &mut stream).2);
    assert_eq!(task.poll_next(&mut stream).map(|item| item.is_none()), Poll::Ready(true));
    assert_eq!(stream.size_hint(), (0, Some(0)));
}

#[test]
fn an_empty_one_ends_at_once() {
    assert_eq!(block_on(frontier(Vec::<u32>::new()).count()), 0);
}

#[test]
fn entries_go_through_any_number_of_stages() {
    for limit in [1, 2, 100] {
        for in_order in [false, true] {
            let limit = || if in_order { ordered(limit) } else { limit.into() };
            for way in 0..6 {
                let stream = frontier([1])
                    .map_concurrent(limit(), async |(node, entry)| {
                        call(node).await;
                        (node, entry)
                    })
                    .filter_map_concurrent(limit(), async |(node, entry): (u32, Entry<u32>)| {
                        call(node).await;
                        Some((node, entry))
                    });
                let stream = match way {
                    0 => stream.boxed(),
                    1 => stream.driven().boxed(),
                    2 => merge([stream]).boxed(),
                    3 => stream.prefetch(2, smol::spawn).boxed(),
                    4 => stream.batched(1).map(|mut batch| batch.remove(0)).boxed(),
                    _ => stream.map_concurrent(2, in_thread(|both| both)).boxed(),
                };
                let stream = stream
                    .map(|(node, entry)| {
                        entry.expand(children(node));
                        node
                    })
                    .batched(50);
                let nodes = block_on(stream.collect::<Vec<_>>()).concat();
                assert_eq!(sorted(nodes), all(), "{way}");
            }
        }
    }
}

#[test]
fn what_is_lost_on_the_way_is_done() {
    let (mut nodes, mut panics) = (Vec::new(), 0);
    let mut stream = Box::pin(
        frontier([1])
            .inspect(|(node, _)| assert!(node % 11 != 5, "upstream"))
            .filter(|(node, _)| node % 11 != 6)
            .map_concurrent(3, |(node, entry): (u32, Entry<u32>)| {
                assert!(node % 11 != 7, "in the function");
                async move {
                    call(node).await;
                    assert!(node % 11 != 8, "in the future");
                    (node, entry)
                }
            })
            .filter_map_concurrent(2, async |(node, entry): (u32, Entry<u32>)| {
                call(node).await;
                (node % 11 != 9).then_some((node, entry))
            })
            .map(|(node, entry)| {
                assert!(node % 11 != 10, "downstream");
                entry.expand(children(node));
                node
            }),
    );
    block_on(async {
        loop {
            match futures_lite::future::FutureExt::catch_unwind(AssertUnwindSafe(stream.next()))
                .await
            {
                Ok(Some(node)) => nodes.push(node),
                Ok(None) => break,
                Err(_) => panics += 1,
            }
        }
    });
    let mut expected = Vec::new();
    let (mut lost, mut open) = (0, vec![1]);
    while let Some(node) = open.pop() {
        match node % 11 {
            5 | 7 | 8 | 10 => lost += 1,
            6 | 9 => {}
            _ => {
                expected.push(node);
                open.extend(children(node));
            }
        }
    }
    assert_eq!((sorted(nodes), panics), (sorted(expected), lost));
}

#[test]
fn an_error_drops_what_waits() {
    let there = Gauge::default();
    let node = |node: u32| (node, there.unit());
    let found: Result<Vec<u32>, u32> = block_on(
        frontier([node(1)])
            .map(Ok)
            .try_map_concurrent(4, async |((node, _unit), entry)| {
                call(node).await;
                if node == 40 { Err(node) } else { Ok((node, entry)) }
            })
            .map_ok_concurrent(1, async |(parent, entry): (u32, Entry<_>)| {
                entry.expand(children(parent).map(node));
                Ok(parent)
            })
            .try_collect(),
    );
    assert_eq!((found, there.now()), (Err(40), 0));
}

#[test]
fn dropping_it_drops_what_waits_and_what_is_added_later() {
    let there = Gauge::default();
    let (task, mut stream) = (Task::new(), frontier([there.unit(), there.unit()]));
    let Poll::Ready(Some((unit, entry))) = task.poll_next(&mut stream) else { panic!() };
    drop(unit);
    assert_eq!(there.now(), 1);
    drop(stream);
    assert_eq!(there.now(), 0);
    entry.push(there.unit());
    assert_eq!(there.now(), 0);
    let back = entry.try_push(there.unit(), usize::MAX);
    assert!(back.is_err() && there.now() == 1);
    drop(back);
    entry.clone().expand([there.unit()]);
    assert_eq!(there.now(), 0);
}

#[test]
fn a_stop_leaves_what_waits_and_finishes_what_is_in_flight() {
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let mut seen = HashSet::from([1]);
    let nodes: Vec<u32> = block_on(
        frontier([1])
            .take_until_stopped(async move { stopped.recv().await })
            .map_concurrent(4, async |(node, entry)| {
                call(node).await;
                if node == 20 {
                    stop.close();
                }
                (node, entry)
            })
            .map(|(node, entry)| {
                entry.expand(children(node).filter(|child| seen.insert(*child)));
                node
            })
            .batched(50)
            .map(|batch| batch.into_iter())
            .flat_map(futures_lite::stream::iter)
            .collect(),
    );
    assert!(nodes.contains(&20) && nodes.len() < 40, "{nodes:?}");
    assert!(seen.len() > nodes.len(), "the rest is left");
}

#[test]
fn nobody_is_woken_for_nothing() {
    let mut stream = frontier([1]);
    let (woken, other) = (Woken::new(), Woken::new());
    let poll = |stream: &mut Frontier<u32>, woken: &Arc<Woken>| {
        stream.poll_next(&mut Context::from_waker(&woken.waker()))
    };
    let Poll::Ready(Some((_, entry))) = poll(&mut stream, &woken) else { panic!() };
    let second = stream.entry();

    entry.push(2);
    assert_eq!(woken.count(), 0, "nobody waits");
    assert!(poll(&mut stream, &woken).is_ready());
    assert!(poll(&mut stream, &woken).is_pending());

    entry.push(3);
    entry.push(4);
    entry.clone().expand([5, 6]);
    assert_eq!(woken.count(), 1, "once is enough");
    woken.take();
    while poll(&mut stream, &woken).is_ready() {}

    // The last waker is the one that counts.
    assert!(poll(&mut stream, &other).is_pending());
    assert!(poll(&mut stream, &other).is_pending());
    second.expand([]);
    assert_eq!((woken.count(), other.count()), (0, 0), "neither an item nor the end");
    entry.expand([7, 8, 9]);
    assert_eq!((woken.count(), other.count()), (0, 1));
    let Poll::Ready(Some((_, entry))) = poll(&mut stream, &other) else { panic!() };
    while poll(&mut stream, &other).is_ready() {}
    assert_eq!(other.count(), 1);
    drop(entry);
    assert_eq!(other.count(), 2, "the end");
    assert!(poll(&mut stream, &other).is_ready());
}

#[test]
fn a_waker_is_dropped_with_the_stream_and_at_its_end() {
    let (task, mut stream) = (Task::new(), frontier([1]));
    let (_, entries, _) = settle(&task, &mut stream);
    assert!(task.is_kept());
    drop(stream);
    assert!(!task.is_kept());
    drop(entries);

    let mut stream = frontier([1]);
    let (_, entries, _) = settle(&Task::new(), &mut stream);
    drop(entries);
    assert!(task.poll_next(&mut stream).is_ready());
    assert!(!task.is_kept());
}

fn visit(stream: Frontier<&'static str>) -> String {
    let visited = stream.map(|(name, entry)| {
        match name {
            "a" => entry.expand(["b", "e"]),
            "b" => entry.expand(["c", "d"]),
            "f" => {
                entry.push("h");
                entry.push("g");
            }
            _ => {}
        }
        name
    });
    block_on(visited.collect::<Vec<_>>()).concat()
}

#[test]
fn breadth_first_is_in_the_order_of_addition() {
    assert_eq!(visit(frontier(["a", "f"])), "afbehgcd");
}

#[test]
fn depth_first_goes_on_with_what_was_added_last() {
    assert_eq!(visit(frontier(["a", "f"]).depth_first()), "abcdefgh");
    assert_eq!(visit(frontier(["a", "f"]).depth_first().depth_first()), "abcdefgh");
}

#[test]
fn depth_first_has_few_items_waiting() {
    let most = |stream: Frontier<u32>| {
        let (task, mut stream, mut most) = (Task::new(), Box::pin(stream), 0);
        while let Poll::Ready(Some((node, entry))) = task.poll_next(&mut stream) {
            entry.expand([2 * node, 2 * node + 1].into_iter().filter(|child| *child < 1 << 16));
            most = most.max(stream.size_hint().0);
        }
        most
    };
    assert_eq!(most(frontier([1])), 1 << 15);
    assert_eq!(most(frontier([1]).depth_first()), 16);
}

#[test]
fn an_item_that_finds_no_room_is_given_back() {
    let stream = frontier([1, 2]);
    let entry = stream.entry();
    assert_eq!(entry.try_push(3, 2), Err(3));
    assert_eq!(entry.try_push(3, 0), Err(3));
    assert_eq!(entry.try_push(3, 3), Ok(()));
    assert_eq!(entry.try_push(4, 3), Err(4));
    assert_eq!(stream.size_hint(), (3, None));
}

/// The bound holds, and nothing waits for it: what there is no room for is worked off at once.
#[test]
fn a_bound_does_not_deadlock() {
    fn work(node: u32, entry: &Entry<u32>, visited: &RefCell<Vec<u32>>) {
        visited.borrow_mut().push(node);
        for child in children(node) {
            if let Err(child) = entry.try_push(child, 3) {
                work(child, entry, visited);
            }
        }
    }
    let visited = RefCell::new(Vec::new());
    block_on(
        frontier([1])
            .map_concurrent(2, async |(node, entry)| {
                call(node).await;
                work(node, &entry, &visited);
            })
            .drain(),
    );
    assert_eq!(sorted(visited.into_inner()), all());
}

#[test]
fn items_that_panic_add_nothing_and_are_done() {
    let (task, mut stream) = (Task::new(), frontier([1]));
    let (_, mut entries, _) = settle(&task, &mut stream);
    let entry = entries.pop().unwrap();
    let panicking = (0..9).inspect(|n| {
        if *n == 5 {
            resume_unwind(Box::new(()))
        }
    });
    assert!(catch_unwind(AssertUnwindSafe(|| entry.expand(panicking))).is_err());
    assert!(task.is_woken());
    assert!(settle(&task, &mut stream).2);
}

#[test]
fn an_iterator_may_add_items_itself() {
    let (task, mut stream) = (Task::new(), frontier([1]));
    let (_, mut entries, _) = settle(&task, &mut stream);
    let entry = entries.pop().unwrap();
    let inner = entry.clone();
    entry.expand((2..4).inspect(|n| {
        inner.push(10 * n);
        inner.clone().expand([100 * n]);
    }));
    drop(inner);
    assert_eq!(settle(&task, &mut stream).0, [20, 200, 30, 300, 2, 3]);
}

/// Holds an entry of the frontier that it is in, and adds to it when it is dropped.
struct Knot(RefCell<Option<Entry<Knot>>>);

impl Drop for Knot {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.push(Knot(None.into()));
        }
    }
}

#[test]
fn items_that_hold_entries_are_dropped_with_the_stream() {
    let stream = frontier([]);
    let entry = stream.entry();
    entry.push(Knot(Some(entry.clone()).into()));
    entry.push(Knot(Some(entry.clone()).into()));
    drop(stream);
    entry.push(Knot(Some(entry.clone()).into()));
    entry.clone().expand([Knot(Some(entry.clone()).into())]);
}

#[test]
fn a_waker_may_do_what_it_likes() {
    let stream = Arc::new(Mutex::new(frontier([])));
    let entry = stream.lock().unwrap().entry();
    let came = Arc::new(Mutex::new(Vec::new()));
    let (inner, seen, more) = (stream.clone(), came.clone(), Mutex::new(Some(entry.clone())));
    let waker = on_wake(move || {
        if let Some(more) = more.lock().unwrap().take() {
            more.push(2);
        }
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some((item, _))) = inner.lock().unwrap().poll_next(&mut cx) {
            seen.lock().unwrap().push(item);
        }
    });
    let polled = stream.lock().unwrap().poll_next(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    entry.push(1);
    assert_eq!(*came.lock().unwrap(), [1, 2]);
}

#[test]
fn a_wake_that_panics_loses_nothing() {
    let mut stream = frontier([1]);
    let (_, mut entries, _) = settle(&Task::new(), &mut stream);
    let entry = entries.pop().unwrap();
    let waker = on_wake(|| resume_unwind(Box::new(())));
    let wait = |stream: &mut Frontier<u32>| {
        assert!(stream.poll_next(&mut Context::from_waker(&waker)).is_pending());
    };
    wait(&mut stream);
    assert!(catch_unwind(AssertUnwindSafe(|| entry.push(2))).is_err());
    let task = Task::new();
    assert_eq!(settle(&task, &mut stream).0, [2]);
    wait(&mut stream);
    assert!(catch_unwind(AssertUnwindSafe(|| entry.expand([3]))).is_err());
    assert_eq!(settle(&Task::new(), &mut stream).0, [3]);
    assert!(settle(&Task::new(), &mut stream).2);
}

#[test]
fn a_million_entries_may_be_alive() {
    const MILLION: usize = 1_000_000;
    let (task, mut stream) = (Task::new(), frontier([0]));
    let Poll::Ready(Some((_, entry))) = task.poll_next(&mut stream) else { panic!() };
    entry.expand(1..=MILLION);
    let mut entries = Vec::new();
    while let Poll::Ready(Some((_, entry))) = task.poll_next(&mut stream) {
        entries.push(entry);
    }
    assert_eq!(entries.len(), MILLION);
    entries.drain(1..);
    assert!(!task.is_woken());
    drop(entries);
    assert!(task.is_woken() && task.poll_next(&mut stream).is_ready());
}

#[test]
fn neither_a_million_levels_nor_a_million_children_are_too_many() {
    const MILLION: u32 = 1_000_000;
    for first in [MILLION, 0] {
        let visited = frontier([first]).depth_first().map(|(n, entry)| match n {
            0 => entry.expand(vec![u32::MAX; MILLION as usize]),
            u32::MAX | 1 => {}
            _ => entry.push(n - 1),
        });
        assert_eq!(block_on(visited.count()), MILLION as usize + usize::from(first == 0));
    }
}

#[test]
fn items_may_be_borrowed_and_stay_on_their_thread() {
    let names = ["a".to_owned(), "b".to_owned()];
    let count = Cell::new(0);
    block_on(
        frontier(names.iter().map(|name| (name, Rc::new(&count))))
            .map_concurrent(2, async |((name, count), entry)| {
                count.set(count.get() + name.len());
                if count.get() < 10 {
                    entry.push((name, count));
                }
            })
            .drain(),
    );
    assert_eq!(count.get(), 10 + 1);
}

#[test]
fn many_threads_may_add_items() {
    const THREADS: usize = 4;
    for round in 0..20 {
        let stream = frontier(0..THREADS);
        let nodes = block_on(
            stream
                .map(|(n, entry)| {
                    if n < THREADS {
                        thread::spawn(move || {
                            for k in 0..200 {
                                entry.push(THREADS + k);
                                entry.clone().expand([THREADS + k, THREADS + k]);
                            }
                        });
                    }
                })
                .count(),
        );
        assert_eq!(nodes, THREADS + THREADS * 600, "{round}");
    }
}

#[test]
fn it_shows_what_there_is() {
    let stream = frontier([1, 2]);
    let entry = stream.entry();
    assert_eq!(format!("{stream:?}"), "Frontier { waiting: 2, entries: 1, .. }");
    assert_eq!(format!("{entry:?}"), "Entry { .. }");
}
