//! Stages whose limit bounds the weight of their calls.

use std::fmt;

/// The function of a stage, with one that weighs its items: `F` in the type of a stage that was
/// [weighed](crate::stage::MapConcurrent::weighed_by).
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::stage::{MapConcurrent, Weighed};
/// use futures_lite::future::{Boxed, FutureExt};
/// use futures_lite::stream;
///
/// type Load = Weighed<fn(u64) -> Boxed<u64>, fn(&u64) -> usize>;
///
/// let load: fn(u64) -> Boxed<u64> = |size| async move { size }.boxed();
/// let stage: MapConcurrent<stream::Once<u64>, Load, Boxed<u64>> =
///     stream::once(7).map_concurrent(1000, load).weighed_by(|size| *size as usize);
/// # drop(stage);
/// ```
pub struct Weighed<F, W> {
    pub(super) f: F,
    pub(super) weight: W,
}

impl<F, W> fmt::Debug for Weighed<F, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighed").finish_non_exhaustive()
    }
}
