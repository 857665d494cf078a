//! Limits beside those of others: permits, stages, weights, groups, keys. Writes `LIMITS.md`.
//!
//! | command | what |
//! | --- | --- |
//! | `cargo bench -p flowlet-benches --bench limits` | everything; writes `LIMITS.md` |
//! | the same with `-- counts` | what is exact; writes that, and leaves the times |
//! | the same with `-- smoke` | every row once, with few items: does it all work? prints |
//! | the same with `-- WORKLOAD IN_FLIGHT CONTENDER ITEMS` | one contender once, for a profiler |
//!
//! What it measures is compiled into this program and into `counted`, and not into the library: the
//! compiler decides what to inline by all that is there, and the suite's counts shall not depend on it.

use std::env;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use flowlet_benches::Effort;
use flowlet_benches::exact::{Case, has_valgrind};

#[path = "../src/limits/page/mod.rs"]
mod page;
#[path = "../src/limits/work/mod.rs"]
mod work;

use page::Cases;

/// The program that counts allocations, which cargo builds beside this one.
const COUNTED: &str = env!("CARGO_BIN_EXE_counted");

const FULL: Effort = Effort { rounds: 11, divisor: 1, patience: Duration::from_millis(500) };

const SMOKE: Effort = Effort { rounds: 1, divisor: 100, patience: Duration::from_millis(300) };

fn main() -> io::Result<ExitCode> {
    let counted = Path::new(COUNTED);
    // Cargo passes `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["counts"] if !has_valgrind() => {
            eprintln!("VALGRIND IS NOT THERE: nothing of this is kept.");
            return Ok(ExitCode::FAILURE);
        }
        [] => {
            let times = page::time(FULL);
            page::write(&page::count(Cases::All, counted)?, Some(&times))?;
        }
        ["counts"] => page::write(&page::count(Cases::All, counted)?, None)?,
        ["smoke"] => {
            let times = page::time(SMOKE);
            println!("{}\n{times}", page::count(Cases::First, counted)?);
        }
        [_, _, _, _] => {
            let four = arguments.as_slice().try_into().expect("there are four");
            let (case, items) = Case::from_arguments(four);
            case.run(&work::rows(), items);
        }
        _ => {
            eprintln!("give nothing, counts, smoke, or WORKLOAD IN_FLIGHT CONTENDER ITEMS");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
