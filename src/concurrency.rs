//! What bounds a stage.

use std::fmt;
use std::num::NonZeroUsize;

use crate::Semaphore;

/// How many calls a stage runs at once, and the order of its outputs.
///
/// Every `*_concurrent` method takes `impl Into<Concurrency>`:
///
/// | argument | calls at once | order of the outputs |
/// | --- | --- | --- |
/// | `20`, a `NonZeroUsize` | 20 | as they complete |
/// | `ordered(20)` | 20 | in the order of the items |
/// | `&semaphore`, `semaphore` | what the [`Semaphore`] allows | as they complete |
/// | `ordered(&semaphore)` | what the [`Semaphore`] allows | in the order of the items |
/// | `&adaptive`, `ordered(&adaptive)` | what an [`Adaptive`](crate::Adaptive) limit finds | the same |
///
/// Around any of these, [`finishing`] and [`errors_in_turn`] set what is yielded before the error that ends a
/// `try_` stage: `finishing(ordered(20))`.
///
/// The number bounds everything between "pulled from upstream" and "yielded": running calls and outputs that wait
/// for the consumer. There is no default on purpose. `usize::MAX` is fine: memory is used as calls are started.
/// A limit of 1 keeps the order, and pulls the next item only after the output was yielded.
///
/// # Windows
///
/// [`window`](Self::window) sets the two apart. With `ordered(4).window(64)`, four calls run at once, and up to 64
/// items are between pulled and yielded. A slow call then delays outputs, but not the other calls.
///
/// # Weights
///
/// The limit counts calls, unless the stage weighs them: `.map_concurrent(1000, f).weighed_by(|item| ..)`. Then
/// the running calls together weigh at most 1,000, or as much as the [`Semaphore`] has permits. See
/// [`MapConcurrent::weighed_by`](crate::stage::MapConcurrent::weighed_by), which all concurrent stages have.
///
/// # Panics
///
/// A limit of 0 could never start a call. A stage panics when it is created with one.
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::{Concurrency, ordered};
///
/// # futures_lite::future::block_on(async {
/// async fn double(n: u32) -> u32 {
///     2 * n
/// }
///
/// let limit: Concurrency = ordered(3);
/// let doubled: Vec<u32> = pipe([1, 2, 3]).map_concurrent(limit, double).collect().await;
/// assert_eq!(doubled, [2, 4, 6]);
/// # });
/// ```
#[derive(Clone)]
pub struct Concurrency {
    pub(crate) limit: Limit,
    pub(crate) window: Option<NonZeroUsize>,
    pub(crate) ordered: bool,
    pub(crate) errors_in_turn: bool,
    pub(crate) finishing: bool,

    /// The monitor's view of the stage.
    #[cfg(feature = "monitor")]
    pub(crate) watched: Option<std::sync::Arc<crate::monitor::Watched>>,
}

/// What counts the calls.
#[derive(Clone)]
pub(crate) enum Limit {
    /// The stage alone.
    Private(usize),
    /// The stage, together with all others that share the semaphore.
    Shared(Semaphore),
}

/// Returns a limit that keeps outputs in the order of their items.
///
/// Takes anything that converts to [`Concurrency`]. An output that completes before an earlier one waits for it,
/// and counts against the limit while it does. In a [flat map], whole inner streams keep the order; each of the
/// later ones runs until it has its first output.
///
/// [flat map]: crate::FlowExt::flat_map_concurrent
///
/// # Examples
///
/// ```
/// use flowlet::prelude::*;
/// use flowlet::ordered;
/// use futures_lite::future::yield_now;
///
/// # futures_lite::future::block_on(async {
/// let slow_first = async |n: u32| {
///     for _ in n..3 {
///         yield_now().await;
///     }
///     n
/// };
///
/// let any: Vec<u32> = pipe([1, 2, 3]).map_concurrent(3, slow_first).collect().await;
/// assert_eq!(any, [3, 2, 1]);
///
/// let same: Vec<u32> = pipe([1, 2, 3]).map_concurrent(ordered(3), slow_first).collect().await;
/// assert_eq!(same, [1, 2, 3]);
/// # });
/// ```
pub fn ordered(concurrency: impl Into<Concurrency>) -> Concurrency {
    Concurrency { ordered: true, ..concurrency.into() }
}

/// Returns a limit under which the first error of a `try_` stage waits behind the outputs that finished before
/// it.
///
/// Takes anything that converts to [`Concurrency`]. By default an error goes ahead of finished outputs that were
/// not taken yet, because a later stage was busy, and these are dropped. With `errors_in_turn` they are yielded
/// first.
///
/// **It saves outputs, not calls.** Either way, running calls are dropped as soon as the error occurs, in the
/// middle of what they do. With [`ordered`] an error always waits for its turn. The calls of earlier items
/// continue until then, but those of later items are dropped. Where a call must not be interrupted, such as a
/// write, use [`finishing`], which includes this. It has no effect on stages other than `try_` stages.
///
/// # Examples
///
/// ```
/// use flowlet::errors_in_turn;
/// use flowlet::prelude::*;
/// use futures_lite::future::yield_now;
///
/// # futures_lite::future::block_on(async {
/// let check = async |n: u32| if n < 3 { Ok(n) } else { Err("three") };
///
/// let mut numbers = pipe(1..).map(Ok).try_map_concurrent(errors_in_turn(8), check).driven();
/// assert_eq!(numbers.next().await, Some(Ok(1)));
/// numbers.alongside(yield_now()).await; // now the others are finished
/// assert_eq!(numbers.next().await, Some(Ok(2)));
/// assert_eq!(numbers.next().await, Some(Err("three")));
/// assert_eq!(numbers.next().await, None);
/// # });
/// ```
pub fn errors_in_turn(concurrency: impl Into<Concurrency>) -> Concurrency {
    Concurrency { errors_in_turn: true, ..concurrency.into() }
}

/// Returns a limit under which running calls finish before the error of a `try_` stage is yielded.
///
/// Takes anything that converts to [`Concurrency`]. By default the first error drops the other calls in the
/// middle of what they do, and nobody knows whether a write among them was committed. With `finishing` every call
/// that has started completes, and its output is yielded. Then comes the error.
///
/// - **Nothing starts** after the error. Upstream is dropped at once, with its calls. So are the items that wait
///   for a permit, for room or for others of their key. In a stage that [expands], these are the items that were
///   found.
/// - **Outputs** are yielded as if there were no error. With [`ordered`] they keep the order of their items, even
///   those of items after the one that failed, and the error is last.
/// - **An open inner stream** of a [flat map] is a call: it runs to its end, with permits and room as it needs
///   them. If it is endless, the error is never yielded.
/// - **More errors** may come from the calls that finish. They are yielded after the first one, in the order in
///   which they occurred, and then the stream ends. Consumers that stop at the first error do not see them:
///   `try_collect`, `try_drain` and later `try_` stages. A loop that continues does.
/// - **A panic** in a call propagates out of the poll. The other calls continue, and the errors are yielded.
///
/// **This covers errors of this stage and from upstream.** An error of a *later* `try_` stage drops this one with
/// its calls, just like dropping the pipeline. So put calls that must not be interrupted in the last stage that
/// can fail, or let the stages after it pass errors on, as
/// [`map_ok_concurrent`](crate::TryFlowExt::map_ok_concurrent) does.
///
/// It includes [`errors_in_turn`], which adds nothing to it. It has no effect on stages other than `try_` stages.
///
/// [expands]: crate::TryFlowExt::try_expand_concurrent
/// [flat map]: crate::TryFlowExt::try_flat_map_concurrent
///
/// # Examples
///
/// ```
/// use flowlet::finishing;
/// use flowlet::prelude::*;
/// use futures_lite::future::yield_now;
///
/// # futures_lite::future::block_on(async {
/// let write = async |row: u32| {
///     for _ in 0..row {
///         yield_now().await;
///     }
///     if row == 2 { Err("row 2 is refused") } else { Ok(row) }
/// };
///
/// // Four writes have started when the second fails. The outcome of each is known.
/// let written = pipe(1..).map(Ok).try_map_concurrent(finishing(4), write);
/// let outcomes: Vec<Result<u32, &str>> = written.collect().await;
/// assert_eq!(outcomes.last(), Some(&Err("row 2 is refused")));
/// assert!(outcomes.starts_with(&[Ok(1), Ok(3), Ok(4)]));
/// # });
/// ```
pub fn finishing(concurrency: impl Into<Concurrency>) -> Concurrency {
    Concurrency { finishing: true, ..concurrency.into() }
}

impl Concurrency {
    /// Creates a limit from anything a stage accepts as one: `Concurrency::new(4).window(64)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::{Concurrency, Semaphore};
    ///
    /// let four = Concurrency::new(4);
    /// let shared = Concurrency::new(&Semaphore::new(4));
    /// # drop((four, shared));
    /// ```
    pub fn new(limit: impl Into<Self>) -> Self {
        limit.into()
    }

    /// Sets how many items may be between "pulled from upstream" and "yielded", separately from the number of
    /// calls.
    ///
    /// The limit bounds running calls. The window bounds running calls plus waiting outputs. It defaults to the
    /// limit. A window smaller than the limit lowers the limit.
    ///
    /// - With [`ordered`], a slow call holds up the outputs after it, but not their calls.
    /// - In a [flat map], the window counts open inner streams and waiting outputs. Inner streams run ahead of what
    ///   is yielded while there is room, so with [`ordered`] the later ones may be finished when their turn comes.
    ///   Each has room for one output of its own.
    /// - In a stage [by key], items that wait for others of their key count too.
    /// - Where calls are [weighed], the window is a weight, like the limit. Flat maps are the exception.
    ///
    /// [flat map]: crate::FlowExt::flat_map_concurrent
    /// [by key]: crate::FlowExt::map_concurrent_by_key
    /// [weighed]: crate::stage::MapConcurrent::weighed_by
    ///
    /// # Panics
    ///
    /// Panics if `items` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowlet::ordered;
    /// use flowlet::prelude::*;
    /// use futures_lite::stream;
    ///
    /// # futures_lite::future::block_on(async {
    /// async fn fetch(id: u32) -> String {
    ///     format!("page {id}")
    /// }
    ///
    /// // Four calls run, even while the first of 64 takes its time.
    /// let pages: Vec<String> =
    ///     pipe(1..=100).map_concurrent(ordered(4).window(64), fetch).collect().await;
    /// assert_eq!(pages.len(), 100);
    ///
    /// // Six inner streams are open, and read ahead up to 64 rows.
    /// let rows = |user: u32| stream::repeat(user).take(20);
    /// let rows: Vec<u32> =
    ///     pipe(0..6).flat_map_concurrent(ordered(6).window(64), rows).collect().await;
    /// assert!(rows.is_sorted());
    /// # });
    /// ```
    #[track_caller]
    pub fn window(self, items: usize) -> Self {
        let window = NonZeroUsize::new(items);
        assert!(window.is_some(), "the window of a stage must be at least 1");
        Self { window, ..self }
    }

    /// Rejects a limit that could never start a call.
    #[track_caller]
    pub(crate) fn checked(self) -> Self {
        assert!(
            !matches!(self.limit, Limit::Private(0)),
            "the concurrency of a stage must be at least 1"
        );
        self
    }

    /// Writes the limit as `fmt_limit` does, with the wrappers around it, as in `ordered(20)`.
    pub(crate) fn fmt_around(
        &self,
        f: &mut fmt::Formatter<'_>,
        fmt_limit: impl FnOnce(&Limit, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let wrappers = [
            ("finishing(", self.finishing),
            ("errors_in_turn(", self.errors_in_turn),
            ("ordered(", self.ordered),
        ];
        let mut wrappers = Vec::from_iter(wrappers.into_iter().filter(|(_, is_asked)| *is_asked));
        if self.window.is_some() && wrappers.is_empty() {
            wrappers.push(("Concurrency::new(", true));
        }
        wrappers.iter().try_for_each(|(wrapper, _)| f.write_str(wrapper))?;
        fmt_limit(&self.limit, f)?;
        wrappers.iter().try_for_each(|_| f.write_str(")"))?;
        self.window.map_or(Ok(()), |window| write!(f, ".window({window})"))
    }
}

// Not a `From`, as the compiler would suggest it to users.
impl Concurrency {
    fn of(limit: Limit) -> Self {
        Self {
            limit,
            window: None,
            ordered: false,
            errors_in_turn: false,
            finishing: false,
            #[cfg(feature = "monitor")]
            watched: None,
        }
    }
}

impl Limit {
    /// Returns how many calls may run now.
    #[cfg(feature = "monitor")]
    pub(crate) fn now(&self) -> usize {
        match self {
            Self::Private(limit) => *limit,
            Self::Shared(semaphore) => semaphore.limit(),
        }
    }
}

impl From<usize> for Concurrency {
    fn from(limit: usize) -> Self {
        Self::of(Limit::Private(limit))
    }
}

impl From<NonZeroUsize> for Concurrency {
    fn from(limit: NonZeroUsize) -> Self {
        limit.get().into()
    }
}

impl From<Semaphore> for Concurrency {
    fn from(semaphore: Semaphore) -> Self {
        Self::of(Limit::Shared(semaphore))
    }
}

impl From<&Semaphore> for Concurrency {
    fn from(semaphore: &Semaphore) -> Self {
        semaphore.clone().into()
    }
}

impl fmt::Debug for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_around(f, |limit, f| match limit {
            Limit::Private(limit) => limit.fmt(f),
            Limit::Shared(semaphore) => semaphore.fmt(f),
        })
    }
}
