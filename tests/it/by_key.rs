//! Calls of one key come one after the other, in the order of their items.

use std::cell::{Cell, RefCell};

use flowlet::prelude::*;
use flowlet::{Concurrency, Semaphore, ordered};

use crate::support::gate::Gate;
use crate::support::gauge::Gauge;
use crate::support::waker::Task;

/// An item that does not fit in the window waits outside, and must not keep those from their calls that are in
/// it and make room.
#[test]
fn an_item_that_waits_for_room_holds_up_none_that_have_their_key() {
    let limits: [Concurrency; 4] = [
        Concurrency::new(4).window(4),
        ordered(4).window(4),
        Concurrency::new(&Semaphore::new(4)).window(4),
        ordered(&Semaphore::new(4)).window(4),
    ];
    for limit in limits {
        let gates: Vec<Gate> = (0..4).map(|_| Gate::default()).collect();
        let items = [(1, 1), (1, 1), (2, 4), (3, 1)];
        let mut stage = pipe(items.into_iter().enumerate())
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
        let mut stage = std::pin::pin!(stage);
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
struct Counted(u32, #[allow(dead_code)] std::rc::Rc<()>);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl std::hash::Hash for Counted {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
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
        let alive = std::rc::Rc::new(());
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
        let mut stage = std::pin::pin!(stage);
        let task = Task::new();
        assert_eq!(task.settle(&mut stage), (vec![], false));
        gates[0].open();
        let polled = task.poll_next(&mut stage);
        assert_eq!(polled, std::task::Poll::Ready(Some(Err(0))));
        assert_eq!(std::rc::Rc::strong_count(&alive), 1, "keys are left");
        drop(permit);
    }
}
