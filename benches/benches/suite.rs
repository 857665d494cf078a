//! The one program of the suite: see the crate's documentation for its commands.

use std::env;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use flowlet_benches::exact::{Case, has_valgrind};
use flowlet_benches::record::{self, Counts};
use flowlet_benches::run::{Extent, Outcome, budgets, count, run, times, write};
use flowlet_benches::{baseline, report, workload};

/// The program that counts allocations, which cargo builds beside this one.
const COUNTED: &str = env!("CARGO_BIN_EXE_counted");

fn main() -> io::Result<ExitCode> {
    let counted = Path::new(COUNTED);
    // Cargo passes `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["counts"] if !cfg!(feature = "spawning") => {
            eprintln!(
                "Built without the peers that spawn, this is other code: nothing of it is kept."
            );
            return Ok(ExitCode::FAILURE);
        }
        [] => {
            let outcome = run(Extent::FULL, counted)?;
            keep(&outcome.counts)?;
            record::keep_times(&outcome.times, &outcome.page)?;
            write()?;
        }
        ["counts"] => {
            keep(&count(Extent::FULL, counted)?)?;
            write()?;
        }
        ["results"] => write()?,
        ["quick"] => print(run(Extent::QUICK, counted)?),
        ["smoke"] => print(run(Extent::SMOKE, counted)?),
        ["fairness"] => println!("{}", budgets(Extent::FULL)),
        ["check", "--record"] => baseline::record(counted)?,
        ["check"] => {
            if !baseline::check(counted)? {
                println!("Something got worse. If it must, `-- check --record` writes it down.");
                return Ok(ExitCode::FAILURE);
            }
        }
        ["rows", wanted] => {
            let timings =
                times(Extent::FULL, workload::named_rows(), |name| name.starts_with(wanted));
            println!("{}", report::times(&timings));
        }
        [_, _, _, _] => {
            let four = arguments.as_slice().try_into().expect("there are four");
            let (case, items) = Case::from_arguments(four);
            case.run(&workload::counted_rows(), items);
        }
        _ => {
            eprintln!("give nothing, quick, counts, results, check [--record], smoke, fairness,");
            eprintln!("rows WORKLOAD, or WORKLOAD IN_FLIGHT CONTENDER ITEMS");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps what was counted, if it was.
fn keep(counts: &Counts) -> io::Result<()> {
    if has_valgrind() {
        return record::keep_counts(counts);
    }
    eprintln!("VALGRIND IS NOT THERE: the counts are left as they are.");
    Ok(())
}

/// Prints what came out, and keeps nothing.
fn print(Outcome { counts, times, page }: Outcome) {
    println!("{}\n{page}", report::results(&counts, &[times]));
}
