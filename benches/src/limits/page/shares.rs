//! How often acquires are polled, and what each user has of the permits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;

use flowlet_benches::Executor;
use flowlet_benches::report::Table;

use crate::work::contended::{Watch, contend};
use crate::work::gate::{AsyncLock, Flowlet, Gate, Tokio, TokioOwned};
use crate::work::permits::CONTENDED;

/// Counts what users have.
struct Seen {
    had: RefCell<Vec<u64>>,
    polls: RefCell<u64>,
}

impl Watch for Seen {
    fn acquired(&self, user: usize) {
        self.had.borrow_mut()[user] += 1;
    }

    async fn acquire<F: Future>(&self, acquire: F) -> F::Output {
        let mut acquire = pin!(acquire);
        poll_fn(|cx| {
            *self.polls.borrow_mut() += 1;
            acquire.as_mut().poll(cx)
        })
        .await
    }
}

/// Who has how much, with so many permits for each user on average.
pub(super) fn table(each: u64) -> String {
    let names = [Flowlet::NAME, TokioOwned::NAME, Tokio::NAME, AsyncLock::NAME];
    let mut polls = Table::new(["", "users"].into_iter().chain(names));
    let mut shares = Table::new(["", "users"].into_iter().chain(names));
    for (permits, users) in CONTENDED {
        for &users in users {
            let seen = [
                watch::<Flowlet>(permits, users, each),
                watch::<TokioOwned>(permits, users, each),
                watch::<Tokio>(permits, users, each),
                watch::<AsyncLock>(permits, users, each),
            ];
            let head = || [permits.to_string(), users.to_string()];
            polls.row(head().into_iter().chain(seen.map(|(polls, _)| format!("{polls:.2}"))));
            shares.row(head().into_iter().chain(seen.map(|(_, share)| format!("{share:.2}"))));
        }
    }
    format!(
        "\n### Permits, who has them\n\nThe same users, with {each} permits each on average. How often \
         an acquire is polled, with permits in the first column; 2 means one poll to get in line and one \
         to be served:\n\n{polls}\n\
         The permits of the user that got the fewest, relative to the mean. 1 is an equal share, 0 is none at \
         all:\n\n{shares}"
    )
}

/// How often an acquire is polled, and the least share as a part of the mean.
fn watch<G: Gate>(permits: usize, users: usize, each: u64) -> (f64, f64) {
    let seen = Seen { had: RefCell::new(vec![0; users]), polls: RefCell::new(0) };
    let items = each * users as u64;
    Executor::Loop.run(contend::<G>(permits, users, items, &seen));
    let least = seen.had.borrow().iter().copied().min().unwrap_or(0);
    let polls = *seen.polls.borrow();
    (polls as f64 / items as f64, least as f64 / each as f64)
}
