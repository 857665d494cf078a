//! The one program of the suite: see the crate's documentation for its commands.

use std::env;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use flowlet_benches::exact::Case;
use flowlet_benches::run::{Extent, budgets, run, times, write};
use flowlet_benches::{baseline, report, workload};

/// The program that counts allocations, which cargo builds beside this one.
const COUNTED: &str = env!("CARGO_BIN_EXE_counted");

fn main() -> io::Result<ExitCode> {
    let counted = Path::new(COUNTED);
    // Cargo passes `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            let (text, charts) = run(Extent::FULL, counted)?;
            write(&text, &charts)?;
            println!("{text}");
        }
        ["quick"] => println!("{}", run(Extent::QUICK, counted)?.0),
        ["fairness"] => println!("{}", budgets(Extent::FULL)),
        ["smoke"] => println!("{}", run(Extent::SMOKE, counted)?.0),
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
            eprintln!("give nothing, quick, check [--record], smoke, fairness, rows WORKLOAD,");
            eprintln!("or WORKLOAD IN_FLIGHT CONTENDER ITEMS");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
