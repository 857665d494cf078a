//! Times of one run.

use std::time::Instant;

use flowlet_benches::report::digits;
use flowlet_benches::{Clock, Effort, Timed};

use super::cells::table;
use super::timed_with;
use crate::work::sections;

/// Times everything, and writes it as a part of the page.
pub(crate) fn time(effort: Effort) -> String {
    let mut clock = Clock::new(effort);
    let mut text = format!(
        "\n{}\n\nOur time per item, in nanoseconds, and its ratio to each other's in the same run: below \
         1 the first column is faster. The median of {} rounds, and the range of their middle half.\n",
        timed_with(),
        effort.rounds
    );
    for section in sections() {
        let mut table = table(&section, None);
        for row in &section.rows {
            let start = Instant::now();
            let timing = clock.time(row);
            eprintln!("{}, {}: {:.1?}", row.workload, row.in_flight, start.elapsed());
            let cells = timing.contenders.iter().enumerate();
            let cells = cells.map(|(index, timed)| cell(timed, index == 0));
            table.row([row.workload.clone(), row.in_flight.to_string()].into_iter().chain(cells));
        }
        text.push_str(&format!("\n### {}\n\n{table}", section.title));
    }
    text
}

fn cell(timed: &Timed, is_ours: bool) -> String {
    match (timed.nanoseconds, timed.ratio) {
        (Some(nanoseconds), _) if is_ours => format!("**{}**", digits(nanoseconds)),
        (_, Some(ratio)) => ratio.to_string(),
        _ => "too slow".to_owned(),
    }
}
