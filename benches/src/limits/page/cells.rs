//! What the tables have in common.

use flowlet_benches::report::Table;

use crate::work::Section;
use crate::work::gate::{Gate, Open};

/// Whose the contenders of a section are, in the order of the columns.
pub(super) fn names(section: &Section) -> Vec<&'static str> {
    section.rows[0].contenders.iter().map(|contender| contender.name).collect()
}

/// A table with a column for each contender of a section.
pub(super) fn table(section: &Section, last: Option<&str>) -> Table {
    let head = ["", section.size].into_iter().chain(names(section)).chain(last);
    Table::new(head)
}

/// Tells whether a contender is someone else's way to do the same.
pub(super) fn is_peer(name: &str) -> bool {
    !name.starts_with("flowlet") && name != Open::NAME
}
