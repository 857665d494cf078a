use std::io;
use std::path::Path;

use super::{Extent, progress};
use crate::exact::{Case, has_valgrind, on_all_cores};
use crate::peer::{THREE, sequential};
use crate::record::{Count, Counts};
use crate::workload::{self, MANY, PEAKS};
use crate::{Row, report};

/// Workloads that are counted, and with how many calls in flight.
const ROWS: [(&str, &[usize]); 23] = [
    ("ready", &[1, 16, 256, 4_096]),
    ("yield once", &[1, 16, 256, 4_096]),
    ("four waits", &[1, 16, 4_096]),
    ("woken", &[1, 16, 256, 4_096, 65_536]),
    ("big futures", &[1, 16, 4_096]),
    ("ordered, ready", &[16, 4_096]),
    ("ordered, woken", &[16, 4_096]),
    ("filter, ready", &[16, 4_096]),
    ("filter, yield once", &[16, 4_096]),
    ("filter, woken", &[16, 4_096]),
    ("flat map, ready", &[16, 4_096]),
    ("flat map, yield once", &[16, 4_096]),
    ("flat map, woken", &[16, 4_096]),
    ("flat map of streams, ready", &[16, 4_096]),
    ("flat map of streams, yield once", &[16, 4_096]),
    ("flat map of streams, woken", &[16, 4_096]),
    ("chain of 4 stages, ready", &[16, 256]),
    ("chain of 4 stages, woken", &[16, 256]),
    ("batched", &[16]),
    ("tiny pipelines, ready", &[4, 16]),
    ("tiny pipelines, yield once", &[4, 16]),
    ("tiny pipelines, woken", &[4, 16]),
    ("boxed flow, ready", &[16]),
];

/// Counts everything, with the program `counted` for what is allocated.
pub(super) fn count(extent: Extent, counted: &Path) -> io::Result<Counts> {
    progress("instructions, allocations, bytes");
    let valgrind = has_valgrind();
    let counts = on_all_cores(&wanted(extent), |case| {
        let per_item = case.in_flight != MANY;
        let instructions = (per_item && valgrind).then(|| case.instructions()).transpose()?;
        let allocations = per_item.then(|| case.allocations(counted)).transpose()?;
        let bytes = PEAKS.contains(&case.in_flight).then(|| case.peak(counted)).transpose()?;
        Ok(Count {
            workload: case.workload.clone(),
            in_flight: case.in_flight,
            contender: case.contender.clone(),
            instructions,
            allocations,
            bytes: bytes.map(|bytes| bytes as f64 / case.in_flight as f64),
        })
    })?;
    Ok(Counts { facts: report::counter(), counts })
}

/// Ours first in each row, and those peers that need no runtime; the floor where there is a bar over it.
fn wanted(extent: Extent) -> Vec<Case> {
    let rows = workload::counted_rows();
    let sizes = |workload: &str| ROWS.iter().find(|(counted, _)| *counted == workload);
    let is_counted = |row: &&Row| {
        let some = sizes(&row.workload).is_some_and(|(_, sizes)| sizes.contains(&row.in_flight));
        let is_in = extent.counts.is_none_or(|in_flight| row.in_flight == in_flight);
        is_in && (some || workload::outputs_of(&row.workload) > 1)
    };
    let mut wanted = Vec::new();
    for row in rows.iter().filter(is_counted) {
        let ours = row.contenders[0].name;
        let peer = |name: &str| THREE[1..].contains(&name.split(", ").next().unwrap_or_default());
        let floor = (row.workload == "ready" && row.in_flight == 1).then_some(sequential::NAME);
        let names = row.contenders.iter().map(|contender| contender.name);
        let names = names.filter(|&name| name == ours || peer(name) || Some(name) == floor);
        wanted.extend(names.map(|name| Case::new(&row.workload, row.in_flight, name)));
    }
    wanted.extend(THREE.map(|name| Case::new("woken", MANY, name)));
    wanted
}
