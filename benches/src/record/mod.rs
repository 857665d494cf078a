//! What was measured, as it is kept: the times, one file a processor, and the counts, which are the same
//! on each. `RESULTS.md` is written from these files, so a run on one processor leaves the times of the
//! others as they are.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

mod counts;
mod facts;
mod times;

pub use counts::{Count, Counts};
pub use facts::{Facts, slug};
pub use times::Times;

/// Where the files are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

const COUNTS: &str = "counts.csv";

/// Writes the counts down.
///
/// # Errors
///
/// Fails if that cannot be written.
pub fn keep_counts(counts: &Counts) -> io::Result<()> {
    write(COUNTS, &counts.to_string())
}

/// Writes the times of a processor down, and a page with all else that was measured on it.
///
/// # Errors
///
/// Fails if that cannot be written.
pub fn keep_times(times: &Times, page: &str) -> io::Result<()> {
    let slug = times.slug();
    write(&format!("{slug}.csv"), &times.to_string())?;
    write(&format!("{slug}.md"), page)
}

fn write(name: &str, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder())?;
    fs::write(folder().join(name), text)
}

/// Reads what is there: the counts, and the times of each processor, those of the last day first.
///
/// # Errors
///
/// Fails if a file cannot be read, or is no record.
pub fn read_all() -> io::Result<(Counts, Vec<Times>)> {
    let counts = Counts::read(&fs::read_to_string(folder().join(COUNTS))?)?;
    let mut times = Vec::new();
    for entry in fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "csv") && !path.ends_with(COUNTS) {
            times.push(Times::read(&fs::read_to_string(path)?)?);
        }
    }
    times.sort_by_key(|Times { facts, .. }| {
        (Reverse(facts.get("date").to_owned()), facts.get("processor").to_owned())
    });
    Ok((counts, times))
}

/// Reads lines of fields between semicolons, below a line that names them. Lines of facts are passed over.
///
/// # Errors
///
/// Fails at the first line that `f` makes nothing of.
pub(crate) fn read_lines<T>(text: &str, f: impl Fn(&[&str]) -> Option<T>) -> io::Result<Vec<T>> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let read = |line: &str| f(&line.split(';').collect::<Vec<_>>());
    lines
        .map(|line| read(line).ok_or_else(|| io::Error::other(format!("what is {line:?}?"))))
        .collect()
}

/// What is in a field that may be empty. None if that is no number.
fn optional(field: &str) -> Option<Option<f64>> {
    if field.is_empty() { Some(None) } else { field.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::results;

    #[test]
    fn what_is_kept_can_be_read_and_is_what_the_results_are_written_from() {
        let (counts, times) = read_all().unwrap();
        for times in &times {
            let kept = fs::read_to_string(folder().join(times.slug() + ".csv")).unwrap();
            assert_eq!(times.to_string(), kept);
        }
        let written = fs::read_to_string(folder().join("../RESULTS.md")).unwrap();
        assert!(results(&counts, &times) == written, "`-- results` writes it again");
    }
}
