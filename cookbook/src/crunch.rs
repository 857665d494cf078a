//! Adds up files of `name,number` lines on all cores: with flowlet, with rayon, and with a `JoinSet`.
//!
//! All three read one chunk at a time while others are counted, so only a few are in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, iter};

use flowlet::{ThreadPool, in_pool, prelude::*};
use futures_lite::future::block_on;
use rayon::ThreadPoolBuilder;
use rayon::iter::{ParallelBridge, ParallelIterator};
use tokio::task::{JoinSet, block_in_place, spawn_blocking};

/// Counts chunks in a pool of threads, while another thread reads the next ones.
///
/// Up to `2 * cores` chunks are in the stage, and `cores` are read ahead, so memory is bounded. The first error ends it.
pub async fn with_flowlet(chunks: impl Chunks, cores: usize) -> io::Result<Totals> {
    let pool = ThreadPool::builder(cores).name("count").build()?;
    let totals = pipe(chunks)
        .prefetch(cores, |reader| spawn_blocking(|| block_on(reader)))
        .try_map_concurrent(2 * cores, in_pool(&pool, count))
        .try_fold(Totals::default(), |totals, counted| Ok(totals.merge(counted)))
        .await;
    pool.shutdown().await;
    totals
}

/// The same with rayon, whose threads take turns at reading. It blocks the thread that calls it.
pub fn with_rayon(chunks: impl Chunks, cores: usize) -> io::Result<Totals> {
    let pool = ThreadPoolBuilder::new().num_threads(cores).build().map_err(io::Error::other)?;
    let counts = || chunks.par_bridge().map(|chunk| count(chunk?));
    pool.install(|| counts().try_reduce(Totals::default, |totals, other| Ok(totals.merge(other))))
}

/// The same with a `JoinSet`, and a bound by hand.
pub async fn with_join_set(chunks: impl Chunks, cores: usize) -> io::Result<Totals> {
    let (mut chunks, mut counts, mut totals) = (chunks.fuse(), JoinSet::new(), Totals::default());
    loop {
        if counts.len() < 2 * cores {
            if let Some(chunk) = block_in_place(|| chunks.next()).transpose()? {
                counts.spawn_blocking(|| count(chunk));
                continue;
            }
        }
        let Some(counted) = counts.join_next().await else { return Ok(totals) };
        totals = totals.merge(counted.unwrap_or_else(|error| resume_unwind(error.into_panic()))?);
    }
}

/// Whole lines of a file.
#[derive(Debug)]
pub struct Chunk {
    path: Arc<Path>,
    lines: Vec<u8>,
}

/// Chunks of files, each read when it is asked for.
pub trait Chunks: Iterator<Item = io::Result<Chunk>> + Send + 'static {}

impl<I: Iterator<Item = io::Result<Chunk>> + Send + 'static> Chunks for I {}

/// Returns chunks of `size` bytes, and of as many more as it takes to the end of a line.
pub fn chunks(paths: Vec<PathBuf>, size: u64) -> impl Chunks {
    let read = move |mut file: BufReader<File>| {
        let mut lines = Vec::new();
        file.by_ref().take(size).read_to_end(&mut lines)?;
        file.read_until(b'\n', &mut lines)?;
        Ok((lines, file))
    };
    paths.into_iter().flat_map(move |path| {
        let path: Arc<Path> = path.into();
        let mut file = Some(File::open(&path).map(BufReader::new));
        iter::from_fn(move || match file.take()?.and_then(read) {
            Ok((lines, _)) if lines.is_empty() => None,
            Ok((lines, rest)) => {
                file = Some(Ok(rest));
                Some(Ok(Chunk { path: path.clone(), lines }))
            }
            Err(error) => Some(Err(at(&path, error.kind(), &error))),
        })
    })
}

/// What the lines of each name make together.
#[derive(Debug, Default, PartialEq)]
pub struct Totals(HashMap<String, Total>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Total {
    lines: u64,
    sum: i128,
    min: i64,
    max: i64,
}

/// Counts what a chunk has of each name.
fn count(Chunk { path, lines }: Chunk) -> io::Result<Totals> {
    let mut totals = Totals::default();
    for line in lines.strip_suffix(b"\n").unwrap_or(&lines).split(|byte| *byte == b'\n') {
        let Some((name, number)) = parse(line) else {
            let line = String::from_utf8_lossy(line);
            return Err(at(&path, ErrorKind::InvalidData, &format!("{line:?} is not NAME,NUMBER")));
        };
        totals.add(name, Total { lines: 1, sum: number.into(), min: number, max: number });
    }
    Ok(totals)
}

fn parse(line: &[u8]) -> Option<(&str, i64)> {
    let (name, number) = std::str::from_utf8(line).ok()?.trim_end().split_once(',')?;
    Some((name, number.parse().ok()?))
}

impl Totals {
    fn add(&mut self, name: &str, Total { lines, sum, min, max }: Total) {
        let Some(total) = self.0.get_mut(name) else {
            self.0.insert(name.to_owned(), Total { lines, sum, min, max });
            return;
        };
        total.lines += lines;
        total.sum += sum;
        total.min = total.min.min(min);
        total.max = total.max.max(max);
    }

    fn merge(mut self, other: Self) -> Self {
        other.0.into_iter().for_each(|(name, total)| self.add(&name, total));
        self
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BTreeMap::from_iter(&self.0).into_iter().try_for_each(|(name, total)| {
            let Total { lines, sum, min, max } = total;
            writeln!(f, "{name}: {lines} lines, sum {sum}, from {min} to {max}")
        })
    }
}

/// Says in which file something went wrong.
fn at(path: &Path, kind: ErrorKind, error: &dyn fmt::Display) -> io::Error {
    io::Error::new(kind, format!("{}: {error}", path.display()))
}
