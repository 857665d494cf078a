//! Calls of one key come one after the other, in the order of their items.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Concurrency, Flow, Semaphore, chain, functional, op, ordered};
use futures_lite::future::{block_on, yield_now};
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gated::Gated;
use crate::support::panicked::message_of;
use crate::support::waker::Task;

/// Every way to ask for a limit of `limit`.
fn ways(limit: usize) -> [Concurrency; 4] {
    [limit.into(), ordered(limit), Semaphore::new(limit).into(), ordered(Semaphore::new(limit))]
}

/// Opens gates one after the other. Returns what had begun before each of them.
fn open_in_turn(
    gated: &Gated,
    mut stage: Pin<&mut dyn Stream<Item = usize>>,
    order: &[usize],
) -> (Vec<Vec<usize>>, Vec<usize>) {
    let task = Task::new();
    let (mut begun, mut outputs) = (Vec::new(), Vec::new());
    for open in order {
        outputs.extend(task.settle(&mut stage).0);
        begun.push(gated.begun.borrow().clone());
        gated.gates[*open].open();
    }
    let (rest, over) = task.settle(&mut stage);
    assert!(over, "it is stuck");
    outputs.extend(rest);
    (begun, outputs)
}

#[test]
fn calls_of_a_key_come_one_after_the_other() {
    // 0, 3, 6, 9 are of one key, and so on.
    for (way, limit) in ways(3).into_iter().enumerate() {
        let gated = Gated::default();
        let stage = pipe(0..12).map_concurrent_by_key(limit, |n| n % 3, |n| gated.call(n, n));
        let order = [0, 1, 3, 2, 5, 6, 4, 8, 9, 7, 10, 11];
        let (begun, outputs) = open_in_turn(&gated, pin!(stage), &order);
        for (over, begun) in begun.iter().enumerate() {
            let mut expected = vec![0, 1, 2];
            expected.extend(order[..over].iter().map(|n| n + 3).filter(|n| *n < 12));
            assert_eq!(*begun, expected, "way {way}");
        }
        let in_order = Vec::from_iter(0..12);
        assert_eq!(outputs, if way % 2 == 0 { order.to_vec() } else { in_order });
    }
}

#[test]
fn so_many_calls_of_a_key_run_at_once() {
    for per_key in 1..6 {
        for limit in ways(20) {
            let gated = Gated::default();
            let stage = pipe(0..12)
                .map_concurrent_by_key(limit, |n| n / 6, |n| gated.call(n, n))
                .per_key(per_key);
            let order = [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11];
            let (begun, _) = open_in_turn(&gated, pin!(stage), &order);
            for (over, begun) in begun.iter().enumerate() {
                let mut of = [0, 0];
                for n in begun {
                    assert_eq!(n % 6, of[n / 6], "they begin in the order of their items");
                    of[n / 6] += 1;
                }
                let most = |over: usize| usize::min(over + per_key, 6);
                assert_eq!(of, [most(over.div_ceil(2)), most(over / 2)]);
            }
        }
    }
}

#[test]
fn a_hot_key_does_not_fill_the_limit() {
    for (way, limit) in ways(3).into_iter().enumerate() {
        let gated = Gated::default();
        let hot = |n: &usize| if *n < 8 { 0 } else { *n };
        let stage = pipe(0..12).map_concurrent_by_key(limit, hot, |n| gated.call(n, n));
        let mut stage = pin!(stage);
        let task = Task::new();
        task.settle(&mut stage);
        assert_eq!(*gated.begun.borrow(), [0, 8, 9]);
        gated.gates[9].open();
        task.settle(&mut stage);
        assert_eq!(*gated.begun.borrow(), [0, 8, 9, 10]);
        gated.gates[0].open();
        task.settle(&mut stage);
        // With a semaphore one more was pulled, and is before it in the line.
        let next = if way < 2 { 1 } else { 11 };
        assert_eq!(*gated.begun.borrow(), [0, 8, 9, 10, next]);
        gated.gates[8].open();
        task.settle(&mut stage);
        assert_eq!(gated.begun.borrow()[5], if way < 2 { 11 } else { 1 });
        gated.gates.iter().for_each(Gate::open);
        assert!(task.settle(&mut stage).1);
        let of_key = gated.begun.borrow().iter().copied().filter(|n| *n < 8).collect::<Vec<_>>();
        assert!(of_key.is_sorted());
    }
}

#[test]
fn a_hot_key_fills_the_window() {
    for (limit, window) in ways(3)
        .into_iter()
        .map(|limit| (limit, 48))
        .chain(ways(3).into_iter().map(|limit| (limit.window(10), 10)))
    {
        let (pulled, gate) = (Cell::new(0), Gate::default());
        let source = pipe(0..100).inspect(|_| pulled.set(pulled.get() + 1));
        let stage = source.map_concurrent_by_key(limit, |_| 0, |_| gate.passed());
        let mut stage = pin!(stage);
        let task = Task::new();
        task.settle(&mut stage);
        assert_eq!(pulled.get(), window);
        gate.open();
        let (outputs, over) = task.settle(&mut stage);
        assert!(over && outputs.len() == 100);
    }
}

#[test]
fn nothing_more_is_pulled_while_as_many_run_as_may() {
    for limit in [2.into(), ordered(2)] {
        let gated = Gated::default();
        let stage = gated.source(0..12);
        let limit: Concurrency = limit;
        let mut stage = pin!(stage.map_concurrent_by_key(limit, |n| *n, |n| gated.call(n, n)));
        Task::new().settle(&mut stage);
        assert_eq!(gated.pulled.get(), 2, "only a call that could begin makes it pull");
    }
}

#[test]
fn a_call_that_panics_lets_the_next_of_its_key_begin() {
    for limit in ways(2) {
        let gated = Gated::default();
        let stage = pipe(0..6).map_concurrent_by_key(
            limit,
            |n| n % 2,
            |n| {
                assert_ne!(n, 2, "no call");
                let call = gated.call(n, n);
                async move {
                    let n = call.await;
                    assert_ne!(n, 1, "no output");
                    n
                }
            },
        );
        let (begun, outputs, panics) = through_panics(&gated, pin!(stage));
        assert_eq!((outputs, panics), (vec![0, 3, 4, 5], 2));
        assert_eq!(begun.iter().filter(|n| *n % 2 == 0).copied().collect::<Vec<_>>(), [0, 4]);
        assert_eq!(begun.iter().filter(|n| *n % 2 == 1).copied().collect::<Vec<_>>(), [1, 3, 5]);
    }
}

/// Runs a stage through its panics. Returns what began, the outputs in the order of their items, and how many
/// panics there were.
fn through_panics(
    gated: &Gated,
    mut stage: Pin<&mut dyn Stream<Item = usize>>,
) -> (Vec<usize>, Vec<usize>, usize) {
    let task = Task::new();
    gated.gates.iter().for_each(Gate::open);
    let (mut outputs, mut panics) = (Vec::new(), 0);
    loop {
        match catch_unwind(AssertUnwindSafe(|| task.poll_next(&mut stage))) {
            Ok(Poll::Ready(Some(n))) => outputs.push(n),
            Ok(Poll::Ready(None)) => break,
            Ok(Poll::Pending) => assert!(task.is_woken(), "stuck after {outputs:?}"),
            Err(_) => panics += 1,
        }
    }
    outputs.sort_unstable();
    (gated.begun.borrow().clone(), outputs, panics)
}

/// A key that panics where it is told to.
struct Bad<'a> {
    n: usize,
    when: When,
    panics: &'a Cell<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Made,
    Hashed,
    Compared,
    Dropped,
}

impl Bad<'_> {
    fn may_panic(&self, when: When) {
        // Of the three keys one is bad, and it is twice.
        if self.when == when && self.n % 3 == 1 && self.panics.get() < 2 {
            self.panics.set(self.panics.get() + 1);
            panic!("a bad key");
        }
    }
}

impl Hash for Bad<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.may_panic(When::Hashed);
        (self.n % 3).hash(state);
    }
}

impl PartialEq for Bad<'_> {
    fn eq(&self, other: &Self) -> bool {
        let is_same = self.n % 3 == other.n % 3;
        // Others are compared as well, if their hashes are much alike.
        if is_same {
            self.may_panic(When::Compared);
        }
        is_same
    }
}

impl Eq for Bad<'_> {}

impl Drop for Bad<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.may_panic(When::Dropped);
        }
    }
}

#[test]
fn a_key_that_panics_loses_its_own_item_at_most() {
    for when in [When::Made, When::Hashed, When::Compared, When::Dropped] {
        for limit in ways(4) {
            for slow in [false, true] {
                let semaphore = Semaphore::new(1);
                let permit = slow.then(|| semaphore.try_acquire());
                let (gated, panics) = (Gated::default(), Cell::new(0));
                let key = |n: &usize| {
                    let key = Bad { n: *n, when, panics: &panics };
                    key.may_panic(When::Made);
                    key
                };
                let limit = limit.clone();
                let stage = pipe(0..12).map_concurrent_by_key(limit, key, |n| {
                    let call = gated.call(n, n);
                    async move {
                        yield_now().await;
                        call.await
                    }
                });
                drop(permit);
                let (begun, outputs, caught) = through_panics(&gated, pin!(stage));
                assert_eq!((caught, panics.get()), (2, 2), "{when:?}");
                let lost = (0..12).filter(|n| !outputs.contains(n)).collect::<Vec<_>>();
                assert!(lost.len() <= 2 && lost.iter().all(|n| n % 3 == 1), "{when:?}: {lost:?}");
                for key in 0..3 {
                    let of_key = begun.iter().filter(|n| *n % 3 == key);
                    assert!(of_key.is_sorted());
                }
            }
        }
    }
}

/// An item that does not fit in the window waits outside, and must not keep those from their calls that are in
/// it and make room.
#[test]
fn an_item_that_waits_for_room_holds_up_none_that_have_their_key() {
    let limits: [Concurrency; 4] = [
        Concurrency::new(4).window(4),
        ordered(4).window(4),
        Concurrency::new(Semaphore::new(4)).window(4),
        ordered(Semaphore::new(4)).window(4),
    ];
    for limit in limits {
        let gates: Vec<Gate> = (0..4).map(|_| Gate::default()).collect();
        let items = [(1, 1), (1, 1), (2, 4), (3, 1)];
        let stage = pipe(items.into_iter().enumerate())
            .map_concurrent_by_key(
                limit,
                |(_, (key, _))| *key,
                |(n, _)| {
                    let passed = gates[n].passed();
                    async move {
                        passed.await;
                        n
                    }
                },
            )
            .weighed_by(|(_, (_, weight))| *weight);
        let mut stage = pin!(stage);
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        gates[0].open();
        gates[1].open();
        assert_eq!(task.settle(&mut stage), (vec![0, 1], false));
        gates[2].open();
        gates[3].open();
        assert_eq!(task.settle(&mut stage), (vec![2, 3], true));
    }
}

/// A key that is counted while it is there.
#[derive(Clone)]
struct Counted(u32, #[expect(dead_code, reason = "it is counted")] Rc<()>);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn no_key_is_left_beside_an_error() {
    let semaphore = Semaphore::new(2);
    let limits: [Concurrency; 6] = [
        2.into(),
        ordered(2),
        (&semaphore).into(),
        ordered(&semaphore),
        Concurrency::new(2).window(9),
        ordered(2).window(9),
    ];
    for limit in limits {
        let permit = semaphore.try_acquire();
        let alive = Rc::new(());
        let gates: Vec<Gate> = (0..8).map(|_| Gate::default()).collect();
        let stage = pipe(0..8).map(Ok::<_, usize>).try_map_concurrent_by_key(
            limit,
            |n| Counted(*n as u32 / 2, alive.clone()),
            |n| {
                let passed = gates[n].passed();
                async move {
                    passed.await;
                    Err::<usize, usize>(n)
                }
            },
        );
        let mut stage = pin!(stage);
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        gates[0].open();
        let polled = task.poll_next(&mut stage);
        assert_eq!(polled, Poll::Ready(Some(Err(0))));
        assert_eq!(Rc::strong_count(&alive), 1, "keys are left");
        drop(permit);
    }
}

/// A key is there while an item of it is in flight.
#[test]
fn a_key_of_which_no_item_is_left_is_forgotten() {
    for limit in ways(3) {
        let alive = Rc::new(());
        let (pulled, most) = (Cell::new(0), Cell::new(0));
        let source = pipe(0..1000).inspect(|_| pulled.set(pulled.get() + 1));
        let stage = source.map_concurrent_by_key(
            limit,
            |n| {
                most.set(most.get().max(Rc::strong_count(&alive) - 1));
                Counted(*n / 4, alive.clone())
            },
            async |n| {
                yield_now().await;
                n
            },
        );
        let mut stage = pin!(stage);
        let task = Task::new();
        let mut yielded = 0;
        while let Poll::Ready(Some(_)) | Poll::Pending = task.poll_next(&mut stage).map(|output| {
            yielded += usize::from(output.is_some());
            output
        }) {
            assert!(Rc::strong_count(&alive) - 1 <= pulled.get() - yielded);
            if yielded == 1000 {
                break;
            }
        }
        assert!((1..=3).contains(&most.get()), "{} keys", most.get());
        assert_eq!(Rc::strong_count(&alive), 1);
    }
}

#[test]
fn items_that_wait_go_with_an_error_or_have_their_turn_before_it() {
    for (way, limit) in ways(2).into_iter().enumerate() {
        let gated = Gated::default();
        let alive = Rc::new(());
        // Of key 0 are 0, 1, 2 and 4; 3 fails, and is alone.
        let items = gated.source((0..8).map(|n| Ok::<_, usize>((n, alive.clone()))));
        let stage = items.try_map_concurrent_by_key(
            limit.window(7),
            |(n, _)| usize::from(*n == 3),
            |(n, item)| {
                let call = gated.call(n, if n == 3 { Err(n) } else { Ok(n) });
                async move {
                    let _item = item;
                    call.await
                }
            },
        );
        let mut stage = pin!(stage);
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(*gated.begun.borrow(), [0, 3]);
        gated.gates[3].open();
        if way % 2 == 0 {
            assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(Err(3))));
        } else {
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!(Rc::strong_count(&alive), 4, "those before it are left");
            gated.gates[0].open();
            assert_eq!(task.settle(&mut stage), (vec![Ok(0)], false));
            gated.gates.iter().for_each(Gate::open);
            for expected in [Ok(1), Ok(2), Err(3)] {
                assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(expected)));
            }
            assert_eq!(*gated.begun.borrow(), [0, 3, 1, 2]);
        }
        assert_eq!((gated.left(), Rc::strong_count(&alive)), ((0, 0), 1));
        assert_eq!(task.poll_next(&mut stage), Poll::Ready(None));
    }
}

#[test]
fn a_stage_that_is_dropped_drops_what_waits() {
    for limit in ways(2) {
        let semaphore = Semaphore::new(2);
        let gated = Gated::default();
        let alive = Rc::new(());
        let items = gated.source((0..8).map(|n| (n, alive.clone())));
        let mut stage = Box::pin(items.map_concurrent_by_key(
            limit,
            |(n, alive)| Counted(*n as u32 / 5, alive.clone()),
            |(n, item)| gated.call(n, item),
        ));
        assert!(Task::new().poll_next(&mut stage).is_pending());
        assert_eq!(*gated.begun.borrow(), [0, 5]);
        drop(stage);
        assert_eq!((gated.left(), Rc::strong_count(&alive)), ((0, 0), 1));
        assert_eq!(semaphore.in_use(), 0);
    }
}

#[test]
fn size_hints_are_exact_with_items_that_wait() {
    for limit in ways(2) {
        let gated = Gated::default();
        let stage = pipe(0..12).map_concurrent_by_key(limit, |n| n / 5, |n| gated.call(n, n));
        let mut stage = pin!(stage);
        let (task, mut left) = (Task::new(), 12);
        for open in [0, 5, 6, 1, 2, 7, 8, 3, 10, 4, 9, 11] {
            left -= task.settle(&mut stage).0.len();
            assert_eq!(stage.size_hint(), (left, Some(left)));
            gated.gates[open].open();
        }
        assert!(task.settle(&mut stage).1);
        assert_eq!(stage.size_hint(), (0, Some(0)));
    }
}

#[test]
fn a_stage_by_key_is_shown() {
    let gated = Gated::default();
    let stage =
        pipe(0..12).map_concurrent_by_key(ordered(3).window(9), |n| n / 5, |n| gated.call(n, n));
    let mut stage = Box::pin(stage.per_key(2));
    gated.gates[1].open();
    assert!(Task::new().poll_next(&mut stage).is_pending());
    let shown = format!("{stage:?}");
    assert!(shown.starts_with("MapConcurrentByKey {"), "{shown}");
    assert!(shown.contains("concurrency: ordered(3).window(9)"), "{shown}");
}

#[test]
fn flows_and_transformers_run_calls_by_key() {
    let begun = RefCell::new(Vec::new());
    let expected = Vec::from_iter(0..9);
    async fn call(n: u32) -> u32 {
        for _ in 0..n % 4 {
            yield_now().await;
        }
        n
    }
    let (key, limit) = (|n: &u32| n % 2, || ordered(4).window(8));
    let flow = Flow::<u32>::identity().map_concurrent_by_key(limit(), key, call);
    begun.borrow_mut().push(block_on(pipe(0..9).through(&flow).collect()));
    let flow = op::map_concurrent_by_key(limit(), key, call);
    begun.borrow_mut().push(block_on(pipe(0..9).through(&flow).collect()));
    let chain = chain![functional::map_concurrent_by_key(limit(), key, call)];
    begun.borrow_mut().push(block_on(chain(pipe(0..9)).collect()));
    assert!(begun.into_inner().iter().all(|outputs: &Vec<u32>| *outputs == expected));

    let expected = [Ok(0), Ok(1), Ok(2), Err(3)];
    let check = async |n: u32| if n == 3 { Err(n) } else { Ok(call(n).await) };
    let source = || pipe(0..9).map(Ok::<u32, u32>);
    let flow = Flow::<Result<u32, u32>>::identity();
    let flow = flow.try_map_concurrent_by_key(limit(), key, check);
    let outputs: Vec<_> = block_on(source().through(&flow).collect());
    assert_eq!(outputs, expected);
    let flow = op::try_map_concurrent_by_key(limit(), key, check);
    let outputs: Vec<_> = block_on(source().through(&flow).collect());
    assert_eq!(outputs, expected);
    let chain = chain![functional::try_map_concurrent_by_key(limit(), key, check)];
    let outputs: Vec<_> = block_on(chain(source()).collect());
    assert_eq!(outputs, expected);
}

#[test]
fn keys_and_items_may_be_borrowed_and_not_send() {
    let lines = ["a 1", "b 2", "a 3", "c 4", "a 5", "b 6"].map(str::to_owned);
    let log: RefCell<HashMap<Rc<str>, Vec<&str>>> = RefCell::default();
    let name = |line: &&String| line.split(' ').next().expect("a name").to_owned();
    let note = async |line: &String| {
        let (name, value) = (Rc::from(&line[..1]), &line[2..]);
        yield_now().await;
        log.borrow_mut().entry(Rc::clone(&name)).or_default().push(value_of(&lines, value));
        name
    };
    let stage = pipe(&lines).map_concurrent_by_key(3, name, note);
    let names: Vec<Rc<str>> = block_on(stage.weighed_by(|line| line.len() / 3).collect());
    assert_eq!(names.len(), 6);
    // A key that is a part of its item, and one that is not `Send`.
    let borrowed = pipe(lines.iter().map(String::as_str));
    let stage = borrowed.map_concurrent_by_key(3, |line| &line[..1], async |line| line.len());
    assert_eq!(block_on(stage.per_key(2).count()), 6);
    let stage = pipe(&lines).map_concurrent_by_key(3, |line| Rc::new(line.len()), async |_| ());
    assert_eq!(block_on(stage.count()), 6);
    let log = log.into_inner();
    assert_eq!((log["a"].as_slice(), log["b"].as_slice()), (&["1", "3", "5"][..], &["2", "6"][..]));
}

/// The same text, as long as the lines are there.
fn value_of<'a>(lines: &'a [String], value: &str) -> &'a str {
    let mut values = lines.iter().map(|line| &line[2..]);
    values.find(|other| *other == value).expect("it is there")
}

#[test]
fn none_of_a_key_at_once_is_refused() {
    let stage = || pipe([1]).map_concurrent_by_key(1, |n: &i32| *n, async |n: i32| n);
    let message = message_of(|| drop(stage().per_key(0)));
    assert_eq!(message, "a key must be allowed at least 1 call at once");
}

#[test]
fn what_is_set_up_holds_in_whatever_order() {
    for weighed_first in [true, false] {
        let gated = Gated::default();
        let stage = pipe(0..12).map_concurrent_by_key(6, |n| n / 6, |n| gated.call(n, n));
        let weight = |n: &usize| 1 + n % 2;
        let stage: Pin<Box<dyn Stream<Item = usize>>> = if weighed_first {
            Box::pin(stage.weighed_by(weight).per_key(3))
        } else {
            Box::pin(stage.per_key(3).weighed_by(weight))
        };
        let mut stage = stage;
        Task::new().settle(&mut stage);
        // Three of the first key weigh 4, and one of the second 1. The next is too heavy.
        assert_eq!(*gated.begun.borrow(), [0, 1, 2, 6]);
    }
}

/// Of two stages with keys of their own and one semaphore, and what comes out of a call is expanded again.
#[test]
fn stages_by_key_that_share_permits_come_to_their_end() {
    for permits in [1, 2, 3, 8] {
        for ways in 0..4 {
            let semaphore = Semaphore::new(permits);
            let limit = |way: u32| {
                let limit = Concurrency::new(&semaphore);
                if ways >> way & 1 == 0 { limit } else { ordered(limit) }
            };
            let rests = async |n: usize| {
                for _ in 0..n % 3 {
                    yield_now().await;
                }
                n
            };
            let stage = pipe(0..40)
                .map_concurrent_by_key(limit(0), |n| n % 4, rests)
                .flat_map_concurrent(2, |n| stream::iter([n; 2]))
                .map_concurrent_by_key(limit(1), |n| n % 3, rests)
                .per_key(2);
            let mut stage = pin!(stage);
            let (mut outputs, over) = Task::new().settle(&mut stage);
            outputs.sort_unstable();
            assert!(over && outputs.into_iter().eq((0..40).flat_map(|n| [n; 2])));
            assert_eq!(semaphore.in_use(), 0);
        }
    }
}

/// The case: half of 2,000 messages are of one key, and each of its calls takes three rounds.
#[test]
fn other_keys_are_served_beside_a_hot_one() {
    let messages = (0..2000_u32).map(|seq| (if seq % 2 == 0 { 0 } else { 1 + seq / 2 % 20 }, seq));
    let last = RefCell::new(HashMap::new());
    let (now, peak, others) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let call = async |(key, seq): (u32, u32)| {
        now.set(now.get() + 1);
        peak.set(now.get().max(peak.get()));
        for _ in 0..if key == 0 { 3 } else { 1 } {
            yield_now().await;
        }
        now.set(now.get() - 1);
        let before = last.borrow_mut().insert(key, seq);
        assert!(before.is_none_or(|before| before < seq), "{seq} came after {before:?}");
        others.set(others.get() + usize::from(key > 0));
        key
    };
    let limit = Concurrency::new(8).window(2000);
    let keys: Vec<u32> =
        block_on(pipe(messages).map_concurrent_by_key(limit, |message| message.0, call).collect());
    assert_eq!((keys.len(), peak.get()), (2000, 8));
    // All others are over before the hot key has had many.
    let at = keys.iter().rposition(|key| *key > 0).expect("others");
    let hot = keys[..at].iter().filter(|key| **key == 0).count();
    assert!(hot < 500, "{hot} of the hot key were before the last of the others");
}

/// The case: nobody overtakes another of its key, although some are there late.
#[test]
fn none_of_one_key_is_overtaken() {
    for limit in ways(8) {
        let started = RefCell::new(Vec::new());
        let source = stream::unfold(0, |n: u64| async move {
            if n % 3 == 0 {
                yield_now().await;
            }
            (n < 200).then_some((n, n + 1))
        });
        let stage = source.map_concurrent_by_key(
            limit,
            |_| (),
            async |n| {
                started.borrow_mut().push(n);
                yield_now().await;
            },
        );
        block_on(stage.drain());
        assert_eq!(started.into_inner(), Vec::from_iter(0..200));
    }
}
