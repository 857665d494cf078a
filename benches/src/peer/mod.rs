//! How each peer does what flowlet's stages do, as its own documentation has it.
//!
//! Peers whose pipelines are streams are a [`Peer`], and workloads are written once for all of them.
//! The others take a whole workload: `futures_concurrency`, `roughage`, `workers`, `join_set` and
//! `sequential`. `whole!` lists who of them can do what, and the README says why the rest cannot.

use std::future::Future;

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

/// Makes contenders of the peers that take a whole workload and can do this one.
/// `whole!(map as f, executor, |items| f(items, 16, call))` is one contender for each peer that has a
/// function `map`, with that as `f`; without an `executor` each is run by its own.
macro_rules! whole {
    (map as $($rest:tt)*) => {
        whole!(@futures_concurrency roughage workers join_set sequential; map as $($rest)*)
    };
    (map_to_wait_for as $($rest:tt)*) => {
        // One call after the other is no answer to calls that wait for the world.
        whole!(@futures_concurrency roughage workers join_set; map as $($rest)*)
    };
    (ordered as $($rest:tt)*) => {
        whole!(@roughage workers join_set sequential; ordered as $($rest)*)
    };
    (filter as $($rest:tt)*) => {
        whole!(@futures_concurrency roughage workers join_set sequential; filter as $($rest)*)
    };
    (flat_map as $($rest:tt)*) => {
        whole!(@futures_concurrency roughage workers join_set sequential; flat_map as $($rest)*)
    };
    (flat_map_streams as $($rest:tt)*) => {
        whole!(@futures_concurrency workers join_set sequential; flat_map_streams as $($rest)*)
    };
    (chain as $($rest:tt)*) => {
        whole!(@roughage workers join_set sequential; chain as $($rest)*)
    };
    (two as $($rest:tt)*) => {
        whole!(@roughage workers join_set; two as $($rest)*)
    };
    (batched as $($rest:tt)*) => {
        whole!(@roughage workers join_set sequential; batched as $($rest)*)
    };
    (@$($peer:ident)*; $function:ident as $f:ident, $executor:expr, $run:expr) => {
        [$({
            use $crate::peer::$peer::{EXECUTOR, NAME, $function as $f};
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

/// A workload that is written once for all that are a [`Peer`].
pub trait ForEach {
    /// Has a peer do it.
    fn of<P: Peer>(&self) -> Contender;
}

/// Has flowlet and each peer do it.
pub fn each(workload: &impl ForEach) -> Vec<Contender> {
    let mut contenders = vec![workload.of::<Flowlet>()];
    contenders.extend(others(workload));
    contenders
}

/// Has each peer do it.
pub fn others(workload: &impl ForEach) -> Vec<Contender> {
    let mut contenders = vec![workload.of::<FuturesUtil>(), workload.of::<FuturesBuffered>()];
    contenders.extend(spawning(workload));
    contenders
}

#[cfg(feature = "spawning")]
fn spawning(workload: &impl ForEach) -> [Contender; 3] {
    [workload.of::<ParStream>(), workload.of::<Pumps>(), workload.of::<TokioParStream>()]
}

#[cfg(not(feature = "spawning"))]
fn spawning(_: &impl ForEach) -> [Contender; 0] {
    []
}
