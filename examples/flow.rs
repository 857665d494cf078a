//! Pieces of pipelines without a source: named, composed, and used more than once.

use flowlet::prelude::*;
use flowlet::{Flow, ordered};

/// A log line that is worth a look.
#[derive(Debug, PartialEq)]
struct Problem {
    level: String,
    text: String,
}

/// Turns lines into problems. Each line is parsed by itself.
fn problems() -> Flow<String, Problem> {
    let parse = async |line: String| {
        let (level, text) = line.split_once(": ")?;
        Some(Problem { level: level.to_owned(), text: text.to_owned() })
    };
    Flow::new(move |lines| lines.filter_map_concurrent(ordered(8), parse))
}

/// Keeps the problems of a level. A function with arguments can return a flow.
fn only(level: &'static str) -> Flow<Problem> {
    Flow::new(move |problems| problems.filter(move |problem: &Problem| problem.level == level))
}

async fn count(log: &str, flow: &Flow<String, Problem>) -> usize {
    let lines: Vec<String> = log.lines().map(String::from).collect();
    pipe(lines).through(flow).inspect(|problem| println!("{problem:?}")).count().await
}

fn main() {
    let errors = problems().then(only("error"));
    let warnings = problems().then(only("warning"));

    let monday = "error: disk full\nwarning: slow disk\nnot a problem";
    let tuesday = "warning: slow disk\nwarning: slow network";

    smol::block_on(async {
        assert_eq!(count(monday, &errors).await, 1);
        assert_eq!(count(monday, &warnings).await, 1);
        assert_eq!(count(tuesday, &warnings).await, 2); // a flow can be reused
    });

    // On other threads too: clones share what they were made from.
    let thread = std::thread::spawn({
        let warnings = warnings.clone();
        move || smol::block_on(count(tuesday, &warnings))
    });
    assert_eq!(thread.join().expect("it does not panic"), 2);
}
