//! Counts of what is dropped with a pipeline.

use std::cell::Cell;
use std::fmt;

/// Counts of what was dropped with a pipeline that was [stopped](crate::stage::TakeUntilStopped::on_stop).
///
/// They cover what flowlet's stages held. Adaptors of other crates report nothing. What
/// [`prefetch`](crate::FlowExt::prefetch) runs in a task is dropped by that task, a little later.
///
/// # Examples
///
/// ```
/// let dropped = flowlet::Dropped::default();
/// assert!(dropped.is_nothing());
/// assert_eq!(dropped.to_string(), "0 calls, 0 items, 0 outputs");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Dropped {
    /// Calls that had started, and open inner streams, including those of pipelines inside calls.
    pub calls: usize,

    /// Items that were waiting for a call: for a permit, for their key, in a batch that was not full, or in a
    /// [`frontier`](crate::frontier).
    pub items: usize,

    /// Outputs of completed calls that no later stage had taken yet.
    pub outputs: usize,
}

impl Dropped {
    /// Returns whether nothing was in flight, and so nothing was lost.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(flowlet::Dropped::default().is_nothing());
    /// ```
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let [calls, items, outputs] =
            [(self.calls, "call"), (self.items, "item"), (self.outputs, "output")]
                .map(|(count, what)| number(count, what));
        write!(f, "{calls}, {items}, {outputs}")
    }
}

thread_local! {
    /// What was dropped so far, while it is being counted.
    static COUNT: Cell<Option<Dropped>> = const { Cell::new(None) };
}

/// Counts what `drop` drops.
pub(crate) fn count<R>(drop: impl FnOnce() -> R) -> (Dropped, R) {
    /// Restores the previous count, even after a panic.
    struct Before(Option<Dropped>);

    impl Drop for Before {
        fn drop(&mut self) {
            COUNT.set(self.0);
        }
    }

    let _before = Before(COUNT.replace(Some(Dropped::default())));
    let result = drop();
    (COUNT.get().unwrap_or_default(), result)
}

/// Adds to the count, if there is one.
#[inline]
pub(crate) fn note(add: impl FnOnce(&mut Dropped)) {
    if let Some(mut dropped) = COUNT.get() {
        add(&mut dropped);
        COUNT.set(Some(dropped));
    }
}
