//! A panic that comes out of a stage while it is kept from handing on leaves no trace: who catches
//! it can poll on, and finds the calls of all stages going on as before.

mod support {
    pub(crate) mod dice;
    pub(crate) mod exec;
    pub(crate) mod lock;
    pub(crate) mod window;
}

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use flowlet::prelude::*;

use support::exec::{rest, run};
use support::lock::{Fair, HABITS, Lock, Site, Unfair, with_each_lock};
use support::window::Window;

with_each_lock!(a_panic_in_a_stage_above);

/// Polls again at once when its stream panics.
struct PollOn<S>(S);

impl<S: Stream + Unpin> Stream for PollOn<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        loop {
            let poll = AssertUnwindSafe(|| Pin::new(&mut self.0).poll_next(cx));
            if let Ok(polled) = catch_unwind(poll) {
                return polled;
            }
        }
    }
}

fn a_panic_in_a_stage_above<L: Lock>() {
    for limits @ [first, second, third] in [[1, 1, 1], [4, 1, 1], [2, 3, 1], [3, 2, 4], [16, 1, 2]]
    {
        for (habit, seed) in HABITS.into_iter().flat_map(|habit| [0, 1, 41].map(|s| (habit, s))) {
            let lock = L::new();
            let sites = [(); 3].map(|()| Site::new(&lock, habit));
            let window = Window::default();
            let fail = async |n: u32| {
                if n % 4 == 2 {
                    rest(n % 3).await;
                    // As a panic, without the message.
                    window.leave();
                    resume_unwind(Box::new(n));
                }
                sites[0].call(n).await
            };
            let above = window.source(60).map_concurrent(first, fail);
            let middle = above.map_concurrent(second, |n| sites[1].call(n)).boxed_local();
            let last = PollOn(middle).map_concurrent(third, |n| sites[2].call(n)).boxed_local();
            let mut outputs: Vec<u32> =
                run(seed, PollOn(last).inspect(|_| window.leave()).collect()).unwrap();
            outputs.sort_unstable();
            assert_eq!(outputs, Vec::from_iter((0..60).filter(|n| n % 4 != 2)));
            assert!(sites.iter().zip(limits).all(|(site, limit)| site.peak() <= limit));
            assert!(window.peak().unsigned_abs() <= first + second + third);
        }
    }
}
