//! How each peer does what flowlet's stages do, as its own documentation has it.
//!
//! Peers whose pipelines are streams are a [`Peer`], and workloads are written once for all of them.
//! The others take a whole workload: `futures_concurrency`, `roughage`, `join_set`, `workers` and
//! `sequential`.

use std::future::Future;

use futures_lite::Stream;

use crate::{Contender, Executor, Tally};

mod flowlet;
mod futures_buffered;
pub mod futures_concurrency;
mod futures_util;
pub mod join_set;
#[cfg(feature = "spawning")]
mod par_stream;
#[cfg(feature = "spawning")]
mod pumps;
pub mod roughage;
pub mod sequential;
#[cfg(feature = "spawning")]
mod tokio_par_stream;
pub mod workers;

pub use self::flowlet::Flowlet;
pub use self::futures_buffered::FuturesBuffered;
pub use self::futures_util::FuturesUtil;
#[cfg(feature = "spawning")]
pub use self::{par_stream::ParStream, pumps::Pumps, tokio_par_stream::TokioParStream};

/// A crate whose concurrent stages take a stream and give one.
pub trait Peer: 'static {
    /// The name of the crate.
    const NAME: &'static str;

    /// What polls it where the workload leaves the choice.
    const EXECUTOR: Executor;

    /// Calls `f` on every item, with up to `limit` calls at once; outputs come as calls complete.
    fn map<S, F, Fut>(
        stream: S,
        limit: usize,
        f: F,
    ) -> impl Stream<Item = Fut::Output> + Send + 'static
    where
        S: Stream<Item: Send> + Send + 'static,
        F: Fn(S::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static;

    /// The same in the order of the items.
    fn ordered<S, F, Fut>(
        stream: S,
        limit: usize,
        f: F,
    ) -> impl Stream<Item = Fut::Output> + Send + 'static
    where
        S: Stream<Item: Send> + Send + 'static,
        F: Fn(S::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static;
}

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
