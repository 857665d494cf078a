//! What is dropped with a pipeline, counted.

use std::cell::Cell;
use std::fmt;

/// What was dropped with a pipeline that was [stopped](crate::stage::TakeUntilStopped::on_stop).
///
/// It counts what flowlet's stages held. Adaptors of other crates tell nothing, and what
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
    /// Calls that had begun, and open inner streams. Those of pipelines inside of calls count as well.
    pub calls: usize,

    /// Items that waited before a call: for a permit, for their key, in a batch that was not full, or in a
    /// [`frontier`](crate::frontier).
    pub items: usize,

    /// Outputs of calls that were over, which no later stage had taken yet.
    pub outputs: usize,
}

impl Dropped {
    /// Tells whether nothing was in flight, so that nothing was lost.
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
    /// What was dropped so far, while someone counts.
    static COUNT: Cell<Option<Dropped>> = const { Cell::new(None) };
}

/// Counts what `drop` drops.
pub(crate) fn count<R>(drop: impl FnOnce() -> R) -> (Dropped, R) {
    /// Puts back what was there before, also after a panic.
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

/// Adds to what is counted, if someone counts.
#[inline]
pub(crate) fn note(add: impl FnOnce(&mut Dropped)) {
    if let Some(mut dropped) = COUNT.get() {
        add(&mut dropped);
        COUNT.set(Some(dropped));
    }
}
