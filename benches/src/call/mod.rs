//! What the calls do.

use std::fmt;
use std::future::ready;
use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

mod callable;
mod elsewhere;
pub mod reactor;
mod socket;

use futures_lite::future::yield_now;

pub use self::callable::Callable;
use self::reactor::woken;
pub(crate) use self::socket::Connections;
use crate::{Contender, Executor};

/// The kinds of calls. Each gives back the number it is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Ready at once.
    Ready,
    /// Wakes itself once.
    YieldOnce,
    /// Woken four times by a reactor, in random order.
    FourWaits,
    /// Woken once by a reactor, in random order.
    Woken,
    /// Woken once, from another thread.
    WokenElsewhere,
    /// Waits a millisecond.
    Timer,
    /// Sends eight bytes to an echo server, and waits for them.
    Socket,
    /// Woken once; one call in 100 is woken 100 times.
    Mixed,
    /// Woken once, with 4 KiB in its future.
    Big,
}

/// What can be done with each kind of call, whatever its type.
pub trait Visit {
    /// Who does it.
    fn visit(self, f: impl Callable) -> Vec<Contender>;
}

impl fmt::Display for Call {
    /// What tables call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::YieldOnce => "yield once",
            Self::FourWaits => "four waits",
            Self::Woken => "woken",
            Self::WokenElsewhere => "woken from another thread",
            Self::Timer => "timers",
            Self::Socket => "sockets",
            Self::Mixed => "mixed durations",
            Self::Big => "big futures",
        })
    }
}

impl Call {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Ready,
        Self::YieldOnce,
        Self::FourWaits,
        Self::Woken,
        Self::WokenElsewhere,
        Self::Timer,
        Self::Socket,
        Self::Mixed,
        Self::Big,
    ];

    /// What runs it, if not each contender's own choice.
    pub fn executor(self) -> Option<Executor> {
        match self {
            Self::WokenElsewhere => Some(Executor::Parked),
            Self::Timer | Self::Socket => Some(Executor::Timed),
            _ => None,
        }
    }

    /// How many items make a run that can be timed: a few milliseconds, and several times as many as
    /// are in flight.
    pub fn items(self, in_flight: usize) -> u64 {
        let in_flight = in_flight as u64;
        match self {
            Self::Ready => 100_000.max(4 * in_flight),
            Self::YieldOnce | Self::Woken => 40_000.max(4 * in_flight),
            Self::FourWaits | Self::Mixed | Self::Big => 20_000.max(3 * in_flight),
            Self::WokenElsewhere => 5_000.max(2 * in_flight),
            Self::Timer => 16.max(10 * in_flight.min(4_096)).max(2 * in_flight),
            Self::Socket => 200.max(8 * in_flight),
        }
    }

    /// Hands one of the basic kinds to `visit`, which is compiled for each kind it may get.
    ///
    /// # Panics
    ///
    /// Panics if this is another kind.
    pub fn visit_basic(self, visit: impl Visit) -> Vec<Contender> {
        match self {
            Self::Ready => visit.visit(ready),
            Self::YieldOnce => visit.visit(yield_once),
            Self::Woken => visit.visit(woken_once),
            _ => panic!("{self:?} is for `visit`"),
        }
    }

    /// Hands the call to `visit`.
    pub fn visit(self, visit: impl Visit) -> Vec<Contender> {
        match self {
            Self::Ready | Self::YieldOnce | Self::Woken => self.visit_basic(visit),
            Self::FourWaits => visit.visit(four_waits),
            Self::WokenElsewhere => visit.visit(woken_from_another_thread),
            Self::Timer => visit.visit(timer),
            Self::Socket => visit.visit(echoed),
            Self::Mixed => visit.visit(mixed),
            Self::Big => visit.visit(big),
        }
    }
}

async fn yield_once(item: u64) -> u64 {
    yield_now().await;
    item
}

async fn four_waits(item: u64) -> u64 {
    for _ in 0..4 {
        woken().await;
    }
    item
}

/// The call of [`Call::Woken`].
pub async fn woken_once(item: u64) -> u64 {
    woken().await;
    item
}

async fn woken_from_another_thread(item: u64) -> u64 {
    elsewhere::woken_elsewhere().await;
    item
}

async fn timer(item: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(1)).await;
    item
}

async fn echoed(item: u64) -> u64 {
    /// Those of [`Executor::Timed`].
    static CONNECTIONS: Connections = Connections::new();
    CONNECTIONS.echo(item).await
}

async fn mixed(item: u64) -> u64 {
    for _ in 0..if item % 100 == 0 { 100 } else { 1 } {
        woken().await;
    }
    item
}

async fn big(item: u64) -> u64 {
    let bytes = black_box([item as u8; 4_096]);
    woken().await;
    black_box(&bytes);
    item
}

/// How many outputs an item of a flat map gives.
pub const OUTPUTS: u64 = 4;

/// What an item of a flat map, or what a call gave, is expanded to.
pub fn outputs(item: u64) -> [u64; OUTPUTS as usize] {
    [0, 1, 2, 3].map(|n| OUTPUTS * item + n)
}

/// Expands what the call gives.
pub async fn expand(call: impl Future<Output = u64>) -> [u64; OUTPUTS as usize] {
    outputs(call.await)
}

/// Expands what the call gives to a range of so many outputs.
pub async fn expand_to(outputs: u64, call: impl Future<Output = u64>) -> Range<u64> {
    let first = outputs * call.await;
    first..first + outputs
}

/// Keeps what the call gives if it is even, for peers whose filters are written by hand.
pub async fn even(call: impl Future<Output = u64>) -> Option<u64> {
    let output = call.await;
    (output % 2 == 0).then_some(output)
}
