//! What is measured: rows of contenders that do the same.

use futures_util::stream::{self, Iter};

mod batched;
mod blocking;
mod chain;
mod filter;
mod flat_map;
mod flow;
mod map;
mod ordered;
mod shared;
mod slow_stage;
mod spawned;
mod task;
mod tiny;

pub use self::slow_stage::{ITEMS as SLOW_STAGE_ITEMS, floor as slow_stage_floor};
pub use self::task::work_for;
use crate::Row;
use crate::call::Call;

/// How many calls in flight.
pub const SIZES: [usize; 6] = [1, 4, 16, 256, 4_096, 65_536];

/// How many calls in flight to find the peak heap with.
pub const MANY: usize = 1_000_000;

/// With so many calls in flight the peak is taken.
pub const PEAKS: [usize; 2] = [65_536, MANY];

/// All rows.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(map::rows_of(&Call::ALL, &SIZES));
    rows.extend(ordered::rows());
    rows.extend(filter::rows());
    rows.extend(flat_map::rows());
    rows.extend(chain::rows());
    rows.extend(slow_stage::rows());
    rows.extend(batched::rows());
    rows.extend(tiny::rows());
    rows.extend(flow::rows());
    rows.extend(spawned::rows());
    rows.extend(task::rows());
    rows.extend(blocking::rows());
    rows
}

/// All rows, and those that are counted and not timed in a whole run, unless they are asked for by
/// name: flat maps by how many outputs a call gives.
pub fn named_rows() -> Vec<Row> {
    rows().into_iter().chain(flat_map::rows_of_sizes()).collect()
}

/// These, and those that are only counted: a million calls in flight.
pub fn counted_rows() -> Vec<Row> {
    named_rows().into_iter().chain(map::rows_of(&[Call::Woken], &[MANY])).collect()
}

/// How many items of a row one call gives.
pub fn outputs_of(workload: &str) -> u64 {
    flat_map::outputs_of(workload)
}

/// Each of these calls with each of these numbers, as of those in flight.
fn each(calls: &[Call], sizes: &[usize]) -> impl Iterator<Item = (Call, usize)> {
    calls.iter().flat_map(|&call| sizes.iter().map(move |&in_flight| (call, in_flight)))
}

/// The calls of most workloads.
const BASIC: [Call; 3] = [Call::Ready, Call::YieldOnce, Call::Woken];

/// The source of all pipelines.
fn numbers(items: u64) -> Iter<std::ops::Range<u64>> {
    stream::iter(0..items)
}
