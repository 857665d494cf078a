//! Exact figures of ours, and what they were when somebody last looked at them.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::exact::{Case, has_valgrind, on_all_cores};
use crate::record::read_lines;
use crate::report::{Table, digits, rustc};
use crate::workload::PEAKS;

/// Where they are.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.csv")
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Instructions,
    Allocations,
    PeakHeap,
}

impl Figure {
    const ALL: [Self; 3] = [Self::Instructions, Self::Allocations, Self::PeakHeap];

    fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions per item",
            Self::Allocations => "allocations per item",
            Self::PeakHeap => "peak heap in bytes",
        }
    }

    /// What it may be without being worse. Instructions have changed by 3.3% where nothing but other
    /// code of the program did, and allocations in thousandths come from lists that grow.
    fn allowed(self, recorded: f64) -> f64 {
        match self {
            Self::Instructions => 1.05 * recorded,
            Self::Allocations => recorded + 0.002,
            Self::PeakHeap => 1.01 * recorded,
        }
    }
}

/// Workloads, and how many calls at once.
const STEADY: [(&str, usize); 27] = [
    ("ready", 1),
    ("ready", 16),
    ("ready", 256),
    ("yield once", 1),
    ("yield once", 16),
    ("yield once", 256),
    ("four waits", 1),
    ("four waits", 16),
    ("woken", 1),
    ("woken", 16),
    ("woken", 4_096),
    ("big futures", 16),
    ("ordered, ready", 16),
    ("ordered, woken", 16),
    ("filter, ready", 16),
    ("filter, woken", 16),
    ("flat map, ready", 16),
    ("flat map, woken", 16),
    ("flat map of 64, ready", 16),
    ("flat map of streams, ready", 16),
    ("chain of 4 stages, ready", 16),
    ("chain of 4 stages, woken", 16),
    ("chain of 4 stages, woken", 256),
    ("batched", 16),
    ("tiny pipelines, ready", 16),
    ("tiny pipelines, woken", 16),
    ("boxed flow, ready", 16),
];

/// A figure that was counted, or recorded.
#[derive(Clone, Debug)]
struct Count {
    figure: Figure,
    workload: String,
    in_flight: usize,
    value: f64,
}

fn cases() -> Vec<(Figure, &'static str, usize)> {
    let mut cases = Vec::new();
    for (workload, in_flight) in STEADY {
        if has_valgrind() {
            cases.push((Figure::Instructions, workload, in_flight));
        }
        cases.push((Figure::Allocations, workload, in_flight));
    }
    cases.extend(PEAKS.map(|in_flight| (Figure::PeakHeap, "woken", in_flight)));
    cases
}

fn count(counted: &Path) -> io::Result<Vec<Count>> {
    on_all_cores(&cases(), |&(figure, workload, in_flight)| {
        let contender = if workload.starts_with("boxed") { "flowlet's Flow" } else { "flowlet" };
        let case = Case::new(workload, in_flight, contender);
        let value = match figure {
            Figure::Instructions => case.instructions(),
            Figure::Allocations => case.allocations(counted),
            Figure::PeakHeap => case.peak(counted).map(|bytes| bytes as f64),
        }?;
        Ok(Count { figure, workload: workload.to_owned(), in_flight, value })
    })
}

/// Counts everything and writes it down.
///
/// # Errors
///
/// Fails if something cannot be counted or written.
pub fn record(counted: &Path) -> io::Result<()> {
    if !has_valgrind() {
        return Err(io::Error::other("instructions are counted by valgrind, which is not there"));
    }
    let mut text = format!("# {}\nfigure;workload;in flight;value\n", rustc());
    for Count { figure, workload, in_flight, value } in count(counted)? {
        let _ = writeln!(text, "{};{workload};{in_flight};{value:.3}", figure.name());
    }
    fs::write(path(), text)
}

/// Counts everything, prints it beside what was recorded, and tells whether nothing got worse.
///
/// # Errors
///
/// Fails if something cannot be counted or read.
pub fn check(counted: &Path) -> io::Result<bool> {
    let text = fs::read_to_string(path())?;
    let recorded_by = text.lines().next().unwrap_or_default().trim_start_matches("# ");
    println!("recorded with {recorded_by}, counted with {}\n", rustc());
    if !has_valgrind() {
        println!("VALGRIND IS NOT THERE: instructions are not counted. Install it to check all.\n");
    }
    let recorded = read(&text)?;
    let mut table = Table::new(["figure", "workload", "in flight", "recorded", "now", "verdict"]);
    let mut good = true;
    for now in count(counted)? {
        let before = recorded.iter().find(|before| {
            (before.figure, &before.workload, before.in_flight)
                == (now.figure, &now.workload, now.in_flight)
        });
        let verdict = match before {
            None => "not recorded",
            Some(before) if now.value > now.figure.allowed(before.value) => "WORSE",
            Some(before) if before.value > now.figure.allowed(now.value) => "better: record it",
            Some(_) => "same",
        };
        good &= !matches!(verdict, "WORSE" | "not recorded");
        table.row([
            now.figure.name().to_owned(),
            now.workload,
            now.in_flight.to_string(),
            before.map_or_else(|| "–".to_owned(), |before| digits(before.value)),
            digits(now.value),
            verdict.to_owned(),
        ]);
    }
    println!("{table}");
    Ok(good)
}

fn read(text: &str) -> io::Result<Vec<Count>> {
    read_lines(text, |fields| {
        let [figure, workload, in_flight, value] = *fields else { return None };
        Some(Count {
            figure: Figure::ALL.into_iter().find(|f| f.name() == figure)?,
            workload: workload.to_owned(),
            in_flight: in_flight.parse().ok()?,
            value: value.parse().ok()?,
        })
    })
}
