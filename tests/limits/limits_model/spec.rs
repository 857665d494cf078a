//! What is set up, and what happens to it.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::support::kinds::Limit;

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) stages: Vec<StageSpec>,
    /// Whether the stages are `try_` stages.
    pub(crate) tries: bool,
    /// The limit of the semaphore, to begin with.
    pub(crate) shared: usize,
    /// How many keys there are.
    pub(crate) keys: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Map,
    FlatMap,
    /// With so many calls of a key at once.
    ByKey(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct StageSpec {
    pub(crate) kind: Kind,
    pub(crate) limit: Limit,
    pub(crate) weighs: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// Polls, if that was asked for.
    Poll,
    PollAnyway,
    /// Polls while the consumer is busy, if that was asked for.
    Advance,
    /// Lets one call go on, so many times.
    Go(usize, Go, usize),
    /// The source has so many items more.
    Items(usize),
    SourceEnds,
    SourceFails,
    SetLimit(usize),
    Panic(Place),
    /// Someone else takes permits.
    Take(usize),
    GiveBack,
    Drop,
}

/// What a call does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Go {
    /// An output. It is the only one unless the call is an inner stream.
    Output,
    End,
    Fail,
    Panic,
}

/// What panics, the next time it is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Source,
    Weight,
    Key,
    Function,
}

impl StageSpec {
    pub(crate) fn is_many(&self) -> bool {
        self.kind == Kind::FlatMap
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.limit.private.is_none()
    }

    /// What may be in flight under a limit.
    pub(crate) fn window_of(&self, limit: usize) -> usize {
        let default = if let Kind::ByKey(_) = self.kind { limit * 16 } else { limit };
        self.limit.window(default)
    }
}

fn any_stage() -> impl Strategy<Value = StageSpec> {
    let kind = prop_oneof![
        2 => Just(Kind::Map),
        3 => Just(Kind::FlatMap),
        3 => prop_oneof![3 => Just(1), 1 => Just(2_usize), 1 => Just(3)].prop_map(Kind::ByKey),
    ];
    let private = proptest::option::of(1..=5_usize);
    let window = proptest::option::of(1..=12_usize);
    let limit = (private, window, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(private, window, ordered, errors_in_turn, finishing)| Limit {
            private,
            window,
            ordered,
            errors_in_turn,
            finishing,
        },
    );
    (kind, limit, any::<bool>()).prop_map(|(kind, limit, weighs)| StageSpec { kind, limit, weighs })
}

pub(crate) fn any_go() -> impl Strategy<Value = Go> {
    prop_oneof![
        12 => Just(Go::Output),
        4 => Just(Go::End),
        1 => Just(Go::Fail),
        1 => Just(Go::Panic),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Poll),
        1 => Just(Event::PollAnyway),
        6 => Just(Event::Advance),
        14 => (any::<usize>(), any_go(), 1..4_usize).prop_map(|(at, go, n)| Event::Go(at, go, n)),
        8 => (1..6_usize).prop_map(Event::Items),
        2 => (0..7_usize).prop_map(Event::SetLimit),
        1 => prop_oneof![
            Just(Place::Source), Just(Place::Weight), Just(Place::Key), Just(Place::Function)
        ].prop_map(Event::Panic),
        1 => (0..4_usize).prop_map(Event::Take),
        2 => Just(Event::GiveBack),
    ]
}

/// Of which there is one at most, some time.
fn any_last() -> impl Strategy<Value = Option<Event>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Event::SourceEnds)),
        1 => Just(Some(Event::SourceFails)),
        1 => Just(Some(Event::Drop)),
    ]
}

pub(crate) fn any_spec() -> impl Strategy<Value = Spec> {
    let stages = prop_oneof![3 => vec(any_stage(), 1), 2 => vec(any_stage(), 2)];
    let events = (vec(any_event(), 0..120), any_last(), any::<proptest::sample::Index>());
    (stages, any::<bool>(), 1..6_usize, 1..=6_u64, events, any::<u64>()).prop_map(
        |(stages, tries, shared, keys, (mut events, last, at), seed)| {
            if let Some(last) = last {
                events.insert(at.index(events.len() + 1), last);
            }
            Spec { stages, tries, shared, keys, events, seed }
        },
    )
}
