//! A window bounds what is between pulled and yielded, apart from the calls that run.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use flowlet::prelude::*;
use flowlet::{Concurrency, Flow, Semaphore, chain, errors_in_turn, functional, op, ordered};
use futures_lite::future::block_on;
use futures_lite::stream;

use crate::support::gate::Gate;
use crate::support::gated::Gated;
use crate::support::panicked::message_of;
use crate::support::waker::Task;

/// An own limit and a semaphore, with a window.
fn both(limit: usize, window: usize) -> [Concurrency; 2] {
    [limit.into(), Semaphore::new(limit).into()].map(|limit: Concurrency| limit.window(window))
}

#[test]
fn in_input_order_a_slow_call_holds_up_no_others() {
    for limit in both(3, 8) {
        let gated = Gated::default();
        let source = gated.source(0..12);
        let mut stage = source.map_concurrent(ordered(limit), |n| gated.call(n, n));
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        for (at, open) in (1..8).enumerate() {
            assert_eq!(*gated.begun.borrow(), Vec::from_iter(0..3 + at), "three run");
            gated.gates[open].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            if open == 5 {
                break;
            }
        }
        // Behind the eighth there is no room.
        gated.gates[6].open();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!((gated.begun.borrow().len(), gated.pulled.get()), (8, 8));
        assert_eq!((gated.calls.now(), gated.calls.peak()), (2, 3));
        gated.gates[0].open();
        assert_eq!(task.settle(&mut stage), (Vec::from_iter(0..7), false));
        gated.gates.iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut stage), (Vec::from_iter(7..12), true));
        assert_eq!(gated.calls.peak(), 3);
    }
}

#[test]
fn while_the_consumer_is_busy_calls_go_on_up_to_the_window() {
    for limit in both(2, 7) {
        for limit in [limit.clone(), ordered(limit)] {
            let gated = Gated::default();
            gated.gates.iter().skip(1).for_each(Gate::open);
            let source = gated.source(0..12);
            let mut stage = source.map_concurrent(limit, |n| gated.call(n, n)).driven();
            let task = Task::new();
            gated.gates[0].open();
            assert_eq!(task.poll_next(&mut stage), Poll::Ready(Some(0)));
            for _ in 0..20 {
                let _ = task.poll(&mut pin!(stage.alongside(pending::<()>())));
            }
            assert_eq!((gated.pulled.get(), gated.calls.now()), (8, 0), "one is yielded");
            task.wake();
            assert_eq!(task.settle(&mut stage), (Vec::from_iter(1..12), true));
        }
    }
}

#[test]
fn a_window_below_the_limit_lowers_it() {
    for limit in both(9, 2) {
        for limit in [limit.clone(), ordered(limit)] {
            let gated = Gated::default();
            let mut stage = gated.source(0..12).map_concurrent(limit, |n| gated.call(n, n));
            let task = Task::new();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            assert_eq!((gated.calls.now(), gated.pulled.get()), (2, 2));
            gated.gates.iter().for_each(Gate::open);
            let (mut outputs, over) = task.settle(&mut stage);
            outputs.sort_unstable();
            assert!(over && outputs.into_iter().eq(0..12));
            assert_eq!(gated.calls.peak(), 2);
        }
    }
}

/// An inner stream that is ready, but for its first output if it has a gate, and how many outputs it gave.
fn inner<'a>(
    n: usize,
    gate: Option<&Gate>,
    outputs: usize,
    gave: &'a [Cell<usize>],
) -> impl Stream<Item = usize> + use<'a> {
    let mut passed = gate.map(Gate::passed);
    stream::poll_fn(move |cx| {
        if let Some(gate) = &mut passed {
            if Pin::new(gate).poll(cx).is_pending() {
                return Poll::Pending;
            }
            passed = None;
        }
        if gave[n].get() == outputs {
            return Poll::Ready(None);
        }
        gave[n].set(gave[n].get() + 1);
        Poll::Ready(Some(n))
    })
}

#[test]
fn inner_streams_run_ahead_as_far_as_there_is_room() {
    for window in [4, 5, 6, 9, 12, 13, 16, 20] {
        for limit in both(4, window) {
            let gave = [const { Cell::new(0) }; 6];
            let gate = Gate::default();
            let mut stage = pipe(0..6).flat_map_concurrent(ordered(limit), |n| {
                inner(n, (n == 0).then_some(&gate), 4, &gave)
            });
            let task = Task::new();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            let gave_now = || gave.iter().map(Cell::get).sum::<usize>();
            assert!(gave[1..4].iter().all(|gave| gave.get() > 0), "each has room for one");
            // The first has room for one to itself, as long as it is open.
            let all = usize::min(window - 1, if window > 13 { 20 } else { 12 });
            assert_eq!(gave_now(), all, "window {window}");
            gate.open();
            let (outputs, over) = task.settle(&mut stage);
            assert!(over && outputs.len() == 24 && outputs.is_sorted(), "{outputs:?}");
        }
    }
}

#[test]
fn without_a_window_each_inner_stream_has_one_output_that_waits() {
    let gave = [const { Cell::new(0) }; 6];
    let gate = Gate::default();
    let stage = pipe(0..6)
        .flat_map_concurrent(ordered(4), |n| inner(n, (n == 0).then_some(&gate), 4, &gave));
    let mut stage = stage;
    assert_eq!(Task::new().settle(&mut stage), (vec![], false));
    assert_eq!(gave.each_ref().map(Cell::get), [0, 1, 1, 1, 0, 0]);
}

/// A busy consumer: a later stage that is full, or the body of a loop.
#[test]
fn while_the_consumer_is_busy_inner_streams_go_on_up_to_the_window() {
    // What is asked of a flat map, with limits of 4: an output each, or as many as there is room for.
    let limits = [(Concurrency::new(4), 4), (Semaphore::new(4).into(), 4)];
    let windows = both(4, 9).into_iter().chain(both(4, 13)).zip([9, 9, 13, 13]);
    for (limit, waiting) in limits.into_iter().chain(windows) {
        let gave = [const { Cell::new(0) }; 6];
        let waits = |yielded: usize| gave.iter().map(Cell::get).sum::<usize>() - yielded;
        let gate = Gate::default();
        let mut stage = pipe(0..6)
            .flat_map_concurrent(limit.clone(), |n| inner(n, None, 9, &gave))
            .map_concurrent(3, |n| {
                let passed = gate.passed();
                async move {
                    passed.await;
                    n
                }
            });
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(waits(3), waiting, "{limit:?} {gave:?}");
        for _ in 0..20 {
            task.wake();
            assert_eq!(task.settle(&mut stage), (vec![], false));
        }
        assert_eq!(waits(3), waiting, "no further, however often it is polled");
        gate.open();
        let (outputs, over) = task.settle(&mut stage);
        assert!(over && outputs.len() == 54);

        let gave = [const { Cell::new(0) }; 6];
        let waits = |yielded: usize| gave.iter().map(Cell::get).sum::<usize>() - yielded;
        let stage = pipe(0..6).flat_map_concurrent(limit.clone(), |n| inner(n, None, 9, &gave));
        let mut stage = stage.driven();
        let task = Task::new();
        for yielded in 1..=6 {
            assert!(task.poll_next(&mut stage).is_ready());
            for _ in 0..20 {
                let _ = task.poll(&mut pin!(stage.alongside(pending::<()>())));
            }
            assert_eq!(waits(yielded), waiting, "{limit:?} {gave:?}");
        }
    }
}

#[test]
fn a_stream_that_takes_no_room_leaves_it_to_the_next() {
    for limit in both(4, 6) {
        let gates: [[Gate; 4]; 4] = Default::default();
        let gave = [const { Cell::new(0) }; 4];
        let mut stage = pipe(0..4).flat_map_concurrent(ordered(limit), |n: usize| {
            let (gates, gave) = (&gates[n], &gave[n]);
            stream::unfold(0, move |at| async move {
                gates.get(at)?.passed().await;
                gave.set(at + 1);
                Some((n, at + 1))
            })
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        // The window: four that are open, and two outputs more.
        gates[1][..3].iter().for_each(Gate::open);
        gates[2][..2].iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(gave.iter().map(Cell::get).sum::<usize>(), 4);
        gates[3][..2].iter().for_each(Gate::open);
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(gave.iter().map(Cell::get).sum::<usize>(), 5, "of the last one waits");
        // The first needs no room, as its outputs leave at once. It ends, and leaves some.
        gates[0].iter().for_each(Gate::open);
        let (outputs, _) = task.settle(&mut stage);
        assert_eq!(outputs, [0, 0, 0, 0, 1, 1, 1]);
        assert_eq!(gave.each_ref().map(Cell::get)[2..], [2, 2], "both go on in the room there is");
        gates.iter().flatten().for_each(Gate::open);
        let (outputs, over) = task.settle(&mut stage);
        assert!(over && outputs == [1, 2, 2, 2, 2, 3, 3, 3, 3], "{outputs:?}");
    }
}

/// The case: six users of four pages each, which take one round each.
#[test]
fn in_input_order_six_inner_streams_take_as_long_as_one() {
    let rounds = |limit: Concurrency| {
        let gates: [Gate; 64] = std::array::from_fn(|_| Gate::default());
        let round = Cell::new(0);
        let mut stage = pipe(0..6_u32).flat_map_concurrent(limit, |user| {
            let (gates, round) = (&gates, &round);
            stream::unfold(0, move |page| async move {
                gates[round.get()].passed().await;
                (page < 4).then_some(((user, page), page + 1))
            })
        });
        let task = Task::new();
        let mut pages = Vec::new();
        loop {
            let (outputs, over) = task.settle(&mut stage);
            pages.extend(outputs);
            if over {
                break;
            }
            round.set(round.get() + 1);
            gates[round.get() - 1].open();
        }
        let mut sorted = pages.clone();
        sorted.sort_unstable();
        assert!(pages == sorted && pages.len() == 24, "{pages:?}");
        round.get()
    };
    assert_eq!(rounds(ordered(6).window(64)), 5);
    assert_eq!(rounds(ordered(Semaphore::new(6)).window(64)), 5);
    assert!(rounds(ordered(6)) > 15, "without a window they wait for their turns");
}

/// The case: one slow item at the head of a stage in input order.
#[test]
fn a_slow_head_leaves_its_stage_busy() {
    for (limit, most) in [(ordered(4), 4), (ordered(4).window(64), 60), (ordered(4).window(20), 20)]
    {
        let head = Gate::default();
        let begun = Cell::new(0);
        let mut stage = pipe(0..60_u32).map_concurrent(limit, |n| {
            begun.set(begun.get() + 1);
            let passed = head.passed();
            async move {
                if n == 0 {
                    passed.await;
                }
                n
            }
        });
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(begun.get(), most);
        head.open();
        assert_eq!(task.settle(&mut stage), (Vec::from_iter(0..60), true));
    }
}

#[test]
fn an_inner_stream_that_fails_leaves_its_outputs_their_turn() {
    let fails = |n: usize, gates: &[Gate; 12]| {
        let mut passed = gates[n].passed();
        let mut left = 3;
        stream::poll_fn(move |cx: &mut Context<'_>| {
            if Pin::new(&mut passed).poll(cx).is_pending() {
                return Poll::Pending;
            }
            left -= 1;
            match left {
                0 if n == 2 => Poll::Ready(Some(Err(n))),
                0 => Poll::Ready(None),
                _ => Poll::Ready(Some(Ok(n))),
            }
        })
    };
    // With permits enough for all, so that none has to wait for one.
    for limit in [Concurrency::new(3).window(9), Concurrency::new(Semaphore::new(9)).window(9)] {
        let gated = Gated::default();
        let source = gated.source((0..6).map(Ok));
        let mut stage =
            source.try_flat_map_concurrent(ordered(limit.clone()), |n| fails(n, &gated.gates));
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        gated.gates[2].open();
        gated.gates[3].open();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        assert_eq!(gated.sources.now(), 0, "upstream is gone");
        gated.gates[1].open();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        gated.gates[0].open();
        let expected = [Ok(0), Ok(0), Ok(1), Ok(1), Ok(2), Ok(2), Err(2)];
        assert_eq!(task.settle(&mut stage), (expected.to_vec(), true));

        // In completion order what waits is dropped, or comes first.
        for in_turn in [false, true] {
            let limit = if in_turn { errors_in_turn(limit.clone()) } else { limit.clone() };
            let gated = Gated::default();
            let source = gated.source((0..6).map(Ok));
            let stage = source.try_flat_map_concurrent(limit, |n| fails(n, &gated.gates));
            let mut stage = stage.driven();
            let task = Task::new();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            for open in [1, 2] {
                gated.gates[open].open();
                for _ in 0..12 {
                    let _ = task.poll(&mut pin!(stage.alongside(pending::<()>())));
                }
            }
            task.wake();
            let (outputs, over) = task.settle(&mut stage);
            let expected: &[_] =
                if in_turn { &[Ok(1), Ok(1), Ok(2), Ok(2), Err(2)] } else { &[Err(2)] };
            assert!(over && outputs == expected, "{outputs:?}");
        }
    }
}

#[test]
fn size_hints_are_exact_with_what_waits() {
    for limit in both(3, 8) {
        for limit in [limit.clone(), ordered(limit)] {
            let gated = Gated::default();
            let mut mapped = pipe(0..12).map_concurrent(limit.clone(), |n| gated.call(n, n));
            let task = Task::new();
            let mut left = 12;
            for open in [2, 1, 4, 0, 3, 5, 7, 6, 8, 11, 10, 9] {
                left -= task.settle(&mut mapped).0.len();
                assert_eq!(mapped.size_hint(), (left, Some(left)));
                gated.gates[open].open();
            }
            // An iterator tells how much is left of it.
            let sized = |n: usize| vec![n; 5];
            let mut expanded = pipe(0..5).flat_map_concurrent(limit, sized).driven();
            let task = Task::new();
            for came in 0..25 {
                let (lower, upper) = expanded.size_hint();
                let rest = 25 - came;
                assert!(lower <= rest && upper.is_none_or(|upper| upper >= rest));
                assert!(task.poll_next(&mut expanded).is_ready());
                for _ in 0..3 {
                    let _ = task.poll(&mut pin!(expanded.alongside(pending::<()>())));
                }
            }
        }
    }
}

#[test]
fn a_window_is_shown() {
    let semaphore = Semaphore::new(3);
    assert_eq!(format!("{:?}", Concurrency::new(4).window(64)), "Concurrency::new(4).window(64)");
    assert_eq!(format!("{:?}", ordered(4).window(64)), "ordered(4).window(64)");
    assert_eq!(format!("{:?}", ordered(Concurrency::new(4).window(64))), "ordered(4).window(64)");
    let both = errors_in_turn(ordered(4).window(9));
    assert_eq!(format!("{both:?}"), "errors_in_turn(ordered(4)).window(9)");
    let shown = format!("{:?}", Concurrency::new(&semaphore).window(9));
    assert_eq!(shown, format!("Concurrency::new({semaphore:?}).window(9)"));
    let gated = Gated::default();
    let mut stage = pipe(0..12).map_concurrent(ordered(4).window(6), |n| gated.call(n, n));
    (1..4).for_each(|n| gated.gates[n].open());
    assert_eq!(Task::new().settle(&mut stage), (vec![], false));
    let shown = format!("{stage:?}");
    assert!(shown.contains("ordered(4).window(6)") && shown.contains("in_flight: 6"), "{shown}");
}

#[test]
fn a_window_of_none_is_refused() {
    let message = message_of(|| ordered(4).window(0));
    assert_eq!(message, "the window of a stage must be at least 1");
}

/// A limit with a window is one for every style.
#[test]
fn flows_and_transformers_take_windows() {
    let begun = |run: &dyn Fn(Concurrency) -> Vec<u32>| {
        assert_eq!(run(ordered(2).window(5)), Vec::from_iter(0..9));
    };
    let double = async |n: u32| n;
    begun(&|limit| {
        let flow = Flow::<u32>::identity().map_concurrent(limit, double);
        block_on(pipe(0..9).through(&flow).collect())
    });
    begun(&|limit| block_on(pipe(0..9).through(&op::map_concurrent(limit, double)).collect()));
    begun(&|limit| {
        let chain = chain![functional::map_concurrent(limit, double)];
        block_on(chain(pipe(0..9)).collect())
    });
}

/// All use one semaphore, each has a window, and what they hand on is expanded.
#[test]
fn stages_that_share_permits_come_to_their_end_with_windows() {
    for permits in [1, 2, 3, 7] {
        for window in [1, 2, 3, 20] {
            for ways in 0..8 {
                let semaphore = Semaphore::new(permits);
                let limit = |way: u32| {
                    let limit = Concurrency::new(&semaphore).window(window);
                    if ways >> way & 1 == 0 { limit } else { ordered(limit) }
                };
                let yields = async |n: u32| {
                    futures_lite::future::yield_now().await;
                    n
                };
                let inner = |n: u32| stream::iter([n; 5]).map_concurrent(1, yields);
                let stage = pipe(0..6)
                    .flat_map_concurrent(limit(0), inner)
                    .map_concurrent(limit(1), yields)
                    .flat_map_concurrent(limit(2), inner);
                let mut stage = pin!(stage);
                let (mut outputs, over) = Task::new().settle(&mut stage);
                outputs.sort_unstable();
                let expected = (0..6).flat_map(|n| [n; 25]);
                assert!(over && outputs.into_iter().eq(expected), "{permits} {window} {ways}");
                assert_eq!(semaphore.in_use(), 0);
            }
        }
    }
}

/// The failure of a call far behind is not taken for one of an earlier call that waits.
#[test]
fn an_error_waits_for_its_turn_however_far_behind_it_is() {
    for limit in [ordered(20), ordered(4).window(20)] {
        for failing in 2..12 {
            let gates: Vec<Gate> = (0..20).map(|_| Gate::default()).collect();
            let mut stage =
                pipe(0..20).map(Ok::<_, usize>).try_map_concurrent(limit.clone(), |n| {
                    let passed = gates[n].passed();
                    async move {
                        passed.await;
                        if n == failing { Err(n) } else { Ok(n) }
                    }
                });
            let task = Task::new();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            gates[1].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            gates[failing].open();
            assert_eq!(task.settle(&mut stage), (vec![], false));
            gates.iter().for_each(Gate::open);
            let (outputs, over) = task.settle(&mut stage);
            assert!(over, "{failing}");
            let expected = (0..failing).map(Ok).chain([Err(failing)]);
            assert!(outputs.iter().copied().eq(expected), "{failing}: {outputs:?}");
        }
    }
}
