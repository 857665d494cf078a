//! The whole suite, or a part of it, from measuring to writing.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::figure::{self, Repeat};
use crate::peer::THREE;
use crate::record::{self, Counts, Times};
use crate::report::{self, Table, digits};
use crate::{Clock, Effort, Row, Spread, Timing, workload};

mod exact;

/// How much to run.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// For the times.
    pub effort: Effort,

    /// For the other figures.
    pub repeat: Repeat,

    /// Whether to run each workload at each number of calls in flight, or at three of them.
    pub all_sizes: bool,

    /// With how many calls in flight to count. None for all numbers of them.
    pub counts: Option<usize>,
}

impl Extent {
    /// Everything, for the record.
    pub const FULL: Self = Self {
        effort: Effort { rounds: 11, divisor: 1, patience: Duration::from_millis(500) },
        repeat: Repeat { rounds: 11, divisor: 1 },
        all_sizes: true,
        counts: None,
    };

    /// Five minutes' worth.
    pub const QUICK: Self = Self {
        effort: Effort { rounds: 9, divisor: 2, patience: Duration::from_millis(300) },
        repeat: Repeat { rounds: 5, divisor: 2 },
        all_sizes: false,
        counts: Some(16),
    };

    /// Everything once, and hardly: to see that it works.
    pub const SMOKE: Self = Self {
        effort: Effort { rounds: 1, divisor: 100, patience: Duration::from_millis(300) },
        repeat: Repeat { rounds: 1, divisor: 100 },
        all_sizes: true,
        counts: Some(16),
    };
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub counts: Counts,

    /// What everybody took.
    pub times: Times,

    /// All that is of this processor only.
    pub page: String,
}

/// Measures everything, with the program `counted` for what is allocated.
///
/// # Errors
///
/// Fails if a program that counts does.
pub fn run(extent: Extent, counted: &Path) -> io::Result<Outcome> {
    let timings = times(extent, workload::rows(), |_| true);
    let times = Times { facts: report::machine(), timings };
    let counts = count(extent, counted)?;
    progress("latency, the longest poll, fairness");
    let page = page(extent, &times);
    Ok(Outcome { counts, times, page })
}

/// Counts everything that is counted.
///
/// # Errors
///
/// Fails if a program that counts does.
pub fn count(extent: Extent, counted: &Path) -> io::Result<Counts> {
    exact::count(extent, counted)
}

/// What is of one processor only.
fn page(extent: Extent, times: &Times) -> String {
    let Times { facts, timings } = times;
    let [processor, date, flowlet] = ["processor", "date", "flowlet"].map(|name| facts.get(name));
    format!(
        "# {processor}\n\nWritten by the run of {date}, of flowlet {flowlet}. [All processors, and the \
         counts](../RESULTS.md). Only figures from the same run can be compared.\n\n\
         ## Latency\n\n{}\n\
         ## The longest `poll_next`\n\nWith 65,536 calls in flight and a source that is always \
         ready, in microseconds.\n\n{}\n\
         ## Budgets and fairness\n\n{}\n\
         ## Time per item\n\nIn nanoseconds unless another unit is given: the median of {} rounds. In \
         parentheses is our time relative to it: the median, and the middle half of the rounds. Below 1 \
         flowlet is faster. {}\n\n{}",
        latency(extent.repeat),
        worst(extent.repeat),
        fairness(extent.repeat),
        extent.effort.rounds,
        legend(extent.effort.patience),
        report::times(timings),
    )
}

/// What one has to know to read the tables of times.
fn legend(patience: Duration) -> String {
    format!(
        "Everything except tasks, spawned pipelines and blocking calls runs on one thread. Peers that \
         spawn need tokio, so their times include its scheduling. Peers that need no runtime run in a \
         bare loop, as flowlet does. If calls are woken by other threads, timers or sockets, all run on \
         tokio.\n\n\
         A dash means that it cannot do the workload; the \
         [README](../README.md#who-is-missing-where-and-why) says why. \"Too slow\" means that it is ten \
         times as slow as flowlet, and either took more than {} ms for a run or became twice as slow \
         with the last step.",
        patience.as_millis()
    )
}

/// Writes what can be read of the records that are there: `RESULTS.md`, and the charts of the last run.
///
/// # Errors
///
/// Fails if a record cannot be read, or the rest be written.
pub fn write() -> io::Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (counts, times) = record::read_all()?;
    fs::write(package.join("RESULTS.md"), report::results(&counts, &times))?;
    fs::create_dir_all(package.join("charts"))?;
    let charts = times.first().into_iter().flat_map(report::charts);
    charts.into_iter().try_for_each(|(name, svg)| fs::write(package.join("charts").join(name), svg))
}

/// Times some rows of some workloads.
pub fn times(extent: Extent, rows: Vec<Row>, wanted: impl Fn(&str) -> bool) -> Vec<Timing> {
    let mut clock = Clock::new(extent.effort);
    let rows = rows.into_iter();
    let rows = rows.filter(|row| wanted(&row.workload) && is_in(extent, row.in_flight));
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

fn latency(repeat: Repeat) -> String {
    let head = ["from wake to output, in ns", "in flight"];
    let mut table = Table::new(head.into_iter().chain(THREE));
    let mut row = |from: &str, in_flight: usize, latencies: [Spread; 3]| {
        let cells = latencies.map(|Spread { low, median, high }| {
            let [low, median, high] = [low, median, high].map(digits);
            format!("{median}, {low}–{high}")
        });
        table.row([from.to_owned(), in_flight.to_string()].into_iter().chain(cells));
    };
    for in_flight in [1, 16, 256, 4_096, 65_536] {
        row("same thread", in_flight, figure::latencies(in_flight, repeat));
    }
    row("another thread, sleeping consumer", 16, figure::latencies_from_another_thread(16, repeat));
    format!("The median of all events, and the range of their middle half.\n\n{table}")
}

fn worst(repeat: Repeat) -> Table {
    let mut table = Table::new(["calls"].into_iter().chain(THREE));
    for (calls, worst) in figure::worst_polls(65_536, repeat) {
        let cells = worst.map(|microseconds| digits(microseconds.median));
        table.row([calls.to_owned()].into_iter().chain(cells));
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
    let table = figure::fairness(&[16, 256, 4_096], repeat);
    format!(
        "A pipeline and another task, which yields all the time, on a tokio runtime with one thread. A \
         turn is a poll of the pipeline's task. The table shows how long the other task waits, in polls \
         of calls, which are exact, and in microseconds. It yields with tokio's `yield_now`, and so is \
         woken as a socket would wake it: when tokio checks for events, which it does when there is \
         nothing else to poll, or after 61 polls of tasks. While calls are ready at once the consumer \
         never has to wait, and the other task waits for the whole run, no matter whose stage it is. \
         Calls that take a permit of a tokio semaphore use one unit each of tokio's budget, of which a \
         turn has 128. When it is spent, they are polled in vain: 1 poll per call is the minimum. \
         Calls that yield four times need 5.\
         \n\n{table}"
    )
}
