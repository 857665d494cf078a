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
/// | `ordered(20)` | 20 | as their items came in |
/// | `&semaphore`, `semaphore` | what the [`Semaphore`] allows | as they complete |
/// | `ordered(&semaphore)` | what the [`Semaphore`] allows | as their items came in |
/// | `&adaptive`, `ordered(&adaptive)` | what an [`Adaptive`](crate::Adaptive) limit finds | the same |
///
/// The number bounds all that is between "pulled from upstream" and "yielded": calls that run and
/// outputs that wait for the consumer. There is no default on purpose, and `usize::MAX` is fine:
/// memory is used as calls are started. A limit of 1 keeps the order, and pulls the next item only
/// after the output was yielded.
///
/// # Panics
///
/// A limit of 0 could never start a call. A stage that is given one panics when it is made.
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
    pub(crate) ordered: bool,
    pub(crate) errors_in_turn: bool,
}

/// Who counts the calls.
#[derive(Clone)]
pub(crate) enum Limit {
    /// The stage alone.
    Private(usize),
    /// The stage, with all others that have the semaphore.
    Shared(Semaphore),
}

/// Asks for outputs in the order of their items.
///
/// Takes what [`Concurrency`] is made from. An output that is complete before an earlier one waits
/// for it, and counts against the limit while it does. In a [flat map] it is whole expansions that
/// keep the order; each of the later ones goes on until it has its first output.
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

/// Has the first error of a `try_` stage wait behind the outputs that were finished before it.
///
/// Takes what [`Concurrency`] is made from. By default an error goes ahead of outputs that were finished
/// and not taken yet, because a later stage was busy, and these are dropped. With this they are yielded
/// first.
///
/// **It saves outputs, not calls.** The calls that run are dropped as soon as the error is there, with or
/// without it, in the middle of what they do. With [`ordered`] an error always waits for its turn, and the
/// calls of earlier items go on until then, but those of later items are dropped as well. Where a call must
/// not be broken off, such as a write, spawn it ([`in_task`](crate::in_task) cancels it, a bare spawned task
/// does not), or let errors pass as items. Stages that are not `try_` stages know no errors: there it
/// changes nothing.
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
/// numbers.alongside(yield_now()).await; // here the others are finished
/// assert_eq!(numbers.next().await, Some(Ok(2)));
/// assert_eq!(numbers.next().await, Some(Err("three")));
/// assert_eq!(numbers.next().await, None);
/// # });
/// ```
pub fn errors_in_turn(concurrency: impl Into<Concurrency>) -> Concurrency {
    Concurrency { errors_in_turn: true, ..concurrency.into() }
}

impl Concurrency {
    /// Refuses a limit that could never start a call.
    #[track_caller]
    pub(crate) fn checked(self) -> Self {
        assert!(
            !matches!(self.limit, Limit::Private(0)),
            "the concurrency of a stage must be at least 1"
        );
        self
    }

    /// Writes the limit as `fmt_limit` does, and what is asked for besides it, as in `ordered(20)`.
    pub(crate) fn fmt_around(
        &self,
        f: &mut fmt::Formatter<'_>,
        fmt_limit: impl FnOnce(&Limit, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if self.errors_in_turn {
            f.write_str("errors_in_turn(")?;
        }
        if self.ordered {
            f.write_str("ordered(")?;
        }
        fmt_limit(&self.limit, f)?;
        let wrappers = usize::from(self.ordered) + usize::from(self.errors_in_turn);
        (0..wrappers).try_for_each(|_| f.write_str(")"))
    }
}

impl From<usize> for Concurrency {
    fn from(limit: usize) -> Self {
        Self { limit: Limit::Private(limit), ordered: false, errors_in_turn: false }
    }
}

impl From<NonZeroUsize> for Concurrency {
    fn from(limit: NonZeroUsize) -> Self {
        limit.get().into()
    }
}

impl From<Semaphore> for Concurrency {
    fn from(semaphore: Semaphore) -> Self {
        Self { limit: Limit::Shared(semaphore), ordered: false, errors_in_turn: false }
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
