use std::io;
use std::path::Path;

use crate::exact::{Case, has_valgrind};
use crate::report::{Table, digits, yes};
use crate::{Row, Timing, workload};

/// Who is counted: those that need no runtime.
pub(super) const THREE: [&str; 3] = ["flowlet", "futures-util", "futures-buffered"];

/// Workloads that are counted, with 16 calls in flight, and whether an item is to cost no allocation:
/// batches are made of them, and so are pipelines.
const WORKLOADS: [(&str, bool); 11] = [
    ("ready", true),
    ("yield once", true),
    ("four waits", true),
    ("woken", true),
    ("ordered, woken", true),
    ("filter, ready", true),
    ("flat map, ready", true),
    ("flat map of streams, ready", true),
    ("chain of 4 stages, ready", true),
    ("batched", false),
    ("tiny pipelines, ready", false),
];

/// More instructions than a plain loop that a stage with limit 1 may take for an item.
const LIMIT_1: f64 = 100.0;

/// How much more an event may cost with 65,536 calls in flight than with 16.
const GROWTH: f64 = 1.2;

/// What was counted.
pub(super) struct Exact {
    per_item: Vec<(&'static str, bool, [Option<Counts>; 3])>,
    limit_1: Option<f64>,
    plain_loop: Option<f64>,
    /// Bytes a call, by the number of calls.
    peaks: Vec<(usize, [f64; 3])>,
    /// What an event costs, by the number of calls.
    events: Vec<(usize, [Event; 3])>,
}

#[derive(Clone, Copy)]
struct Counts {
    instructions: Option<f64>,
    allocations: f64,
}

#[derive(Clone, Copy)]
struct Event {
    instructions: Option<f64>,
    nanoseconds: Option<f64>,
}

impl Exact {
    /// Counts everything, with the program `counted` for what is allocated.
    pub(super) fn count(counted: &Path, timings: &[Timing]) -> io::Result<Self> {
        let valgrind = has_valgrind();
        let instructions = |case: Case| valgrind.then(|| case.instructions()).transpose();
        let rows = workload::rows();

        let mut per_item = Vec::new();
        for (workload, free) in WORKLOADS {
            let mut counts = [None; 3];
            for (name, counts) in THREE.into_iter().zip(&mut counts) {
                if takes_part(&rows, workload, name) {
                    let case = Case::new(workload, 16, name);
                    let allocations = case.allocations(counted)?;
                    *counts = Some(Counts { instructions: instructions(case)?, allocations });
                }
            }
            per_item.push((workload, free, counts));
        }

        let mut peaks = Vec::new();
        for in_flight in [65_536, workload::MANY] {
            let mut bytes = [0.0; 3];
            for (name, bytes) in THREE.into_iter().zip(&mut bytes) {
                let peak = Case::new("woken", in_flight, name).peak(counted)?;
                *bytes = peak as f64 / in_flight as f64;
            }
            peaks.push((in_flight, bytes));
        }

        let mut events = Vec::new();
        for timing in timings.iter().filter(|t| t.workload == "woken" && t.in_flight >= 16) {
            let mut three = [Event { instructions: None, nanoseconds: None }; 3];
            for (name, event) in THREE.into_iter().zip(&mut three) {
                let timed = timing.contenders.iter().find(|timed| timed.name == name);
                event.nanoseconds = timed.and_then(|timed| timed.nanoseconds);
                event.instructions = instructions(Case::new("woken", timing.in_flight, name))?;
            }
            events.push((timing.in_flight, three));
        }

        let limit_1 = instructions(Case::new("ready", 1, "flowlet"))?;
        let plain_loop = instructions(Case::new("ready", 1, "plain loop"))?;
        Ok(Self { per_item, limit_1, plain_loop, peaks, events })
    }

    /// What was wanted of exact figures, and what there is.
    pub(super) fn bars(&self) -> Table {
        let mut table = Table::new(["figure", "ours", "bar", "met"]);
        let mut row = |figure: &str, ours: Option<f64>, bar: f64| {
            let met = ours.map_or("–", |ours| yes(ours <= bar));
            table.row([figure, &optional(ours), &digits(bar), met]);
        };
        let over = self.limit_1.zip(self.plain_loop).map(|(ours, floor)| ours - floor);
        row("instructions an item of a stage with limit 1, over a plain loop", over, LIMIT_1);
        if let Some((in_flight, [ours, peer, _])) = self.peaks.last() {
            let figure = format!("peak heap with {in_flight} calls in flight, to futures-util's");
            row(&figure, Some(ours / peer), 1.0);
        }
        let free = self.per_item.iter().filter(|(_, free, _)| *free);
        let most = free.filter_map(|(.., counts)| counts[0]).map(|counts| counts.allocations);
        row(
            "allocations an item, the most of all rows below but batches and tiny pipelines",
            most.reduce(f64::max),
            0.0,
        );
        let [instructions, nanoseconds] = self.growth(0);
        row("instructions an event, most to fewest calls in flight", instructions, GROWTH);
        row("time of an event, most to fewest calls in flight", nanoseconds, GROWTH);
        table
    }

    /// Instructions and allocations of an item.
    pub(super) fn per_item(&self) -> Table {
        let mut head = vec!["workload, 16 in flight".to_owned()];
        head.extend(
            THREE.iter().flat_map(|n| [format!("{n}: instructions"), "allocations".into()]),
        );
        let mut table = Table::new(head);
        for (workload, _, counts) in &self.per_item {
            let cells = counts.iter().flat_map(|counts| match counts {
                None => ["–".to_owned(), "–".to_owned()],
                Some(counts) => {
                    [optional(counts.instructions), format!("{:.3}", counts.allocations)]
                }
            });
            table.row([(*workload).to_owned()].into_iter().chain(cells));
        }
        table
    }

    /// Bytes of a call.
    pub(super) fn peaks(&self) -> Table {
        let mut table = Table::new(["in flight", THREE[0], THREE[1], THREE[2]]);
        for (in_flight, bytes) in &self.peaks {
            let cells = bytes.iter().map(|bytes| format!("{bytes:.1}"));
            table.row([in_flight.to_string()].into_iter().chain(cells));
        }
        table
    }

    /// What an event costs.
    pub(super) fn events(&self) -> Table {
        let mut head = vec!["in flight".to_owned()];
        head.extend(THREE.iter().flat_map(|n| [format!("{n}: instructions"), "ns".into()]));
        let mut table = Table::new(head);
        for (in_flight, three) in &self.events {
            let cells =
                three.iter().flat_map(|e| [optional(e.instructions), optional(e.nanoseconds)]);
            table.row([in_flight.to_string()].into_iter().chain(cells));
        }
        let growth = (0..THREE.len()).flat_map(|n| self.growth(n)).map(optional);
        table.row(["last to first".to_owned()].into_iter().chain(growth));
        table
    }

    /// The last of a contender's events to its first, in instructions and in time.
    fn growth(&self, contender: usize) -> [Option<f64>; 2] {
        let [(_, first), .., (_, last)] = self.events.as_slice() else { return [None; 2] };
        let (first, last) = (first[contender], last[contender]);
        let ratio = |last: Option<f64>, first| {
            last.zip(first).map(|(last, first): (f64, f64)| last / first)
        };
        [ratio(last.instructions, first.instructions), ratio(last.nanoseconds, first.nanoseconds)]
    }
}

fn takes_part(rows: &[Row], workload: &str, name: &str) -> bool {
    let mut rows = rows.iter().filter(|row| row.workload == workload && row.in_flight == 16);
    rows.any(|row| row.contenders.iter().any(|contender| contender.name == name))
}

fn optional(number: Option<f64>) -> String {
    number.map_or_else(|| "–".to_owned(), digits)
}
