//! What a pipeline is, how it is run, and what fails and panics in it.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::support::kinds::{Kind, Limit, any_kind, any_limit};

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) items: u64,
    pub(crate) source_pends: bool,
    pub(crate) stages: Vec<Stage>,
    /// The limit of the semaphore.
    pub(crate) shared: usize,
    /// Whether a loop consumes the pipeline that awaits something in its body.
    pub(crate) alongside: bool,
    /// Whether calls take a lock that all of them share.
    pub(crate) locks: bool,
    /// One in so many fails, or none does.
    pub(crate) errors: u64,
    /// Where it panics, and how often that place is passed before.
    pub(crate) panics: Vec<(Place, usize)>,
    pub(crate) seed: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Try(Kind, Limit),
    /// A stage that is no `try_` stage, over `Result`s.
    Map(Limit),
    /// A stage that errors pass.
    MapOk(Limit),
    /// Batches, expanded again into an iterable or a stream.
    Batched(usize, Kind, Limit),
    Flow(Vec<Stage>),
    Driven,
    SyncMap,
    Zipped,
    /// With more items, before or after.
    Chained(bool),
    /// With more items, in turns.
    Joined,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Source,
    Closure,
    Future,
    /// The drop of an item, an error, a call or the source.
    Drop,
}

pub(crate) fn any_try_stage() -> impl Strategy<Value = Stage> {
    let expansion = prop_oneof![Just(Kind::Iterable), Just(Kind::Stream)];
    prop_oneof![
        6 => (any_kind(), any_limit(true)).prop_map(|(kind, limit)| Stage::Try(kind, limit)),
        1 => (1..5_usize, expansion, any_limit(true))
            .prop_map(|(size, kind, limit)| Stage::Batched(size, kind, limit)),
    ]
}

pub(crate) fn any_adaptor() -> impl Strategy<Value = Stage> {
    prop_oneof![Just(Stage::Driven), Just(Stage::SyncMap), Just(Stage::Zipped)]
}

pub(crate) fn any_stage(depth: u32) -> proptest::strategy::BoxedStrategy<Stage> {
    let flat = prop_oneof![
        7 => any_try_stage(),
        2 => any_limit(true).prop_map(Stage::Map),
        2 => any_limit(true).prop_map(Stage::MapOk),
        2 => any_adaptor(),
        1 => any::<bool>().prop_map(Stage::Chained),
        1 => Just(Stage::Joined),
    ];
    if depth == 2 {
        return flat.boxed();
    }
    prop_oneof![12 => flat, 1 => vec(any_stage(depth + 1), 0..3).prop_map(Stage::Flow)].boxed()
}

/// The last stage is a `try_` stage, below which errors end the pipeline.
pub(crate) fn any_stages() -> impl Strategy<Value = Vec<Stage>> {
    (vec(any_stage(0), 0..4), any_try_stage(), vec(any_adaptor(), 0..2))
        .prop_map(|(above, last, below)| [above, vec![last], below].concat())
}

pub(crate) fn any_panics() -> impl Strategy<Value = Vec<(Place, usize)>> {
    let often = (
        prop_oneof![
            1 => Just(Place::Source),
            1 => Just(Place::Closure),
            1 => Just(Place::Future),
            4 => Just(Place::Drop),
        ],
        0..16_usize,
    );
    prop_oneof![Just(Vec::new()), vec(often, 1..6)]
}

pub(crate) fn any_spec() -> impl Strategy<Value = Spec> {
    let errors = prop_oneof![1 => Just(0), 6 => 4..60_u64];
    let world = (1..5_usize, any::<bool>(), any::<bool>(), errors, any_panics(), any::<u64>());
    // What is said of a whole pipeline has to be true of whole pipelines.
    let all = (proptest::bool::weighted(0.3), proptest::bool::weighted(0.2));
    (0..24_u64, any::<bool>(), any_stages(), all, world).prop_map(
        |(items, source_pends, mut stages, (all_ordered, all_shared), world)| {
            let (shared, alongside, locks, errors, panics, seed) = world;
            let mut any_shared = false;
            each_stage(&mut stages, &mut |stage| {
                if let Stage::Try(_, limit)
                | Stage::Map(limit)
                | Stage::MapOk(limit)
                | Stage::Batched(_, _, limit) = stage
                {
                    limit.ordered |= all_ordered;
                    limit.private = limit.private.filter(|_| !all_shared);
                    any_shared |= limit.private.is_none();
                }
            });
            // Items that come in an advance keep it from calls that others may wait for.
            each_stage(&mut stages, &mut |stage| {
                if matches!(stage, Stage::Joined) && (locks || any_shared) {
                    *stage = Stage::Zipped;
                }
            });
            Spec { items, source_pends, stages, shared, alongside, locks, errors, panics, seed }
        },
    )
}

fn each_stage(stages: &mut [Stage], change: &mut impl FnMut(&mut Stage)) {
    for stage in stages {
        change(stage);
        if let Stage::Flow(inner) = stage {
            each_stage(inner, change);
        }
    }
}
