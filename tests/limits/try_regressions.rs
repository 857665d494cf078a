//! What the model in `try_model.rs` found, one by one.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use flowlet::prelude::*;
use flowlet::{Semaphore, ordered};

use crate::support::waker::Task;

/// An item was pulled, and its permit is gone; then the stage above fails.
#[test]
fn an_item_that_waits_for_a_permit_comes_before_an_error_from_upstream() {
    let semaphore = Semaphore::new(1);
    let others = RefCell::new(None);
    let between = Rc::new(());
    let alive = between.clone();
    let (shared, taken) = (&semaphore, &others);
    let mut stream = Box::pin(
        pipe([1, 2, 3])
            .map(Ok)
            .try_map_concurrent(1, async |n| if n == 2 { Err("two") } else { Ok(n) })
            .inspect(move |_| {
                let _between = &between;
                taken.borrow_mut().get_or_insert_with(|| shared.try_acquire());
            })
            .try_map_concurrent(ordered(&semaphore), async |n| Ok(n * 10)),
    );

    let task = Task::new();
    assert!(task.poll_next(&mut stream).is_pending(), "someone else has the permit");
    assert_eq!(Rc::strong_count(&alive), 1, "upstream is gone at once");
    assert_eq!(task.settle(&mut stream), (vec![], false));

    drop(others.take());
    assert!(task.is_woken());
    assert_eq!(task.settle(&mut stream), (vec![Ok(10), Err("two")], true));
    assert_eq!(task.poll_next(&mut stream), Poll::Ready(None));
}
