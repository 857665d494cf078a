//! The types that the methods return: streams, and the futures of [`drain`](crate::FlowExt::drain) and others.
//!
//! Few programs name one. A function can return `impl Stream<Item = T>`, a struct can keep a stream in a `Box`, as
//! [`boxed`](futures_lite::StreamExt::boxed) does, and a [`Flow`](crate::Flow) has a short type. Where boxing is not an
//! option, [`MapConcurrent`] shows how to name a stage.
//!
//! All stages are fused, and implement [`FusedStream`](futures_core::FusedStream). They are `Send` and `Sync` if their
//! upstream, their function and its future are.

mod batch;
mod batch_by_weight;
#[cfg(feature = "time")]
mod batch_within;
mod batching;
mod borrowing;
pub(crate) mod call_future;
mod drain;
mod driven;
pub(crate) mod entry;
pub(crate) mod expand;
mod expand_concurrent;
mod filter;
mod filter_map;
mod flat_map;
pub(crate) mod frontier;
mod fused;
mod growth;
mod inspect;
mod keys;
pub(crate) mod map;
mod map_by_key;
mod map_ok;
pub(crate) mod merge;
pub(crate) mod merge_handle;
#[cfg(feature = "monitor")]
mod monitored;
mod plain;
mod prefetch;
pub(crate) mod results;
mod shell;
mod started;
mod styles;
mod take_until_stopped;
#[cfg(feature = "time")]
mod timer;
mod try_call;
pub(crate) mod try_expand;
pub(crate) mod try_item;
mod weighed;

pub use self::batch::{Batched, TryBatched};
pub use self::batch_by_weight::{BatchedByWeight, TryBatchedByWeight};
#[cfg(feature = "time")]
pub use self::batch_within::{BatchedWithin, TryBatchedWithin};
pub use self::drain::{Drain, TryDrain};
pub use self::driven::{Alongside, Driven};
pub use self::expand::Opening;
pub use self::expand_concurrent::{ExpandConcurrent, TryExpandConcurrent};
pub use self::filter::{FilterConcurrent, TryFilterConcurrent};
pub use self::filter_map::{FilterMapConcurrent, TryFilterMapConcurrent};
pub use self::flat_map::{FlatMapConcurrent, TryFlatMapConcurrent};
pub use self::frontier::Frontier;
pub use self::inspect::{InspectConcurrent, TryInspectConcurrent};
pub use self::map::{MapConcurrent, TryMapConcurrent};
pub use self::map_by_key::{MapConcurrentByKey, TryMapConcurrentByKey};
pub use self::map_ok::MapOkConcurrent;
pub use self::merge::Merge;
#[cfg(feature = "monitor")]
pub use self::monitored::Monitored;
pub use self::prefetch::Prefetch;
pub use self::results::{ErrInto, InspectErr, InspectOk, MapErr, MapOk};
pub use self::take_until_stopped::TakeUntilStopped;
#[cfg(feature = "time")]
pub use self::timer::{DefaultTimer, SleepTimer};
pub use self::try_expand::{Opened, OpenedStream};
pub use self::weighed::Weighed;

pub(crate) use self::filter::{filter_concurrent, try_filter_concurrent};
pub(crate) use self::inspect::{inspect_concurrent, try_inspect_concurrent};

/// Gathers the rows of [`styles`] for the modules of these names at the crate root.
macro_rules! rows {
    ($($(#[$cfg:meta])? $stage:ident,)*) => {
        pub(crate) mod op {
            $($(#[$cfg])? pub use super::$stage::op::*;)*
        }

        pub(crate) mod functional {
            $($(#[$cfg])? pub use super::$stage::functional::*;)*
        }
    };
}

rows! {
    plain,
    map,
    filter,
    filter_map,
    flat_map,
    inspect,
    expand_concurrent,
    map_ok,
    map_by_key,
    batch,
    #[cfg(feature = "time")]
    batch_within,
    batch_by_weight,
    take_until_stopped,
    prefetch,
    #[cfg(feature = "monitor")]
    monitored,
}
