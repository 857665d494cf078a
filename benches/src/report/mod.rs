//! What came out, as Markdown and as charts. Nothing in it is written by hand.

mod bars;
mod chart;
mod charts;
mod machine;
mod results;
mod table;

pub use charts::charts;
pub use machine::{counter, machine, rustc, versions};
pub use results::results;
pub use table::Table;

use crate::peer::NAMES;
use crate::{Timed, Timing};

/// A number with as many digits as say something.
pub fn digits(number: f64) -> String {
    match number {
        n if n < 10.0 => format!("{n:.2}"),
        n if n < 100.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// Nanoseconds, or milliseconds if there are that many.
fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e6 => digits(n),
        n => format!("{} ms", digits(n / 1e6)),
    }
}

/// A number that there may be.
fn optional(number: Option<f64>) -> String {
    number.map_or_else(|| "–".to_owned(), digits)
}

/// What stands bold if it misses its bar.
fn bold_if(missed: bool, text: String) -> String {
    if missed { format!("**{text}**") } else { text }
}

/// One table a workload: who takes how long for an item, and our time as a part of that. Workloads
/// that all peers share have a column for each of them, with a dash for one that cannot do it.
pub fn times(timings: &[Timing]) -> String {
    let mut text = String::new();
    for rows in timings.chunk_by(|a, b| a.workload == b.workload) {
        let own: Vec<_> = rows[0].contenders.iter().map(|timed| timed.name.as_str()).collect();
        let names = if own.iter().all(|name| NAMES.contains(name)) { &NAMES[..] } else { &own };
        let head = ["in flight"].iter().chain(names).copied();
        let mut table = Table::new(head);
        for timing in rows {
            let mut cells = vec![timing.in_flight.to_string()];
            for (index, name) in names.iter().enumerate() {
                let timed = timing.contenders.iter().find(|timed| timed.name == *name);
                let is_ours = index == 0;
                cells.push(timed.map_or_else(|| "–".to_owned(), |timed| cell(timed, is_ours)));
            }
            table.row(cells);
        }
        text.push_str(&format!("### {}\n\n{table}\n", rows[0].workload));
    }
    text
}

fn cell(timed: &Timed, is_ours: bool) -> String {
    match (timed.nanoseconds, timed.ratio) {
        (Some(nanoseconds), _) if is_ours => format!("**{}**", duration(nanoseconds)),
        (Some(nanoseconds), Some(ratio)) => format!("{} ({ratio})", duration(nanoseconds)),
        _ => "too slow".to_owned(),
    }
}
