//! What is measured, and the rows of it. `counted` has it as well.

use flowlet_benches::call::Call;
use flowlet_benches::{Contender, Executor, Row, Tally};
use futures_util::stream::{self, Iter};

mod by_hand;
pub(crate) mod contended;
pub(crate) mod gate;
mod groups;
mod keys;
pub(crate) mod permits;
mod stages;
mod weights;

/// Rows that are compared in the same columns.
pub(crate) struct Section {
    pub(crate) title: &'static str,

    /// What the rows do, and who is who.
    pub(crate) about: &'static str,

    /// What an item of the rows is.
    pub(crate) item: &'static str,

    /// What the numbers are that rows have.
    pub(crate) size: &'static str,

    /// Whom the ratio compares with; whoever takes the fewest instructions, if nobody.
    pub(crate) beside: Option<&'static str>,

    pub(crate) rows: Vec<Row>,
}

/// All that is measured.
pub(crate) fn sections() -> Vec<Section> {
    vec![
        permits::alone(),
        permits::contended(),
        stages::section(),
        weights::section(),
        groups::section(),
        keys::section(),
    ]
}

/// The rows of all sections.
pub(crate) fn rows() -> Vec<Row> {
    sections().into_iter().flat_map(|section| section.rows).collect()
}

/// The calls of all stages.
const CALLS: [Call; 2] = [Call::Ready, Call::Woken];

/// Makes a row whose outputs are the numbers of its items.
fn row(workload: String, in_flight: usize, contenders: Vec<Contender>) -> Row {
    Row { workload, in_flight, items: 40_000, expected: Tally::of_numbers, contenders }
}

/// Makes a contender that runs in a bare loop, with the reactor.
fn contender<Fut: Future<Output = Tally>>(
    name: &'static str,
    f: impl Fn(u64) -> Fut + 'static,
) -> Contender {
    Contender::new(name, Executor::Loop, f)
}

/// The source of all pipelines.
fn numbers(items: u64) -> Iter<std::ops::Range<u64>> {
    stream::iter(0..items)
}
