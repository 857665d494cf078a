//! A shared limit is first come, first served: nobody gets much less than a fair share of it, whatever
//! takes part in it, and in however many tasks.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use async_executor::LocalExecutor;
use flowlet::prelude::*;
use flowlet::{Semaphore, ordered};
use futures_lite::future::{block_on, poll_fn, yield_now};
use futures_util::future::join_all;

/// How many calls each makes on average.
const ROUNDS: usize = 60;

/// Everyone's calls, and when to stop.
#[derive(Clone)]
struct Counts {
    semaphore: Semaphore,
    of: Rc<[Cell<usize>]>,
    total: Rc<Cell<usize>>,
}

/// What takes part in the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum User {
    Map,
    Ordered,
    Filter,
    FlatMap,
    TwoStages,
    Acquire,
}

use User::{Acquire, Filter, FlatMap, Map, Ordered, TwoStages};

impl Counts {
    fn new(users: usize, permits: usize) -> Self {
        let of = (0..users).map(|_| Cell::new(0)).collect();
        Self { semaphore: Semaphore::new(permits), of, total: Rc::default() }
    }

    fn go_on(&self) -> bool {
        self.total.get() < ROUNDS * self.of.len()
    }

    /// A call of many turns, so that the one that a woken user may wait until it is polled counts little.
    async fn call(&self, user: usize) {
        if self.go_on() {
            self.of[user].set(self.of[user].get() + 1);
            self.total.set(self.total.get() + 1);
        }
        for _ in 0..6 + (user * 7 + self.of[user].get() * 5) % 13 {
            yield_now().await;
        }
    }

    async fn run(self, what: User, user: usize) {
        let semaphore = &self.semaphore;
        let source = pipe(0..).take_while(|_: &usize| self.go_on());
        let call = async |_| self.call(user).await;
        match what {
            Map => source.map_concurrent(semaphore, call).drain().await,
            Ordered => source.map_concurrent(ordered(semaphore), call).drain().await,
            Filter => {
                let refuse = async |_: &usize| {
                    self.call(user).await;
                    false
                };
                source.filter_concurrent(semaphore, refuse).drain().await;
            }
            FlatMap => {
                // A permit is for one output. At its end a stream needs one as well, so these have none.
                let calls = |_| {
                    let outputs = pipe(0..).take_while(|_: &usize| self.go_on());
                    outputs.map_concurrent(1, call)
                };
                source.flat_map_concurrent(semaphore, calls).drain().await;
            }
            // Each of its calls counts, so that it has two shares.
            TwoStages => {
                let first = source.map_concurrent(semaphore, call);
                first.map_concurrent(semaphore, async |()| self.call(user).await).drain().await;
            }
            Acquire => {
                while self.go_on() {
                    let _permit = semaphore.acquire().await;
                    self.call(user).await;
                }
            }
        }
    }

    /// Fails if someone has less than nine tenths of a fair share.
    fn check(&self, users: &[User], how: &str) {
        assert_eq!(self.semaphore.in_use(), 0);
        let calls: Vec<usize> = self.of.iter().map(Cell::get).collect();
        let shares = |user: User| if user == TwoStages { 2 } else { 1 };
        let all: usize = users.iter().copied().map(shares).sum();
        let fair = calls.iter().sum::<usize>() / all;
        for (calls_of, user) in calls.iter().zip(users) {
            let least = shares(*user) * fair * 9 / 10;
            assert!(*calls_of >= least, "{how}: {users:?} made {calls:?} calls");
        }
    }
}

/// Users of a limit, as many as are asked for.
fn mixes(count: usize) -> impl Iterator<Item = Vec<User>> {
    let mixes: [&[User]; 6] = [
        &[Map],
        &[Acquire],
        &[FlatMap],
        &[TwoStages, Map],
        &[Map, Acquire],
        &[Map, Ordered, Acquire, Filter, FlatMap],
    ];
    mixes.into_iter().map(move |mix| mix.iter().copied().cycle().take(count).collect())
}

/// More users than permits, so that there is something to share.
const SIZES: [(usize, usize); 10] =
    [(2, 1), (3, 1), (3, 2), (5, 3), (7, 4), (20, 1), (20, 8), (20, 19), (200, 64), (1_000, 8)];

/// Polls all, whoever was woken.
async fn poll_all(mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn each(most: usize, run: impl Fn(Vec<Pin<Box<dyn Future<Output = ()>>>>), how: &str) {
    for (count, permits) in SIZES.into_iter().filter(|(count, _)| *count <= most) {
        for users in mixes(count) {
            let counts = Counts::new(count, permits);
            let each = users.iter().enumerate();
            run(each.map(|(at, user)| Box::pin(counts.clone().run(*user, at)) as _).collect());
            counts.check(&users, &format!("{permits} permits, {how}"));
        }
    }
}

#[test]
fn in_one_task_that_polls_all() {
    each(20, |users| block_on(poll_all(users)), "all are polled");
}

#[test]
fn in_one_task_that_polls_what_was_woken() {
    each(200, |users| block_on(async { drop(join_all(users).await) }), "joined");
}

#[test]
fn in_many_tasks_of_one_thread() {
    each(
        1_000,
        |users| {
            let executor = LocalExecutor::new();
            let tasks: Vec<_> = users.into_iter().map(|user| executor.spawn(user)).collect();
            block_on(executor.run(async { drop(join_all(tasks).await) }));
        },
        "spawned",
    );
}
