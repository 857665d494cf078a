use crate::peer::sequential;
use crate::record::Count;
use crate::{Spread, Timing};

/// So many instructions a ready call may take, whatever the peers take.
pub(super) const READY: f64 = 120.0;

/// What we want of the instructions of an item: so many of the best peer's, at most.
pub(super) fn of_counts(workload: &str) -> f64 {
    let ready = workload.ends_with("ready");
    match workload {
        "yield once" | "woken" | "chain of 4 stages, woken" => 0.9,
        // The peers flatten an array: between two outputs they look at nothing else.
        _ if workload.starts_with("flat map") && !workload.contains("streams") => 1.4,
        // A call that waits needs what ten items do not pay for.
        _ if workload.starts_with("tiny pipelines") && !ready => 1.6,
        _ => 1.0,
    }
}

/// Our instructions in a row, and those of the best peer.
pub(super) fn instructions(row: &[Count]) -> Option<(f64, f64)> {
    let (ours, peers) = row.split_first()?;
    let peers = peers.iter().filter(|peer| peer.contender != sequential::NAME);
    Some((ours.instructions?, peers.filter_map(|peer| peer.instructions).reduce(f64::min)?))
}

/// What we want of the time of an item: so much of the best peer's, at most. None where what differs is
/// how calls run elsewhere.
pub(super) fn of_times(workload: &str, in_flight: usize) -> Option<f64> {
    let is_one_of = |names: &[&str]| names.iter().any(|name| workload.starts_with(name));
    if is_one_of(&["tasks", "blocking"]) {
        return None;
    }
    // Of some rows most is the system's time.
    let waits = !workload.ends_with("ready")
        && !is_one_of(&["batched", "timers", "sockets", "slow stage", "spawned"]);
    Some(match in_flight {
        ..=256 if waits => 0.9,
        4_096 if waits => 1.2,
        _ => 1.0,
    })
}

/// The peer that took the least time in a row, and the ratio of our time to its time.
pub(super) fn best_peer(timing: &Timing) -> Option<(&str, Spread)> {
    let peers = timing
        .contenders
        .iter()
        .filter(|timed| timed.name != sequential::NAME && !timed.name.starts_with("flowlet"));
    let timed = peers.filter_map(|peer| Some((peer.nanoseconds?, peer.name.as_str(), peer.ratio?)));
    let (_, name, ratio) = timed.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some((name, ratio))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timed;

    #[test]
    fn a_bar_is_that_of_what_the_calls_do() {
        for (workload, bar) in [
            ("ready", 1.0),
            ("woken", 0.9),
            ("ordered, woken", 1.0),
            ("chain of 4 stages, woken", 0.9),
            ("chain of 4 stages, ready", 1.0),
            ("flat map of 64, woken", 1.4),
            ("flat map of streams, woken", 1.0),
            ("tiny pipelines, ready", 1.0),
            ("tiny pipelines, yield once", 1.6),
        ] {
            assert_eq!(of_counts(workload), bar, "{workload}");
        }
        for (workload, in_flight, bar) in [
            ("ready", 16, Some(1.0)),
            ("woken", 256, Some(0.9)),
            ("woken from another thread", 4_096, Some(1.2)),
            ("woken", 65_536, Some(1.0)),
            ("boxed flow, ready", 16, Some(1.0)),
            ("sockets", 16, Some(1.0)),
            ("tasks on smol, 1 worker", 16, None),
        ] {
            assert_eq!(of_times(workload, in_flight), bar, "{workload}");
        }
    }

    #[test]
    fn neither_a_plain_loop_nor_another_of_ours_is_a_peer() {
        let names =
            ["flowlet's Flow", "flowlet", "plain loop", "pumps", "futures-util", "roughage"];
        let timed = names.into_iter().zip([9.0, 1.0, 1.0, 4.0, 3.0, 2.0]);
        let mut contenders: Vec<_> = timed
            .map(|(name, time)| {
                let ratio = Spread::of(vec![9.0 / time]);
                Timed { name: name.to_owned(), nanoseconds: Some(time), ratio: Some(ratio) }
            })
            .collect();
        // It was too slow to wait for.
        contenders[5].nanoseconds = None;
        let timing = Timing { workload: "boxed flow, ready".to_owned(), in_flight: 16, contenders };
        assert_eq!(best_peer(&timing), Some(("futures-util", Spread::of(vec![3.0]))));
    }

    #[test]
    fn instructions_are_compared_with_those_of_the_best_peer() {
        let names = ["flowlet", "futures-util", "futures-buffered", "plain loop"];
        let counts = names.into_iter().zip([143.0, 428.0, 194.0, 17.0]);
        let row: Vec<_> = counts
            .map(|(contender, instructions)| Count {
                workload: "ready".to_owned(),
                in_flight: 1,
                contender: contender.to_owned(),
                instructions: Some(instructions),
                allocations: Some(0.0),
                bytes: None,
            })
            .collect();
        assert_eq!(instructions(&row), Some((143.0, 194.0)));
        assert_eq!(instructions(&row[..1]), None);
    }
}
