use super::chart::{Group, chart};
use crate::peer::sequential;
use crate::record::Times;
use crate::{Timing, workload};

/// Charts of what one processor took, by name.
pub fn charts(times: &Times) -> [(&'static str, String); 2] {
    let on = times.facts.get("processor");
    [
        ("time-per-item.svg", time_per_item(&times.timings, on)),
        ("slow-stage.svg", slow_stage(&times.timings, on)),
    ]
}

/// Ours and the fastest peers, at 256 calls in flight, or what is nearest to that.
fn time_per_item(timings: &[Timing], on: &str) -> String {
    let workloads = [
        ("ready", "Calls that are ready at once"),
        ("yield once", "Calls that yield once"),
        ("woken", "Calls that a reactor wakes, in random order"),
        ("flat map, ready", "Flat map, four outputs an item"),
        ("chain of 4 stages, ready", "A chain of four stages"),
        ("tiny pipelines, ready", "Pipelines of ten items"),
    ];
    let groups = workloads.into_iter().filter_map(|(workload, title)| {
        let rows = timings.iter().filter(|timing| timing.workload == workload);
        let timing = rows.min_by_key(|timing| timing.in_flight.abs_diff(256))?;
        let bars = fastest(timing, 6, 1.0);
        let title = format!("{title}; {} in flight", timing.in_flight);
        Some(Group { title, bars, floor: None })
    });
    let title = format!("Time per item (shorter is better), {on}");
    chart(&title, "ns", &groups.collect::<Vec<_>>())
}

fn slow_stage(timings: &[Timing], on: &str) -> String {
    let items = workload::SLOW_STAGE_ITEMS;
    let timing = timings.iter().find(|timing| timing.workload == "slow stage");
    let groups = timing.map(|timing| {
        // The time is that of an item, and the chart's that of the run.
        let bars = fastest(timing, usize::MAX, items as f64 / 1e6);
        let floor = Some(workload::slow_stage_floor().as_secs_f64() * 1e3);
        let title = format!(
            "{items} items, 4 at a time for 50 ms, then 2 for 25 ms (the line: the least there can be)"
        );
        Group { title, bars, floor }
    });
    let title = format!("Wall time of a chain with a slow stage, {on}");
    chart(&title, "ms", groups.as_slice())
}

/// Ours, and then the peers, the fastest first.
fn fastest(timing: &Timing, number: usize, scale: f64) -> Vec<(&str, f64)> {
    let timed = timing.contenders.iter().filter(|timed| timed.name != sequential::NAME);
    let mut bars: Vec<_> =
        timed.filter_map(|timed| Some((timed.name.as_str(), timed.nanoseconds? * scale))).collect();
    if let [_, peers @ ..] = bars.as_mut_slice() {
        peers.sort_by(|a, b| a.1.total_cmp(&b.1));
    }
    bars.truncate(number);
    bars
}
