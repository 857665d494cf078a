mod batch;
mod batch_by_weight;
#[cfg(feature = "time")]
mod batch_within;
mod batching;
mod call_future;
mod drain;
mod driven;
mod expand;
mod filter;
mod filter_map;
mod flat_map;
mod fused;
mod map;
mod map_ok;
mod merge;
mod merge_handle;
mod prefetch;
mod results;
mod take_until_stopped;
#[cfg(feature = "time")]
mod timer;
mod try_batch;
mod try_batch_by_weight;
#[cfg(feature = "time")]
mod try_batch_within;
mod try_call;
mod try_drain;
mod try_expand;
mod try_filter;
mod try_filter_map;
mod try_flat_map;
mod try_item;
mod try_map;

pub use self::batch::Batched;
pub use self::batch_by_weight::BatchedByWeight;
#[cfg(feature = "time")]
pub use self::batch_within::BatchedWithin;
pub use self::call_future::CallFuture;
pub use self::drain::Drain;
pub use self::driven::{Alongside, Driven};
pub use self::expand::{Expand, Opening};
pub use self::filter::FilterConcurrent;
pub use self::filter_map::FilterMapConcurrent;
pub use self::flat_map::FlatMapConcurrent;
pub use self::map::MapConcurrent;
pub use self::map_ok::MapOkConcurrent;
pub use self::merge::{Merge, merge};
pub use self::merge_handle::MergeHandle;
pub use self::prefetch::Prefetch;
pub use self::results::{ErrInto, InspectErr, InspectOk, MapErr, MapOk, ResultStreamExt};
pub use self::take_until_stopped::TakeUntilStopped;
#[cfg(feature = "time")]
pub use self::timer::{DefaultTimer, SleepTimer};
pub use self::try_batch::TryBatched;
pub use self::try_batch_by_weight::TryBatchedByWeight;
#[cfg(feature = "time")]
pub use self::try_batch_within::TryBatchedWithin;
pub use self::try_drain::TryDrain;
pub use self::try_expand::{Opened, OpenedStream, TryExpand};
pub use self::try_filter::TryFilterConcurrent;
pub use self::try_filter_map::TryFilterMapConcurrent;
pub use self::try_flat_map::TryFlatMapConcurrent;
pub use self::try_item::TryItem;
pub use self::try_map::TryMapConcurrent;

pub(crate) use self::batch::checked_size;
pub(crate) use self::filter::filter_concurrent;
pub(crate) use self::try_filter::try_filter_concurrent;
