//! How each peer does what flowlet's stages do, as its own documentation has it.
//!
//! Peers whose pipelines are streams are a [`Peer`], and workloads are written once for all of them.
//! The others take a whole workload: `futures_concurrency`, `roughage`, `workers`, `join_set` and
//! `sequential`. A workload lists who of them can do it, and the README says why the rest cannot.

use crate::{Contender, Executor, Tally};

mod flowlet;
mod futures_buffered;
pub mod futures_concurrency;
mod futures_util;
pub mod join_set;
mod of_streams;
#[cfg(feature = "spawning")]
mod par_stream;
#[cfg(feature = "spawning")]
mod pumps;
mod refilled;
pub mod roughage;
pub mod sequential;
#[cfg(feature = "spawning")]
mod tokio_par_stream;
pub mod workers;

pub use self::flowlet::Flowlet;
pub use self::futures_buffered::FuturesBuffered;
pub use self::futures_util::FuturesUtil;
pub use self::of_streams::Peer;
#[cfg(feature = "spawning")]
pub use self::{par_stream::ParStream, pumps::Pumps, tokio_par_stream::TokioParStream};

/// Who is in the tables of the workloads that all share, in the order of their columns. One that
/// cannot do a workload has a dash there.
pub const NAMES: [&str; 11] = [
    "flowlet",
    "futures-util",
    "futures-buffered",
    "par-stream",
    "pumps",
    "tokio-par-stream",
    futures_concurrency::NAME,
    roughage::NAME,
    workers::NAME,
    join_set::NAME,
    sequential::NAME,
];

/// Who is counted, and whose other figures are taken: those that need no runtime.
pub const THREE: [&str; 3] = [Flowlet::NAME, FuturesUtil::NAME, FuturesBuffered::NAME];

/// Makes contenders of those peers that take a whole workload and can do this one: with a function `map`
/// in each module, `whole!([roughage, workers], map, executor, |items| map(items, 16, call))`. Without
/// an `executor` each is run by its own.
macro_rules! whole {
    ([$($peer:ident),*], $function:ident, $executor:expr, $run:expr) => {
        vec![$({
            use $crate::peer::$peer::{EXECUTOR, NAME, $function};
            let executor: Option<$crate::Executor> = $executor;
            $crate::Contender::new(NAME, executor.unwrap_or(EXECUTOR), $run)
        }),*]
    };
}
pub(crate) use whole;

/// Makes a contender of a peer.
pub fn contender<P: Peer, Fut: Future<Output = Tally>>(
    executor: Option<Executor>,
    f: impl Fn(u64) -> Fut + 'static,
) -> Contender {
    Contender::new(P::NAME, executor.unwrap_or(P::EXECUTOR), f)
}
