//! Figures that are the same in every run: instructions, allocations, bytes. Each comes from a process
//! of its own, which runs one contender once; twice with different numbers of items gives the price
//! of an item without that of setting up.

use std::env;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::{Row, workload};

/// A contender at work, as the arguments `WORKLOAD IN_FLIGHT CONTENDER ITEMS`.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the row is called.
    pub workload: String,

    /// How many calls at once.
    pub in_flight: usize,

    /// Who runs.
    pub contender: String,
}

impl Case {
    /// Makes a case.
    pub fn new(workload: &str, in_flight: usize, contender: &str) -> Self {
        Self { workload: workload.into(), in_flight, contender: contender.into() }
    }

    /// Reads four arguments.
    ///
    /// # Panics
    ///
    /// Panics if numbers are none.
    pub fn from_arguments(arguments: &[String; 4]) -> (Self, u64) {
        let [workload, in_flight, contender, items] = arguments;
        let in_flight = in_flight.parse().expect("IN_FLIGHT is a number");
        (Self::new(workload, in_flight, contender), items.parse().expect("ITEMS is a number"))
    }

    /// Runs it in this process.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row or contender.
    pub fn run(&self, rows: &[Row], items: u64) {
        let row = rows
            .iter()
            .find(|row| row.workload == self.workload && row.in_flight == self.in_flight);
        let row =
            row.unwrap_or_else(|| panic!("no row {:?} with {}", self.workload, self.in_flight));
        let contender = row.contenders.iter().find(|c| c.name == self.contender);
        let contender =
            contender.unwrap_or_else(|| panic!("nobody is called {:?}", self.contender));
        row.run(contender, items);
    }

    fn arguments(&self, items: u64) -> [String; 4] {
        let Self { workload, in_flight, contender } = self;
        [workload.clone(), in_flight.to_string(), contender.clone(), items.to_string()]
    }

    /// How many items make the set-up steady, and so are not counted.
    fn steady(&self, outputs: u64) -> u64 {
        4_000.max(3 * self.in_flight as u64 * outputs).next_multiple_of(outputs)
    }

    fn per_item(&self, total: impl Fn(u64) -> io::Result<u64>) -> io::Result<f64> {
        // Whole calls, and whole pipelines of ten items.
        let outputs = workload::outputs_of(&self.workload);
        let steady = self.steady(outputs);
        let counted = steady.next_multiple_of(10 * outputs);
        Ok((total(steady + counted)? as f64 - total(steady)? as f64) / counted as f64)
    }

    /// Instructions of an item, by callgrind.
    ///
    /// # Errors
    ///
    /// Fails if there is no valgrind.
    pub fn instructions(&self) -> io::Result<f64> {
        self.per_item(|items| {
            let mut command = Command::new("valgrind");
            command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
            command.arg(env::current_exe()?).args(self.arguments(items));
            let output = finished(&mut command)?;
            let total = output.lines().find_map(|line| line.split_once("Collected : "));
            let total = total.and_then(|(_, number)| number.trim().parse().ok());
            total.ok_or_else(|| io::Error::other(format!("no count in {output:?}")))
        })
    }

    /// Allocations of an item, counted by the program `counted`.
    ///
    /// # Errors
    ///
    /// Fails if the program does.
    pub fn allocations(&self, counted: &Path) -> io::Result<f64> {
        self.per_item(|items| Ok(self.counted(counted, items)?.0))
    }

    /// The most bytes that were allocated at the same time, with as many items as calls in flight.
    ///
    /// # Errors
    ///
    /// Fails if the program does.
    pub fn peak(&self, counted: &Path) -> io::Result<u64> {
        Ok(self.counted(counted, self.in_flight as u64)?.1)
    }

    fn counted(&self, program: &Path, items: u64) -> io::Result<(u64, u64)> {
        let output = finished(Command::new(program).args(self.arguments(items)))?;
        let mut numbers = output.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(allocations)), Some(Ok(peak))) => Ok((allocations, peak)),
            _ => Err(io::Error::other(format!("no counts in {output:?}"))),
        }
    }
}

/// Counts each case, on all cores, since that changes no exact figure.
///
/// # Errors
///
/// Fails if one cannot be counted.
pub fn on_all_cores<T: Sync, R: Send>(
    cases: &[T],
    count: impl Fn(&T) -> io::Result<R> + Sync,
) -> io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counts = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else { return io::Result::Ok(counts) };
            counts.push((index, count(case)?));
        }
    };
    let mut counts = Vec::new();
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            counts.extend(thread.join().expect("no panic")?);
            Ok::<_, io::Error>(())
        })
    })?;
    counts.sort_by_key(|(index, _)| *index);
    Ok(counts.into_iter().map(|(_, count)| count).collect())
}

/// Tells whether instructions can be counted here.
pub fn has_valgrind() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// What a program writes, to either side.
fn finished(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(io::Error::other(format!("{command:?} failed: {text}")))
    }
}
