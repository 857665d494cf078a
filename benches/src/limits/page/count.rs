//! Instructions and allocations.

use std::io;
use std::path::Path;

use flowlet_benches::exact::{Case, has_valgrind, on_all_cores};
use flowlet_benches::report::digits;

use super::cells::{is_peer, names, table};
use super::{counted_with, shares};
use crate::work::{Section, sections};

/// Allocations of an item that are none: in thousandths they are lists that grow.
const NONE: f64 = 0.004;

/// What to count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cases {
    All,
    /// The first row of each section, and a few items: to see that it works.
    First,
}

struct Count {
    instructions: Option<f64>,
    allocations: f64,
}

/// Counts, with the program `counted` for what is allocated, and writes it as a part of the page.
pub(crate) fn count(cases: Cases, counted: &Path) -> io::Result<String> {
    let mut text = format!(
        "\n## Counts\n\n{}\n\nInstructions are counted by callgrind, as the difference between two \
         lengths of a run. The ratio is ours to that of the peer with the fewest, unless another one is \
         named.\n",
        counted_with()
    );
    for mut section in sections() {
        if cases == Cases::First {
            section.rows.truncate(1);
        }
        eprintln!("counting: {}", section.title);
        text.push_str(&tables(&section, &count_all(&section, counted)?));
    }
    eprintln!("counting: shares");
    text.push_str(&shares::table(if cases == Cases::All { 100 } else { 2 }));
    Ok(text)
}

/// The counts of a section, row by row.
fn count_all(section: &Section, counted: &Path) -> io::Result<Vec<Vec<Count>>> {
    let valgrind = has_valgrind();
    let cases = section.rows.iter().flat_map(|row| {
        row.contenders.iter().map(|c| Case::new(&row.workload, row.in_flight, c.name))
    });
    let cases: Vec<_> = cases.collect();
    let mut counts = on_all_cores(&cases, |case| {
        Ok(Count {
            instructions: valgrind.then(|| case.instructions()).transpose()?,
            allocations: case.allocations(counted)?,
        })
    })?
    .into_iter();
    Ok(section
        .rows
        .iter()
        .map(|row| counts.by_ref().take(row.contenders.len()).collect())
        .collect())
}

fn tables(section: &Section, counts: &[Vec<Count>]) -> String {
    let names = names(section);
    let Section { title, about, item, .. } = section;
    let mut instructions = table(section, Some("ratio"));
    let mut allocations = table(section, None);
    let mut any = false;
    for (row, counts) in section.rows.iter().zip(counts) {
        let head = || [row.workload.clone(), row.in_flight.to_string()];
        let numbers: Vec<f64> = counts.iter().filter_map(|count| count.instructions).collect();
        let peers = names.iter().zip(&numbers).filter(|(name, _)| {
            section.beside.map_or_else(|| is_peer(name), |beside| **name == beside)
        });
        let best = peers.map(|(_, number)| *number).reduce(f64::min);
        let ratio = best.map_or_else(|| "–".into(), |best| format!("{:.2}", numbers[0] / best));
        let cells = counts.iter().map(|count| count.instructions.map_or("–".into(), digits));
        instructions.row(head().into_iter().chain(cells).chain([ratio]));
        any |= counts.iter().any(|count| count.allocations > NONE);
        let cells = counts.iter().map(|count| match count.allocations {
            n if n > NONE => format!("{n:.2}"),
            _ => "0".into(),
        });
        allocations.row(head().into_iter().chain(cells));
    }
    let allocations = if any {
        format!("Allocations per {item}:\n\n{allocations}")
    } else {
        format!("No {item} costs anybody an allocation.\n")
    };
    format!("\n### {title}\n\n{about}\n\nInstructions:\n\n{instructions}\n{allocations}")
}
