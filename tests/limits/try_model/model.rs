//! What the stages do to the items, as plain functions.

use std::collections::HashSet;

use super::spec::{Spec, Stage};
use crate::support::kinds::{Kind, Limit};
use crate::support::random_runs::mix;

pub(crate) type Outcome = Result<u64, u64>;

/// What panics took, and the stage it was in.
pub(crate) type Lost = HashSet<(usize, u64)>;

/// The number of the source among the stages.
pub(crate) const SOURCE: usize = 0;

pub(crate) fn mapped(stage: usize, value: u64) -> u64 {
    mix(value, stage as u64)
}

pub(crate) fn is_kept(stage: usize, value: u64) -> bool {
    mapped(stage, value) % 4 != 0
}

pub(crate) fn more(stage: usize) -> Vec<u64> {
    (100..103).map(|n| mix(n, stage as u64)).collect()
}

pub(crate) fn value_of(outcome: &Outcome) -> u64 {
    let (Ok(value) | Err(value)) = *outcome;
    value
}

impl Spec {
    /// Gives the value, or the error that a stage makes of it.
    pub(crate) fn or_error(&self, stage: usize, value: u64) -> Outcome {
        let fails = self.errors > 0 && mix(mix(self.seed, stage as u64), value) % self.errors == 0;
        if fails { Err(mix(value, 1000 + stage as u64)) } else { Ok(value) }
    }

    pub(crate) fn source(&self) -> Vec<Outcome> {
        (0..self.items).map(|n| self.or_error(SOURCE, mix(n, 0))).collect()
    }

    /// What a stage makes of an item.
    pub(crate) fn outcomes(&self, stage: usize, kind: Kind, value: u64) -> Vec<Outcome> {
        let expanded = (0..mapped(stage, value) % 4).map(|n| mix(value, n));
        let one = self.or_error(stage, value);
        match kind {
            Kind::Map => vec![one.map(|v| mapped(stage, v))],
            Kind::Filter | Kind::FilterMap if one.is_ok() && !is_kept(stage, value) => vec![],
            Kind::Filter => vec![one],
            Kind::FilterMap => vec![one.map(|v| mapped(stage, v))],
            // It may fail to open.
            Kind::FutureOfIterable | Kind::FutureOfStream if one.is_err() => vec![one],
            Kind::FutureOfIterable => expanded.map(Ok).collect(),
            Kind::Iterable | Kind::Stream | Kind::FutureOfStream => {
                let mut outcomes = Vec::from_iter(expanded.map(|v| self.or_error(stage, v)));
                let error = outcomes.iter().position(Result::is_err);
                outcomes.truncate(error.map_or(outcomes.len(), |error| error + 1));
                outcomes
            }
        }
    }

    /// What would come out of the stages, in order, if errors did not end anything.
    pub(crate) fn model(&self, lost: &Lost) -> Vec<Outcome> {
        let mut outcomes = self.source();
        for (stage, kind) in (1..).zip(flat(&self.stages)) {
            let lost = |outcome: &Outcome| lost.contains(&(stage, value_of(outcome)));
            outcomes.retain(|outcome| !lost(outcome));
            let made = |f: &dyn Fn(u64) -> Vec<Outcome>| {
                outcomes
                    .iter()
                    .flat_map(|outcome| outcome.map_or_else(|e| vec![Err(e)], f))
                    .collect()
            };
            outcomes = match kind {
                Stage::Try(kind, _) => made(&|v| self.outcomes(stage, *kind, v)),
                Stage::Map(_) | Stage::MapOk(_) => made(&|v| self.outcomes(stage, Kind::Map, v)),
                Stage::Batched(..) => made(&|v| vec![self.or_error(stage, v)]),
                Stage::SyncMap => made(&|v| vec![Ok(mapped(stage, v))]),
                Stage::Flow(_) | Stage::Driven | Stage::Zipped => outcomes,
                Stage::Chained(_) | Stage::Joined => {
                    let more = more(stage).into_iter().map(Ok).collect();
                    if matches!(kind, Stage::Chained(true)) {
                        [more, outcomes].concat()
                    } else {
                        [outcomes, more].concat()
                    }
                }
            };
            outcomes.retain(|outcome| !lost(outcome));
        }
        outcomes
    }

    /// Tells whether all stages keep the order, given which limits do.
    pub(crate) fn in_order(&self, keeps: impl Fn(Limit) -> bool) -> bool {
        let joins = flat(&self.stages).iter().any(|stage| matches!(stage, Stage::Joined));
        !joins && self.limits().all(keeps)
    }

    /// Tells whether a stage has its calls finish after an error.
    pub(crate) fn any_finishes(&self) -> bool {
        self.limits().any(|limit| limit.finishing)
    }

    /// Returns the last stage that an error ends, if its calls finish then.
    pub(crate) fn last_finishes(&self) -> Option<usize> {
        let stages = (1..).zip(flat(&self.stages));
        let last = stages.filter_map(|(stage, kind)| match kind {
            Stage::Try(_, limit) | Stage::Batched(_, _, limit) => Some((stage, limit.finishing)),
            _ => None,
        });
        last.last().and_then(|(stage, finishing)| finishing.then_some(stage))
    }

    fn limits(&self) -> impl Iterator<Item = Limit> {
        flat(&self.stages).into_iter().filter_map(|stage| match stage {
            Stage::Try(_, limit)
            | Stage::Map(limit)
            | Stage::MapOk(limit)
            | Stage::Batched(_, _, limit) => Some(*limit),
            _ => None,
        })
    }
}

/// The stages as they are numbered: a flow comes before what is in it.
pub(crate) fn flat(stages: &[Stage]) -> Vec<&Stage> {
    stages
        .iter()
        .flat_map(|stage| match stage {
            Stage::Flow(inner) => [vec![stage], flat(inner)].concat(),
            _ => vec![stage],
        })
        .collect()
}
