//! What came out, as Markdown and as charts. Nothing in it is written by hand.

mod bars;
mod chart;
mod machine;
mod table;

pub use bars::{Bar, bars};
pub use chart::{Group, chart};
pub use machine::{machine, rustc};
pub use table::Table;

use crate::{Timed, Timing};

/// A number with as many digits as say something.
pub fn digits(number: f64) -> String {
    match number {
        n if n < 10.0 => format!("{n:.2}"),
        n if n < 100.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// Whether a bar is met.
pub fn yes(met: bool) -> &'static str {
    if met { "yes" } else { "**no**" }
}

/// One table a workload: who takes how long for an item, and our time as a part of that.
pub fn times(timings: &[Timing]) -> String {
    let mut text = String::new();
    for rows in timings.chunk_by(|a, b| a.workload == b.workload) {
        let names = rows[0].contenders.iter().map(|timed| timed.name.to_owned());
        let head: Vec<String> = ["in flight".to_owned()].into_iter().chain(names).collect();
        let mut table = Table::new(head);
        for timing in rows {
            let mut cells = vec![timing.in_flight.to_string()];
            // A contender may be missing in some rows: the plain loop is, where calls wait.
            for head in &rows[0].contenders {
                let timed = timing.contenders.iter().find(|timed| timed.name == head.name);
                let is_ours = head.name == rows[0].contenders[0].name;
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
        (Some(nanoseconds), _) if is_ours => format!("**{}**", digits(nanoseconds)),
        (Some(nanoseconds), Some(ratio)) => format!("{} ({ratio})", digits(nanoseconds)),
        _ => "too slow".to_owned(),
    }
}
