//! Looks up rows of an SQLite file from a pool of threads, each with a connection of its own.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{env, fs, process};

use flowlet::prelude::*;
use flowlet::{ThreadLocal, ThreadPool, in_pool};
use rusqlite::{Connection, Result};

const SQUARES: &str = "
    CREATE TABLE squares (n INTEGER PRIMARY KEY, square INTEGER);
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 10000)
        INSERT INTO squares SELECT n, n * n FROM numbers;
";

/// How many sessions are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

struct Session(Connection);

impl Session {
    fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        OPEN.fetch_add(1, SeqCst);
        Ok(Self(connection))
    }

    fn square(&mut self, n: u32) -> Result<i64> {
        let mut select = self.0.prepare_cached("SELECT square FROM squares WHERE n = ?")?;
        select.query_row([n], |row| row.get(0))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, SeqCst);
    }
}

async fn run(file: &Path) -> std::result::Result<(), Box<dyn Error>> {
    Connection::open(file)?.execute_batch(SQUARES)?;
    let pool = ThreadPool::builder(4).name("sqlite").build()?;

    // Each thread opens a session for its first call and uses it for all others.
    let file = file.to_owned();
    let sessions = ThreadLocal::new(move || Session::open(&file));
    let square = in_pool(&pool, move |n| sessions.try_with(|session| session.square(n))?);

    let squares: Vec<i64> = pipe(1..=10_000).map_concurrent(8, square).try_collect().await?;
    assert_eq!(squares.iter().sum::<i64>(), 10_000 * 10_001 * 20_001 / 6);

    let open = OPEN.load(SeqCst);
    assert!((1..=pool.size()).contains(&open));
    pool.shutdown().await; // the threads have ended, and closed their sessions
    assert_eq!(OPEN.load(SeqCst), 0);
    println!("{} rows were looked up in {open} sessions.", squares.len());
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let file = env::temp_dir().join(format!("flowlet-thread-pool-{}.sqlite", process::id()));
    let done = smol::block_on(run(&file));
    fs::remove_file(file)?;
    done
}
