//! What the stages do to the items, as plain functions.

use super::spec::Stage;
use crate::support::kinds::Kind;
use crate::support::random_runs::mix;

pub(crate) fn mapped(id: usize, value: u64) -> u64 {
    mix(value, id as u64)
}

pub(crate) fn is_kept(id: usize, value: u64) -> bool {
    mix(value, id as u64) % 3 != 0
}

pub(crate) fn expanded(id: usize, value: u64) -> Vec<u64> {
    (0..mix(value, id as u64) % 4).map(|n| mix(value, n)).collect()
}

pub(crate) fn more(id: usize) -> Vec<u64> {
    (100..103).map(|n| mix(n, id as u64)).collect()
}

pub(crate) fn inner_source(value: u64) -> Vec<u64> {
    (0..3).map(|n| mix(value, n)).collect()
}

/// An item that a panic took, and the stage it was in.
pub(crate) type Lost = Option<(usize, u64)>;

/// What comes out of the stages, in order. Stages are numbered from `id` on.
pub(crate) fn model(
    stages: &[Stage],
    id: &mut usize,
    mut values: Vec<u64>,
    lost: Lost,
) -> Vec<u64> {
    for stage in stages {
        let this = *id;
        *id += 1;
        if let Some((stage, lost)) = lost {
            if stage == this {
                let place = values.iter().position(|value| *value == lost);
                values.remove(place.expect("what was lost was there"));
            }
        }
        match stage {
            Stage::Of(Kind::Map, _) | Stage::SyncMap => {
                values.iter_mut().for_each(|v| *v = mapped(this, *v))
            }
            Stage::Of(Kind::Filter, _) | Stage::SyncFilter => values.retain(|v| is_kept(this, *v)),
            Stage::Of(Kind::FilterMap, _) => {
                values.retain(|v| is_kept(this, *v));
                values.iter_mut().for_each(|v| *v = mapped(this, *v));
            }
            Stage::Of(..) => {
                values = values.into_iter().flat_map(|v| expanded(this, v)).collect();
            }
            Stage::Nested(_, inner) => {
                let sum = |value| {
                    let inner = model(inner, &mut (this + 1), inner_source(value), None);
                    inner.into_iter().fold(0, u64::wrapping_add)
                };
                values = values.into_iter().map(sum).collect();
                *id += count(inner);
            }
            Stage::Flow(inner) => values = model(inner, id, values, lost),
            Stage::Batched(..) | Stage::Driven | Stage::Zipped => {}
            Stage::Chained(true) => values = [more(this), values].concat(),
            Stage::Chained(false) => values.extend(more(this)),
        }
    }
    values
}

/// The number of stages, those in stages included.
pub(crate) fn count(stages: &[Stage]) -> usize {
    let inside = |stage: &Stage| match stage {
        Stage::Nested(_, inner) | Stage::Flow(inner) => count(inner),
        _ => 0,
    };
    stages.iter().map(|stage| 1 + inside(stage)).sum()
}

pub(crate) fn keeps_order(stages: &[Stage]) -> bool {
    stages.iter().all(|stage| match stage {
        Stage::Of(_, limit) | Stage::Nested(limit, _) | Stage::Batched(_, Some(limit)) => {
            limit.keeps_order()
        }
        Stage::Flow(inner) => keeps_order(inner),
        _ => true,
    })
}
