use super::{Table, bars, bold_if, digits, duration, optional};
use crate::peer::{THREE, sequential};
use crate::record::{Count, Counts, Facts, Times};
use crate::workload::{MANY, outputs_of};

/// More instructions than a plain loop that a stage with limit 1 may take for an item.
const LIMIT_1: f64 = 100.0;

/// Allocations an item may have: none. In thousandths they are lists that grow.
const ALLOCATIONS: f64 = 0.004;

/// How much more an event may cost with 65,536 calls in flight than with 16.
const GROWTH: f64 = 1.2;

/// All that is known: the counts once, and the times of each processor in a column.
pub fn results(counts: &Counts, times: &[Times]) -> String {
    let processors: String = times.iter().map(pointer).collect();
    format!(
        "# Results\n\nWritten by `cargo bench -p flowlet-benches --bench suite`, from the records in \
         [results](results); see [the package](src/lib.rs) for the commands. Counts are exact, and the same on \
         every processor. Times are not: each column is from one run on one processor, and times from \
         different runs are never compared.\n\n{}\n\
         All peers' times, latencies, longest polls, budgets and fairness, by processor:\n\n\
         {processors}\n\
         ![Time per item](charts/time-per-item.svg)\n\n\
         ![Wall time of a chain with a slow stage](charts/slow-stage.svg)\n\n\
         The calls: *ready* calls are ready at once. *Yield once* calls wake themselves once. *Woken* \
         calls wait once for the suite's reactor, which wakes in random order; *four waits* wait four \
         times. *Timers* wait a millisecond. *Sockets* send eight bytes to an echo server and wait for \
         them, and so do the calls of pipelines *spawned* as tasks. Of *mixed durations*, one call in \
         100 is woken 100 times, the others once. *Big futures* are *woken* calls of 4 KiB. A *flat map* \
         yields four outputs per item: all at once from a call, or *of streams* with a call for each. \
         *Tiny pipelines* have ten items each. *Tasks* and *blocking calls, work* compute for about a \
         microsecond.\n\n\
         ## Counts\n\nInstructions per item (callgrind), without setup. The ratio is ours to the best \
         peer's, in bold if it misses its bar; [why](README.md#where-a-bar-is-missed-\
         and-why).\n\n{}\n\
         Flat maps with 2 to 1,000 outputs per call, in instructions per *output*:\n\n{}\n\
         {}\n\
         Allocations per item (thousandths are lists that grow), with 16 calls in flight:\n\n\
         {}\n\
         Peak heap with all calls waiting at the same time, in bytes per call:\n\n{}\n\
         ## Times\n\nOur time per item, and its ratio to the best peer's in the same run: the median of \
         the rounds, and the range of their middle half. It is in bold if it misses its bar. The best \
         peer is futures-buffered unless another one is named.\n\n{}",
        facts(counts, times),
        instructions(counts, |workload| outputs_of(workload) == 1),
        instructions(counts, |workload| outputs_of(workload) > 1),
        other_bars(counts),
        allocations(counts),
        peaks(counts),
        compared(counts, times),
    )
}

fn pointer(times: &Times) -> String {
    format!("- [{}](results/{}.md)\n", times.facts.get("processor"), times.slug())
}

/// What is known of the counts and of each run, in columns, and below them what is the same in all.
fn facts(counts: &Counts, times: &[Times]) -> String {
    let columns: Vec<&Facts> =
        [&counts.facts].into_iter().chain(times.iter().map(|times| &times.facts)).collect();
    let runs = times.iter().map(|times| times.facts.get("processor"));
    let mut table = Table::new(["", "counts"].into_iter().chain(runs));
    let mut same = Vec::new();
    let mut names: Vec<&str> = vec!["processor"];
    for name in columns.iter().flat_map(|facts| facts.names()) {
        if names.contains(&name) {
            continue;
        }
        names.push(name);
        let values: Vec<&str> = columns.iter().map(|facts| facts.get(name)).collect();
        if columns.len() > 1 && values.iter().all(|value| *value == values[0]) {
            same.push(format!("{name} {}", values[0]));
        } else {
            table.row([name].into_iter().chain(values));
        }
    }
    if same.is_empty() {
        return table.to_string();
    }
    format!("{table}\nThe same in all: {}.\n", same.join(", "))
}

/// A figure of the three in a row: our line is the first one, whatever it is called.
fn three(row: &[Count], figure: fn(&Count) -> Option<f64>) -> [Option<f64>; 3] {
    THREE.map(|name| {
        let is_its = |count: &&Count| count.contender.split(", ").next() == Some(name);
        let line = if name == THREE[0] { row.first() } else { row[1..].iter().find(is_its) };
        line.and_then(figure)
    })
}

fn instructions(counts: &Counts, wanted: impl Fn(&str) -> bool) -> Table {
    let head = ["workload", "in flight"].into_iter().chain(THREE).chain(["ratio", "bar"]);
    let mut table = Table::new(head);
    for row in counts.rows().filter(|row| wanted(&row[0].workload)) {
        let Some((ours, best)) = bars::instructions(row) else { continue };
        let (workload, in_flight) = (row[0].workload.as_str(), row[0].in_flight.to_string());
        let (ratio, bar) = (ours / best, bars::of_counts(workload));
        let cells = three(row, |count| count.instructions).map(optional);
        // So that none seems to be at its bar that is above.
        let last = [bold_if(ratio > bar, format!("{ratio:.3}")), format!("{bar:.1}")];
        table.row([workload.to_owned(), in_flight].into_iter().chain(cells).chain(last));
    }
    table
}

/// Other bars of exact figures.
fn other_bars(counts: &Counts) -> Table {
    let mut table = Table::new(["figure", "ours", "bar"]);
    let mut row = |figure: &str, ours: Option<f64>, bar: f64| {
        let missed = ours.is_some_and(|ours| ours > bar);
        table.row([figure.to_owned(), bold_if(missed, optional(ours)), digits(bar)]);
    };
    let ours = |workload, in_flight| counts.find(workload, in_flight, THREE[0]);
    let taken = |workload, in_flight| ours(workload, in_flight)?.instructions;
    let ready = counts.rows().map(|row| &row[0]).filter(|count| count.workload == "ready");
    let ready = ready.filter_map(|count| count.instructions).reduce(f64::max);
    row("instructions per ready item", ready, bars::READY);
    let plain = counts.find("ready", 1, sequential::NAME).and_then(|count| count.instructions);
    let over = taken("ready", 1).zip(plain).map(|(ours, plain)| ours - plain);
    row("instructions per item of a stage with limit 1, beyond a plain loop", over, LIMIT_1);
    let growth = taken("woken", 65_536).zip(taken("woken", 16)).map(|(most, few)| most / few);
    row("instructions per event, 65,536 calls in flight relative to 16", growth, GROWTH);
    let bytes = |name| counts.find("woken", MANY, name)?.bytes;
    let peak = bytes(THREE[0]).zip(bytes(THREE[1])).map(|(ours, peer)| ours / peer);
    row("peak heap with a million calls in flight, relative to futures-util's", peak, 1.0);
    let free = counts.rows().map(|row| &row[0]).filter(|count| !allocates(&count.workload));
    let most = free.filter_map(|count| count.allocations).reduce(f64::max);
    let figure = "allocations per item, the most in any row except batches and tiny pipelines";
    row(figure, most, ALLOCATIONS);
    table
}

/// Batches are made of allocations, and so are pipelines.
fn allocates(workload: &str) -> bool {
    workload == "batched" || workload.starts_with("tiny pipelines")
}

fn allocations(counts: &Counts) -> Table {
    let mut table = Table::new(["workload"].into_iter().chain(THREE));
    let wanted = |count: &Count| count.in_flight == 16 && outputs_of(&count.workload) == 1;
    for row in counts.rows().filter(|row| wanted(&row[0])) {
        let cells = three(row, |count| count.allocations)
            .map(|number| number.map_or("–".to_owned(), |n| format!("{n:.3}")));
        table.row([row[0].workload.clone()].into_iter().chain(cells));
    }
    table
}

fn peaks(counts: &Counts) -> Table {
    let mut table = Table::new(["in flight"].into_iter().chain(THREE));
    for row in counts.rows().filter(|row| row[0].bytes.is_some()) {
        let cells = three(row, |count| count.bytes).map(optional);
        table.row([row[0].in_flight.to_string()].into_iter().chain(cells));
    }
    table
}

/// Our times beside the best peer's, with a column for each processor.
fn compared(counts: &Counts, times: &[Times]) -> Table {
    let columns = times.iter().map(|times| head(counts, &times.facts));
    let head = ["workload", "in flight", "bar"].map(str::to_owned).into_iter().chain(columns);
    let mut table = Table::new(head);
    for (workload, in_flight) in all_rows(times) {
        let bar = bars::of_times(workload, in_flight);
        let cells = times.iter().map(|times| cell(times, workload, in_flight, bar));
        let first = [workload.to_owned(), in_flight.to_string(), bar.map_or("–".into(), digits_1)];
        table.row(first.into_iter().chain(cells));
    }
    let growth = times.iter().map(|times| {
        let ours = |in_flight| times.nanoseconds("woken", in_flight, THREE[0]);
        let growth = ours(65_536).zip(ours(16)).map(|(most, few)| most / few);
        bold_if(growth.is_some_and(|growth| growth > GROWTH), optional(growth))
    });
    let first = ["woken: time per event relative to that at 16", "65536"].map(str::to_owned);
    table.row(first.into_iter().chain([digits_1(GROWTH)]).chain(growth));
    table
}

fn digits_1(bar: f64) -> String {
    format!("{bar:.1}")
}

/// A column's head: whose it is, of which day, and of what.
fn head(counts: &Counts, facts: &Facts) -> String {
    let [processor, date, flowlet] = ["processor", "date", "flowlet"].map(|name| facts.get(name));
    let same = facts.get("code") == counts.facts.get("code");
    let other = match () {
        () if same => "",
        () if date <= counts.facts.get("date") => ", **older** than the counts",
        () => ", newer than the counts",
    };
    format!("{processor}, {date}, {flowlet}{other}")
}

/// Each row that was timed anywhere, in the order of the first one that has it.
fn all_rows(times: &[Times]) -> Vec<(&str, usize)> {
    let mut rows: Vec<(&str, usize)> = Vec::new();
    for timing in times.iter().flat_map(|times| &times.timings) {
        let row = (timing.workload.as_str(), timing.in_flight);
        if rows.contains(&row) {
            continue;
        }
        // In its place among those of its workload, if another run has fewer of them.
        let next = rows.iter().position(|next| next.0 == row.0 && next.1 > row.1);
        let last = || rows.iter().rposition(|last| last.0 == row.0).map(|last| last + 1);
        rows.insert(next.or_else(last).unwrap_or(rows.len()), row);
    }
    rows
}

fn cell(times: &Times, workload: &str, in_flight: usize, bar: Option<f64>) -> String {
    let row = times.row(workload, in_flight);
    let ours = row.and_then(|row| row.contenders.first()?.nanoseconds);
    let Some((row, ours)) = row.zip(ours) else { return "–".to_owned() };
    let time = match duration(ours) {
        time if time.ends_with("ms") => time,
        time => format!("{time} ns"),
    };
    let Some((best, ratio)) = bars::best_peer(row) else { return time };
    let missed = bar.is_some_and(|bar| ratio.median > bar);
    let of = if best == THREE[2] { String::new() } else { format!(" of {best}") };
    format!("{time}: {}{of}", bold_if(missed, ratio.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: &str = "# date: 2026-11-30\n# code: new\n# tokio: 1.54.1\n\
                          workload;in flight;contender;instructions;allocations;bytes a call\n\
                          ready;1;flowlet;143;0;\nready;1;futures-util;428;1;\n\
                          ready;1;futures-buffered;140;0;\nready;1;plain loop;17;0;\n\
                          boxed flow, ready;16;flowlet's Flow;871;0;\n\
                          boxed flow, ready;16;futures-util, boxed;1800;8;\n\
                          flat map of 2, ready;16;flowlet;140;0;\n\
                          flat map of 2, ready;16;futures-buffered;100;0;\n";

    fn times(processor: &str, date: &str, code: &str, lines: &str) -> Times {
        let head = "workload;in flight;contender;ns an item;our part of it;low;high";
        let facts =
            format!("# processor: {processor}\n# date: {date}\n# flowlet: abc\n# code: {code}");
        let facts = format!("{facts}\n# tokio: 1.54.1");
        Times::read(&format!("{facts}\n{head}\n{lines}")).unwrap()
    }

    #[test]
    fn counts_stand_beside_their_bars() {
        let counts = Counts::read(COUNTS).unwrap();
        let text = results(&counts, &[]);
        for line in [
            "| ready | 1 | 143 | 428 | 140 | **1.021** | 1.0 |",
            "| boxed flow, ready | 16 | 871 | 1800 | – | 0.484 | 1.0 |",
            "| flat map of 2, ready | 16 | 140 | – | 100 | 1.400 | 1.4 |",
            "| instructions per ready item | **143** | 120 |",
            "| instructions per item of a stage with limit 1, beyond a plain loop | **126** | 100 |",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn each_run_has_a_column_and_nothing_is_of_two() {
        let counts = Counts::read(COUNTS).unwrap();
        let new = times(
            "New",
            "2026-11-30",
            "new",
            "woken;16;flowlet;10;1;1;1\nwoken;16;futures-buffered;20;0.5;0.4;0.6\n\
             woken;65536;flowlet;30;1;1;1\nwoken;65536;futures-buffered;20;1.5;1.4;1.6\n\
             timers;1;flowlet;2000000;1;1;1\ntimers;1;pumps;2000000;1;1;1\n",
        );
        let old = times(
            "Old",
            "2026-11-25",
            "old",
            "woken;16;flowlet;50;1;1;1\nwoken;16;futures-buffered;;;;\n\
             woken;256;flowlet;50;1;1;1\nwoken;256;futures-buffered;50;1;0.9;1.1\n",
        );
        let runs = [new, old];
        let facts = facts(&counts, &runs);
        let table = compared(&counts, &runs).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "| workload | in flight | bar | New, 2026-11-30, abc \
                 | Old, 2026-11-25, abc, **older** than the counts |",
                "| --- | ---: | ---: | ---: | ---: |",
                "| woken | 16 | 0.9 | 10.0 ns: 0.50, 0.40–0.60 | 50.0 ns |",
                "| woken | 256 | 0.9 | – | 50.0 ns: **1.00, 0.90–1.10** |",
                "| woken | 65536 | 1.0 | 30.0 ns: **1.50, 1.40–1.60** | – |",
                "| timers | 1 | 1.0 | 2.00 ms: 1.00, 1.00–1.00 of pumps | – |",
                "| woken: time per event relative to that at 16 | 65536 | 1.2 | **3.00** | – |",
            ]
        );
        assert!(facts.contains("| date | 2026-11-30 | 2026-11-30 | 2026-11-25 |"), "{facts}");
        assert!(facts.ends_with("The same in all: tokio 1.54.1.\n"), "{facts}");
    }
}
