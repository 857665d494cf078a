//! The whole suite, or a part of it, from measuring to writing.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::figure::{self, Repeat};
use crate::report::{self, Bar, Group, Table, chart, digits, yes};
use crate::{Clock, Effort, Row, Timing, workload};

mod exact;

use self::exact::{Exact, THREE};

/// How much to run.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// For the times.
    pub effort: Effort,

    /// For the other figures.
    pub repeat: Repeat,

    /// Whether to run each workload at each number of calls in flight, or at three of them.
    pub all_sizes: bool,
}

impl Extent {
    /// Everything, for the record.
    pub const FULL: Self = Self {
        effort: Effort { rounds: 11, divisor: 1, patience: Duration::from_millis(500) },
        repeat: Repeat { rounds: 11, divisor: 1 },
        all_sizes: true,
    };

    /// Five minutes' worth.
    pub const QUICK: Self = Self {
        effort: Effort { rounds: 9, divisor: 2, patience: Duration::from_millis(300) },
        repeat: Repeat { rounds: 5, divisor: 2 },
        all_sizes: false,
    };

    /// Everything once, and hardly: to see that it works.
    pub const SMOKE: Self = Self {
        effort: Effort { rounds: 1, divisor: 100, patience: Duration::from_millis(300) },
        repeat: Repeat { rounds: 1, divisor: 100 },
        all_sizes: true,
    };
}

/// Measures everything, with the program `counted` for what is allocated, and gives the text and the
/// charts, by name.
///
/// # Errors
///
/// Fails if a program that counts does.
pub fn run(extent: Extent, counted: &Path) -> io::Result<(String, [(&'static str, String); 2])> {
    let timings = times(extent, workload::rows(), |_| true);
    progress("instructions, allocations, bytes");
    let exact = Exact::count(counted, &timings)?;
    progress("latency, the longest poll, fairness");
    let text = format!(
        "# Results\n\nWritten by `cargo bench -p flowlet-benches --bench suite`; see \
         [the package](src/lib.rs) for how. Only figures of one run can be compared.\n\n{}\n\
         ![Time per item](charts/time-per-item.svg)\n\n\
         ![Wall time of a chain with a slow stage](charts/slow-stage.svg)\n\n\
         ## Bars\n\nOur time as a part of the best peer's in the same run: the median of the \
         rounds, and the middle half of them.\n\n{}\n\
         {}\n\
         ## Exact figures\n\nInstructions (callgrind) and allocations of an item, without those of \
         setting up. (Allocations in thousandths are lists that grow.)\n\n{}\n\
         Peak heap, with all calls waiting at the same time, in bytes a call:\n\n{}\n\
         What an event costs, by the number of calls in flight: a call is woken in random order, its \
         output handed on, the next call started. Instructions show whether more is done; time shows \
         caches too.\n\n{}\n\
         ## Latency\n\n{}\n\
         ## The longest `poll_next`\n\nWith 65,536 calls in flight and a source that is always \
         ready, in microseconds.\n\n{}\n\
         ## Budgets and fairness\n\n{}\n\
         ## Time per item\n\nIn nanoseconds where no other unit is given: the median of {} rounds. In \
         parentheses our time as a part of it, median and middle half of the rounds; below 1 we are \
         faster. {}\n\n{}",
        report::machine(),
        bars(&report::bars(&timings)),
        exact.bars(),
        exact.per_item(),
        exact.peaks(),
        exact.events(),
        latency(extent.repeat),
        worst(extent.repeat),
        fairness(extent.repeat),
        extent.effort.rounds,
        legend(extent.effort.patience),
        report::times(&timings),
    );
    let charts =
        [("time-per-item.svg", time_per_item(&timings)), ("slow-stage.svg", slow_stage(&timings))];
    Ok((text, charts))
}

/// What one has to know to read the tables of times.
fn legend(patience: Duration) -> String {
    format!(
        "Everything but tasks and blocking calls runs on one thread. Peers that spawn cannot do without \
         tokio, so their time has its scheduling in it; those that need no runtime run in a bare loop, \
         as we do. Where calls are woken by other threads, timers or sockets, all run on tokio.\n\n\
         A dash: it cannot do the workload, and the [README](README.md#who-is-missing-where-and-why) says \
         why. \"Too slow\": it is ten times as slow as we are, and either took more than {} ms for a run \
         or had become twice as slow with the last step.\n\n\
         The calls: *ready* ones are ready at once, *yield once* ones wake themselves once; *woken* ones \
         wait once for a reactor of the suite, which wakes in random order, *four waits* four times. \
         *Timers* wait a millisecond, *sockets* send eight bytes to an echo server and wait for them. Of \
         *mixed durations* one in 100 is woken 100 times, the others once. *Big futures* are *woken* \
         ones of 4 KiB. A *flat map* gives four outputs an item: of a call at once, or *of streams* with a \
         call for each. *Tiny pipelines* have ten items each. *Tasks* and *blocking calls, work* \
         calculate for about a microsecond.",
        patience.as_millis()
    )
}

/// Writes what came out, where the README finds it.
///
/// # Errors
///
/// Fails if that cannot be written.
pub fn write(text: &str, charts: &[(&str, String)]) -> io::Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::write(package.join("RESULTS.md"), text)?;
    fs::create_dir_all(package.join("charts"))?;
    charts.iter().try_for_each(|(name, svg)| fs::write(package.join("charts").join(name), svg))
}

/// Times some rows of some workloads.
pub fn times(extent: Extent, rows: Vec<Row>, wanted: impl Fn(&str) -> bool) -> Vec<Timing> {
    let mut clock = Clock::new(extent.effort);
    let rows = rows.into_iter();
    let rows = rows.filter(|row| wanted(row.workload) && is_in(extent, row.in_flight));
    rows.map(|row| {
        let start = Instant::now();
        let timing = clock.time(&row);
        progress(&format!(
            "{}, {} in flight: {:.1?}",
            row.workload,
            row.in_flight,
            start.elapsed()
        ));
        timing
    })
    .collect()
}

fn is_in(extent: Extent, in_flight: usize) -> bool {
    extent.all_sizes || !matches!(in_flight, 1 | 4_096 | 65_536)
}

fn progress(text: &str) {
    eprintln!("{text}");
}

fn bars(bars: &[Bar]) -> Table {
    let mut table = Table::new(["workload", "in flight", "best peer", "ratio", "bar", "met"]);
    for bar in bars {
        table.row([
            bar.workload.to_owned(),
            bar.in_flight.to_string(),
            bar.best.to_owned(),
            bar.ratio.to_string(),
            format!("{:.1}", bar.bar),
            yes(bar.is_met()).to_owned(),
        ]);
    }
    table
}

fn latency(repeat: Repeat) -> String {
    let mut table =
        Table::new(["from wake to output, in ns", "in flight", THREE[0], THREE[1], THREE[2]]);
    let mut row = |from: &str, in_flight: usize, latencies: Vec<figure::Latency>| {
        let cells = latencies.iter().map(|latency| {
            let spread = latency.nanoseconds;
            let [low, median, high] = [spread.low, spread.median, spread.high].map(digits);
            format!("{median}, {low}–{high}")
        });
        table.row([from.to_owned(), in_flight.to_string()].into_iter().chain(cells));
    };
    for in_flight in [1, 16, 256, 4_096, 65_536] {
        row("same thread", in_flight, figure::latencies(in_flight, repeat));
    }
    row("another thread, sleeping consumer", 16, figure::latencies_from_another_thread(16, repeat));
    format!("The median of all events, and the middle half of them.\n\n{table}")
}

fn worst(repeat: Repeat) -> Table {
    let mut table = Table::new(["calls", THREE[0], THREE[1], THREE[2]]);
    for three in figure::worst_polls(65_536, repeat).chunks(3) {
        let cells = three.iter().map(|worst| digits(worst.microseconds.median));
        table.row([three[0].workload.to_owned()].into_iter().chain(cells));
    }
    table
}

/// What a budget is chosen by.
pub fn budgets(extent: Extent) -> String {
    let (fairness, worst) = (fairness(extent.repeat), worst(extent.repeat));
    format!(
        "{fairness}\nThe longest `poll_next`, in microseconds, with 65,536 in flight:\n\n{worst}"
    )
}

fn fairness(repeat: Repeat) -> String {
    let mut table = Table::new([
        "calls",
        "in flight",
        "whose",
        "polls a call",
        "calls a turn",
        "ns an item",
        "the other's wait in polls: median",
        "most",
        "in µs: median",
        "most",
    ]);
    for fair in figure::fairness(&[16, 256, 4_096], repeat) {
        table.row([
            fair.calls.to_owned(),
            fair.in_flight.to_string(),
            fair.name.to_owned(),
            format!("{:.3}", fair.polls_a_call),
            digits(fair.calls_a_turn),
            digits(fair.nanoseconds),
            format!("{:.0}", fair.median_polls),
            format!("{:.0}", fair.most_polls),
            digits(fair.median_wait),
            digits(fair.longest_wait),
        ]);
    }
    format!(
        "A pipeline and another task, which gives way all the time, on a tokio runtime of one thread. \
         A turn is a poll of the pipeline's task. How long the other task waits is given in polls of \
         calls, which are exact, and in microseconds. It gives way by tokio's `yield_now`, and so is \
         woken as a socket would wake it: when tokio looks for events, which it does when nothing else is \
         to be polled, or after 61 polls of tasks. While calls are ready at once the consumer never has to \
         wait, and the other task waits for the whole run, whosever the stage is. Calls that take a \
         permit of a tokio semaphore use a unit each of tokio's budget, of which a turn has 128, and are \
         polled in vain when it is spent: 1 poll a call is the least. Calls that yield four times need \
         5.\
         \n\n{table}"
    )
}

/// Ours and the fastest peers, at 256 calls in flight, or what is nearest to that.
fn time_per_item(timings: &[Timing]) -> String {
    let workloads = [
        ("ready", "Calls that are ready at once"),
        ("yield once", "Calls that yield once"),
        ("woken", "Calls that a reactor wakes, in random order"),
        ("flat map, ready", "Flat map, four outputs an item"),
        ("chain of 4 stages, ready", "A chain of four stages"),
        ("tiny pipelines, ready", "Pipelines of ten items"),
    ];
    let groups = workloads.into_iter().filter_map(|(workload, title)| {
        let rows = timings.iter().filter(|timing| timing.workload == workload);
        let timing = rows.min_by_key(|timing| timing.in_flight.abs_diff(256))?;
        let bars = fastest(timing, 6, 1.0);
        let title = format!("{title}; {} in flight", timing.in_flight);
        Some(Group { title, bars, floor: None })
    });
    chart("Time per item (shorter is better)", "ns", &groups.collect::<Vec<_>>())
}

fn slow_stage(timings: &[Timing]) -> String {
    let rows = workload::rows();
    let of = |timing: &&Timing| timing.workload == "slow stage";
    let row = rows.iter().find(|row| row.workload == "slow stage");
    let groups = timings.iter().find(of).zip(row).map(|(timing, row)| {
        // The time is that of an item, and the chart's that of the run.
        let bars = fastest(timing, usize::MAX, row.items as f64 / 1e6);
        let floor = Some(workload::slow_stage_floor().as_secs_f64() * 1e3);
        let title =
            format!("{} items, 4 at a time for 50 ms, then 2 at a time for 25 ms", row.items);
        Group { title, bars, floor }
    });
    chart(
        "Wall time of a chain with a slow stage (the line: the least, if timers were exact)",
        "ms",
        groups.as_slice(),
    )
}

/// Ours, and then the peers, the fastest first.
fn fastest(timing: &Timing, number: usize, scale: f64) -> Vec<(&'static str, f64)> {
    let timed = timing.contenders.iter().filter(|timed| timed.name != "plain loop");
    let mut bars: Vec<_> =
        timed.filter_map(|timed| Some((timed.name, timed.nanoseconds? * scale))).collect();
    if let [_, peers @ ..] = bars.as_mut_slice() {
        peers.sort_by(|a, b| a.1.total_cmp(&b.1));
    }
    bars.truncate(number);
    bars
}
