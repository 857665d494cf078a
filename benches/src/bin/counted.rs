//! Runs one contender once, as `WORKLOAD IN_FLIGHT CONTENDER ITEMS` says, and prints how often it
//! allocates and how many bytes it has at most. A program of its own, because counting takes time.
//! Only this thread's allocations are counted.

use std::env;

use allocation_counter::measure;
use flowlet_benches::call::reactor;
use flowlet_benches::exact::Case;
use flowlet_benches::workload;

#[path = "../limits/work/mod.rs"]
#[expect(dead_code, reason = "the program of the limits has tables of them as well")]
mod work;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments = arguments.as_slice().try_into().expect("WORKLOAD IN_FLIGHT CONTENDER ITEMS");
    let (case, items) = Case::from_arguments(arguments);
    let rows: Vec<_> = workload::counted_rows().into_iter().chain(work::rows()).collect();
    // What the workload itself stores is not the contender's.
    reactor::reserve(2 * case.in_flight);
    // So do what is there once in a process: a runtime, a thread.
    case.run(&rows, 10);
    let counted = measure(|| case.run(&rows, items));
    println!("{} {}", counted.count_total, counted.bytes_max);
}
