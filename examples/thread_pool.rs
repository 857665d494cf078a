//! Looks up rows of a file in a pool of threads, each of which opens the file for itself.
//!
//! A file has one position, so threads that share it would have to take turns. The same goes for a connection to a
//! database.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{env, fs, process};

use flowlet::prelude::*;
use flowlet::{ThreadLocal, ThreadPool, in_pool};

const ROWS: u64 = 10_000;

/// The number of bytes in a row.
const ROW: usize = 8;

/// How many sessions are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

struct Session(File);

impl Session {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        OPEN.fetch_add(1, SeqCst);
        Ok(Self(file))
    }

    fn look_up(&mut self, row: u64) -> io::Result<u64> {
        self.0.seek(SeekFrom::Start(row * ROW as u64))?;
        let mut bytes = [0; ROW];
        self.0.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, SeqCst);
    }
}

async fn run(path: &Path) -> io::Result<()> {
    let squares: Vec<u8> = (0..ROWS).flat_map(|n| (n * n).to_le_bytes()).collect();
    fs::write(path, squares)?;
    let pool = ThreadPool::builder(4).name("lookup").build()?;

    // Each thread opens a session for its first call and uses it for all later ones.
    let path = path.to_owned();
    let sessions = ThreadLocal::new(move || Session::open(&path));
    let look_up = in_pool(&pool, move |row| sessions.try_with(|session| session.look_up(row))?);

    let squares: Vec<u64> = pipe(0..ROWS).map_concurrent(8, look_up).try_collect().await?;
    assert_eq!(squares.iter().sum::<u64>(), (ROWS - 1) * ROWS * (2 * ROWS - 1) / 6);

    let open = OPEN.load(SeqCst);
    assert!((1..=pool.size()).contains(&open));
    pool.shutdown().await; // the threads have ended, and closed their sessions
    assert_eq!(OPEN.load(SeqCst), 0);
    println!("{} rows were looked up in {open} sessions.", squares.len());
    Ok(())
}

fn main() -> io::Result<()> {
    let path = env::temp_dir().join(format!("flowlet-thread-pool-{}", process::id()));
    let done = smol::block_on(run(&path));
    fs::remove_file(path)?;
    done
}
