//! What the stages of random pipelines have in common.

use flowlet::{Concurrency, Semaphore, errors_in_turn, finishing, ordered};
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// What a stage makes of an item: one output, or maybe one, or an expansion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Map,
    Filter,
    FilterMap,
    Iterable,
    Stream,
    FutureOfIterable,
    FutureOfStream,
}

pub(crate) fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::Map),
        3 => Just(Kind::Filter),
        3 => Just(Kind::FilterMap),
        2 => Just(Kind::Iterable),
        2 => Just(Kind::Stream),
        2 => Just(Kind::FutureOfIterable),
        2 => Just(Kind::FutureOfStream),
    ]
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The shared semaphore if there is none.
    pub(crate) private: Option<usize>,
    pub(crate) window: Option<usize>,
    pub(crate) ordered: bool,
    pub(crate) errors_in_turn: bool,
    pub(crate) finishing: bool,
}

impl Limit {
    pub(crate) fn concurrency(self, shared: &Semaphore) -> Concurrency {
        let mut concurrency = match self.private {
            Some(limit) => Concurrency::from(limit),
            None => Concurrency::from(shared),
        };
        if let Some(window) = self.window {
            concurrency = concurrency.window(window);
        }
        if self.ordered {
            concurrency = ordered(concurrency);
        }
        if self.errors_in_turn {
            concurrency = errors_in_turn(concurrency);
        }
        if self.finishing {
            concurrency = finishing(concurrency);
        }
        concurrency
    }

    /// What may be between pulled and yielded, where `most` calls may run.
    pub(crate) fn window(self, most: usize) -> usize {
        self.window.unwrap_or(most)
    }

    pub(crate) fn keeps_order(self) -> bool {
        self.ordered || self.private == Some(1)
    }
}

/// Any limit, which may be `shared`.
pub(crate) fn any_limit(shared: bool) -> impl Strategy<Value = Limit> {
    let private = prop_oneof![
        8 => (1..=8_usize).prop_map(Some),
        1 => Just(Some(usize::MAX)),
        if shared { 4 } else { 1 } => Just(if shared { None } else { Some(1) }),
    ];
    let more = proptest::option::weighted(0.3, 0..12_usize);
    (private, more, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(private, more, ordered, errors_in_turn, finishing)| {
            // The semaphore may have as many permits.
            let window = more.map(|more| private.unwrap_or(6).saturating_add(more));
            Limit { private, window, ordered, errors_in_turn, finishing }
        },
    )
}
