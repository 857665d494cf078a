// The examples need the feature `threads`, and are not tested without it. The README's are tested here as well, but it is
// no page of these docs: its links and pictures lead to the repository.
#![cfg_attr(any(feature = "threads", not(doctest)), doc = include_str!("front_page.md"))]
#![cfg_attr(all(doctest, feature = "threads"), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adaptive;
#[cfg(feature = "time")]
mod clock;
mod concurrency;
mod dropped;
mod engine;
mod event;
mod ext;
mod flow;
pub mod functional;
#[cfg_attr(doctest, cfg(feature = "threads"))] // which its examples need
pub mod guide;
#[cfg(feature = "monitor")]
pub mod monitor;
pub mod op;
#[doc(hidden)]
pub mod panics;
mod place;
mod remainder;
mod semaphore;
mod size_hint;
mod source;
pub mod stage;
mod sync;
mod try_ext;
mod with;

pub use crate::adaptive::Adaptive;
pub use crate::concurrency::{Concurrency, errors_in_turn, finishing, ordered};
pub use crate::dropped::Dropped;
pub use crate::ext::FlowExt;
#[cfg(feature = "monitor")]
pub use crate::flow::FlowNumbers;
pub use crate::flow::{Flow, FlowPredicate, IntoFlow, Through};
#[cfg(feature = "monitor")]
pub use crate::monitor::Monitor;
pub use crate::place::{
    BlockingJob, InBlocking, InTask, ThreadLocal, in_blocking, in_local_task, in_task,
};
#[cfg(feature = "threads")]
pub use crate::place::{InPool, InThread, ThreadPool, ThreadPoolBuilder, in_pool, in_thread};
pub use crate::remainder::{Guarded, Remainder};
pub use crate::semaphore::{Acquire, Permit, Semaphore};
pub use crate::source::{Pipe, Source, pipe, via};
pub use crate::stage::call_future::CallFuture;
pub use crate::stage::entry::Entry;
pub use crate::stage::expand::Expand;
pub use crate::stage::frontier::frontier;
pub use crate::stage::merge::merge;
pub use crate::stage::merge_handle::MergeHandle;
pub use crate::stage::results::ResultStreamExt;
pub use crate::stage::try_expand::TryExpand;
pub use crate::stage::try_item::TryItem;
pub use crate::try_ext::TryFlowExt;
pub use crate::with::with;

/// What most pipelines need, for `use flowlet::prelude::*`.
///
/// Exports [`pipe`], the stages as methods of every stream, and the methods of [`futures_lite::StreamExt`]. If you use
/// `futures::StreamExt` instead, whose methods have the same names, import `flowlet::{FlowExt, TryFlowExt, pipe}`.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
///
/// # futures_lite::future::block_on(async {
/// let sum = pipe([1, 2]).map_concurrent(2, async |n| n + 1).fold(0, |sum, n| sum + n).await;
/// assert_eq!(sum, 5);
/// # });
/// ```
pub mod prelude {
    pub use futures_lite::{Stream, StreamExt};

    pub use crate::{FlowExt, TryFlowExt, pipe};
}
