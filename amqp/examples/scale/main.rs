//! Measures jobs per second: workers side by side, and against a loop by hand on the client library.

#[path = "../support/arguments.rs"]
mod arguments;
mod bench;
mod rates;
mod worker;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use arguments::Arguments;
use bench::Bench;
use rates::Rates;
use worker::Kind;

const USAGE: &str = "\
Measures how many jobs a second worker processes do, with calls that do nothing and
calls that wait for 10 ms, at a concurrency of 32; and a loop by hand on the client
library, for comparison.

Usage: scale --amqp URL [--jobs N] [--rounds N]

  --amqp URL   the broker; its queues scale-jobs and scale-outputs are emptied
  --jobs N     how many jobs each time (default: 20000)
  --rounds N   how often each is measured, in turns (default: 5)
";

/// Who works: how many processes of which kind.
const CREWS: [(Kind, usize); 4] =
    [(Kind::ByHand, 1), (Kind::Worker, 1), (Kind::Worker, 2), (Kind::Worker, 4)];

fn main() -> ExitCode {
    worker::serve();
    let known = [("--jobs", 20_000, 1), ("--rounds", 5, 1)];
    let unknown = |what: &str| Err(format!("what is {what}?"));
    let arguments = match Arguments::parse(env::args().skip(1), &known, unknown) {
        Ok(arguments) => arguments,
        Err(problem) => return arguments::explain(&problem, USAGE),
    };
    match measure(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let (jobs, rounds) = (arguments.number("--jobs"), arguments.number("--rounds"));
    let bench = Bench::new(&arguments.url, jobs)?;
    println!("{jobs} jobs, {rounds} rounds; medians, with the least and the most");
    for call in [Duration::from_millis(10), Duration::ZERO] {
        println!("\ncalls of {call:?}:");
        let mut rates = CREWS.map(|_| Rates::default());
        for round in 0..rounds {
            // Each is first in its turn, as the broker is not always as fast.
            for nth in 0..CREWS.len() {
                let crew = (round + nth) % CREWS.len();
                rates[crew].add(bench.run(CREWS[crew], call)?);
            }
        }
        for ((kind, workers), rates) in CREWS.iter().zip(&rates) {
            println!("  {workers} x {kind}: {rates}");
        }
        println!("  {}", rates[1].beside(&rates[0]));
    }
    Ok(())
}
