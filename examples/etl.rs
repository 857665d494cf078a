//! Loads transformed rows into a database. Whatever fails, the program knows which rows were stored.

use std::cell::RefCell;
use std::pin::pin;

use flowlet::prelude::*;
use flowlet::{Concurrency, finishing};
use futures_lite::future::yield_now;

/// The step that fails, and the row at which it does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    Read(u32),
    Transform(u32),
    Write(u32),
}

/// A database in memory. Its answers take a while.
#[derive(Default)]
struct Database {
    rows: RefCell<Vec<u32>>,
}

impl Database {
    /// Begins a transaction, commits a row, and resolves to the row when the commit is confirmed.
    async fn write(&self, row: u32, refuses: bool) -> Result<u32, String> {
        some_time(1 + row % 3).await;
        if refuses {
            return Err(format!("row {row} is refused"));
        }
        self.rows.borrow_mut().push(row);
        // A program that stops waiting here does not know about the commit.
        some_time(4).await;
        Ok(row)
    }
}

async fn some_time(turns: u32) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// Loads 30 rows. Returns the confirmed rows in their order, the errors, and the rows that are in the database.
async fn load(limit: Concurrency, failures: &[Failure]) -> (Vec<u32>, Vec<String>, Vec<u32>) {
    let database = Database::default();
    let fails = |failure| failures.contains(&failure);
    let read = async |row| {
        some_time(2).await;
        if fails(Failure::Read(row)) { Err(format!("row {row} cannot be read")) } else { Ok(row) }
    };
    let transform = async |row| {
        some_time(3).await;
        if fails(Failure::Transform(row)) { Err(format!("row {row} is broken")) } else { Ok(row) }
    };
    let write = async |row| database.write(row, fails(Failure::Write(row))).await;

    // The writes are the last step that can fail, so no later error interrupts them.
    let mut written = pin!(
        pipe(0..30)
            .map(Ok)
            .try_map_concurrent(2, read)
            .try_map_concurrent(4, transform)
            .try_map_concurrent(limit, write)
    );
    let (mut confirmed, mut errors) = (Vec::new(), Vec::new());
    // A loop, not `try_collect`, which would keep only the first error, and none of the rows.
    while let Some(outcome) = written.next().await {
        match outcome {
            Ok(row) => confirmed.push(row),
            Err(error) => errors.push(error),
        }
    }
    confirmed.sort_unstable();
    let mut stored = database.rows.take();
    stored.sort_unstable();
    (confirmed, errors, stored)
}

fn main() {
    smol::block_on(async {
        let two_writes = [Failure::Write(20), Failure::Write(22)];
        for failures in [&[Failure::Read(20)][..], &[Failure::Transform(20)], &two_writes] {
            let (confirmed, errors, stored) = load(finishing(8), failures).await;
            println!("{failures:?}: {} rows confirmed, {} stored", confirmed.len(), stored.len());
            assert_eq!(confirmed, stored, "the program knows what is in the database");
            assert_eq!(errors.len(), failures.len(), "and everything that went wrong");

            let (confirmed, _, stored) = load(8.into(), failures).await;
            println!("... not finishing: {} confirmed, {} stored", confirmed.len(), stored.len());
            assert!(confirmed.len() < stored.len(), "rows were committed that nobody knows about");
        }
    });
}
