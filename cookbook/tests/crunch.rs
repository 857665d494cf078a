//! Files counted in all three ways.

use std::env::temp_dir;
use std::path::PathBuf;
use std::{fs, io, process};

use cookbook::crunch::{Totals, chunks, with_flowlet, with_join_set, with_rayon};

/// More than there are cores of many machines, and not the number of any of them.
const CORES: usize = 3;

/// Files of their own for a test, which are gone after it.
struct Files(PathBuf);

impl Files {
    fn new(test: &str, texts: &[&str]) -> Self {
        let folder = temp_dir().join(format!("cookbook-crunch-{test}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (n, text) in texts.iter().enumerate() {
            fs::write(folder.join(format!("{n}.csv")), text).unwrap();
        }
        Self(folder)
    }

    fn paths(&self, count: usize) -> Vec<PathBuf> {
        (0..count).map(|n| self.0.join(format!("{n}.csv"))).collect()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What each way returns.
async fn all_ways(paths: &[PathBuf], size: u64) -> [io::Result<Totals>; 3] {
    let read = || chunks(paths.to_vec(), size);
    [
        with_flowlet(read(), CORES).await,
        with_rayon(read(), CORES),
        with_join_set(read(), CORES).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn all_ways_have_the_same_totals_whatever_the_chunks_are() {
    let long: String = (0..5000).map(|n| format!("key {},{}\n", n % 7, n - 2500)).collect();
    let files = Files::new("totals", &[&long, "", "key 3,-9999\nlast,1", "last,2\r\nlast,0\n"]);
    let mut expected = String::new();
    for key in 0..7 {
        let mut numbers: Vec<i64> = (0..5000).filter(|n| n % 7 == key).map(|n| n - 2500).collect();
        numbers.extend((key == 3).then_some(-9999));
        let (min, max) = (numbers.iter().min().unwrap(), numbers.iter().max().unwrap());
        let (lines, sum) = (numbers.len(), numbers.iter().sum::<i64>());
        expected += &format!("key {key}: {lines} lines, sum {sum}, from {min} to {max}\n");
    }
    expected += "last: 3 lines, sum 3, from 0 to 2\n";

    for size in [1, 16, 1000, 1 << 20] {
        for totals in all_ways(&files.paths(4), size).await {
            assert_eq!(totals.unwrap().to_string(), expected, "in chunks of {size}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_cannot_be_read_ends_all_ways() {
    let files = Files::new("broken", &["key,1\n", "key,1\nkey,one\nkey,1\n"]);
    for totals in all_ways(&files.paths(2), 1).await {
        let error = totals.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().ends_with("1.csv: \"key,one\" is not NAME,NUMBER"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_ends_all_ways() {
    let files = Files::new("missing", &["key,1\n"]);
    for totals in all_ways(&files.paths(2), 1).await {
        let error = totals.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("1.csv: "), "{error}");
    }
}
