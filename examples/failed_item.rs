//! Which item failed? The call knows: it returns the item in its error.

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;

use flowlet::prelude::*;

/// An error, and the item on which it occurred.
#[derive(Debug)]
struct Failed<T, E> {
    item: T,
    error: E,
}

impl<T: fmt::Debug, E> fmt::Display for Failed<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} failed", self.item)
    }
}

impl<T: fmt::Debug, E: Error + 'static> Error for Failed<T, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// A function that knows nothing about pipelines: its error does not say which line it was.
async fn parse(line: &str) -> Result<u32, ParseIntError> {
    line.trim().parse()
}

fn main() {
    let lines = ["1", "2", "three", "4"].map(String::from);

    let numbers: Result<Vec<u32>, Failed<String, ParseIntError>> = smol::block_on(
        pipe(lines)
            .map(Ok)
            .try_map_concurrent(8, async |line: String| match parse(&line).await {
                Ok(number) => Ok(number),
                Err(error) => Err(Failed { item: line, error }), // nobody else needs the line any more
            })
            .try_collect(),
    );

    let failed = numbers.expect_err("a line is no number");
    println!("{failed}: {}", failed.error);
    assert_eq!(failed.item, "three"); // can be retried, or put aside
    assert_eq!(failed.to_string(), "\"three\" failed");
    assert!(failed.source().is_some());
}
