//! Permits that code takes by itself.

use std::hint::black_box;

use flowlet_benches::{Contender, Row, Tally};

use super::contended::{Nobody, contend};
use super::gate::{AsyncLock, Flowlet, Gate, Open, Tokio, TokioOwned};
use super::{Section, contender, row};

/// How many permits, and how many users that want one.
pub(crate) const CONTENDED: [(usize, &[usize]); 3] =
    [(1, &[2, 10, 100, 1_000]), (8, &[10, 100, 1_000]), (64, &[100, 1_000])];

const BESIDE: Option<&str> = Some(TokioOwned::NAME);

/// One user, who always finds a permit.
pub(super) fn alone() -> Section {
    Section {
        title: "Permits, one user",
        about: "A permit is taken and released. Ours owns a share of its semaphore, like tokio's owned \
                permit. The ratio is to the latter.",
        item: "permit",
        size: "permits",
        beside: BESIDE,
        rows: vec![
            Row {
                items: 200_000,
                ..row(
                    "acquire".into(),
                    8,
                    vec![
                        acquiring::<Flowlet>(),
                        acquiring::<TokioOwned>(),
                        acquiring::<Tokio>(),
                        acquiring::<AsyncLock>(),
                    ],
                )
            },
            Row {
                items: 200_000,
                ..row(
                    "try_acquire".into(),
                    8,
                    vec![
                        trying::<Flowlet>(),
                        trying::<TokioOwned>(),
                        trying::<Tokio>(),
                        trying::<AsyncLock>(),
                    ],
                )
            },
        ],
    }
}

fn acquiring<G: Gate>() -> Contender {
    contender(G::NAME, |items| async move {
        let gate = G::new(8);
        let mut tally = Tally::default();
        for item in 0..items {
            drop(black_box(gate.acquire().await));
            tally.add(item);
        }
        tally
    })
}

fn trying<G: Gate>() -> Contender {
    contender(G::NAME, |items| async move {
        let gate = G::new(8);
        let mut tally = Tally::default();
        for item in 0..items {
            drop(black_box(gate.try_acquire().expect("nobody else has any")));
            tally.add(item);
        }
        tally
    })
}

/// More users than permits.
pub(super) fn contended() -> Section {
    let rows = CONTENDED.iter().flat_map(|&(permits, users)| {
        users.iter().map(move |&users| {
            row(
                format!("{permits} permit{}", if permits == 1 { "" } else { "s" }),
                users,
                vec![
                    contending::<Flowlet>(permits, users),
                    contending::<TokioOwned>(permits, users),
                    contending::<Tokio>(permits, users),
                    contending::<AsyncLock>(permits, users),
                    contending::<Open>(permits, users),
                ],
            )
        })
    });
    Section {
        title: "Permits, more users than there are",
        about: "Users on one thread, in a `FuturesUnordered`. Each one loops: it takes a permit, yields \
                once, and releases it. *No limit* is the same without a semaphore: the cost of the users \
                themselves, which all columns include. The ratio is to tokio's owned permits.",
        item: "permit",
        size: "users",
        beside: BESIDE,
        rows: rows.collect(),
    }
}

fn contending<G: Gate>(permits: usize, users: usize) -> Contender {
    contender(G::NAME, move |items| contend::<G>(permits, users, items, &Nobody))
}
