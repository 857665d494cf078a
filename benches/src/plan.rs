use std::env;

use crate::{Contender, Measured, measure};

/// How many items a run has, unless told otherwise.
const ITEMS: u64 = 200_000;

/// What is to be run: everything side by side, as a table, or one contender once.
#[derive(Debug)]
pub struct Plan {
    headed: bool,
    only: Option<Only>,
}

#[derive(Debug)]
struct Only {
    workload: String,
    in_flight: usize,
    contender: String,
    items: u64,
}

impl Plan {
    /// Reads `WORKLOAD IN_FLIGHT CONTENDER ITEMS`, or nothing.
    pub fn from_arguments() -> Self {
        // Cargo passes `--bench`.
        let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
        let only = match arguments.as_slice() {
            [] => None,
            [workload, in_flight, contender, items] => Some(Only {
                workload: workload.clone(),
                in_flight: in_flight.parse().expect("IN_FLIGHT is a number"),
                contender: contender.clone(),
                items: items.parse().expect("ITEMS is a number"),
            }),
            _ => panic!("give no arguments, or WORKLOAD IN_FLIGHT CONTENDER ITEMS"),
        };
        Self { headed: false, only }
    }

    /// Runs a workload, and prints its row.
    pub fn run(&mut self, workload: &str, in_flight: usize, contenders: &[Contender<'_>]) {
        match &self.only {
            None => self.row(workload, in_flight, &measure(ITEMS, contenders)),
            Some(only) => {
                let chosen = contenders.iter().filter(|contender| {
                    only.workload == workload
                        && only.in_flight == in_flight
                        && only.contender == contender.name
                });
                chosen.for_each(|contender| {
                    (contender.run)(only.items);
                });
            }
        }
    }

    fn row(&mut self, workload: &str, in_flight: usize, measured: &[Measured]) {
        if !self.headed {
            self.headed = true;
            print!("| workload | in flight |");
            for contender in measured {
                print!(" {} ns | allocations |", contender.name);
            }
            for contender in &measured[1..] {
                print!(" to {} |", contender.name);
            }
            print!("\n| --- | ---: |");
            println!("{}", " ---: |".repeat(3 * measured.len() - 1));
        }
        print!("| {workload} | {in_flight} |");
        for contender in measured {
            print!(" {:.1} | {:.3} |", contender.nanoseconds, contender.allocations);
        }
        for contender in &measured[1..] {
            print!(" {:.2} |", 1.0 / contender.ratio);
        }
        println!();
    }
}
