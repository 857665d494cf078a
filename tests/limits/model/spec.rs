//! What a pipeline is, and how it is run.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::support::kinds::{Kind, Limit, any_kind, any_limit};

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) items: u64,
    /// How often the source is pending.
    pub(crate) source_pends: bool,
    pub(crate) stages: Vec<Stage>,
    /// The shared semaphore's limit, and what it is changed to meanwhile.
    pub(crate) shared: usize,
    pub(crate) changes: Vec<usize>,
    /// Whether a loop consumes the pipeline that awaits something in its body.
    pub(crate) alongside: bool,
    /// Calls that wait for the lock.
    pub(crate) locks: bool,
    pub(crate) seed: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Of(Kind, Limit),
    /// A call that runs a pipeline of its own.
    Nested(Limit, Vec<Stage>),
    Flow(Vec<Stage>),
    /// Batches, expanded again by a stage if there is a limit, else by an adaptor.
    Batched(usize, Option<Limit>),
    Driven,
    SyncMap,
    SyncFilter,
    Zipped,
    /// With more items, before or after.
    Chained(bool),
}

pub(crate) fn any_stage(depth: u32) -> proptest::strategy::BoxedStrategy<Stage> {
    let shared = depth < 2;
    let flat = prop_oneof![
        19 => (any_kind(), any_limit(shared)).prop_map(|(kind, limit)| Stage::Of(kind, limit)),
        2 => (1..6_usize, proptest::option::of(any_limit(shared)))
            .prop_map(|(size, limit)| Stage::Batched(size, limit)),
        1 => Just(Stage::Driven),
        1 => Just(Stage::SyncMap),
        1 => Just(Stage::SyncFilter),
        1 => Just(Stage::Zipped),
        1 => any::<bool>().prop_map(Stage::Chained),
    ];
    if depth == 2 {
        return flat.boxed();
    }
    prop_oneof![
        12 => flat,
        // What runs in a call has no part in the shared semaphore, which its call may hold.
        1 => (any_limit(shared), vec(any_stage(2), 1..3))
            .prop_map(|(limit, inner)| Stage::Nested(limit, inner)),
        1 => vec(any_stage(depth + 1), 0..3).prop_map(Stage::Flow),
    ]
    .boxed()
}

pub(crate) fn any_spec() -> impl Strategy<Value = Spec> {
    let world = (1..6_usize, vec(0..6_usize, 0..3), any::<bool>(), any::<bool>(), any::<u64>());
    (0..24_u64, any::<bool>(), vec(any_stage(0), 1..5), world).prop_map(
        |(items, source_pends, mut stages, (shared, changes, alongside, locks, seed))| Spec {
            items,
            source_pends,
            stages: {
                if locks || any_shared(&stages) {
                    expand_by_stages(&mut stages);
                }
                stages
            },
            shared,
            changes,
            alongside,
            locks,
            seed,
        },
    )
}

/// Tells whether calls share the semaphore.
pub(crate) fn any_shared(stages: &[Stage]) -> bool {
    stages.iter().any(|stage| match stage {
        Stage::Of(_, limit) | Stage::Nested(limit, _) | Stage::Batched(_, Some(limit)) => {
            limit.private.is_none()
        }
        Stage::Flow(inner) => any_shared(inner),
        _ => false,
    })
}

/// An adaptor that has items of its own to give, as `flat_map` has, gives them to an advance, which
/// does not get to the calls above then. Calls that wait for each other, for a lock or for a permit,
/// need a stage there.
pub(crate) fn expand_by_stages(stages: &mut [Stage]) {
    for stage in stages {
        match stage {
            Stage::Batched(_, limit @ None) => {
                *limit = Some(Limit {
                    private: Some(2),
                    window: None,
                    ordered: true,
                    errors_in_turn: false,
                    finishing: false,
                });
            }
            Stage::Flow(inner) | Stage::Nested(_, inner) => expand_by_stages(inner),
            _ => {}
        }
    }
}
