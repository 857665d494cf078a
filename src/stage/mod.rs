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
mod shell;
mod take_until_stopped;
#[cfg(feature = "time")]
mod timer;
mod try_call;
mod try_expand;
mod try_item;

pub use self::batch::{Batched, TryBatched};
pub use self::batch_by_weight::{BatchedByWeight, TryBatchedByWeight};
#[cfg(feature = "time")]
pub use self::batch_within::{BatchedWithin, TryBatchedWithin};
pub use self::call_future::CallFuture;
pub use self::drain::{Drain, TryDrain};
pub use self::driven::{Alongside, Driven};
pub use self::expand::{Expand, Opening};
pub use self::filter::{FilterConcurrent, TryFilterConcurrent};
pub use self::filter_map::{FilterMapConcurrent, TryFilterMapConcurrent};
pub use self::flat_map::{FlatMapConcurrent, TryFlatMapConcurrent};
pub use self::map::{MapConcurrent, TryMapConcurrent};
pub use self::map_ok::MapOkConcurrent;
pub use self::merge::{Merge, merge};
pub use self::merge_handle::MergeHandle;
pub use self::prefetch::Prefetch;
pub use self::results::{ErrInto, InspectErr, InspectOk, MapErr, MapOk, ResultStreamExt};
pub use self::take_until_stopped::TakeUntilStopped;
#[cfg(feature = "time")]
pub use self::timer::{DefaultTimer, SleepTimer};
pub use self::try_expand::{Opened, OpenedStream, TryExpand};
pub use self::try_item::TryItem;

pub(crate) use self::batch::checked_size;
pub(crate) use self::filter::{filter_concurrent, try_filter_concurrent};
